//! A directory that is watched: what it says now, or said when it last made sense.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::error::{FileFault, FilesError};
use super::tree::{LOOKS_MAX, Tree};
use super::{FilesStore, parse};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::followed::LookTime;
use crate::store::{
    EvidencePage, EvidenceQuery, NextState, OccurrenceQuery, ProjectResources, Store, StoreError,
    Told, Watch, WatchError, Write,
};
use crate::timed::Timed;

/// Times between looks at the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A change is over when nothing happened for so long.
    pub(super) quiet: Duration,
    /// However restless the directory is, it is looked at so long after a change began.
    pub(super) patience: Duration,
    /// It is looked at so often even if nothing seems to happen: file systems without events, and
    /// swaps of a symbolic link further up.
    pub(super) rescan: Duration,
}

const PACE: Pace = Pace {
    quiet: Duration::from_millis(100),
    patience: Duration::from_secs(2),
    rescan: Duration::from_secs(30),
};

/// Time for one look at all files: as many as are taken, on a disk that is busy.
const LOOK_TIME_MAX: Duration = Duration::from_secs(30);
/// Time for the thread that watches to end once it is told to. It ends at once, unless it waits for
/// a file system that does not answer.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// The store of a directory whose files may change: each read is of one whole good state.
#[derive(Debug)]
pub struct LiveFiles {
    dir: PathBuf,
    current: ArcSwap<FilesStore>,
    /// Of the files that `current` was read from at first.
    hash: [u8; 32],
    looks: Timed,
    looked: LookTime,
}

impl LiveFiles {
    /// Reads `dir`, or says everything that is wrong with it.
    pub fn load(dir: &Path) -> Result<Self, FilesError> {
        let looks = Timed::default();
        let tree = in_time(&looks, dir, Tree::read)?;
        let current = ArcSwap::from_pointee(parse::parse(&tree)?);
        let looked = LookTime::default();
        Ok(Self { dir: dir.to_owned(), current, hash: tree.hash, looks, looked })
    }

    /// Puts another state in force.
    pub(super) fn replace(&self, next: FilesStore) {
        self.current.store(Arc::new(next));
    }

    /// Follows the directory until the answer is dropped. `on_change` is called, from a thread of
    /// its own, with each new state, which is in force once it calls [`LiveFiles::replace`]; and
    /// once with the faults of files that do not make sense.
    pub(super) fn watch_at(
        self: &Arc<Self>,
        pace: Pace,
        on_change: impl FnMut(Result<FilesStore, FilesError>) + Send + 'static,
    ) -> Result<FilesWatch, FilesError> {
        let fault = |error: &dyn std::fmt::Display| {
            FilesError::one(&self.dir, FileFault::Io(format!("cannot be watched: {error}")))
        };
        let (sender, signals) = channel();
        let mut eyes = Eyes::new(&self.dir, sender.clone()).map_err(|error| fault(&error))?;
        eyes.look_at_all().map_err(|error| fault(&error))?;
        let eyes = Arc::new(Mutex::new(eyes));
        let mut follower = Follower::new(Arc::clone(self), eyes, on_change);
        let (running, ended) = channel::<()>();
        let run = move || {
            follower.run(pace, &signals);
            drop(follower);
            drop(running);
        };
        Builder::new().name("config-dir".to_owned()).spawn(run).map_err(|error| fault(&error))?;
        Ok(FilesWatch { signals: sender, ended: Mutex::new(ended), looked: self.looked.clone() })
    }

    /// The state that the files are in, unless it must not take the place of the current one.
    fn next(&self, tree: &Tree) -> Result<FilesStore, FilesError> {
        let next = parse::parse(tree)?;
        policies_stay(&self.now(), &next, tree)?;
        Ok(next)
    }

    fn look(&self) -> Result<Tree, FilesError> {
        let tree = in_time(&self.looks, &self.dir, Tree::look);
        if !tree.as_ref().is_err_and(FilesError::is_late) {
            self.looked.looked();
        }
        tree
    }

    fn now(&self) -> Arc<FilesStore> {
        self.current.load_full()
    }
}

/// Does `look`, or says that it took too long.
fn in_time(
    looks: &Timed,
    dir: &Path,
    look: impl FnOnce(&Path) -> Result<Tree, FilesError> + Send + 'static,
) -> Result<Tree, FilesError> {
    let of_thread = dir.to_owned();
    let looked = looks.run(Instant::now() + LOOK_TIME_MAX, move || look(&of_thread));
    looked.unwrap_or_else(|error| Err(FilesError::one(dir, FileFault::Late(error.to_string()))))
}

/// Refuses the loss of a policy: a file that was removed or renamed by mistake, or that is yet to be
/// copied, must not change what is decided. A project that is meant to go goes with its directory.
fn policies_stay(now: &FilesStore, next: &FilesStore, tree: &Tree) -> Result<(), FilesError> {
    let mut gone = FilesError::default();
    for project in now.policies.keys().filter(|project| !next.policies.contains_key(*project)) {
        if let Some(dir) = tree.projects.get(project) {
            gone.push(&dir.join("policy.yaml"), FileFault::PolicyGone);
        }
    }
    gone.or(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Changed,
    /// Somebody asks for the state, changed or not.
    Asked,
    Stop,
}

/// Follows a directory until dropped.
#[derive(Debug)]
pub(super) struct FilesWatch {
    signals: Sender<Signal>,
    looked: LookTime,
    /// Closed when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Watch for FilesWatch {
    fn look_again(&self) {
        // Nobody watches any more: the daemon ends.
        self.signals.send(Signal::Asked).unwrap_or_default();
    }

    fn look_time(&self) -> LookTime {
        self.looked.clone()
    }
}

impl Drop for FilesWatch {
    fn drop(&mut self) {
        // A thread that is gone needs no word.
        self.signals.send(Signal::Stop).unwrap_or_default();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(STOP_TIME_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("--config-dir does not answer: left as it is");
        }
    }
}

/// The operating system's notices.
struct Eyes {
    /// Absolute, as the notices name it.
    dir: PathBuf,
    watcher: RecommendedWatcher,
}

impl Eyes {
    fn new(dir: &Path, signals: Sender<Signal>) -> notify::Result<Self> {
        let dir = std::path::absolute(dir).map_err(notify::Error::io)?;
        let inside = dir.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| concerns(&event, &inside)) {
                signals.send(Signal::Changed).unwrap_or_default();
            }
        })?;
        Ok(Self { dir, watcher })
    }

    /// Watches the directory, whatever is in it now, and its parent: the directory itself may be a
    /// symbolic link that is swapped.
    fn look_at_all(&mut self) -> notify::Result<()> {
        // Nothing to forget where nothing was watched yet.
        self.watcher.unwatch(&self.dir).unwrap_or_default();
        if let Some(parent) = self.dir.parent().filter(|parent| parent.is_dir()) {
            self.watcher.watch(parent, RecursiveMode::NonRecursive)?;
        }
        self.watcher.watch(&self.dir, RecursiveMode::Recursive)
    }
}

/// True if something happened to `dir` or in it, or may have: notices were lost. Reading is an event
/// too, and what the follower does.
fn concerns(event: &notify::Event, dir: &Path) -> bool {
    let of_dir = event.paths.iter().any(|path| path.starts_with(dir));
    event.need_rescan() || (of_dir && !matches!(event.kind, EventKind::Access(_)))
}

/// The outcome of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Tree([u8; 32]),
    Unreadable(FilesError),
}

impl Seen {
    fn of(found: &Result<Tree, FilesError>) -> Self {
        match found {
            Ok(tree) => Self::Tree(tree.hash),
            Err(faults) => Self::Unreadable(faults.clone()),
        }
    }
}

struct Follower<F> {
    live: Arc<LiveFiles>,
    eyes: Arc<Mutex<Eyes>>,
    /// The state that was last told.
    told: Seen,
    /// The state that the last look saw, if the next one has to confirm it.
    unconfirmed: Option<Seen>,
    /// Looks in a row of which none confirmed the one before.
    looks: usize,
    /// Somebody waits to be told.
    asked: bool,
    on_change: F,
}

impl<F: FnMut(Result<FilesStore, FilesError>)> Follower<F> {
    fn new(live: Arc<LiveFiles>, eyes: Arc<Mutex<Eyes>>, on_change: F) -> Self {
        let told = Seen::Tree(live.hash);
        Self { live, eyes, told, unconfirmed: None, looks: 0, asked: false, on_change }
    }

    fn run(&mut self, pace: Pace, signals: &Receiver<Signal>) {
        // Something may have happened since the files were loaded.
        let mut wait = pace.quiet;
        loop {
            match signals.recv_timeout(wait) {
                Ok(Signal::Changed) => {}
                Ok(Signal::Asked) => self.asked = true,
                Err(RecvTimeoutError::Timeout) => {
                    wait = self.look(pace);
                    continue;
                }
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            match settle(pace, signals) {
                Signal::Stop => return,
                Signal::Asked => self.asked = true,
                Signal::Changed => {}
            }
            wait = self.look(pace);
        }
    }

    /// Looks once. A change is believed when the next look sees the same: of a change that is being
    /// made, half must not be taken, whatever sorts last. Answers when to look again.
    fn look(&mut self, pace: Pace) -> Duration {
        let found = self.live.look();
        let seen = Seen::of(&found);
        if seen == self.told && !self.asked {
            (self.unconfirmed, self.looks) = (None, 0);
            return pace.rescan;
        }
        if self.unconfirmed.as_ref() == Some(&seen) {
            self.tell(seen, found);
            return pace.rescan;
        }
        self.look_at_all();
        self.unconfirmed = Some(seen);
        self.looks += 1;
        if self.looks < LOOKS_MAX {
            return pace.quiet;
        }
        let unsettled = Err(FilesError::one(&self.live.dir, FileFault::Unsettled));
        self.tell(Seen::of(&unsettled), unsettled);
        // The next change may be quiet.
        pace.patience
    }

    fn tell(&mut self, seen: Seen, found: Result<Tree, FilesError>) {
        (self.unconfirmed, self.looks, self.asked) = (None, 0, false);
        self.told = seen;
        let next = found.and_then(|tree| self.live.next(&tree));
        (self.on_change)(next);
    }

    /// Watches new directories too, and new ones under old names.
    fn look_at_all(&self) {
        let eyes = Arc::clone(&self.eyes);
        let watched = self.live.looks.run(Instant::now() + LOOK_TIME_MAX, move || {
            eyes.lock().unwrap_or_else(PoisonError::into_inner).look_at_all()
        });
        let error = match watched {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "--config-dir is looked at from time to time only");
    }
}

/// Waits for the end of a change. Answers the most urgent signal on the way.
fn settle(pace: Pace, signals: &Receiver<Signal>) -> Signal {
    let end = Instant::now() + pace.patience;
    let mut settled = Signal::Changed;
    while Instant::now() < end {
        match signals.recv_timeout(pace.quiet) {
            Ok(Signal::Changed) => {}
            Ok(Signal::Asked) => settled = Signal::Asked,
            Err(RecvTimeoutError::Timeout) => break,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Signal::Stop,
        }
    }
    settled
}

impl Store for LiveFiles {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
        self.now().load_all()
    }

    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        self.now().project(project)
    }

    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError> {
        self.now().note(name)
    }

    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError> {
        self.now().notes(project, after, limit)
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        self.now().occurrence(name)
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        self.now().occurrences(query, after, limit)
    }

    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        self.now().evidence(wanted)
    }

    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        self.now().platform_policy(name)
    }

    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        self.now().platform_policies(project, platform, after, limit)
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        self.now().iam_policy(resource)
    }

    fn apply(&self, write: Write) -> Result<Option<String>, StoreError> {
        self.now().apply(write)
    }

    fn read_only(&self) -> bool {
        true
    }

    fn watch(
        self: Arc<Self>,
        mut told: Box<dyn Told>,
    ) -> Result<Option<Box<dyn Watch>>, WatchError> {
        let files = Arc::clone(&self);
        let watch = self.watch_at(PACE, move |next| {
            let files = Arc::clone(&files);
            let next = next.map(|next| NextState::new(move || files.replace(next)));
            told(next.map_err(WatchError::from));
        })?;
        Ok(Some(Box::new(watch)))
    }
}
