//! Platform policies in the snapshot: keys resolved once, and an identity for what is cached under
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use hallmark_core::names::PlatformPolicyName;
use hallmark_core::platform::{
    AttestationAuthenticator, AuthenticatorKeys, PlatformPolicy, PlatformRules, TrustedGkePolicy,
};

use super::{Identities, ResolveKeys};

/// A policy for Kubernetes in a snapshot.
#[derive(Clone, Debug)]
pub struct KnownGkePolicy {
    /// The policy itself, its keys resolved.
    pub trusted: Arc<TrustedGkePolicy>,
    /// Stays as long as nothing changes that an evaluation under this policy rests on, the evidence
    /// aside: its text, its keys, and whether any note exists. Never given twice.
    pub identity: u64,
}

/// The policies in force, each with its text and its resolved form.
pub(super) type ResolvedPolicies = HashMap<PlatformPolicyName, ResolvedPolicy>;

#[derive(Clone, Debug)]
pub(super) struct ResolvedPolicy {
    written: PlatformPolicy,
    pub(super) known: KnownGkePolicy,
}

impl ResolvedPolicy {
    fn may_change(&self, keys: &dyn ResolveKeys) -> bool {
        let missing = |keys: &AuthenticatorKeys| keys.is_err();
        self.known.trusted.keys().any(missing)
            || self.known.trusted.policy().public_keys().any(|key| keys.may_change(key))
    }

    /// The policy with its keys resolved once more, if they came to something else.
    pub(super) fn changed(
        &self,
        keys: &dyn ResolveKeys,
        identities: &mut Identities,
    ) -> Option<KnownGkePolicy> {
        if !self.may_change(keys) {
            return None;
        }
        let trusted = trust(&self.written, keys)?;
        (trusted != *self.known.trusted)
            .then(|| KnownGkePolicy { trusted: trusted.into(), identity: identities.next() })
    }
}

/// The policies with their keys resolved, those that are as `before` with their identity; what they
/// were made of goes to `fresh`.
pub(super) fn resolve(
    policies: Vec<PlatformPolicy>,
    keys: &dyn ResolveKeys,
    before: &ResolvedPolicies,
    identities: &mut Identities,
    fresh: &mut ResolvedPolicies,
) -> HashMap<PlatformPolicyName, KnownGkePolicy> {
    let mut known = HashMap::new();
    for written in policies {
        let before = before.get(&written.name).filter(|before| before.written == written);
        let resolved = match before {
            Some(before) if !before.may_change(keys) => before.known.clone(),
            before => {
                let Some(trusted) = trust(&written, keys) else { continue };
                match before.filter(|before| *before.known.trusted == trusted) {
                    Some(before) => before.known.clone(),
                    None => {
                        KnownGkePolicy { trusted: Arc::new(trusted), identity: identities.next() }
                    }
                }
            }
        };
        known.insert(written.name.clone(), resolved.clone());
        fresh.insert(written.name.clone(), ResolvedPolicy { written, known: resolved });
    }
    known
}

/// The policy to evaluate with. `None`: it is for another platform than Kubernetes.
fn trust(written: &PlatformPolicy, keys: &dyn ResolveKeys) -> Option<TrustedGkePolicy> {
    match &written.rules {
        PlatformRules::Gke(policy) => {
            Some(TrustedGkePolicy::new(policy.clone(), |of| authenticator_keys(of, keys)))
        }
        PlatformRules::CloudRun(_) => None,
    }
}

/// If one key is unavailable, none counts: the check denies with the reason.
fn authenticator_keys(
    authenticator: &AttestationAuthenticator,
    keys: &dyn ResolveKeys,
) -> AuthenticatorKeys {
    let mut trusted = Vec::new();
    for (i, key) in authenticator.public_keys.iter().enumerate() {
        let resolved = keys.resolve(key);
        let resolved = resolved.map_err(|error| format!("pkixPublicKeys[{i}]: {error}"))?;
        trusted.extend(resolved.keys.into_iter().map(Arc::new));
    }
    Ok(trusted)
}
