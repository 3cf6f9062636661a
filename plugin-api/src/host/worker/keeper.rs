//! The thread that keeps a worker running: starts its process, hears what it says, watches the
//! calls that nobody waits for, reaps it, and starts the next.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags};

use super::breaker::Breaker;
use super::process::{Process, Slot, Watched, read_bell, timespec};
use super::wire::{self, Op, Put, Reader};
use super::{Blueprint, Fault};
use crate::LogLevel;
use crate::host::error::{CallError, WorkerFault};
use crate::host::instance::Circumstances;
use crate::host::limits;
use crate::host::services::Services;

/// The time that a process may take to load the plugin and make the instance: a token is opened
/// then, or a network asked. Nobody waits for it but those who need its keys.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that a process may take to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages of one process that are heard in one second. What comes faster waits, and so does
/// whoever says it.
const MESSAGES_PER_SECOND: u32 = 256;
/// Bytes that are read of a standard error at once: as many as a pipe holds.
const COMPLAINTS_BYTES: usize = 64 << 10;
/// Bytes of one message: a log line, or the name of a secret.
const MESSAGE_BYTES: usize = 2 * limits::TEXT_BYTES + 64;

/// The state that the keeper and those who call share.
pub(super) struct Kept {
    blueprint: Arc<Blueprint>,
    config_json: String,
    services: Arc<dyn Services>,
    slots: usize,
    state: Mutex<State>,
    changed: Condvar,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) breaker: Breaker,
    /// The process that takes calls.
    process: Option<Arc<Process>>,
    /// The result of the first start.
    first: Option<Result<(), CallError>>,
    /// Why the last process ended.
    pub(super) fault: Option<WorkerFault>,
    ending: bool,
}

/// Counts of what happened since the worker was made.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) starts: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) signal: AtomicU64,
    pub(super) exit: AtomicU64,
    pub(super) nonsense: AtomicU64,
    pub(super) start: AtomicU64,
}

impl Kept {
    pub(super) fn new(
        blueprint: &Arc<Blueprint>,
        slots: usize,
        config_json: &str,
        services: Arc<dyn Services>,
    ) -> Self {
        Self {
            blueprint: Arc::clone(blueprint),
            config_json: config_json.to_owned(),
            services,
            slots,
            state: Mutex::default(),
            changed: Condvar::new(),
            counts: Counts::default(),
        }
    }

    /// Keeps a process running until the worker ends. A thread of its own runs this.
    pub(super) fn keep(&self) {
        let mut number = 0;
        while self.wait_for_turn() {
            number += 1;
            let level = self.services.log_level();
            let fault = match Process::spawn(&self.blueprint, self.slots, level, number) {
                Ok(process) => self.attend(&Arc::new(process)),
                Err(error) => Some(WorkerFault::Start(error.to_string())),
            };
            if let Some(fault) = fault {
                self.failed(fault);
            }
        }
    }

    /// From the start of a process to its end. `None` where it ended because it was told to.
    fn attend(&self, process: &Arc<Process>) -> Option<WorkerFault> {
        self.counts.starts.fetch_add(1, Ordering::Relaxed);
        let mut attendant = Attendant::new(process, &*self.services);
        let refused = match attendant.start(&self.config_json) {
            Ok(()) => {
                self.publish(process);
                attendant.until_it_ends();
                None
            }
            Err(Fault::Call(error)) => Some(error),
            Err(_) => None,
        };
        let fault = process.reap();
        match refused {
            Some(error) => {
                self.refused(error.clone());
                Some(WorkerFault::Start(error.to_string()))
            }
            None if process.is_ending() => None,
            None => Some(fault),
        }
    }

    fn publish(&self, process: &Arc<Process>) {
        let mut state = self.state();
        state.breaker.recovered();
        state.first.get_or_insert(Ok(()));
        if state.ending {
            process.end();
        }
        state.process = Some(Arc::clone(process));
        drop(state);
        self.changed.notify_all();
        if process.number > 1 {
            // Its snapshots are those of a process that is no more.
            self.services.keys_changed();
        }
    }

    /// The plugin itself refused to be made.
    fn refused(&self, error: CallError) {
        self.state().first.get_or_insert(Err(error));
        self.changed.notify_all();
    }

    fn failed(&self, fault: WorkerFault) {
        let count = match &fault {
            WorkerFault::Late(_) | WorkerFault::GaveUp => &self.counts.late,
            WorkerFault::Signal(_) => &self.counts.signal,
            WorkerFault::Exit(_) => &self.counts.exit,
            WorkerFault::Nonsense(_) => &self.counts.nonsense,
            WorkerFault::Start(_) | WorkerFault::Resting(_) => &self.counts.start,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.services.fault(&format!("the plugin failed: {fault}"));
        let mut state = self.state();
        state.process = None;
        state.first.get_or_insert(Ok(()));
        state.breaker.failed(Instant::now(), chance());
        state.fault = Some(fault);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until a process may be started; `false` where none is to be.
    fn wait_for_turn(&self) -> bool {
        let mut state = self.state();
        loop {
            let rest = state.breaker.rest(Instant::now());
            if state.ending || rest.is_zero() {
                return !state.ending;
            }
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The result of the first start: an error if the plugin refused its configuration.
    pub(super) fn first(&self) -> Result<(), CallError> {
        let state = self.state();
        let waited = self.changed.wait_while(state, |state| state.first.is_none());
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        state.first.clone().unwrap_or(Ok(()))
    }

    /// The process to call. Waits for one that is being started, at most so long.
    pub(super) fn process(&self, until: Instant) -> Result<Arc<Process>, Fault> {
        let mut state = self.state();
        loop {
            if let Some(process) = state.process.as_ref().filter(|process| !process.is_over()) {
                return Ok(Arc::clone(process));
            }
            let now = Instant::now();
            let resting = !state.breaker.rest(now).is_zero();
            if resting || now >= until {
                let last = state
                    .fault
                    .as_ref()
                    .map_or("it was slow to start".to_owned(), |it| it.to_string());
                return Err(Fault::Resting(WorkerFault::Resting(last)));
            }
            let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The process that runs, if one does.
    pub(super) fn current(&self) -> Option<Arc<Process>> {
        self.state().process.clone()
    }

    /// Ends the worker, and its process.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ending = true;
        if let Some(process) = &state.process {
            process.end();
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From 0 to 1, different each time.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// Attends to one process.
pub(super) struct Attendant<'a> {
    process: &'a Process,
    services: &'a dyn Services,
    /// Calls that nobody else waits for.
    watched: Vec<Watched>,
    heard: VecDeque<Instant>,
    /// When to kill a process that should end by itself.
    end_by: Option<Instant>,
    /// Its standard error is open.
    complains: bool,
    /// The beginning of a line that it wrote there.
    complaint: Vec<u8>,
}

impl<'a> Attendant<'a> {
    pub(super) fn new(process: &'a Process, services: &'a dyn Services) -> Self {
        Self {
            process,
            services,
            watched: Vec::new(),
            heard: VecDeque::new(),
            end_by: None,
            complains: true,
            complaint: Vec::new(),
        }
    }

    /// Loads the plugin and makes its instance.
    fn start(&mut self, config_json: &str) -> Result<(), Fault> {
        self.ask(Op::Describe, &[])?;
        self.ask(Op::Create, config_json.as_bytes()).map(drop)
    }

    /// One question while nobody else asks any.
    pub(super) fn ask(&mut self, op: Op, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let slot = self.process.take_slot(None)?;
        let kill_at = Instant::now() + START_TIMEOUT;
        let at = Circumstances::at(self.services.unix_now());
        self.process.ask(&slot, op, &at, kill_at, |to| to.put(text))?;
        self.watched.push(Watched { slot, kill_at, timeout: START_TIMEOUT });
        let (slot, what, len) = self.next_bell().ok_or(Fault::Ended)?;
        let answer = self.process.answer(&slot, what, len);
        self.process.give_back(slot);
        answer
    }

    fn until_it_ends(&mut self) {
        while let Some((slot, _, _)) = self.next_bell() {
            self.process.give_back(slot);
        }
    }

    /// The next answer to a watched call; hears what the process says meanwhile. `None` where the
    /// process has ended.
    fn next_bell(&mut self) -> Option<(Slot, u32, usize)> {
        loop {
            self.watched.extend(self.process.take_abandoned());
            let now = Instant::now();
            if self.process.is_ending() {
                self.end_by.get_or_insert(now + END_TIMEOUT);
            }
            let ready = self.wait(now);
            if ready.complaints {
                self.hear_complaints();
            }
            if ready.control && !self.hear() {
                self.hear_complaints();
                self.complain();
                return None;
            }
            if let Some(index) = ready.watched {
                let Watched { slot, .. } = self.watched.swap_remove(index);
                if let Some((what, len)) = read_bell(&slot.bell) {
                    return Some((slot, what, len));
                }
                self.process.ended();
            }
            self.kill_what_is_late(Instant::now());
        }
    }

    fn kill_what_is_late(&mut self, now: Instant) {
        if let Some(late) = self.watched.iter().find(|call| call.kill_at <= now) {
            self.process.kill(WorkerFault::Late(late.timeout));
            self.watched.clear();
        }
        if self.end_by.is_some_and(|end_by| end_by <= now) {
            self.process.kill(WorkerFault::Late(END_TIMEOUT));
        }
    }

    /// Waits for something to attend to.
    fn wait(&mut self, now: Instant) -> Ready {
        let listen_at = self.listen_at(now);
        let listen = if listen_at.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let kill_at = self.watched.iter().map(|call| call.kill_at);
        let until = kill_at.chain(self.end_by).chain(listen_at).min();
        let wait = until.map(|until| timespec(until.saturating_duration_since(now)));
        let mut fds = vec![
            PollFd::new(&self.process.control, listen),
            PollFd::new(&self.process.wake, PollFlags::IN),
        ];
        // Always read, or who writes there waits until it is killed for that.
        let complains = self.complains;
        fds.extend(complains.then(|| PollFd::new(&self.process.complaints, PollFlags::IN)));
        let others = fds.len();
        fds.extend(self.watched.iter().map(|call| PollFd::new(&call.slot.bell, PollFlags::IN)));
        if poll(&mut fds, wait.as_ref()).is_err() {
            return Ready { control: false, complaints: false, watched: None };
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (control, wake) = (ready(&fds[0]), ready(&fds[1]));
        let complaints = complains && ready(&fds[2]);
        let watched = fds[others..].iter().position(ready);
        if wake {
            // Empty is as good: somebody was quicker.
            let _ = rustix::io::read(&self.process.wake, &mut [0; 8]);
        }
        Ready { control, complaints, watched }
    }

    /// When to listen again to a process that said too much; `None` for now.
    fn listen_at(&mut self, now: Instant) -> Option<Instant> {
        const SECOND: Duration = Duration::from_secs(1);
        while self.heard.front().is_some_and(|&at| now.saturating_duration_since(at) >= SECOND) {
            self.heard.pop_front();
        }
        let too_many = self.heard.len() >= MESSAGES_PER_SECOND as usize;
        self.heard.front().filter(|_| too_many).map(|&at| at + SECOND)
    }

    /// Hears one message; `false` where there will be none any more.
    fn hear(&mut self) -> bool {
        let mut message = [0; MESSAGE_BYTES];
        let len = match rustix::net::recv(&self.process.control, &mut message, RecvFlags::DONTWAIT)
        {
            Ok((0, _)) => return false,
            Ok((len, _)) => len,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        };
        self.heard.push_back(Instant::now());
        if self.obey(&message[..len]).is_none() {
            self.process.kill(WorkerFault::Nonsense("said what makes no sense"));
        }
        true
    }

    /// Hears what it, or a library in it, wrote to its standard error, by lines.
    fn hear_complaints(&mut self) {
        let mut text = vec![0; COMPLAINTS_BYTES];
        let read = match rustix::io::read(&self.process.complaints, &mut text[..]) {
            Ok(len) => &text[..len],
            Err(_) => return,
        };
        self.complains = !read.is_empty();
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            // The part beyond the limit is cut.
            let room = limits::TEXT_BYTES - self.complaint.len();
            self.complaint.extend_from_slice(&piece[..piece.len().min(room)]);
            if ends {
                self.complain();
            }
        }
    }

    /// Passes on the line that it wrote to its standard error.
    fn complain(&mut self) {
        if !self.complaint.is_empty() && self.services.log_level() >= LogLevel::Warn {
            let line = String::from_utf8_lossy(&self.complaint);
            self.services.log(LogLevel::Warn, "stderr", line.trim_end());
        }
        self.complaint.clear();
    }

    fn obey(&self, message: &[u8]) -> Option<()> {
        let (&what, rest) = message.split_first()?;
        let mut rest = Reader(rest);
        match what {
            wire::LOG => {
                let level = LogLevel::from_number(rest.u32()?);
                let (lost, target, text) = (rest.u64()?, rest.text()?, rest.text()?);
                self.services.log_lost(lost);
                self.services.log(level, &target, &text);
            }
            wire::KEYS_CHANGED => self.services.keys_changed(),
            wire::SECRET => {
                let secret = self.services.secret(&rest.text()?);
                let message = match &secret {
                    Some(secret) => [&[wire::SECRET_IS][..], secret].concat(),
                    None => vec![wire::NO_SECRET],
                };
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                rustix::net::send(&self.process.control, &message, flags).ok()?;
            }
            _ => return None,
        }
        Some(())
    }
}

struct Ready {
    control: bool,
    complaints: bool,
    /// The first watched call that has an answer, or will have none.
    watched: Option<usize>,
}
