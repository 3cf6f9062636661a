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
//! 3. Only then the write is acknowledged. A request that starts afterwards loads the new
//!    snapshot or a later one. Cached decisions carry the generation they were made in, so none
//!    of an older generation is found.
//! 4. Should the project not be readable after its write, its last picture may be out of date:
//!    it is withdrawn, so that its requests are denied until it was read again, and the write is
//!    not acknowledged.
//!
//! Occurrences are not part of the snapshot. Their writers bump the evidence epoch of the digest
//! after the commit and before the acknowledgement, to the same effect.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use hallmark_core::attestor::{
    Attestor, KeyId, KeyMaterial, PublicKey, TrustedAttestor, VerificationKey,
};
use hallmark_core::names::{AttestorName, ProjectId};
use hallmark_core::policy::{Policies, Policy, ProjectPolicy, SystemPolicy, WithoutPolicy};

use crate::plugin::{Catalog, KeyError, ResolvedKey};
use crate::store::{ProjectResources, Store, StoreError};

/// Everything a decision depends on, evidence aside.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows by one with every change of policy, attestor or key; part of every decision's key.
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
    pub attestors: HashMap<AttestorName, Arc<TrustedAttestor>>,
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
        let wrong = |attestor: &Arc<TrustedAttestor>| {
            Some((attestor.name.to_string(), attestor.missing.clone()?))
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
        self.projects.get(name.project())?.attestors.get(name)
    }
}

/// Where the keys of attestors come from.
pub trait ResolveKeys: Debug + Send + Sync {
    /// What a key as written is to verify with. Answers from memory.
    fn resolve(&self, key: &PublicKey) -> Result<ResolvedKey, KeyError>;

    /// Whether another answer may come without another text of the key.
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

/// The snapshot in force, and the one place where another is put in its stead.
#[derive(Debug, Default)]
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
    publication: Mutex<Resolved>,
}

/// What the attestors of the snapshot in force were made of.
type Resolved = HashMap<AttestorName, ResolvedAttestor>;

#[derive(Clone, Debug)]
struct ResolvedAttestor {
    written: Attestor,
    trusted: Arc<TrustedAttestor>,
}

impl ResolvedAttestor {
    /// Whether resolving `written` once more can only give the same keys: it is the same in every
    /// field (an etag would not do, files may hold any), its keys are its own text, and that was
    /// understood.
    fn holds_for(&self, written: &Attestor, keys: &dyn ResolveKeys) -> bool {
        self.written == *written && !self.may_change(keys)
    }

    fn may_change(&self, keys: &dyn ResolveKeys) -> bool {
        let may_change = |key| keys.may_change(key);
        self.trusted.missing.is_some() || self.written.public_keys.iter().any(may_change)
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

    /// Reads everything anew: at start, and when files or the configuration changed. On an error
    /// the snapshot in force stays. Answers the new generation.
    pub fn rebuild_all(
        &self,
        store: &dyn Store,
        keys: &dyn ResolveKeys,
        system: Arc<SystemPolicy>,
    ) -> Result<u64, StoreError> {
        let mut resolved = self.lock();
        let mut projects = HashMap::new();
        let mut all = Resolved::new();
        for project in store.projects()? {
            let resources = store.project(&project)?;
            if resources.known {
                projects.insert(project, resolve(resources, keys, &resolved, &mut all));
            }
        }
        *resolved = all;
        Ok(self.swap(|snapshot| {
            snapshot.projects = projects;
            snapshot.system = system;
        }))
    }

    /// Takes up what was written to `project`. Call it after the commit and before the
    /// acknowledgement. Answers the new generation; on an error the project is withdrawn. A project
    /// that holds nothing, and did not before, changes nothing.
    pub fn republish(
        &self,
        store: &dyn Store,
        keys: &dyn ResolveKeys,
        project: &ProjectId,
    ) -> Result<u64, StoreError> {
        let mut resolved = self.lock();
        let resources = store.project(project);
        let mut fresh = Resolved::new();
        let published = match &resources {
            Ok(found) if found.known => Some(resolve(found.clone(), keys, &resolved, &mut fresh)),
            _ => None,
        };
        let is_known = self.current.load().projects.contains_key(project);
        if published.is_none() && !is_known {
            return resources.map(|_| self.current.load().generation);
        }
        resolved.retain(|name, _| name.project() != project);
        resolved.extend(fresh);
        let generation = self.swap(|snapshot| {
            match published {
                Some(published) => snapshot.projects.insert(project.clone(), published),
                None => snapshot.projects.remove(project),
            };
        });
        resources.map(|_| generation)
    }

    /// Resolves the attestors anew whose keys a key source holds, or whose keys could not be had:
    /// when a source says that its keys changed or went away. Answers the generation in force,
    /// which grows only where a key did change.
    pub fn keys_changed(&self, keys: &dyn ResolveKeys) -> u64 {
        let mut resolved = self.lock();
        let mut changed = Vec::new();
        for attestor in resolved.values_mut() {
            if !attestor.may_change(keys) {
                continue;
            }
            let trusted = trust(&attestor.written, keys);
            tell_missing(Some(&attestor.trusted), &trusted);
            if trusted != *attestor.trusted {
                attestor.trusted = Arc::new(trusted);
                changed.push(Arc::clone(&attestor.trusted));
            }
        }
        if changed.is_empty() {
            return self.current.load().generation;
        }
        self.swap(|snapshot| {
            for attestor in changed {
                if let Some(project) = snapshot.projects.get_mut(attestor.name.project()) {
                    Arc::make_mut(project).attestors.insert(attestor.name.clone(), attestor);
                }
            }
        })
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
    fn lock(&self) -> MutexGuard<'_, Resolved> {
        self.publication.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One project with its keys resolved; what it was made of goes to `fresh`.
fn resolve(
    resources: ProjectResources,
    keys: &dyn ResolveKeys,
    known: &Resolved,
    fresh: &mut Resolved,
) -> Arc<ProjectSnapshot> {
    let mut attestors = HashMap::with_capacity(resources.attestors.len());
    for written in resources.attestors {
        let trusted = match known.get(&written.name) {
            Some(known) if known.holds_for(&written, keys) => Arc::clone(&known.trusted),
            known => {
                let trusted = trust(&written, keys);
                tell_missing(known.map(|known| &*known.trusted), &trusted);
                Arc::new(trusted)
            }
        };
        attestors.insert(written.name.clone(), Arc::clone(&trusted));
        fresh.insert(written.name.clone(), ResolvedAttestor { written, trusted });
    }
    Arc::new(ProjectSnapshot { policy: resources.policy, attestors })
}

/// The attestor to decide with. A key that cannot be had takes nothing from the others; the
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
