//! Memory that bites: what is lent to a plugin lies here, between pages that nobody may touch, and
//! is out of bounds as soon as the call returns.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// The byte that fills memory that a plugin must leave alone.
pub(super) const CANARY: u8 = 0xA5;
/// Arenas that stay out of bounds before their addresses are used again. Each costs two of the
/// 65,530 mappings that a process may have.
const QUARANTINE: usize = 4_096;

/// Whole pages with a guard page on either side.
#[derive(Debug)]
pub(super) struct Arena {
    base: NonNull<u8>,
    /// Bytes between the guards.
    len: usize,
    /// Where the next thing goes, from the first byte between the guards.
    next: usize,
}

// SAFETY: the memory belongs to this value alone, wherever it is.
unsafe impl Send for Arena {}

impl Arena {
    /// Room for `bytes`, which end where the guard begins (but for alignment). Full of canaries.
    pub(super) fn new(bytes: usize) -> std::io::Result<Self> {
        let page = page_size();
        let len = bytes.max(1).next_multiple_of(page);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len + 2 * page, ProtFlags::empty(), flags)
        }?;
        let base = NonNull::new(base.cast::<u8>())
            .ok_or_else(|| std::io::Error::other("a mapping at NULL"))?;
        let this = Self { base, len, next: (len - bytes) & !15 };
        this.protect(MprotectFlags::READ | MprotectFlags::WRITE)?;
        // SAFETY: the pages between the guards were just made writable.
        unsafe { this.first().as_ptr().write_bytes(CANARY, len) };
        Ok(this)
    }

    /// Copies `bytes` to the next place that is `align`ed, plus `odd`.
    pub(super) fn put(&mut self, bytes: &[u8], align: usize, odd: usize) -> *mut u8 {
        let to = self.take(bytes.len(), align, odd);
        // SAFETY: `take` gave as many bytes, which nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        to
    }

    /// The next `len` bytes from an `align`ed place, plus `odd`.
    pub(super) fn take(&mut self, len: usize, align: usize, odd: usize) -> *mut u8 {
        let at = self.next.next_multiple_of(align) + odd;
        assert!(at + len <= self.len, "the arena was made too small");
        self.next = at + len;
        // SAFETY: the place lies between the guards.
        unsafe { self.first().as_ptr().add(at) }
    }

    /// From now on it can only be read.
    pub(super) fn seal(&self) -> std::io::Result<()> {
        self.protect(MprotectFlags::READ)
    }

    /// Everything between the guards.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and initialised by `new`, readable until `drop`; a plugin that writes to
        // it does so during the call only, and no reference lives then.
        unsafe { std::slice::from_raw_parts(self.first().as_ptr(), self.len) }
    }

    /// Offset of an address among [`Arena::bytes`].
    pub(super) fn offset(&self, address: *const u8) -> usize {
        address as usize - self.first().as_ptr() as usize
    }

    fn first(&self) -> NonNull<u8> {
        // SAFETY: the guard in front of it is one page of the same mapping.
        unsafe { self.base.add(page_size()) }
    }

    fn protect(&self, flags: MprotectFlags) -> std::io::Result<()> {
        // SAFETY: these pages belong to the arena.
        unsafe { mprotect(self.first().as_ptr().cast(), self.len, flags) }.map_err(Into::into)
    }
}

impl Drop for Arena {
    /// Out of bounds, with the pages given back and the addresses kept for a while.
    fn drop(&mut self) {
        let (base, len) = (self.base.as_ptr(), self.len + 2 * page_size());
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: it replaces this arena's own mapping, to which no reference is left.
        let fenced = unsafe { mmap_anonymous(base.cast(), len, ProtFlags::empty(), flags) };
        if fenced.is_ok() {
            quarantine(base as usize, len);
        }
    }
}

fn quarantine(base: usize, len: usize) {
    static HELD: OnceLock<Mutex<VecDeque<(usize, usize)>>> = OnceLock::new();
    let held = HELD.get_or_init(|| Mutex::new(VecDeque::with_capacity(QUARANTINE + 1)));
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.push_back((base, len));
    if held.len() > QUARANTINE
        && let Some((base, len)) = held.pop_front()
    {
        // SAFETY: the mapping of an arena that was dropped; its address is kept nowhere else.
        // A failure leaves it mapped, which is what quarantine means.
        unsafe { munmap(base as *mut _, len) }.unwrap_or_default();
    }
}

pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}
