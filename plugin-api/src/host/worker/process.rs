//! One worker process, seen from the host: its making, its calls, its end.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};

use super::arena::{Arena, Writer};
use super::wire::{self, Op, Put};
use super::{Blueprint, Fault};
use crate::ErrorKind;
use crate::LogLevel;
use crate::host::error::{CallError, WorkerFault};
use crate::host::in_process::monotonic_ns;
use crate::host::instance::Circumstances;

/// The time between two looks at a call's cancel flag.
const CANCEL_EVERY: Duration = Duration::from_millis(20);
/// The time that the reason of an end is waited for: as long as the kernel takes to end a process.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that hosts a plugin.
pub(super) struct Process {
    /// Which one of its worker's it is, from 1.
    pub(super) number: u64,
    pub(super) pid: u32,
    pub(super) arena: Arena,
    /// Logs, pushes and secrets.
    pub(super) control: OwnedFd,
    /// Its standard error.
    pub(super) complaints: OwnedFd,
    /// Wakes whoever attends to it.
    pub(super) wake: OwnedFd,
    /// `None` once it is reaped: from then on its id may be another's.
    child: Mutex<Option<Child>>,
    calls: Mutex<Calls>,
    changed: Condvar,
}

/// The right to make a call: a part of the arena, and the bell beside it.
pub(super) struct Slot {
    part: usize,
    pub(super) bell: OwnedFd,
}

/// A call that nobody waits for, and when to kill if it has no answer.
pub(super) struct Watched {
    pub(super) slot: Slot,
    pub(super) kill_at: Instant,
    pub(super) timeout: Duration,
}

#[derive(Default)]
struct Calls {
    free: Vec<Slot>,
    /// Nobody waits for these any more.
    abandoned: Vec<Watched>,
    /// Takes no more calls.
    over: bool,
    /// It should end by itself.
    ending: bool,
    /// The fault that the host killed it for.
    killed: Option<WorkerFault>,
    /// Why it ended; known once it is reaped.
    fault: Option<WorkerFault>,
}

impl Process {
    /// Starts a process and hands it the plugin's bytes. The thread that does must live as long as
    /// the process, which the kernel kills when that thread ends.
    pub(super) fn spawn(
        blueprint: &Blueprint,
        slots: usize,
        level: LogLevel,
        number: u64,
    ) -> io::Result<Self> {
        let arena = Arena::new(slots)?;
        let (control, theirs) = pair()?;
        let (complaints, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&complaints, true)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut calls = Calls::default();
        let mut bells = Vec::new();
        for part in 0..slots {
            let (bell, theirs) = pair()?;
            calls.free.push(Slot { part, bell });
            bells.push(theirs);
        }
        let options = &blueprint.options;
        let passed = options.environment.iter();
        let environment = passed.filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(&options.program);
        command
            .args(&options.arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr));
        if let Some(user) = options.user {
            // Its supplementary groups end with this, too.
            command.uid(user).gid(user);
        }
        let child = command.spawn()?;
        let process = Self {
            number,
            pid: child.id(),
            arena,
            control,
            complaints,
            wake,
            child: Mutex::new(Some(child)),
            calls: Mutex::new(calls),
            changed: Condvar::new(),
        };
        process.hand_over(blueprint, level, &bells)?;
        Ok(process)
    }

    /// The first message: what to run and within which bounds, and the descriptors.
    fn hand_over(
        &self,
        blueprint: &Blueprint,
        level: LogLevel,
        bells: &[OwnedFd],
    ) -> io::Result<()> {
        let mut text = Vec::new();
        let put = (|| {
            text.u32(bells.len() as u32)?;
            text.u32(level as u32)?;
            text.u64(blueprint.options.memory_bytes)?;
            text.put(&blueprint.sealed.sha256)?;
            wire::put_files(&mut text, blueprint.options.files.as_ref())
        })();
        debug_assert!(put.is_some(), "a Vec has room");
        let mut descriptors = vec![blueprint.sealed.memory.as_fd(), self.arena.memory()];
        descriptors.extend(bells.iter().map(AsFd::as_fd));
        let mut space = vec![MaybeUninit::uninit(); 64 + 8 * descriptors.len()];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let parts = [io::IoSlice::new(&text)];
        rustix::net::sendmsg(&self.control, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// One call: writes the question, rings, and copies the answer out.
    ///
    /// After `timeout` without an answer the process is killed. A caller whose own time is over
    /// before gives up, and the call goes on: a hurried caller is no reason to kill.
    pub(super) fn call(
        &self,
        op: Op,
        at: &Circumstances<'_>,
        timeout: Duration,
        write: impl FnOnce(&mut Writer) -> Option<()>,
    ) -> Result<Vec<u8>, Fault> {
        let slot = self.take_slot(at.deadline)?;
        let now = Instant::now();
        let kill_at = now + timeout;
        if let Err(fault) = self.ask(&slot, op, at, kill_at, write) {
            return Err(self.give_back_after(slot, fault));
        }
        let give_up = at.deadline.filter(|&deadline| deadline < kill_at);
        match self.wait_for_bell(&slot, give_up.unwrap_or(kill_at), at) {
            Ok(Some((what, len))) => {
                let answer = self.answer(&slot, what, len);
                self.give_back(slot);
                answer
            }
            Ok(None) if give_up.is_some() => {
                self.abandon(Watched { slot, kill_at, timeout });
                Err(Fault::GaveUp)
            }
            Ok(None) => {
                self.kill(WorkerFault::Late(timeout));
                Err(Fault::Late(timeout))
            }
            Err(fault) => Err(fault),
        }
    }

    fn give_back_after(&self, slot: Slot, fault: Fault) -> Fault {
        if matches!(fault, Fault::Call(_)) {
            self.give_back(slot);
        }
        fault
    }

    /// Writes a question and rings.
    pub(super) fn ask(
        &self,
        slot: &Slot,
        op: Op,
        at: &Circumstances<'_>,
        kill_at: Instant,
        write: impl FnOnce(&mut Writer) -> Option<()>,
    ) -> Result<(), Fault> {
        self.arena.set_cancel(slot.part, is_cancelled(at));
        let deadline = at.deadline.map_or(kill_at, |deadline| deadline.min(kill_at));
        let mut writer = self.arena.writer(slot.part);
        let written = writer
            .i64(at.now)
            .and_then(|()| writer.u64(monotonic_ns(deadline)))
            .and_then(|()| write(&mut writer));
        if written.is_none() {
            let text = "what is asked is larger than a worker can be given".to_owned();
            return Err(Fault::Call(CallError::Refused { kind: ErrorKind::Limit, text }));
        }
        let bell = wire::bell(op as u32, writer.len());
        match rustix::net::send(&slot.bell, &bell, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    /// Reads what a bell says is there: an answer or an error.
    pub(super) fn answer(&self, slot: &Slot, what: u32, len: usize) -> Result<Vec<u8>, Fault> {
        let copy = self.sense(self.arena.copy(slot.part, len))?;
        match what {
            wire::ANSWERED => Ok(copy),
            wire::FAILED => Err(Fault::Call(self.sense(wire::error(&mut wire::Reader(&copy)))?)),
            _ => self.sense(None),
        }
    }

    /// Kills a worker whose words could not be read.
    pub(super) fn sense<T>(&self, read: Option<T>) -> Result<T, Fault> {
        read.ok_or_else(|| {
            let fault = WorkerFault::Nonsense("sent what makes no sense");
            self.kill(fault.clone());
            Fault::Nonsense(fault)
        })
    }

    /// The next bell of a slot; `None` where there is none until then.
    fn wait_for_bell(
        &self,
        slot: &Slot,
        until: Instant,
        at: &Circumstances<'_>,
    ) -> Result<Option<(u32, usize)>, Fault> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = if at.cancel.is_some() { left.min(CANCEL_EVERY) } else { left };
            if readable(&slot.bell, wait) {
                return match read_bell(&slot.bell) {
                    Some(bell) => Ok(Some(bell)),
                    None => Err(self.ended()),
                };
            }
            if left.is_zero() {
                return Ok(None);
            }
            self.arena.set_cancel(slot.part, is_cancelled(at));
        }
    }

    pub(super) fn take_slot(&self, deadline: Option<Instant>) -> Result<Slot, Fault> {
        let mut calls = self.calls();
        loop {
            if calls.over {
                return Err(Fault::Ended);
            }
            if let Some(slot) = calls.free.pop() {
                return Ok(slot);
            }
            calls = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(calls).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(Fault::Busy),
                Some(left) => {
                    let waited = self.changed.wait_timeout(calls, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    pub(super) fn give_back(&self, slot: Slot) {
        self.calls().free.push(slot);
        self.changed.notify_one();
    }

    fn abandon(&self, call: Watched) {
        self.arena.set_cancel(call.slot.part, true);
        self.calls().abandoned.push(call);
        self.rouse();
    }

    /// The calls that nobody waits for, to be watched by whoever attends to the process.
    pub(super) fn take_abandoned(&self) -> Vec<Watched> {
        std::mem::take(&mut self.calls().abandoned)
    }

    /// Takes no more calls, and is killed if it is still there: its end of a bell is closed.
    pub(super) fn ended(&self) -> Fault {
        self.close();
        self.signal();
        Fault::Ended
    }

    /// Kills it for this reason, unless there was one before.
    pub(super) fn kill(&self, why: WorkerFault) {
        self.calls().killed.get_or_insert(why);
        self.close();
        self.signal();
    }

    fn close(&self) {
        self.calls().over = true;
        self.changed.notify_all();
    }

    /// True if it takes no more calls.
    pub(super) fn is_over(&self) -> bool {
        self.calls().over
    }

    /// SIGKILL for it and whatever it started.
    fn signal(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let id = child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        if let Some(group) = id {
            // Gone already is as good. By itself, too: it may not have a group of its own yet.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let _ = rustix::process::kill_process(group, Signal::KILL);
        }
    }

    /// Asks it to end by itself.
    pub(super) fn end(&self) {
        self.calls().ending = true;
        self.close();
        // It has ended where this fails.
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Write);
        self.rouse();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.calls().ending
    }

    /// Closes a snapshot that is open in it.
    pub(super) fn close_snapshot(&self, id: u64) {
        let message = [&[wire::CLOSE][..], &id.to_le_bytes()].concat();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // Where it has ended or does not listen, the snapshot ends with it.
        let _ = rustix::net::send(&self.control, &message, flags);
    }

    fn rouse(&self) {
        // Full is as good: it is read to the bottom.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Kills what is left of it and says why it ended.
    pub(super) fn reap(&self) -> WorkerFault {
        self.close();
        self.signal();
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let status = child.map(|mut child| child.wait());
        let mut calls = self.calls();
        let fault = match (calls.killed.take(), status) {
            (Some(killed), _) => killed,
            (None, Some(Ok(status))) => of_status(status),
            (None, _) => WorkerFault::Nonsense("cannot be waited for"),
        };
        calls.fault = Some(fault.clone());
        drop(calls);
        self.changed.notify_all();
        fault
    }

    /// Why it ended, which is known soon after it did.
    pub(super) fn fault(&self) -> WorkerFault {
        let calls = self.calls();
        let waited = self.changed.wait_timeout_while(calls, REAP_TIMEOUT, |it| it.fault.is_none());
        let calls = waited.unwrap_or_else(PoisonError::into_inner).0;
        calls.fault.clone().unwrap_or(WorkerFault::Nonsense("does not end"))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left of a process that was reaped.
        if self.child.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.reap();
        }
    }
}

fn of_status(status: ExitStatus) -> WorkerFault {
    match (status.signal(), status.code()) {
        (Some(signal), _) => WorkerFault::Signal(signal),
        (None, code) => WorkerFault::Exit(code.unwrap_or_default()),
    }
}

fn is_cancelled(at: &Circumstances<'_>) -> bool {
    at.cancel.is_some_and(|flag| flag.load(Ordering::Acquire) != 0)
}

/// A pair of sockets that keep messages apart and say when the other end is gone.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    Ok(rustix::net::socketpair(family, SocketType::SEQPACKET, flags, None)?)
}

/// True if there is something to read, or nothing any more, within that time.
fn readable(socket: &OwnedFd, wait: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&timespec(wait))), Ok(1..))
}

pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// A bell that was rung; `None` where the other end is gone.
pub(super) fn read_bell(socket: &OwnedFd) -> Option<(u32, usize)> {
    loop {
        let mut bell = [0; wire::BELL_BYTES];
        match rustix::net::recv(socket, &mut bell, RecvFlags::empty()) {
            Ok((wire::BELL_BYTES, _)) => return Some(wire::read_bell(bell)),
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).finish_non_exhaustive()
    }
}
