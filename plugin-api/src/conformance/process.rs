//! The state of a process, as far as a plugin could change it.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;

/// Signals that have handlers.
const SIGNALS: std::ops::Range<i32> = 1..65;

/// The state that all code of a process shares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    handlers: Vec<Option<(usize, i32)>>,
    mask: String,
    umask: String,
    directory: Option<std::path::PathBuf>,
    locale: String,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Process {
    pub(super) fn now() -> Self {
        let mut environment: Vec<_> = std::env::vars_os().collect();
        environment.sort();
        Self {
            handlers: SIGNALS.map(handler).collect(),
            mask: status("SigBlk"),
            umask: status("Umask"),
            directory: std::env::current_dir().ok(),
            locale: locale(),
            environment,
        }
    }

    /// The first difference, in words; `None` if there is none.
    pub(super) fn difference(&self, now: &Self) -> Option<&'static str> {
        let rows = [
            (self.handlers != now.handlers, "signal handlers"),
            (self.mask != now.mask, "the signal mask of the host's thread"),
            (self.umask != now.umask, "the umask"),
            (self.directory != now.directory, "the working directory"),
            (self.locale != now.locale, "the locale"),
            (self.environment != now.environment, "environment variables"),
        ];
        rows.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }
}

fn handler(signal: i32) -> Option<(usize, i32)> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; the struct is the caller's.
    let rc = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroes are a valid `sigaction`, and the call wrote one where it answered 0.
    let action = unsafe { action.assume_init() };
    (rc == 0).then_some((action.sa_sigaction, action.sa_flags))
}

/// A line of the status of this thread.
fn status(name: &str) -> String {
    let text = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn locale() -> String {
    // SAFETY: asks only.
    let name = unsafe { libc::setlocale(libc::LC_ALL, std::ptr::null()) };
    if name.is_null() {
        return String::new();
    }
    // SAFETY: a text of the C library, valid until the next call, which is not before it is copied.
    unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// Threads of this process.
pub(super) fn tasks() -> usize {
    entries("/proc/self/task")
}

/// File descriptors of this process, and the one that counts them.
pub(super) fn descriptors() -> usize {
    entries("/proc/self/fd")
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Bytes that are allocated from the C library, which is where a plugin allocates.
pub(super) fn heap_bytes() -> Option<u64> {
    type Count = unsafe extern "C" fn() -> libc::mallinfo2;
    let this = libloading::os::unix::Library::this();
    // SAFETY: the type is that of glibc's manual; another C library does not have the name.
    let count = unsafe { this.get::<Count>("mallinfo2") }.ok()?;
    // SAFETY: it reads counters under the locks of the allocator.
    let info = unsafe { count() };
    Some((info.uordblks + info.hblkhd) as u64)
}

/// Standard output and error, kept aside.
pub(super) struct Streams {
    written: File,
    out: OwnedFd,
    err: OwnedFd,
}

impl Streams {
    /// From now on both go into memory.
    pub(super) fn capture() -> std::io::Result<Self> {
        let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
        let err = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        let written = File::from(rustix::fs::memfd_create("streams", MemfdFlags::CLOEXEC)?);
        rustix::stdio::dup2_stdout(&written)?;
        rustix::stdio::dup2_stderr(&written)?;
        Ok(Self { written, out, err })
    }

    /// Puts both back, and gives what was written.
    pub(super) fn release(mut self) -> std::io::Result<String> {
        // SAFETY: writes out what the streams of C hold; NULL is all of them.
        unsafe { libc::fflush(std::ptr::null_mut()) };
        rustix::stdio::dup2_stdout(&self.out)?;
        rustix::stdio::dup2_stderr(&self.err)?;
        let mut text = String::new();
        self.written.rewind()?;
        self.written.read_to_string(&mut text)?;
        Ok(text)
    }
}
