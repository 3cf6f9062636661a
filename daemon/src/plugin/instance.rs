//! One configured instance, and the last good picture of its keys.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hallmark_core::attestor::{KeyId, VerificationKey};
use hallmark_plugin_api::host::{
    CallError, Circumstances, Instance, KeyRecord, KeySnapshot, PluginImage,
};
use hallmark_plugin_api::{Caps, Material};

use super::convert::{self, RefusedKey, SnapshotKeys, Source};
use super::discover::Found;
use super::error::KeyError;
use super::freshness::{self, Rotation, Schedule, UnknownKeys};
use super::material::MaterialReader;
use super::ownership::{Ownership, is_below, normal};
use super::services::{self, InstanceServices};
use super::status::{InstanceStatus, LATE, NOT_MADE, SILENT, UNANSWERED};

/// The time after a failure until the next snapshot is tried, unless the plugin pushes.
const RETRY: Duration = Duration::from_secs(5);
/// The time that one snapshot may take; a plugin that looks at its deadline stops then.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time between two snapshots that pushes ask for: a plugin may push as often as it likes.
const PUSH_EVERY: Duration = Duration::from_secs(1);
/// Keys that are not used and named one by one. All of them are counted.
const REFUSED_SHOWN: usize = 16;

#[derive(Debug)]
pub(super) struct PluginInstance {
    name: String,
    rotation: Rotation,
    unknown_keys: UnknownKeys,
    /// An unknown key is reason to ask.
    asked_for: AtomicBool,
    image: Arc<PluginImage>,
    /// Handed to the plugin as JSON.
    config: String,
    /// Empty until the plugin has made it, which may take as long as a device does.
    instance: OnceLock<Arc<Instance>>,
    /// Part of the daemon's installation.
    is_bundled: bool,
    ownership: Arc<Ownership>,
    pub(super) services: Arc<InstanceServices>,
    held: ArcSwapOption<Held>,
    reader: MaterialReader,
    schedule: Mutex<Schedule>,
    /// A snapshot is being taken, so that an older one never replaces a newer one, and a source
    /// that is stuck costs one thread.
    refreshing: AtomicBool,
    /// The keys are others than when somebody last asked for changes.
    differs: AtomicBool,
    snapshot_errors: AtomicU64,
    call_errors: AtomicU64,
    rotations: AtomicU64,
}

/// A good snapshot.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) snapshot: KeySnapshot,
    /// Its keys, as the daemon uses them.
    pub(super) of_snapshot: SnapshotKeys,
}

impl PluginInstance {
    /// The instance that is to be made; the first [`PluginInstance::refresh`] does.
    pub(super) fn new(
        found: Found,
        ownership: &Arc<Ownership>,
        pushed: &Arc<tokio::sync::Notify>,
    ) -> Self {
        let Found { image, config, is_bundled } = found;
        Self {
            services: Arc::new(InstanceServices::new(&config.name, &config.secrets, pushed)),
            name: config.name,
            rotation: config.rotation,
            unknown_keys: UnknownKeys::default(),
            asked_for: AtomicBool::new(false),
            image,
            config: config.config.to_string(),
            instance: OnceLock::new(),
            is_bundled,
            ownership: Arc::clone(ownership),
            held: ArcSwapOption::empty(),
            reader: MaterialReader::default(),
            schedule: Mutex::new(Schedule { due: Some(Instant::now()), ..Schedule::default() }),
            refreshing: AtomicBool::new(false),
            differs: AtomicBool::new(false),
            snapshot_errors: AtomicU64::new(0),
            call_errors: AtomicU64::new(0),
            rotations: AtomicU64::new(0),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The instance that takes calls; `None` until its plugin has made it.
    pub(super) fn instance(&self) -> Option<&Arc<Instance>> {
        self.instance.get()
    }

    /// Why its plugin did not make it.
    pub(super) fn refusal(&self) -> Option<CallError> {
        self.schedule().refusal.clone()
    }

    pub(super) fn is_bundled(&self) -> bool {
        self.is_bundled
    }

    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// It, as its keys name it.
    pub(super) fn source(&self) -> Source {
        Source::new(&self.name, self.image.info())
    }

    pub(super) fn reads(&self, form: &str) -> bool {
        self.image.info().forms.iter().any(|it| it == form)
    }

    pub(super) fn claims(&self, scheme: &str) -> bool {
        self.image.info().schemes.iter().any(|it| it == scheme)
    }

    /// When there is next something to do for it: a snapshot to be taken, or one that is being taken
    /// and late, or a key to be withdrawn or read again. `None` for never, unless pushed.
    pub(super) fn next(&self) -> Option<Instant> {
        let late = self.schedule().late;
        let times = [self.due_as_of(Instant::now()), late, self.withdraw_at(), self.reader.due()];
        times.into_iter().flatten().min()
    }

    /// Does what is due beside a new snapshot.
    pub(super) fn attend(&self, now: Instant) {
        self.tell_late(now);
        self.withdraw_overdue(now);
        if self.reader.end_rest(now) {
            self.differs.store(true, Ordering::Release);
        }
    }

    /// A snapshot that does not come in its time is a failure of its source, and nobody waits for it;
    /// should it come after all, it counts.
    fn tell_late(&self, now: Instant) {
        let mut schedule = self.schedule();
        if schedule.late.take_if(|late| *late <= now).is_none() {
            return;
        }
        schedule.last_error = Some(LATE.to_owned());
        schedule.failing_since.get_or_insert(now);
        drop(schedule);
        self.snapshot_errors.fetch_add(1, Ordering::Relaxed);
        tracing::error!(plugin = self.name, error = LATE, "no key snapshot; the last one stays");
    }

    /// When the next snapshot is to be taken; `None` for never, unless pushed, and while one is
    /// being taken.
    fn due_as_of(&self, now: Instant) -> Option<Instant> {
        let due = self.push_due(now).into_iter().chain(self.schedule().due).min();
        due.filter(|_| !self.is_refreshing())
    }

    /// When the snapshot that a push asked for is to be taken. The first is due `now`.
    fn push_due(&self, now: Instant) -> Option<Instant> {
        if !self.lists_keys() || !self.services.wanted.load(Ordering::Acquire) {
            return None;
        }
        let last = self.schedule().pushed;
        Some(last.map_or(now, |last| last + PUSH_EVERY))
    }

    /// True if a snapshot is being taken, or the instance made.
    pub(super) fn is_refreshing(&self) -> bool {
        self.refreshing.load(Ordering::Acquire)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.push_due(now).is_some_and(|due| due <= now)
            || self.asked_for.load(Ordering::Acquire)
            || self.due_as_of(now).is_some_and(|due| due <= now)
    }

    /// Somebody names a key that is not in the last snapshot. Answers whether that is reason to
    /// take another.
    pub(super) fn unknown_key(&self, id: &KeyId, now: Instant) -> bool {
        let known = |held: Arc<Held>| held.of_snapshot.keys.iter().any(|key| key.ids.contains(id));
        if self.held().is_some_and(known) {
            return false;
        }
        let ask = self.unknown_keys.are_reason(id, self.rotation.unknown_key_interval, now);
        if ask {
            self.asked_for.store(true, Ordering::Release);
        }
        ask
    }

    /// True if the keys are others than when this was asked before.
    pub(super) fn take_difference(&self) -> bool {
        self.differs.swap(false, Ordering::AcqRel)
    }

    /// Makes the instance where there is none yet, and takes a new snapshot, on a thread of its
    /// own, unless that is under way; a failure keeps the last good snapshot. `ended` is dropped
    /// when it is done.
    pub(super) fn refresh(self: &Arc<Self>, ended: impl Send + 'static) {
        let has_use = self.lists_keys() || self.instance.get().is_none();
        if !has_use || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.count_cause();
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name(format!("keys-{}", self.name));
        let started = thread.spawn(move || {
            let taken = catch_unwind(AssertUnwindSafe(|| this.take_snapshot(Instant::now())));
            this.ended(taken.unwrap_or_else(|_| Err("taking it panicked".to_owned())));
            drop(ended);
            this.services.wake();
        });
        if let Err(error) = started {
            self.ended(Err(format!("no thread to take it on: {error}")));
        }
    }

    /// Takes the requests for a snapshot before the snapshot is taken: what is pushed meanwhile
    /// asks for another.
    fn count_cause(&self) {
        let pushed = self.services.wanted.swap(false, Ordering::AcqRel);
        let asked_for = self.asked_for.swap(false, Ordering::AcqRel);
        let mut schedule = self.schedule();
        schedule.late = Some(Instant::now() + SNAPSHOT_TIMEOUT);
        *match (pushed, asked_for) {
            (true, _) => {
                schedule.pushed = Some(Instant::now());
                &mut schedule.refreshes.push
            }
            (false, true) => &mut schedule.refreshes.unknown_key,
            (false, false) => &mut schedule.refreshes.due,
        } += 1;
    }

    fn ended(&self, taken: Result<Option<Held>, String>) {
        match taken {
            Ok(Some(held)) => self.swap(held),
            Ok(None) => *self.schedule() = Schedule::default(),
            Err(error) => {
                self.snapshot_errors.fetch_add(1, Ordering::Relaxed);
                match self.instance.get() {
                    Some(_) => tracing::error!(
                        plugin = self.name,
                        error,
                        "no key snapshot; the last one stays"
                    ),
                    None => tracing::error!(plugin = self.name, error, "it does not start"),
                }
                let (mut schedule, now) = (self.schedule(), Instant::now());
                schedule.late = None;
                schedule.due = now.checked_add(RETRY);
                schedule.last_error = Some(error);
                schedule.failing_since.get_or_insert(now);
            }
        }
        self.refreshing.store(false, Ordering::Release);
    }

    /// `None` for an instance that lists no keys.
    fn take_snapshot(&self, now: Instant) -> Result<Option<Held>, String> {
        let instance = self.made().map_err(|error| error.to_string())?;
        if !self.lists_keys() {
            return Ok(None);
        }
        let at = Circumstances {
            deadline: now.checked_add(SNAPSHOT_TIMEOUT),
            ..Circumstances::at(services::unix_now())
        };
        let snapshot = instance.snapshot(&at).map_err(|error| error.to_string())?;
        let is_key = |key: &&KeyRecord| key.unusable.is_none();
        let had = self.held().map_or(0, |held| held.snapshot.keys.iter().filter(is_key).count());
        if snapshot.keys.is_empty() && had > 0 && !self.rotation.allow_empty {
            return Err(format!(
                "the source lists no key any more, where it listed {had}: if that is meant, set \
                 `allow_empty`"
            ));
        }
        let of_snapshot = convert::of_snapshot(&snapshot.keys, &self.source(), &self.ownership);
        Ok(Some(Held { snapshot, of_snapshot }))
    }

    /// The instance, made now where it was not yet. One thread at a time, by `refreshing`.
    fn made(&self) -> Result<&Arc<Instance>, CallError> {
        if let Some(made) = self.instance.get() {
            return Ok(made);
        }
        let services = Arc::clone(&self.services) as _;
        let made = Instance::create(&self.image, &self.config, services);
        let made = made.inspect_err(|error| self.schedule().refusal = Some(error.clone()))?;
        let made = self.instance.get_or_init(|| made);
        // Inline keys that it reads were unavailable before.
        self.differs.store(true, Ordering::Release);
        Ok(made)
    }

    fn swap(&self, held: Held) {
        let (ttl, after) = (held.snapshot.ttl, Arc::new(held));
        let mut schedule = self.schedule();
        let before = self.held.swap(Some(Arc::clone(&after)));
        let now = Instant::now();
        *schedule = Schedule {
            due: ttl.and_then(|ttl| freshness::due(now, ttl)),
            taken: Some(now),
            fresh_until: ttl.and_then(|ttl| now.checked_add(ttl)),
            refreshes: schedule.refreshes,
            pushed: schedule.pushed,
            ..Schedule::default()
        };
        drop(schedule);
        self.tell_refused(before.as_deref(), &after);
        let keys_before = before.as_ref().map(|held| held.of_snapshot.keys.as_slice());
        for id in freshness::rotated(keys_before.unwrap_or_default(), &after.of_snapshot.keys) {
            self.rotations.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(plugin = self.name, id, "another key goes by this id");
        }
        if keys_before != Some(after.of_snapshot.keys.as_slice()) {
            self.differs.store(true, Ordering::Release);
        }
    }

    /// Names the keys that are not used and were used, or not there, before.
    fn tell_refused(&self, before: Option<&Held>, after: &Held) {
        let known = before.map(|held| held.of_snapshot.refused.as_slice()).unwrap_or_default();
        let known: HashSet<_> = known.iter().map(|key| (&key.id, &key.why)).collect();
        let new = |key: &&RefusedKey| !known.contains(&(&key.id, &key.why));
        let new: Vec<_> = after.of_snapshot.refused.iter().filter(new).collect();
        for RefusedKey { id, why } in new.iter().take(REFUSED_SHOWN) {
            tracing::error!(plugin = self.name, id, why, "a key is not used");
        }
        if let Some(more) = new.len().checked_sub(REFUSED_SHOWN).filter(|more| *more > 0) {
            tracing::error!(plugin = self.name, more, "more keys are not used");
        }
    }

    /// When its keys are to be withdrawn, unless new ones come before.
    fn withdraw_at(&self) -> Option<Instant> {
        self.held.load().as_ref()?;
        self.schedule().overdue_from()?.checked_add(self.rotation.stale_grace)
    }

    /// Ends the use of keys that have been out of date for too long.
    pub(super) fn withdraw_overdue(&self, now: Instant) {
        if self.withdraw_at().is_none_or(|at| at > now) {
            return;
        }
        let mut schedule = self.schedule();
        // Again under the lock, which whoever takes up a new snapshot holds.
        if schedule.overdue_from().is_none_or(|from| from + self.rotation.stale_grace > now) {
            return;
        }
        let withdrawn = self.held.swap(None);
        schedule.withdrawn = true;
        let error = schedule.last_error.clone().unwrap_or_default();
        drop(schedule);
        drop(withdrawn);
        tracing::error!(plugin = self.name, error, "its keys are withdrawn: too long out of date");
        self.differs.store(true, Ordering::Release);
    }

    /// The keys of this id, or all under it where it names a whole source.
    pub(super) fn keys_named(&self, id: &KeyId) -> Result<Vec<VerificationKey>, KeyError> {
        let Some(held) = self.held() else {
            return Err(self.unavailable());
        };
        let exact: Vec<_> =
            held.of_snapshot.keys.iter().filter(|key| key.ids.contains(id)).cloned().collect();
        if !exact.is_empty() {
            return Ok(exact);
        }
        let below =
            |key: &&VerificationKey| key.ids.iter().any(|it| is_below(it.as_str(), id.as_str()));
        Ok(held.of_snapshot.keys.iter().filter(below).cloned().collect())
    }

    /// The keys of exactly this id, however its scheme is written.
    pub(super) fn fingerprints(&self, id: &KeyId) -> Vec<[u8; 32]> {
        let Some(held) = self.held() else { return Vec::new() };
        let id = normal(id.as_str());
        let names = |it: &KeyId| it.as_str().len() == id.len() && normal(it.as_str()) == id;
        let is_named = |key: &&VerificationKey| key.ids.iter().any(names);
        held.of_snapshot.keys.iter().filter(is_named).map(|key| key.fingerprint).collect()
    }

    fn unavailable(&self) -> KeyError {
        KeyError::Unavailable(format!("plugin `{}`: {}", self.name, self.why()))
    }

    /// Why there are no keys.
    pub(super) fn why(&self) -> String {
        let schedule = self.schedule();
        let error = schedule.last_error.as_deref();
        if schedule.withdrawn {
            let grace = self.rotation.stale_grace.as_secs();
            let error = error.unwrap_or(SILENT);
            return format!("its last keys are more than {grace} s out of date: {error}");
        }
        let unasked = match self.lists_keys() {
            true if self.instance.get().is_none() => NOT_MADE,
            true => UNANSWERED,
            false => "it lists no keys",
        };
        error.unwrap_or(unasked).to_owned()
    }

    /// The keys in inline material, in its time.
    pub(super) fn read_material(
        &self,
        material: &Material<'_>,
        now: i64,
    ) -> Result<Vec<KeyRecord>, KeyError> {
        let instance = self.instance().ok_or_else(|| self.unavailable())?;
        let read = self.reader.read(&self.name, instance, material, now);
        if let Err(KeyError::Unavailable(_)) = &read {
            self.count_call_error();
            // Whoever keeps keys fresh is to know when it is tried again.
            self.services.wake();
        }
        read
    }

    pub(super) fn count_call_error(&self) {
        self.call_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> InstanceStatus {
        let (info, held) = (self.image.info(), self.held());
        let refused =
            held.as_ref().map(|held| held.of_snapshot.refused.as_slice()).unwrap_or_default();
        let (schedule, now) = (self.schedule(), Instant::now());
        let overdue = schedule.overdue_from().and_then(|from| now.checked_duration_since(from));
        InstanceStatus {
            name: self.name.clone(),
            plugin: info.name.clone(),
            version: info.version.clone(),
            vendor: info.vendor.clone(),
            sha256: self.image.sha256(),
            has_keys: self.lists_keys(),
            signs: info.caps.contains(Caps::SIGN),
            schemes: info.schemes.clone(),
            forms: info.forms.clone(),
            generation: held.as_ref().map(|held| held.snapshot.generation),
            snapshot_age: schedule.taken.map(|taken| taken.elapsed()),
            keys: held.as_ref().map_or(0, |held| held.snapshot.keys.len()),
            refused_keys: refused.len(),
            refused: refused.iter().take(REFUSED_SHOWN).cloned().collect(),
            is_made: self.instance.get().is_some(),
            snapshot_errors: self.snapshot_errors.load(Ordering::Relaxed),
            call_errors: self.call_errors.load(Ordering::Relaxed),
            last_error: schedule.last_error.clone().or_else(|| self.reader.rests()),
            overdue,
            withdrawn: schedule.withdrawn,
            refreshes: schedule.refreshes,
            log_lost: self.services.log_lost.load(Ordering::Relaxed),
            rotations: self.rotations.load(Ordering::Relaxed),
            worker: self.instance.get().and_then(|instance| instance.worker()),
        }
    }

    fn lists_keys(&self) -> bool {
        self.image.info().caps.contains(Caps::KEYS)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
