//! One configured instance, and the last good picture of its keys.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hallmark_core::attestor::{KeyId, VerificationKey};
use hallmark_plugin_api::host::{
    Circumstances, Instance, KeyRecord, KeySnapshot, PluginImage, WorkerStatus,
};
use hallmark_plugin_api::{Caps, Material};

use super::convert::Source;
use super::error::{KeyError, PluginError};
use super::freshness::{self, Rotation, UnknownKeys};
use super::services::{self, InstanceServices};
use super::{PluginConfig, convert};

/// How long after a failure the next snapshot is tried, unless the plugin pushes.
const RETRY: Duration = Duration::from_secs(5);
/// How long one snapshot may take; a plugin that looks at its deadline stops then.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// An instance as metrics and people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Name of the instance.
    pub name: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// Who made the plugin.
    pub vendor: String,
    /// SHA-256 of the file that runs.
    pub sha256: [u8; 32],
    /// Whether it lists keys at all.
    pub has_keys: bool,
    /// Whether it can sign.
    pub signs: bool,
    /// URI schemes of its keys.
    pub schemes: Vec<String>,
    /// Forms of inline material it reads.
    pub forms: Vec<String>,
    /// The plugin's own generation of the last good snapshot; `None` before the first.
    pub generation: Option<u64>,
    /// Age of the last good snapshot.
    pub snapshot_age: Option<Duration>,
    /// Keys in the last good snapshot.
    pub keys: usize,
    /// Snapshots that failed since the start.
    pub snapshot_errors: u64,
    /// Signatures and inline keys that failed through the plugin's fault since the start.
    pub call_errors: u64,
    /// Why the last snapshot failed; `None` where it did not.
    pub last_error: Option<String>,
    /// How its process does; `None` where it runs in the daemon.
    pub worker: Option<WorkerStatus>,
    /// For how long there should have been another snapshot; `None` where the last one is fresh.
    pub overdue: Option<Duration>,
    /// Whether its keys are withdrawn, because they could not be had for too long.
    pub withdrawn: bool,
    /// Snapshots asked for since the start, by their cause.
    pub refreshes: Refreshes,
    /// Ids that came to name another key, or one more, since the start.
    pub rotations: u64,
}

/// Snapshots asked for, by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshes {
    /// The time to live ended, a failure was some time ago, or the operator asked.
    pub due: u64,
    /// The plugin pushed.
    pub push: u64,
    /// A key id that nobody knows.
    pub unknown_key: u64,
}

#[derive(Debug)]
pub(super) struct PluginInstance {
    name: String,
    rotation: Rotation,
    unknown_keys: UnknownKeys,
    /// An unknown key is reason to ask.
    asked_for: AtomicBool,
    instance: Arc<Instance>,
    pub(super) services: Arc<InstanceServices>,
    held: ArcSwapOption<Held>,
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
    /// The keys of the snapshot that the host can verify with.
    keys: Vec<VerificationKey>,
}

#[derive(Debug, Default)]
struct Schedule {
    /// `None` for never, unless pushed.
    due: Option<Instant>,
    last_error: Option<String>,
    /// When the last good snapshot was taken, and when its time to live ends.
    taken: Option<Instant>,
    fresh_until: Option<Instant>,
    /// The first failure since.
    failing_since: Option<Instant>,
    withdrawn: bool,
    refreshes: Refreshes,
}

impl Schedule {
    /// From when on there should have been another snapshot, which may be to come.
    fn overdue_from(&self) -> Option<Instant> {
        self.fresh_until.into_iter().chain(self.failing_since).min()
    }
}

impl PluginInstance {
    pub(super) fn create(
        image: &Arc<PluginImage>,
        config: &PluginConfig,
        pushed: &Arc<tokio::sync::Notify>,
    ) -> Result<Self, PluginError> {
        let services = Arc::new(InstanceServices::new(&config.name, &config.secrets, pushed));
        let json = config.config.to_string();
        let instance = Instance::create(image, &json, Arc::clone(&services) as _)
            .map_err(|error| PluginError::Create { name: config.name.clone(), error })?;
        let lists_keys = image.info().caps.contains(Caps::KEYS);
        Ok(Self {
            name: config.name.clone(),
            rotation: config.rotation,
            unknown_keys: UnknownKeys::default(),
            asked_for: AtomicBool::new(false),
            instance,
            services,
            held: ArcSwapOption::empty(),
            schedule: Mutex::new(Schedule {
                due: lists_keys.then(Instant::now),
                ..Schedule::default()
            }),
            refreshing: AtomicBool::new(false),
            differs: AtomicBool::new(false),
            snapshot_errors: AtomicU64::new(0),
            call_errors: AtomicU64::new(0),
            rotations: AtomicU64::new(0),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// It, as its keys name it.
    pub(super) fn source(&self) -> Source {
        let caps = self.instance.image().info().caps;
        Source {
            plugin: self.name.as_str().into(),
            decodes: caps.contains(Caps::DECODE),
            verifies: caps.contains(Caps::VERIFY),
        }
    }

    pub(super) fn reads(&self, form: &str) -> bool {
        self.instance.image().info().forms.iter().any(|it| it == form)
    }

    pub(super) fn claims(&self, scheme: &str) -> bool {
        self.instance.image().info().schemes.iter().any(|it| it == scheme)
    }

    /// When the next snapshot is to be taken; `None` for never, unless pushed, and while one is
    /// being taken.
    pub(super) fn due(&self) -> Option<Instant> {
        let refreshing = self.refreshing.load(Ordering::Acquire);
        self.schedule().due.filter(|_| !refreshing)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.services.wanted.load(Ordering::Acquire)
            || self.asked_for.load(Ordering::Acquire)
            || self.due().is_some_and(|due| due <= now)
    }

    /// Somebody names a key that is not in the last snapshot. Answers whether that is reason to
    /// take another.
    pub(super) fn unknown_key(&self, id: &KeyId, now: Instant) -> bool {
        let known = |held: Arc<Held>| held.keys.iter().any(|key| key.ids.contains(id));
        if self.held().is_some_and(known) {
            return false;
        }
        let ask = self.unknown_keys.are_reason(id, self.rotation.unknown_key_interval, now);
        if ask {
            self.asked_for.store(true, Ordering::Release);
        }
        ask
    }

    /// Whether the keys are others than when this was asked before.
    pub(super) fn take_difference(&self) -> bool {
        self.differs.swap(false, Ordering::AcqRel)
    }

    /// Takes a new snapshot on a thread of its own, unless one is being taken; a failure keeps the
    /// last good one. `ended` is dropped when it is done.
    pub(super) fn refresh(self: &Arc<Self>, ended: impl Send + 'static) {
        if !self.lists_keys() || self.refreshing.swap(true, Ordering::AcqRel) {
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
        let refreshes = &mut schedule.refreshes;
        *match (pushed, asked_for) {
            (true, _) => &mut refreshes.push,
            (false, true) => &mut refreshes.unknown_key,
            (false, false) => &mut refreshes.due,
        } += 1;
    }

    fn ended(&self, taken: Result<Held, String>) {
        match taken {
            Ok(held) => self.swap(held),
            Err(error) => {
                self.snapshot_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!(plugin = self.name, error, "no key snapshot; the last one stays");
                let (mut schedule, now) = (self.schedule(), Instant::now());
                schedule.due = now.checked_add(RETRY);
                schedule.last_error = Some(error);
                schedule.failing_since.get_or_insert(now);
            }
        }
        self.refreshing.store(false, Ordering::Release);
    }

    fn take_snapshot(&self, now: Instant) -> Result<Held, String> {
        let at = Circumstances {
            deadline: now.checked_add(SNAPSHOT_TIMEOUT),
            ..Circumstances::at(services::unix_now())
        };
        let snapshot = self.instance.snapshot(&at).map_err(|error| error.to_string())?;
        let keys = convert::of_records(&snapshot.keys, &self.source())
            .map_err(|wrong| wrong.to_string())?;
        let had = self.held().map_or(0, |held| held.snapshot.keys.len());
        if snapshot.keys.is_empty() && had > 0 && !self.rotation.allow_empty {
            return Err(format!(
                "the source lists no key any more, where it listed {had}: if that is meant, set \
                 `allow_empty`"
            ));
        }
        Ok(Held { snapshot, keys })
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
            ..Schedule::default()
        };
        drop(schedule);
        let keys_before = before.as_ref().map(|held| held.keys.as_slice());
        for id in freshness::rotated(keys_before.unwrap_or_default(), &after.keys) {
            self.rotations.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(plugin = self.name, id, "another key goes by this id");
        }
        if keys_before != Some(after.keys.as_slice()) {
            self.differs.store(true, Ordering::Release);
        }
    }

    /// When its keys are to be withdrawn, unless they are had anew before.
    pub(super) fn withdraw_at(&self) -> Option<Instant> {
        self.held.load().as_ref()?;
        self.schedule().overdue_from()?.checked_add(self.rotation.stale_grace)
    }

    /// Ends the use of keys that could not be had anew for too long.
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
            return Err(KeyError::Unavailable(format!("plugin `{}`: {}", self.name, self.why())));
        };
        let exact: Vec<_> = held.keys.iter().filter(|key| key.ids.contains(id)).cloned().collect();
        if !exact.is_empty() {
            return Ok(exact);
        }
        let below = |key: &&VerificationKey| key.ids.iter().any(|it| is_below(it, id));
        Ok(held.keys.iter().filter(below).cloned().collect())
    }

    /// Why there are no keys.
    pub(super) fn why(&self) -> String {
        let schedule = self.schedule();
        let error = schedule.last_error.as_deref();
        if schedule.withdrawn {
            let grace = self.rotation.stale_grace.as_secs();
            let error = error.unwrap_or("the source does not answer");
            return format!("its last keys are more than {grace} s out of date: {error}");
        }
        let unasked = match self.lists_keys() {
            true => "it has not answered yet",
            false => "it lists no keys",
        };
        error.unwrap_or(unasked).to_owned()
    }

    pub(super) fn read_material(
        &self,
        material: &Material<'_>,
        at: &Circumstances<'_>,
    ) -> Result<Vec<KeyRecord>, KeyError> {
        self.instance.resolve_keys(material, at).map_err(|error| {
            let error = KeyError::of_material(&self.name, error);
            if matches!(error, KeyError::Unavailable(_)) {
                self.count_call_error();
            }
            error
        })
    }

    pub(super) fn count_call_error(&self) {
        self.call_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> InstanceStatus {
        let image = self.instance.image();
        let (info, held) = (image.info(), self.held());
        let (schedule, now) = (self.schedule(), Instant::now());
        let overdue = schedule.overdue_from().and_then(|from| now.checked_duration_since(from));
        InstanceStatus {
            name: self.name.clone(),
            plugin: info.name.clone(),
            version: info.version.clone(),
            vendor: info.vendor.clone(),
            sha256: image.sha256(),
            has_keys: self.lists_keys(),
            signs: info.caps.contains(Caps::SIGN),
            schemes: info.schemes.clone(),
            forms: info.forms.clone(),
            generation: held.as_ref().map(|held| held.snapshot.generation),
            snapshot_age: schedule.taken.map(|taken| taken.elapsed()),
            keys: held.as_ref().map_or(0, |held| held.snapshot.keys.len()),
            snapshot_errors: self.snapshot_errors.load(Ordering::Relaxed),
            call_errors: self.call_errors.load(Ordering::Relaxed),
            last_error: schedule.last_error.clone(),
            overdue,
            withdrawn: schedule.withdrawn,
            refreshes: schedule.refreshes,
            rotations: self.rotations.load(Ordering::Relaxed),
            worker: self.instance.worker(),
        }
    }

    fn lists_keys(&self) -> bool {
        self.instance.image().info().caps.contains(Caps::KEYS)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is `id` one of the keys of the source `whole`? A source ends where a path segment, a fragment
/// or a PKCS#11 attribute begins.
fn is_below(id: &KeyId, whole: &KeyId) -> bool {
    let whole = whole.as_str();
    id.as_str().strip_prefix(whole).is_some_and(|rest| {
        !rest.is_empty() && (whole.ends_with('/') || rest.starts_with(['/', '#', ';']))
    })
}
