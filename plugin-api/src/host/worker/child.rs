//! The other side: what a worker process does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketType};
use rustix::process::Resource;

use super::answer::Answer;
use super::arena::{Arena, Writer};
use super::confinement::{confine, fence, limit};
use super::outbox::Outbox;
use super::process::read_bell;
use super::wire::{self, Op, Put, Reader};
use super::{WORKER_FILE_BYTES_MAX, WORKER_FILES_MAX, WorkerFiles};
use crate::host::error::CallError;
use crate::host::file::Sealed;
use crate::host::in_process::monotonic_ns;
use crate::host::instance::{Circumstances, Instance};
use crate::host::keys::KeySnapshot;
use crate::host::services::Services;
use crate::host::{PluginImage, Throttle, limits};
use crate::{Algorithm, ErrorKind, LogLevel, Material};

/// Bytes of the first message: numbers, and the files that the process may open.
const HELLO_BYTES: usize = 64 + 2 * WORKER_FILES_MAX * (WORKER_FILE_BYTES_MAX + 4);
/// Bytes of what the host says: a secret and one byte.
const MESSAGE_BYTES: usize = (64 << 10) + 64;
/// Descriptors in the first message.
const DESCRIPTORS: usize = 2 + super::SLOTS_MAX;

/// Hosts a plugin for the process that started this one, until that has no more use for it. The
/// standard input is the socket to it. Then the process ends.
///
/// # Errors
/// It was started otherwise, or cannot be confined.
pub fn main() -> io::Result<Infallible> {
    run()?;
    exit_now()
}

/// Ends without running what libraries registered for the end: their threads may still run.
fn exit_now() -> ! {
    // SAFETY: nothing of this process is needed any more.
    unsafe { libc::_exit(0) }
}

fn run() -> io::Result<()> {
    // Before anything is closed: somebody may run this by hand.
    if !matches!(
        rustix::net::sockopt::socket_type(rustix::stdio::stdin()),
        Ok(SocketType::SEQPACKET)
    ) {
        return Err(no_host());
    }
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    close_all_but(&control)?;
    confine()?;
    let hello = Hello::receive(&control)?;
    fence(hello.files.as_ref())?;
    let memory = hello.memory_bytes.saturating_add(hello.arena.bytes() as u64);
    limit(Resource::As, memory)?;
    let upward = Arc::new(Upward {
        control,
        level: hello.level,
        throttle: Throttle::default(),
        outbox: Outbox::default(),
        asking: Mutex::new(()),
        secret: Mutex::new(None),
        answered: Condvar::new(),
    });
    let hosted = Arc::new(Hosted {
        arena: hello.arena,
        sealed: Mutex::new(Some(hello.sealed)),
        image: OnceLock::new(),
        instance: RwLock::new(None),
        snapshots: Mutex::default(),
        upward: Arc::clone(&upward),
    });
    let sender = Arc::clone(&upward);
    std::thread::Builder::new()
        .spawn(move || sender.outbox.deliver(|message| sender.say(message)))?;
    for (part, bell) in hello.bells.into_iter().enumerate() {
        let hosted = Arc::clone(&hosted);
        std::thread::Builder::new().spawn(move || hosted.serve(part, &bell))?;
    }
    hosted.listen();
    // Nobody will ask any more: the last one out ends the instance.
    hosted.snapshots().clear();
    drop(hosted.instance.write().unwrap_or_else(PoisonError::into_inner).take());
    upward.outbox.flush();
    Ok(())
}

fn no_host() -> io::Error {
    io::Error::other("there is no host")
}

/// Closes what somebody else left open: it is none of the plugin's business.
fn close_all_but(control: &OwnedFd) -> io::Result<()> {
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&number| number > 2 && number != control.as_raw_fd())
        .collect();
    for number in numbers {
        // SAFETY: the number is only looked at; that of the listing itself is free again.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if rustix::io::fcntl_getfd(descriptor).is_ok() {
            // SAFETY: nothing in this program has opened a file yet but the control socket.
            unsafe { rustix::io::close(number) };
        }
    }
    Ok(())
}

/// The first message of the host.
struct Hello {
    level: LogLevel,
    memory_bytes: u64,
    files: Option<WorkerFiles>,
    sealed: Sealed,
    arena: Arena,
    bells: Vec<OwnedFd>,
}

impl Hello {
    fn receive(control: &OwnedFd) -> io::Result<Self> {
        let mut text = vec![0; HELLO_BYTES + 1];
        let mut space = vec![MaybeUninit::uninit(); 64 + 8 * DESCRIPTORS];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let len = rustix::net::recvmsg(control, &mut parts, &mut ancillary, flags)?.bytes;
        let descriptors = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.collect::<Vec<_>>()),
            _ => None,
        });
        let mut descriptors = descriptors.ok_or_else(no_host)?.into_iter();
        let (plugin, memory) = descriptors.next().zip(descriptors.next()).ok_or_else(no_host)?;
        let mut from = Reader(&text[..len]);
        let read = (|| {
            let (slots, level, memory_bytes) = (from.u32()?, from.u32()?, from.u64()?);
            let sha256 = from.take(32)?.try_into().ok()?;
            let files = wire::files(&mut from)?;
            Some((slots as usize, LogLevel::from_number(level), memory_bytes, sha256, files))
        })();
        let (slots, level, memory_bytes, sha256, files) = read.ok_or_else(no_host)?;
        let arena = Arena::map(memory, slots)?;
        let sealed = Sealed { memory: File::from(plugin), sha256 };
        Ok(Self { level, memory_bytes, files, sealed, arena, bells: descriptors.collect() })
    }
}

/// The daemon's services, as the plugin here sees them.
struct Upward {
    control: OwnedFd,
    level: LogLevel,
    throttle: Throttle,
    outbox: Outbox,
    /// Held by whoever asks for a secret, one at a time.
    asking: Mutex<()>,
    /// The host's answer, when it is there.
    secret: Mutex<Option<Option<Vec<u8>>>>,
    answered: Condvar,
}

impl Upward {
    fn say(&self, message: &[u8]) {
        // A host that does not listen has gone, and this process with it.
        let _ = rustix::net::send(&self.control, message, SendFlags::NOSIGNAL);
    }
}

impl Services for Upward {
    fn log(&self, level: LogLevel, target: &str, text: &str) {
        if level > self.level {
            return;
        }
        let Some(lost) = self.throttle.take(Instant::now()) else { return };
        let message = |lost| {
            let mut message = vec![wire::LOG];
            message.u32(level as u32)?;
            message.u64(lost)?;
            message.bytes(cut(target))?;
            message.bytes(cut(text))?;
            Some(message)
        };
        let send_now = |message: &[u8]| {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            rustix::net::send(&self.control, message, flags).is_ok()
        };
        self.outbox.line(lost, message, send_now);
    }

    fn log_level(&self) -> LogLevel {
        self.level
    }

    fn keys_changed(&self) {
        self.outbox.push();
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let _one = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut message = vec![wire::SECRET];
        message.bytes(cut(name))?;
        self.say(&message);
        let answer = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.answered.wait_while(answer, |answer| answer.is_none());
        answer.unwrap_or_else(PoisonError::into_inner).take()?
    }

    fn unix_now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(limits::TEXT_BYTES)]
}

/// The plugin and what is open in it.
struct Hosted {
    arena: Arena,
    sealed: Mutex<Option<Sealed>>,
    image: OnceLock<Arc<PluginImage>>,
    instance: RwLock<Option<Arc<Instance>>>,
    snapshots: Mutex<HashMap<u64, Arc<KeySnapshot>>>,
    upward: Arc<Upward>,
}

impl Hosted {
    /// Hears the host until it has nothing more to say.
    fn listen(&self) {
        let mut message = vec![0; MESSAGE_BYTES];
        loop {
            match rustix::net::recv(&self.upward.control, &mut message[..], RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) | Ok((0, _)) => return,
                Ok((len, _)) => self.obey(&message[..len]),
            }
        }
    }

    fn obey(&self, message: &[u8]) {
        match message.split_first() {
            Some((&wire::SECRET_IS, secret)) => self.tell(Some(secret.to_vec())),
            Some((&wire::NO_SECRET, _)) => self.tell(None),
            Some((&wire::CLOSE, id)) => {
                let closed = Reader(id).u64().and_then(|id| self.snapshots().remove(&id));
                // Outside of the lock: the plugin closes its side now.
                drop(closed);
            }
            _ => {}
        }
    }

    fn tell(&self, secret: Option<Vec<u8>>) {
        *self.upward.secret.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret);
        self.upward.answered.notify_one();
    }

    /// Answers what is asked through one part of the arena.
    fn serve(&self, part: usize, bell: &OwnedFd) {
        while let Some((op, len)) = read_bell(bell) {
            let mut writer = self.arena.writer(part);
            let what = match self.answer(op, part, len, &mut writer) {
                Ok(()) => wire::ANSWERED,
                Err(error) => {
                    writer.truncate(0);
                    let put = wire::put_error(&mut writer, &error);
                    debug_assert!(put.is_some(), "an error fits");
                    wire::FAILED
                }
            };
            let rung = wire::bell(what, writer.len());
            if rustix::net::send(bell, &rung, SendFlags::NOSIGNAL).is_err() {
                return;
            }
        }
    }

    fn answer(&self, op: u32, part: usize, len: usize, to: &mut Writer) -> Result<(), CallError> {
        // SAFETY: the host waits for the answer, and `to` is written when the question was read.
        let question = unsafe { self.arena.lend(part, len) };
        let wrong = || refused(ErrorKind::InvalidArgument, "the host speaks another language");
        let (op, question) = Op::from_number(op).zip(question).ok_or_else(wrong)?;
        let mut from = Reader(question);
        let (now, deadline) = from.i64().zip(from.u64()).ok_or_else(wrong)?;
        let at = Circumstances {
            now,
            deadline: Some(instant(deadline)),
            cancel: Some(self.arena.cancel(part)),
        };
        let answer = self.act(op, &at, &mut from)?.ok_or_else(wrong)?;
        answer
            .write(to)
            .ok_or_else(|| refused(ErrorKind::Limit, "the answer is larger than a worker can give"))
    }

    /// `None` where the question cannot be read.
    fn act(
        &self,
        op: Op,
        at: &Circumstances<'_>,
        from: &mut Reader<'_>,
    ) -> Result<Option<Answer>, CallError> {
        Ok(match op {
            Op::Describe => Some(Answer::Image(self.image()?)),
            Op::Create => {
                self.create(&String::from_utf8_lossy(from.0))?;
                Some(Answer::Done)
            }
            Op::Health => {
                self.instance()?.health(at)?;
                Some(Answer::Done)
            }
            Op::Open => match from.u64() {
                Some(id) => {
                    let snapshot = Arc::new(self.instance()?.snapshot(at)?);
                    self.snapshots().insert(id, Arc::clone(&snapshot));
                    Some(Answer::Snapshot(snapshot))
                }
                None => None,
            },
            Op::More => match from.u64().zip(from.u32()) {
                Some((id, first)) => {
                    let snapshot = self.snapshots().get(&id).map(Arc::clone);
                    Some(Answer::Keys(snapshot.ok_or_else(stale)?, first as usize))
                }
                None => None,
            },
            Op::Resolve => self.resolve(at, from)?,
            Op::Verify | Op::Decode | Op::Sign | Op::SignDigests => self.batch(op, at, from)?,
        })
    }

    /// The plugin, mapped when it is first asked for.
    fn image(&self) -> Result<Arc<PluginImage>, CallError> {
        if let Some(image) = self.image.get() {
            return Ok(Arc::clone(image));
        }
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = sealed.take().ok_or_else(|| refused(ErrorKind::Internal, "not loaded"))?;
        let image = PluginImage::map(sealed)
            .map_err(|reason| refused(ErrorKind::Unsupported, &reason.to_string()))?;
        Ok(Arc::clone(self.image.get_or_init(|| Arc::new(image))))
    }

    fn create(&self, config_json: &str) -> Result<(), CallError> {
        let upward = Arc::clone(&self.upward);
        let instance = Instance::create(&self.image()?, config_json, upward)?;
        *self.instance.write().unwrap_or_else(PoisonError::into_inner) = Some(instance);
        Ok(())
    }

    fn instance(&self) -> Result<Arc<Instance>, CallError> {
        let instance = self.instance.read().unwrap_or_else(PoisonError::into_inner).clone();
        instance.ok_or_else(|| refused(ErrorKind::Internal, "there is no instance"))
    }

    fn snapshots(&self) -> MutexGuard<'_, HashMap<u64, Arc<KeySnapshot>>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(
        &self,
        at: &Circumstances<'_>,
        from: &mut Reader<'_>,
    ) -> Result<Option<Answer>, CallError> {
        let read = (|| Some((Algorithm::from_number(from.u32()?), from.bytes()?, from.bytes()?)))();
        let Some((algorithm, form, data)) = read else { return Ok(None) };
        let Ok(form) = std::str::from_utf8(form) else { return Ok(None) };
        let material = Material { form, data, algorithm };
        Ok(Some(Answer::Resolved(self.instance()?.resolve_keys(&material, at)?)))
    }

    fn batch(
        &self,
        op: Op,
        at: &Circumstances<'_>,
        from: &mut Reader<'_>,
    ) -> Result<Option<Answer>, CallError> {
        let Some(id) = from.u64() else { return Ok(None) };
        let Some(items) = from.several(usize::MAX, wire::item) else { return Ok(None) };
        let snapshot = match id {
            0 => None,
            id => Some(self.snapshots().get(&id).map(Arc::clone).ok_or_else(stale)?),
        };
        let (instance, snapshot) = (self.instance()?, snapshot.as_deref());
        let held = || snapshot.ok_or_else(stale);
        Ok(Some(match op {
            Op::Verify => Answer::Verified(instance.verify_batch(snapshot, &items, at)?),
            Op::Decode => Answer::Decoded(instance.decode_batch(snapshot, &items, at)?),
            Op::SignDigests => Answer::Signed(instance.sign_digests(held()?, &items, at)?),
            _ => Answer::Signed(instance.sign_batch(held()?, &items, at)?),
        }))
    }
}

fn refused(kind: ErrorKind, text: &str) -> CallError {
    CallError::Refused { kind, text: text.to_owned() }
}

fn stale() -> CallError {
    refused(ErrorKind::StaleSnapshot, "the snapshot is not open in this process")
}

/// The instant of `CLOCK_MONOTONIC` nanoseconds.
fn instant(nanoseconds: u64) -> Instant {
    let now = Instant::now();
    now + Duration::from_nanos(nanoseconds.saturating_sub(monotonic_ns(now)))
}
