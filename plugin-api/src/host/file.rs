//! The file of a plugin: who may have written it, and are its bytes the pinned ones?
//!
//! The bytes are read once into sealed memory. What is hashed there is what is mapped later, so
//! nothing can change in between, whatever happens to the path.

use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::error::LoadReason;
use super::limits;

/// A reason to trust the bytes of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The SHA-256 of the file is one of these.
    Sha256(Vec<[u8; 32]>),
    /// The file is part of the daemon's own installation: in the directory of the running
    /// executable or in `../lib/hallmark/plugins` from there, with the same owner, and with no
    /// more writers. Whoever can replace it can replace the daemon.
    BesideExecutable,
}

/// Where bundled plugins lie, seen from the directory of the executable.
pub(super) const BUNDLE: &str = "../lib/hallmark/plugins";

/// Sealed bytes in memory, and their hash.
pub(super) struct Sealed {
    pub(super) memory: File,
    pub(super) sha256: [u8; 32],
}

/// Reads a plugin file and holds it against its pin.
pub(super) fn read(path: &Path, pin: &Pin) -> Result<Sealed, LoadReason> {
    let file = open(path)?;
    let sealed = seal(file)?;
    match pin {
        Pin::Sha256(pinned) if pinned.contains(&sealed.sha256) => Ok(sealed),
        Pin::Sha256(_) => Err(LoadReason::Pin(hex(&sealed.sha256))),
        Pin::BesideExecutable if bundled(path)? => Ok(sealed),
        Pin::BesideExecutable => Err(LoadReason::NotBundled),
    }
}

fn open(path: &Path) -> Result<File, LoadReason> {
    // NONBLOCK: opening a pipe must not wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::LOOP) => return Err(LoadReason::Symlink),
        Err(error) => return Err(LoadReason::Io(error.into())),
    };
    let meta = file.metadata()?;
    let daemon = rustix::process::geteuid().as_raw();
    if !meta.is_file() {
        return Err(LoadReason::NotAFile);
    }
    if meta.uid() != 0 && meta.uid() != daemon {
        return Err(LoadReason::Owner { owner: meta.uid(), daemon });
    }
    if writers(&meta) != 0 {
        return Err(LoadReason::Writable(meta.mode() & 0o7777));
    }
    if meta.len() > limits::FILE_BYTES {
        return Err(LoadReason::TooLarge);
    }
    Ok(file)
}

/// The permission bits that let others write.
fn writers(meta: &Metadata) -> u32 {
    meta.mode() & 0o022
}

fn seal(file: File) -> Result<Sealed, LoadReason> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("hallmark-plugin", flags).map_err(std::io::Error::from)?;
    let mut memory = File::from(fd);
    // One more than permitted, so that a file that grows meanwhile is noticed.
    let copied = std::io::copy(&mut file.take(limits::FILE_BYTES + 1), &mut memory)?;
    if copied > limits::FILE_BYTES {
        return Err(LoadReason::TooLarge);
    }
    add_seals(&memory)?;
    memory.rewind()?;
    let sha256 = hash(&memory)?;
    Ok(Sealed { memory, sha256 })
}

/// Tries at sealing. Each waits up to 150 ms in Linux for pages that the kernel itself still holds.
const SEAL_TRIES: usize = 20;

/// Makes the content final. The kernel answers "busy" for a while if its own bookkeeping holds a
/// page, as it does on a machine under load.
fn add_seals(memory: &File) -> std::io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let mut outcome = Err(Errno::BUSY);
    for _ in 0..SEAL_TRIES {
        outcome = rustix::fs::fcntl_add_seals(memory, seals);
        if outcome != Err(Errno::BUSY) {
            break;
        }
    }
    outcome.map_err(std::io::Error::from)
}

fn hash(mut memory: &File) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match memory.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&chunk[..n]),
        }
    }
}

fn bundled(path: &Path) -> Result<bool, LoadReason> {
    let executable = std::env::current_exe()?.canonicalize()?;
    let (Some(home), Some(dir)) = (executable.parent(), path.parent()) else { return Ok(false) };
    let dir = dir.canonicalize()?;
    let bundle = home.join(BUNDLE).canonicalize();
    if dir != home && !bundle.is_ok_and(|bundle| bundle == dir) {
        return Ok(false);
    }
    let (home, dir) = (home.metadata()?, dir.metadata()?);
    let (executable, file) = (executable.metadata()?, path.symlink_metadata()?);
    let same_owner = file.uid() == executable.uid() && dir.uid() == home.uid();
    Ok(same_owner && writers(&dir) & !writers(&home) == 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
