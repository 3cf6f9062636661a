//! The chained log on disk: `audit-<first sequence number>.jsonl` files in one directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::directory::{Directory, Room, is_at};
use super::fault::{LogFault, OpenError};

/// `prev` of the very first line.
pub const GENESIS: [u8; 32] = [0; 32];

/// Longest line that is written and read back, in bytes: a request of 1,000 images with their
/// explanations.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes that the members of the chain add to a body: their names, a number of 20 digits, a time
/// and a hash make 139.
const CHAIN_BYTES_MAX: usize = 160;

/// Bytes at the end of the last append that the next one reads back: some ten records, in about a
/// microsecond. The rest is read back every second.
const END_BYTES_MAX: usize = 16 << 10;

/// The content of a line beside its place in the chain: a JSON object with at least one member,
/// short enough for a line that the verifier reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Bytes);

impl Body {
    /// Longest body, in bytes.
    pub const BYTES_MAX: usize = LINE_BYTES_MAX - CHAIN_BYTES_MAX;

    /// The body, unless its line would be too long.
    pub fn new(object: Bytes) -> Result<Self, BodyTooLong> {
        match object.len() {
            0..=Self::BYTES_MAX => Ok(Self(object)),
            bytes => Err(BodyTooLong { bytes }),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// No line that the verifier reads could hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes is longer than a line of the log may be")]
pub struct BodyTooLong {
    /// Its length.
    pub bytes: usize,
}

/// The log open for appending. Owned by one thread.
#[derive(Debug)]
pub struct Log {
    directory: Directory,
    path: PathBuf,
    file: File,
    bytes: u64,
    rotate_bytes: u64,
    first_seq: u64,
    next_seq: u64,
    prev: [u8; 32],
    torn_bytes: u64,
    /// Bytes of a failed write that could not be cut away yet.
    uncut: u64,
    /// The file is damaged: the next append begins another.
    is_left: bool,
    /// The lines that were appended last, if this process did.
    buffer: Vec<u8>,
    /// The bytes that are read back of them.
    read_back: Vec<u8>,
}

/// The repair of a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mended {
    /// The file is as it was left: nothing is lost.
    Whole,
    /// A new file is to continue the chain; these numbers were in the damaged file.
    Continued {
        /// The first number of the damaged file.
        first_seq: u64,
        /// The number after its last.
        next_seq: u64,
    },
}

impl Log {
    /// Takes the directory's lock and opens its newest file to append after its last whole line, or
    /// begins a new log.
    ///
    /// A line cut off by a crash was never acknowledged; it is cut away, and
    /// [`Log::torn_bytes`] says how much it was.
    pub fn open(dir: &Path, rotate_bytes: u64) -> Result<Self, OpenError> {
        let directory = Directory::own(dir)?;
        let newest = directory.files()?.pop();
        let (first_seq, path) = newest.unwrap_or_else(|| (1, directory.file(1)));
        let mut file = open_file(&path)?;
        let tail = Tail::read(&mut file, first_seq)?;
        if tail.torn_bytes > 0 {
            file.set_len(tail.whole_bytes)?;
        }
        let prev = match tail.prev {
            Some(prev) => prev,
            None => last_hash_before(&directory, first_seq)?,
        };
        directory.sync()?;
        Ok(Self {
            directory,
            path,
            file,
            bytes: tail.whole_bytes,
            rotate_bytes,
            first_seq,
            next_seq: tail.next_seq,
            prev,
            torn_bytes: tail.torn_bytes,
            uncut: 0,
            is_left: false,
            buffer: Vec::new(),
            read_back: Vec::new(),
        })
    }

    /// Bytes of an unfinished line that [`Log::open`] cut away.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Appends one line for each body, in order, with a single write, and looks whether they are
    /// where a reader of the directory finds them. On error nothing was appended.
    pub fn append<'a>(
        &mut self,
        time: jiff::Timestamp,
        bodies: impl IntoIterator<Item = &'a Body>,
    ) -> Result<(), LogFault> {
        if !self.is_left && self.uncut == 0 {
            self.check_end()?;
        }
        let (mut seq, mut prev) = (self.next_seq, self.prev);
        let time = format!("{time:.6}");
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        for body in bodies {
            let start = buffer.len();
            write!(buffer, r#"{{"seq":{seq},"time":"{time}","prev":"{}","#, Hex(&prev))
                .expect("a vector takes every write");
            buffer.extend_from_slice(body.0.get(1..).unwrap_or_default());
            prev = Sha256::digest(&buffer[start..]).into();
            seq += 1;
            buffer.push(b'\n');
        }
        let written = match (self.is_left, self.bytes >= self.rotate_bytes) {
            (false, false) => self.write_whole(&buffer),
            (false, true) => self.sync().and_then(|()| self.begin(&buffer)),
            (true, _) => self.begin(&buffer),
        };
        if written.is_err() {
            buffer.clear();
        }
        self.buffer = buffer;
        written?;
        (self.next_seq, self.prev) = (seq, prev);
        Ok(())
    }

    fn write_whole(&mut self, buffer: &[u8]) -> Result<(), LogFault> {
        self.cut().map_err(|source| self.refused(source))?;
        let before = self.bytes;
        let written = self.write(buffer).map_err(|source| self.refused(source));
        self.settle(before, written)
    }

    /// Checks that what was written after `before` is where it should be, or takes it back.
    fn settle(&mut self, before: u64, written: Result<(), LogFault>) -> Result<(), LogFault> {
        let outcome = written.and_then(|()| self.check());
        if outcome.is_err() {
            self.uncut = self.bytes - before;
            self.bytes = before;
            // If this fails, too, it is done before the next write.
            drop(self.cut());
        }
        outcome
    }

    /// Writes all of it, or as much as can be; [`Log::bytes`] counts either.
    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.bytes += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Cuts away what a failed write left, and nothing else: what another process wrote is its own.
    fn cut(&mut self) -> io::Result<()> {
        if self.uncut > 0 && self.file.metadata()?.len() == self.bytes + self.uncut {
            self.file.set_len(self.bytes)?;
        }
        self.uncut = 0;
        Ok(())
    }

    /// Goes on in a new file, which gets its name with its first lines in it: an empty one would not
    /// say where in the chain it stands once the files before it were shipped away.
    fn begin(&mut self, buffer: &[u8]) -> Result<(), LogFault> {
        let path = self.directory.file(self.next_seq);
        let refused = |source| LogFault::Refused { path: path.clone(), source };
        if std::fs::metadata(&path).is_ok_and(|other| other.len() > 0) {
            return Err(LogFault::InTheWay { path });
        }
        let unnamed = self.directory.unnamed();
        let begun = begin_file(&unnamed, buffer).and_then(|file| {
            std::fs::rename(&unnamed, &path)?;
            self.directory.sync()?;
            Ok(file)
        });
        let file = begun.map_err(|error| {
            // Neither may be taken for a part of the log.
            drop((std::fs::remove_file(&unnamed), std::fs::remove_file(&path)));
            refused(error)
        })?;
        (self.file, self.path, self.first_seq) = (file, path, self.next_seq);
        (self.bytes, self.uncut, self.is_left) = (buffer.len() as u64, 0, false);
        self.settle(0, Ok(()))
    }

    /// Looks whether the file still ends as the last append left it: no record is chained to a line
    /// that is not there any more.
    fn check_end(&mut self) -> Result<(), LogFault> {
        let end = &self.buffer[self.buffer.len().saturating_sub(END_BYTES_MAX)..];
        let Some(start) = self.bytes.checked_sub(end.len() as u64) else { return Ok(()) };
        self.read_back.resize(end.len(), 0);
        match self.file.read_exact_at(&mut self.read_back, start) {
            Ok(()) if self.read_back == end => Ok(()),
            Ok(()) => Err(LogFault::Changed { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.check(),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Looks whether the file is under its name, and as long as it was made.
    fn check(&self) -> Result<(), LogFault> {
        let held = self.file.metadata().map_err(|source| self.refused(source))?;
        let path = || self.path.clone();
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LogFault::Missing { path: path() });
            }
            Err(source) => return Err(self.refused(source)),
            Ok(named) if (named.dev(), named.ino()) != (held.dev(), held.ino()) => {
                return Err(LogFault::Replaced { path: path() });
            }
            Ok(_) => {}
        }
        match held.len() {
            found if found == self.bytes => Ok(()),
            found => Err(LogFault::Resized { path: path(), found, written: self.bytes }),
        }
    }

    /// Looks whether the log is as it was left: its place, its length, its last line, its lock.
    pub(super) fn inspect(&mut self) -> Result<(), LogFault> {
        if self.uncut == 0 {
            self.check()?;
            let mut file = &self.file;
            let tail = Tail::read(&mut file, self.first_seq);
            if !tail.map_err(|source| self.refused(source))?.is_end_of(self) {
                return Err(LogFault::Changed { path: self.path.clone() });
            }
        }
        self.directory.keep()
    }

    /// Makes a damaged log good again: by the file itself, if it is back as it was left, or else,
    /// if `may_continue`, by leaving it: the next append begins a new one. `None`: not yet.
    pub(super) fn mend(
        &mut self,
        fault: &LogFault,
        may_continue: bool,
    ) -> Result<Option<Mended>, LogFault> {
        if fault.may_be_undone() && self.take_up()? {
            self.directory.keep()?;
            return Ok(Some(Mended::Whole));
        }
        if !may_continue {
            return Ok(None);
        }
        self.directory.keep()?;
        // Lines that were not acknowledged do not stay behind in a file that is left.
        drop(self.cut());
        self.is_left = true;
        let (first_seq, next_seq) = (self.first_seq, self.next_seq);
        Ok(Some(Mended::Continued { first_seq, next_seq }))
    }

    /// Opens the file by its name again, if it ends with the line that was written last.
    fn take_up(&mut self) -> Result<bool, LogFault> {
        let mut file = match OpenOptions::new().read(true).append(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(self.refused(source)),
        };
        if is_at(&self.file, &self.path).unwrap_or(false) {
            self.cut().map_err(|source| self.refused(source))?;
        }
        // A file that is no log at all is no end of this one.
        let Ok(tail) = Tail::read(&mut file, self.first_seq) else { return Ok(false) };
        let is_whole = tail.is_end_of(self);
        if is_whole {
            (self.file, self.uncut, self.is_left) = (file, 0, false);
        }
        Ok(is_whole)
    }

    fn refused(&self, source: io::Error) -> LogFault {
        LogFault::Refused { path: self.path.clone(), source }
    }

    /// First sequence number of the current file: tells one file from the next.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The current file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The room left on the log's disk.
    pub(super) fn room(&self) -> io::Result<Room> {
        self.directory.room()
    }

    /// Waits until everything appended is on the disk.
    pub fn sync(&self) -> Result<(), LogFault> {
        self.file.sync_data().map_err(|error| LogFault::Unsynced {
            path: self.path.clone(),
            error: error.to_string(),
        })
    }

    /// A second handle on the current file, to sync it from another thread.
    pub fn sync_handle(&self) -> Result<File, LogFault> {
        self.file.try_clone().map_err(|source| self.refused(source))
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn begin_file(path: &Path, lines: &[u8]) -> io::Result<File> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = open_file(path)?;
    file.write_all(lines)?;
    Ok(file)
}

/// The end of a file, which says where to go on.
struct Tail {
    whole_bytes: u64,
    torn_bytes: u64,
    next_seq: u64,
    prev: Option<[u8; 32]>,
}

impl Tail {
    fn read(file: &mut (impl Read + Seek), first_seq: u64) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        let whole_bytes = last_newline(file, len)?;
        let torn_bytes = len - whole_bytes;
        let Some(end) = whole_bytes.checked_sub(1) else {
            return Ok(Self { whole_bytes, torn_bytes, next_seq: first_seq, prev: None });
        };
        let start = last_newline(file, end)?;
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        if length > LINE_BYTES_MAX {
            return Err(io::Error::other("the last line of the audit log is too long to be one"));
        }
        let mut line = vec![0; length];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut line)?;
        let seq = sequence_number(&line).ok_or_else(|| {
            io::Error::other("the last line of the audit log has no sequence number")
        })?;
        let prev = Some(Sha256::digest(&line).into());
        Ok(Self { whole_bytes, torn_bytes, next_seq: seq + 1, prev })
    }

    /// True if this is the end of what `log` wrote into its current file.
    fn is_end_of(&self, log: &Log) -> bool {
        let is_empty = log.first_seq == log.next_seq;
        let same_line = if is_empty { self.prev.is_none() } else { self.prev == Some(log.prev) };
        same_line
            && self.next_seq == log.next_seq
            && (self.whole_bytes, self.torn_bytes) == (log.bytes, 0)
    }
}

/// The sequence number that a line begins with.
pub fn sequence_number(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(br#"{"seq":"#)?;
    let digits = rest.split(|&byte| byte == b',').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Offset just after the last newline before `end`, or 0.
fn last_newline(file: &mut (impl Read + Seek), end: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut block = Vec::new();
    let mut stop = end;
    while stop > 0 {
        let start = stop.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::take(&mut *file, stop - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        stop = start;
    }
    Ok(0)
}

/// Hash of the last line of the file before the one that begins with `first_seq`: a rotation may
/// be cut off before its first line.
fn last_hash_before(directory: &Directory, first_seq: u64) -> io::Result<[u8; 32]> {
    let before = directory.files()?.into_iter().rfind(|&(seq, _)| seq < first_seq);
    let Some((seq, path)) = before else { return Ok(GENESIS) };
    Ok(Tail::read(&mut File::open(path)?, seq)?.prev.unwrap_or(GENESIS))
}

/// Lower-case hexadecimal.
#[derive(Debug)]
pub struct Hex<'a>(pub &'a [u8; 32]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| std::fmt::Error)?)
    }
}
