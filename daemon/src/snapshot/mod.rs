//! The immutable picture of all policies and trusted attestors that a request is decided under,
//! and how a new one takes the place of the old.
//!
//! A request holds one [`Snapshot`] from its first byte to its audit record.
//!
//! # Why an acknowledged write is never followed by a decision from before it
//!
//! 1. A write is durable, and seen by every later read, when [`Store::apply`] returns.
//! 2. Only then [`Snapshots::republish`] takes the publication lock, reads the project *inside*
//!    it and swaps the new snapshot in before the lock is released. Publications are therefore in
//!    a total order, each read after the one before it was swapped in: a slow publication that
//!    read before the write cannot overwrite a fast one that read after it.
//! 3. Only then the write is acknowledged. A request that starts afterwards loads the new snapshot
//!    or a later one. It plans again, which is cheap, and finds a cached evaluation only by the
//!    identities of the attestors that its rule requires. An attestor has another identity, one
//!    that was never given before, as soon as it resolves to something else or its note comes or
//!    goes. So nothing is found that rests on what the write replaced, and everything that rests on
//!    other attestors still is. The same holds for platform policies, whose checks find
//!    attestations under any note: they have other identities whenever a note comes or goes.
//! 4. Should the project not be readable after its write, its last picture may be out of date:
//!    it is withdrawn, so that its requests are denied until it was read again, and the write is
//!    not acknowledged.
//!
//! An attestor that does not exist has no identity. What is cached of it says so and nothing else:
//! it holds whenever the attestor does not exist.
//!
//! Occurrences are not part of the snapshot. Their writers bump the evidence epoch of the digest
//! after the commit and before the acknowledgement, to the same effect.

mod platform;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use hallmark_core::attestor::{
    Attestor, KeyId, KeyMaterial, PublicKey, TrustedAttestor, VerificationKey,
};
use hallmark_core::names::{AttestorName, NoteName, PlatformPolicyName, ProjectId};
use hallmark_core::policy::{Policies, Policy, ProjectPolicy, SystemPolicy, WithoutPolicy};

use crate::plugin::{Catalog, KeyError, ResolvedKey};
use crate::store::{ProjectResources, Store, StoreError};
use platform::ResolvedPolicies;

pub use platform::KnownGkePolicy;

/// Everything a decision depends on, evidence aside.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows by one with every change of policy, attestor, key or note; part of every record.
    pub generation: u64,
    /// Per project.
    pub projects: HashMap<ProjectId, Arc<ProjectSnapshot>>,
    /// Asked first where a policy says so.
    pub system: Arc<SystemPolicy>,
    /// The outcome for projects without a policy.
    pub without_policy: WithoutPolicy,
    /// When it was put in force; `None` for the one that knows no project.
    pub published: Option<Instant>,
}

/// One project in a snapshot.
#[derive(Clone, Debug, Default)]
pub struct ProjectSnapshot {
    /// The policy, where one was written.
    pub policy: Option<Policy>,
    /// Its attestors with their keys resolved.
    pub attestors: HashMap<AttestorName, KnownAttestor>,
    /// Its platform policies for Kubernetes with their keys resolved.
    pub gke_policies: HashMap<PlatformPolicyName, KnownGkePolicy>,
}

/// An attestor in a snapshot.
#[derive(Clone, Debug)]
pub struct KnownAttestor {
    /// Its note and keys.
    pub trusted: Arc<TrustedAttestor>,
    /// Stays as long as nothing changes that an evaluation under this attestor rests on, the
    /// evidence aside: its note, whether that exists, and its keys. Never given twice.
    pub identity: u64,
}

impl Snapshot {
    /// The policies that a request of `project` is decided under.
    pub fn policies<'a>(&'a self, project: &'a ProjectId) -> Policies<'a> {
        let policy = match self.projects.get(project).map(|known| known.policy.as_ref()) {
            Some(Some(policy)) => ProjectPolicy::Written(policy),
            Some(None) => ProjectPolicy::Absent(self.without_policy),
            None => ProjectPolicy::UnknownProject,
        };
        Policies { project, policy, system: &self.system }
    }

    /// Keys of attestors that cannot be used now, and why, by the name of the attestor: the first
    /// `max` of them by name, and how many there are.
    pub fn attestor_errors(&self, max: usize) -> (BTreeMap<String, String>, usize) {
        let attestors = self.projects.values().flat_map(|project| project.attestors.values());
        let wrong = |KnownAttestor { trusted, .. }: &KnownAttestor| {
            Some((trusted.name.to_string(), trusted.missing.clone()?))
        };
        let mut errors: BTreeMap<_, _> = attestors.filter_map(wrong).collect();
        let count = errors.len();
        if let Some(rest) = errors.keys().nth(max).cloned() {
            drop(errors.split_off(&rest));
        }
        (errors, count)
    }

    /// An attestor of any project.
    pub fn attestor(&self, name: &AttestorName) -> Option<&Arc<TrustedAttestor>> {
        self.known(name).map(|known| &known.trusted)
    }

    /// The identity of an attestor; `None` if there is no such attestor.
    pub fn identity(&self, name: &AttestorName) -> Option<u64> {
        self.known(name).map(|known| known.identity)
    }

    /// A platform policy for Kubernetes.
    pub fn gke_policy(&self, name: &PlatformPolicyName) -> Option<&KnownGkePolicy> {
        self.projects.get(name.project())?.gke_policies.get(name)
    }

    fn known(&self, name: &AttestorName) -> Option<&KnownAttestor> {
        self.projects.get(name.project())?.attestors.get(name)
    }

    fn put(&mut self, changed: Changed) {
        for attestor in changed.attestors {
            let name = attestor.trusted.name.clone();
            if let Some(project) = self.projects.get_mut(name.project()) {
                Arc::make_mut(project).attestors.insert(name, attestor);
            }
        }
        for (name, policy) in changed.policies {
            if let Some(project) = self.projects.get_mut(name.project()) {
                Arc::make_mut(project).gke_policies.insert(name, policy);
            }
        }
    }
}

/// Where the keys of attestors come from.
pub trait ResolveKeys: Debug + Send + Sync {
    /// Finds the keys that a key as written is to verify with. Answers from memory.
    fn resolve(&self, key: &PublicKey) -> Result<ResolvedKey, KeyError>;

    /// True if another answer may come without another text of the key.
    fn may_change(&self, key: &PublicKey) -> bool;
}

impl ResolveKeys for Catalog {
    fn resolve(&self, key: &PublicKey) -> Result<ResolvedKey, KeyError> {
        Self::resolve(self, key)
    }

    fn may_change(&self, key: &PublicKey) -> bool {
        Self::may_change(self, key)
    }
}

/// The snapshot in force, and the one place where another is put instead.
#[derive(Debug, Default)]
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
    publication: Mutex<Publication>,
}

/// The parts that the snapshot in force was made of.
#[derive(Debug, Default)]
struct Publication {
    resolved: Resolved,
    identities: Identities,
}

#[derive(Debug, Default)]
struct Resolved {
    attestors: HashMap<AttestorName, ResolvedAttestor>,
    policies: ResolvedPolicies,
}

/// The new parts that replace what was in force.
#[derive(Debug, Default)]
struct Changed {
    attestors: Vec<KnownAttestor>,
    policies: Vec<(PlatformPolicyName, KnownGkePolicy)>,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self.attestors.is_empty() && self.policies.is_empty()
    }
}

/// Identities given so far.
#[derive(Debug, Default)]
struct Identities(u64);

impl Identities {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Resolved {
    fn take(&mut self, changed: &Changed) {
        for known in &changed.attestors {
            if let Some(attestor) = self.attestors.get_mut(&known.trusted.name) {
                attestor.known = known.clone();
            }
        }
        for (name, known) in &changed.policies {
            if let Some(policy) = self.policies.get_mut(name) {
                policy.known = known.clone();
            }
        }
    }
}

#[derive(Clone, Debug)]
struct ResolvedAttestor {
    written: Attestor,
    known: KnownAttestor,
}

impl ResolvedAttestor {
    /// True if resolving `written` once more can only give the same keys: it is the same in every
    /// field (an etag would not do, files may hold any), its keys are its own text, and that was
    /// understood.
    fn holds_for(&self, written: &Attestor, keys: &dyn ResolveKeys) -> bool {
        self.written == *written && !self.may_change(keys)
    }

    fn may_change(&self, keys: &dyn ResolveKeys) -> bool {
        let may_change = |key| keys.may_change(key);
        self.known.trusted.missing.is_some() || self.written.public_keys.iter().any(may_change)
    }
}

impl Snapshots {
    /// Snapshots of which none was loaded yet.
    pub fn new(without_policy: WithoutPolicy) -> Self {
        let empty = Snapshot { without_policy, ..Snapshot::default() };
        Self { current: ArcSwap::from_pointee(empty), publication: Mutex::default() }
    }

    /// The snapshot in force. Before the first [`Snapshots::rebuild_all`] it knows no project, so
    /// everything is denied.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Reads everything again: at start, and when files or the configuration changed. On an error
    /// the snapshot in force stays. Answers the new generation.
    pub fn rebuild_all(
        &self,
        store: &dyn Store,
        keys: &dyn ResolveKeys,
        system: Arc<SystemPolicy>,
    ) -> Result<u64, StoreError> {
        let mut publication = self.lock();
        let Publication { resolved, identities } = &mut *publication;
        let mut projects = HashMap::new();
        let mut all = Resolved::default();
        for (project, resources) in store.load_all()? {
            if resources.known {
                projects.insert(project, resolve(resources, keys, resolved, identities, &mut all));
            }
        }
        *resolved = all;
        Ok(self.swap(|snapshot| {
            snapshot.projects = projects;
            snapshot.system = system;
        }))
    }

    /// Takes up what was written to `project`, `notes` among it that came or went. Call it after the
    /// commit and before the acknowledgement. Answers the new generation; on an error the project
    /// is withdrawn. A project that holds nothing, and did not before, changes nothing.
    pub fn republish(
        &self,
        store: &dyn Store,
        keys: &dyn ResolveKeys,
        project: &ProjectId,
        notes: &[NoteName],
    ) -> Result<u64, StoreError> {
        let mut publication = self.lock();
        let Publication { resolved, identities } = &mut *publication;
        let resources = store.project(project);
        let mut fresh = Resolved::default();
        let published = match &resources {
            Ok(found) if found.known => {
                Some(resolve(found.clone(), keys, resolved, identities, &mut fresh))
            }
            _ => None,
        };
        resolved.attestors.retain(|name, _| name.project() != project);
        resolved.policies.retain(|name, _| name.project() != project);
        resolved.attestors.extend(fresh.attestors);
        resolved.policies.extend(fresh.policies);
        let renewed = renew(resolved, identities, notes);
        let is_known = self.current.load().projects.contains_key(project);
        if published.is_none() && !is_known && renewed.is_empty() {
            return resources.map(|_| self.current.load().generation);
        }
        let generation = self.swap(|snapshot| {
            match published {
                Some(published) => snapshot.projects.insert(project.clone(), published),
                None => snapshot.projects.remove(project),
            };
            snapshot.put(renewed);
        });
        resources.map(|_| generation)
    }

    /// Resolves again the attestors whose keys a key source holds, or whose keys were unavailable:
    /// when a source says that its keys changed or went away. Answers the generation in force,
    /// which grows only where a key did change.
    pub fn keys_changed(&self, keys: &dyn ResolveKeys) -> u64 {
        let mut publication = self.lock();
        let Publication { resolved, identities } = &mut *publication;
        let mut changed = Changed::default();
        for attestor in resolved.attestors.values().filter(|attestor| attestor.may_change(keys)) {
            let known = know(&attestor.written, keys, Some(&attestor.known), identities);
            if known.identity != attestor.known.identity {
                changed.attestors.push(known);
            }
        }
        for (name, policy) in &resolved.policies {
            let known = policy.changed(keys, identities).map(|known| (name.clone(), known));
            changed.policies.extend(known);
        }
        resolved.take(&changed);
        match changed.is_empty() {
            true => self.current.load().generation,
            false => self.swap(|snapshot| snapshot.put(changed)),
        }
    }

    /// Only with the publication lock held.
    fn swap(&self, change: impl FnOnce(&mut Snapshot)) -> u64 {
        let mut next = Snapshot::clone(&self.current.load());
        change(&mut next);
        next.generation += 1;
        next.published = Some(Instant::now());
        let generation = next.generation;
        self.current.store(Arc::new(next));
        generation
    }

    /// A panic while the lock is held leaves the map as it was: it is changed in one step, last.
    fn lock(&self) -> MutexGuard<'_, Publication> {
        self.publication.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One project with its keys resolved; what it was made of goes to `fresh`.
fn resolve(
    resources: ProjectResources,
    keys: &dyn ResolveKeys,
    before: &Resolved,
    identities: &mut Identities,
    fresh: &mut Resolved,
) -> Arc<ProjectSnapshot> {
    let mut attestors = HashMap::with_capacity(resources.attestors.len());
    for written in resources.attestors {
        let known = match before.attestors.get(&written.name) {
            Some(before) if before.holds_for(&written, keys) => before.known.clone(),
            before => know(&written, keys, before.map(|before| &before.known), identities),
        };
        attestors.insert(written.name.clone(), known.clone());
        fresh.attestors.insert(written.name.clone(), ResolvedAttestor { written, known });
    }
    let gke_policies = platform::resolve(
        resources.platform_policies,
        keys,
        &before.policies,
        identities,
        &mut fresh.policies,
    );
    Arc::new(ProjectSnapshot { policy: resources.policy, attestors, gke_policies })
}

/// The attestor as written, the same as `before` if it resolves to the same.
fn know(
    written: &Attestor,
    keys: &dyn ResolveKeys,
    before: Option<&KnownAttestor>,
    identities: &mut Identities,
) -> KnownAttestor {
    let trusted = trust(written, keys);
    tell_missing(before.map(|before| &*before.trusted), &trusted);
    match before {
        Some(before) if *before.trusted == trusted => before.clone(),
        _ => KnownAttestor { trusted: Arc::new(trusted), identity: identities.next() },
    }
}

/// Gives the attestors of these notes, of whatever project, other identities; and all platform
/// policies, which find attestations under any note.
fn renew(resolved: &mut Resolved, identities: &mut Identities, notes: &[NoteName]) -> Changed {
    let mut changed = Changed::default();
    if notes.is_empty() {
        return changed;
    }
    let attestors = resolved.attestors.values_mut().map(|attestor| &mut attestor.known);
    for known in attestors.filter(|known| notes.contains(&known.trusted.note)) {
        known.identity = identities.next();
        changed.attestors.push(known.clone());
    }
    for (name, policy) in &mut resolved.policies {
        policy.known.identity = identities.next();
        changed.policies.push((name.clone(), policy.known.clone()));
    }
    changed
}

/// The attestor to decide with. A key that is unavailable takes nothing from the others; the
/// attestor says that it is missing.
fn trust(written: &Attestor, keys: &dyn ResolveKeys) -> TrustedAttestor {
    let (mut own, mut listed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (i, key) in written.public_keys.iter().enumerate() {
        match (keys.resolve(key), &key.material) {
            (Ok(found), KeyMaterial::Reference) => listed.extend(found.keys),
            (Ok(found), _) => own.extend(found.keys),
            (Err(error), _) => missing.push(format!("publicKeys[{i}]: {error}")),
        }
    }
    missing.extend(keep_own_ids(&own, &mut listed));
    let trusted: Vec<_> = own.into_iter().chain(listed).map(Arc::<VerificationKey>::new).collect();
    let missing = (!missing.is_empty()).then(|| missing.join("; "));
    TrustedAttestor {
        name: written.name.clone(),
        note: written.note.clone(),
        keys: match &missing {
            Some(why) if trusted.is_empty() => Err(why.clone()),
            _ => Ok(trusted),
        },
        missing,
    }
}

/// Says which keys of an attestor cannot be used, once.
fn tell_missing(before: Option<&TrustedAttestor>, after: &TrustedAttestor) {
    if let Some(missing) = &after.missing
        && before.is_none_or(|before| before.missing != after.missing)
    {
        tracing::warn!(attestor = %after.name, missing, "keys of an attestor cannot be used");
    }
}

/// An id that the attestor gives to a key of its own text means that key and no other: a plugin
/// that lists one by the same id does not have it here. Answers what is not used by which id.
fn keep_own_ids(own: &[VerificationKey], listed: &mut Vec<VerificationKey>) -> Vec<String> {
    let mut refused = Vec::new();
    let mut fingerprints: HashMap<&KeyId, Vec<&[u8; 32]>> = HashMap::new();
    for key in own {
        for id in &key.ids {
            fingerprints.entry(id).or_default().push(&key.fingerprint);
        }
    }
    for key in &mut *listed {
        let VerificationKey { ids, fingerprint, plugin, .. } = key;
        ids.retain(|id| {
            let is_own = fingerprints.get(id).is_none_or(|own| own.contains(&&*fingerprint));
            if !is_own {
                refused.push(format!(
                    "plugin `{plugin}` lists another key by the id `{id}` of a key in the attestor: \
                     it is not used by it"
                ));
            }
            is_own
        });
    }
    listed.retain(|key| !key.ids.is_empty());
    refused
}
