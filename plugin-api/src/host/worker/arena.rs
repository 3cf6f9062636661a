//! The memory that host and worker share: one part for each call that may run at once.
//!
//! The host never makes a reference into it, for the worker may write at any time: it copies in,
//! and copies out before it looks. The file is sealed, so that the worker cannot take it away.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes of one part: the largest answer, and the largest request. The memory is taken as it is
/// used. 64,000 keys of RSA-2048 fit, and a signature blob as large as a request body may be.
pub(super) const PART_BYTES: usize = 16 << 20;
/// The first bytes of a part: the cancel flag, on a cache line of its own.
const HEAD_BYTES: usize = 64;
/// Bytes of a request or an answer.
pub(super) const BODY_BYTES: usize = PART_BYTES - HEAD_BYTES;

/// The shared memory, mapped.
pub(super) struct Arena {
    first: NonNull<u8>,
    parts: usize,
    memory: OwnedFd,
}

// SAFETY: the mapping is reached through raw pointers, a part at a time, by whoever has the part.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map` with this length, and `self` is its last user.
        let unmapped = unsafe { rustix::mm::munmap(self.first.as_ptr().cast(), self.bytes()) };
        debug_assert!(unmapped.is_ok(), "an arena is mapped whole");
    }
}

impl Arena {
    /// Makes shared memory of so many parts.
    pub(super) fn new(parts: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("hallmark-arena", flags)?;
        let file = File::from(memory);
        file.set_len((parts * PART_BYTES) as u64)?;
        let memory = OwnedFd::from(file);
        // A file that shrinks under a mapping is a SIGBUS for whoever reads it.
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW;
        rustix::fs::fcntl_add_seals(&memory, seals)?;
        Self::map(memory, parts)
    }

    /// Maps shared memory that was made with so many parts.
    pub(super) fn map(memory: OwnedFd, parts: usize) -> io::Result<Self> {
        let (bytes, access) = (parts * PART_BYTES, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping wherever the kernel likes; nothing else is there.
        let first = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, &memory, 0)
        }?;
        let first = NonNull::new(first.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { first, parts, memory })
    }

    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> usize {
        self.parts * PART_BYTES
    }

    /// The body of a part, to write into from its beginning.
    pub(super) fn writer(&self, part: usize) -> Writer {
        Writer { first: self.body(part), at: 0 }
    }

    /// A copy of the first `len` bytes of the body; `None` where it has less.
    pub(super) fn copy(&self, part: usize, len: usize) -> Option<Vec<u8>> {
        if len > BODY_BYTES {
            return None;
        }
        let mut copy = Vec::<u8>::with_capacity(len);
        // SAFETY: `len` bytes are in the body. The other side may write meanwhile: then the copy
        // holds some bytes or others, and it is the copy that is checked.
        unsafe { std::ptr::copy_nonoverlapping(self.body(part).as_ptr(), copy.as_mut_ptr(), len) };
        // SAFETY: so many bytes were just written.
        unsafe { copy.set_len(len) };
        Some(copy)
    }

    /// The first `len` bytes of the body, where they are; `None` where it has less.
    ///
    /// # Safety
    /// Nobody writes into the body as long as they are borrowed.
    pub(super) unsafe fn lend(&self, part: usize, len: usize) -> Option<&[u8]> {
        if len > BODY_BYTES {
            return None;
        }
        // SAFETY: `len` bytes are in the body, and by the contract of this function they stay.
        Some(unsafe { std::slice::from_raw_parts(self.body(part).as_ptr(), len) })
    }

    /// The flag that asks the call of a part to stop.
    pub(super) fn cancel(&self, part: usize) -> &AtomicU32 {
        // SAFETY: the head of a part is aligned, in the mapping, and used as this flag only.
        unsafe { AtomicU32::from_ptr(self.part(part).as_ptr().cast()) }
    }

    /// Sets the flag.
    pub(super) fn set_cancel(&self, part: usize, cancelled: bool) {
        self.cancel(part).store(u32::from(cancelled), Ordering::Release);
    }

    fn part(&self, part: usize) -> NonNull<u8> {
        assert!(part < self.parts, "there are {} parts", self.parts);
        // SAFETY: the mapping has so many parts.
        unsafe { self.first.add(part * PART_BYTES) }
    }

    fn body(&self, part: usize) -> NonNull<u8> {
        // SAFETY: every part is longer than its head.
        unsafe { self.part(part).add(HEAD_BYTES) }
    }
}

/// Writes into the body of a part; what does not fit is refused.
pub(super) struct Writer {
    first: NonNull<u8>,
    at: usize,
}

impl Writer {
    /// Bytes written.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Takes back what was written beyond `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.at = self.at.min(len);
    }

    /// Writes bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.len() > BODY_BYTES - self.at {
            return None;
        }
        // SAFETY: `at` bytes are written and so many are left.
        let to = unsafe { self.first.add(self.at) };
        // SAFETY: as above; the source is ours, not in the arena.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        self.at += bytes.len();
        Some(())
    }

    /// Writes over a number that was written at `at`.
    pub(super) fn patch(&mut self, at: usize, number: u32) {
        let bytes = number.to_le_bytes();
        debug_assert!(at + bytes.len() <= self.at, "only what is written is patched");
        let end = std::mem::replace(&mut self.at, at);
        let written = self.raw(&bytes);
        debug_assert!(written.is_some());
        self.at = end;
    }
}
