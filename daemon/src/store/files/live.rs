//! A directory that is watched: what it says now, or said when it last made sense.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::error::{FileFault, FilesError};
use super::tree::Tree;
use super::{FilesStore, parse};
use crate::store::iam::{IamPolicy, IamResource};
use crate::store::{
    EvidencePage, EvidenceQuery, OccurrenceQuery, ProjectResources, Store, StoreError, Write,
};

/// When the directory is looked at.
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

/// The store of a directory whose files may change: each read is of one whole good state.
#[derive(Debug)]
pub struct LiveFiles {
    dir: PathBuf,
    current: ArcSwap<FilesStore>,
    /// Of the files that `current` was read from at first.
    hash: [u8; 32],
    /// Held from a look at the files to the swap, so that an older look cannot replace a later one.
    looking: Mutex<()>,
}

impl LiveFiles {
    /// Reads `dir`, or says everything that is wrong with it.
    pub fn load(dir: &Path) -> Result<Self, FilesError> {
        let tree = Tree::read(dir)?;
        let current = ArcSwap::from_pointee(parse::parse(&tree)?);
        Ok(Self { dir: dir.to_owned(), current, hash: tree.hash, looking: Mutex::new(()) })
    }

    /// Reads the files at once, whatever the watch has seen. What does not make sense changes
    /// nothing.
    pub fn reload(&self) -> Result<(), FilesError> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(&Tree::read(&self.dir)?)
    }

    /// Puts in force what the files say, or says why not. Only with `looking` held.
    fn take(&self, tree: &Tree) -> Result<(), FilesError> {
        let next = parse::parse(tree)?;
        policies_stay(&self.now(), &next, tree)?;
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// Follows the directory until the answer is dropped. `on_change` is called, from a thread of
    /// its own, with `Ok` after each swap to a new state, and with the faults, once, where the
    /// files do not make sense: then the last good state stays.
    pub fn watch(
        self: &Arc<Self>,
        on_change: impl FnMut(Result<(), FilesError>) + Send + 'static,
    ) -> Result<FilesWatch, FilesError> {
        self.watch_at(PACE, on_change)
    }

    pub(super) fn watch_at(
        self: &Arc<Self>,
        pace: Pace,
        on_change: impl FnMut(Result<(), FilesError>) + Send + 'static,
    ) -> Result<FilesWatch, FilesError> {
        let (sender, signals) = channel();
        let fault = |error: &dyn std::fmt::Display| {
            FilesError::one(&self.dir, FileFault::Io(format!("cannot be watched: {error}")))
        };
        let mut eyes = Eyes::new(&self.dir, sender.clone()).map_err(|error| fault(&error))?;
        eyes.look_at_all().map_err(|error| fault(&error))?;
        let mut follower =
            Follower { live: Arc::clone(self), eyes, seen: Seen::Tree(self.hash), on_change };
        let run = move || follower.run(pace, &signals);
        let thread = Builder::new()
            .name("config-dir".to_owned())
            .spawn(run)
            .map_err(|error| fault(&error))?;
        Ok(FilesWatch { signals: sender, thread: Some(thread) })
    }

    fn now(&self) -> Arc<FilesStore> {
        self.current.load_full()
    }
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
    Stop,
}

/// Follows a directory until dropped.
#[derive(Debug)]
pub struct FilesWatch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for FilesWatch {
    fn drop(&mut self) {
        // A thread that is gone needs no word.
        self.signals.send(Signal::Stop).unwrap_or_default();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches --config-dir panicked");
        }
    }
}

/// The operating system's notices.
struct Eyes {
    dir: PathBuf,
    watcher: RecommendedWatcher,
}

impl Eyes {
    fn new(dir: &Path, signals: Sender<Signal>) -> notify::Result<Self> {
        let own_name = dir.file_name().map(OsString::from);
        let inside = dir.to_owned();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is an event too, and what the follower does.
            let concerns = event.map_or(true, |event| {
                let of_dir = |path: &PathBuf| {
                    path.starts_with(&inside) || path.file_name() == own_name.as_deref()
                };
                !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(of_dir)
            });
            if concerns {
                signals.send(Signal::Changed).unwrap_or_default();
            }
        })?;
        Ok(Self { dir: dir.to_owned(), watcher })
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

/// What was last reported.
#[derive(PartialEq, Eq)]
enum Seen {
    Tree([u8; 32]),
    Unreadable(FilesError),
}

struct Follower<F> {
    live: Arc<LiveFiles>,
    eyes: Eyes,
    seen: Seen,
    on_change: F,
}

impl<F: FnMut(Result<(), FilesError>)> Follower<F> {
    fn run(&mut self, pace: Pace, signals: &Receiver<Signal>) {
        loop {
            match signals.recv_timeout(pace.rescan) {
                Ok(Signal::Changed) => {
                    if settle(pace, signals) == Signal::Stop {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let live = Arc::clone(&self.live);
        let looking = live.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = Tree::read(&self.live.dir);
        let seen = match &tree {
            Ok(tree) => Seen::Tree(tree.hash),
            Err(faults) => Seen::Unreadable(faults.clone()),
        };
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        // New directories, and old names of new ones.
        if let Err(error) = self.eyes.look_at_all() {
            tracing::warn!(%error, "--config-dir is looked at from time to time only");
        }
        let outcome = tree.and_then(|tree| self.live.take(&tree));
        drop(looking);
        (self.on_change)(outcome);
    }
}

/// Waits for the end of a change.
fn settle(pace: Pace, signals: &Receiver<Signal>) -> Signal {
    let end = Instant::now() + pace.patience;
    while Instant::now() < end {
        match signals.recv_timeout(pace.quiet) {
            Ok(Signal::Changed) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Signal::Stop,
        }
    }
    Signal::Changed
}

impl Store for LiveFiles {
    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        self.now().projects()
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

    fn apply(&self, write: Write) -> Result<(), StoreError> {
        self.now().apply(write)
    }

    fn read_only(&self) -> bool {
        true
    }
}
