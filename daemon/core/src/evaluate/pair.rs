//! Which key has to have made which signature.

use std::sync::Arc;

use crate::attestor::{KeyId, TrustedAttestor, Validity, VerificationKey};
use crate::decision::{AttestorReason, Trial, TrialOutcome};
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::AttestorName;
use crate::occurrence::{Attestation, Evidence, EvidenceError, Signature};
use crate::payload::simple_signing::PayloadError;
use crate::time::UnixTime;
use crate::verdict::{Check, Unavailable};

/// What there is to hold against one attestor.
#[derive(Clone, Copy, Debug)]
pub struct AttestorEvidence<'a> {
    /// The attestor that the policy names.
    pub name: &'a AttestorName,
    /// The attestor itself, where it exists.
    pub attestor: Option<&'a TrustedAttestor>,
    /// What is stored under its note for the digest; not looked at where `attestor` has no keys.
    pub evidence: &'a Evidence,
}

/// One digest's evidence, up to the arithmetic.
#[derive(Clone, Debug)]
pub struct Pairing {
    pub(super) digest: Digest,
    pub(super) attestors: Vec<PairedAttestor>,
    pub(super) pairs: Pairs,
}

impl Pairing {
    /// The signatures to verify; [`super::decide::conclude`] wants one verdict for each, in this
    /// order.
    pub fn checks(&self) -> &[Check] {
        &self.pairs.checks
    }
}

/// One attestor, up to the arithmetic.
#[derive(Clone, Debug)]
pub(super) struct PairedAttestor {
    pub(super) name: AttestorName,
    /// Why some of its keys could not be had.
    pub(super) missing: Option<String>,
    pub(super) trials: PairedTrials,
}

/// Every signature held against one set of keys, or why nothing was tried.
pub(crate) type PairedTrials = Result<Vec<PairedTrial>, AttestorReason>;

/// One signature, up to the arithmetic.
#[derive(Clone, Debug)]
pub(crate) struct PairedTrial {
    pub(super) trial: Trial,
    /// Whether the next verdict is the one of this trial. Until then its outcome is a failure.
    pub(super) awaits_verdict: bool,
}

/// The span of time around `now` in which no key that was considered changes its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unchanging {
    /// Its first second.
    pub(super) from: UnixTime,
    /// The first second after it.
    pub(super) until: Option<UnixTime>,
}

/// Selects for each signature the key that it names, by exact equality of ids.
///
/// A signature whose key is unknown or not valid at `now` gets no check: its trial is over.
pub fn pair(
    digest: Digest,
    sources: &[AttestorEvidence<'_>],
    now: UnixTime,
    limits: &Limits,
) -> Pairing {
    let mut pairs = Pairs::default();
    let mut attestors = Vec::with_capacity(sources.len());
    for source in sources {
        let trials = match source.attestor {
            Some(attestor) => pairs.trials(&attestor.keys, source.evidence, now, limits),
            None => Err(AttestorReason::AttestorUnknown),
        };
        let missing = source.attestor.and_then(|attestor| attestor.missing.clone());
        attestors.push(PairedAttestor { name: source.name.clone(), missing, trials });
    }
    Pairing { digest, attestors, pairs }
}

/// The signatures to verify, as they come together from several sets of keys.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// One for each trial that awaits a verdict, in the order of the trials.
    pub(crate) checks: Vec<Check>,
    pub(super) unchanging: Unchanging,
}

impl Default for Pairs {
    fn default() -> Self {
        let unchanging = Unchanging { from: UnixTime(i64::MIN), until: None };
        Self { checks: Vec::new(), unchanging }
    }
}

/// The keys and the attestations to try, or why there is nothing to try.
fn material<'a>(
    keys: &'a Result<Vec<Arc<VerificationKey>>, String>,
    evidence: &'a Evidence,
    limits: &Limits,
) -> Result<(&'a [Arc<VerificationKey>], &'a [Attestation]), AttestorReason> {
    let keys = match keys {
        Ok(keys) if keys.is_empty() => return Err(AttestorReason::NoKeys),
        Ok(keys) => keys,
        Err(error) => return Err(AttestorReason::KeysUnavailable(error.clone())),
    };
    let attestations = match evidence {
        Ok(attestations) if attestations.is_empty() => return Err(AttestorReason::NoAttestations),
        Ok(attestations) => attestations,
        Err(EvidenceError::TooMany(_)) => return Err(AttestorReason::LimitExceeded),
        Err(error) => return Err(AttestorReason::EvidenceUnavailable(error.to_string())),
    };
    let signatures: usize = attestations.iter().map(|each| each.signatures.len()).sum();
    if attestations.len() > limits.occurrences_max || signatures > limits.signatures_max {
        return Err(AttestorReason::LimitExceeded);
    }
    Ok((keys, attestations))
}

impl Pairs {
    /// Holds what is stored against one set of keys.
    pub(crate) fn trials(
        &mut self,
        keys: &Result<Vec<Arc<VerificationKey>>, String>,
        evidence: &Evidence,
        now: UnixTime,
        limits: &Limits,
    ) -> PairedTrials {
        let (keys, attestations) = material(keys, evidence, limits)?;
        let keys = KeysById::new(keys);
        let mut trials = Vec::new();
        for attestation in attestations {
            for numbered in attestation.signatures.iter().enumerate() {
                trials.push(self.trial(&keys, attestation, numbered, now, limits));
            }
        }
        Ok(trials)
    }

    fn trial(
        &mut self,
        keys: &KeysById<'_>,
        attestation: &Attestation,
        (signature_index, signature): (usize, &Signature),
        now: UnixTime,
        limits: &Limits,
    ) -> PairedTrial {
        let key = keys.get(&signature.key_id);
        let outcome = match key {
            None => Some(TrialOutcome::KeyIdUnknown),
            Some(key) => {
                self.unchanging.narrow(&key.validity, now);
                invalid(&key.validity, now).or_else(|| oversized(attestation, limits))
            }
        };
        if let (Some(key), None) = (key, &outcome) {
            self.checks.push(Check {
                key: Arc::clone(key),
                payload: attestation.payload.clone(),
                signature: signature.signature.clone(),
            });
        }
        PairedTrial {
            awaits_verdict: outcome.is_none(),
            trial: Trial {
                occurrence: attestation.occurrence.clone(),
                signature_index,
                key_id: signature.key_id.clone(),
                algorithm: key.map(|key| key.algorithm),
                outcome: outcome.unwrap_or(TrialOutcome::Unavailable(Unavailable::Panicked)),
            },
        }
    }
}

/// The keys of one attestor, found by id without comparing every signature with every key.
struct KeysById<'a>(Vec<(&'a KeyId, &'a Arc<VerificationKey>)>);

impl<'a> KeysById<'a> {
    fn new(keys: &'a [Arc<VerificationKey>]) -> Self {
        let mut by_id: Vec<_> =
            keys.iter().flat_map(|key| key.ids.iter().map(move |id| (id, key))).collect();
        by_id.sort_by_key(|&(id, _)| id);
        Self(by_id)
    }

    fn get(&self, id: &KeyId) -> Option<&'a Arc<VerificationKey>> {
        let at = self.0.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        self.0.get(at).map(|&(_, key)| key)
    }
}

/// Why a key may not be used at `now`.
fn invalid(validity: &Validity, now: UnixTime) -> Option<TrialOutcome> {
    let revoked = validity.revoked_at.filter(|&revoked_at| revoked_at <= now);
    let early = validity.not_before.filter(|&not_before| now < not_before);
    let late = validity.not_after.filter(|&not_after| not_after < now);
    revoked
        .map(|revoked_at| TrialOutcome::KeyRevoked { revoked_at })
        .or_else(|| early.map(|not_before| TrialOutcome::KeyNotYetValid { not_before }))
        .or_else(|| late.map(|not_after| TrialOutcome::KeyExpired { not_after }))
}

fn oversized(attestation: &Attestation, limits: &Limits) -> Option<TrialOutcome> {
    let (bytes, max) = (attestation.payload.len(), limits.payload_bytes_max);
    let error = PayloadError::TooLarge { bytes, max };
    (bytes > max).then(|| TrialOutcome::PayloadMalformed { error: error.to_string() })
}

impl Unchanging {
    /// Ends the span where a key of this validity changes.
    fn narrow(&mut self, validity: &Validity, now: UnixTime) {
        let expired = validity.not_after.and_then(|last| last.0.checked_add(1)).map(UnixTime);
        for change in [validity.not_before, expired, validity.revoked_at].into_iter().flatten() {
            if change <= now {
                self.from = self.from.max(change);
            } else {
                self.until = Some(self.until.map_or(change, |until| until.min(change)));
            }
        }
    }
}
