//! The chained log on disk: `audit-<first sequence number>.jsonl` files in one directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// `prev` of the very first line.
pub const GENESIS: [u8; 32] = [0; 32];

/// Longest line that is read back, in bytes: a request of 1,000 images with their explanations.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// The log open for appending. Owned by one thread.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    file: File,
    bytes: u64,
    rotate_bytes: u64,
    first_seq: u64,
    next_seq: u64,
    prev: [u8; 32],
    torn_bytes: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Opens the newest file of `dir` to append after its last whole line, or begins a new log.
    ///
    /// A line cut off by a crash was never acknowledged; it is cut away, and
    /// [`Log::torn_bytes`] says how much it was.
    pub fn open(dir: &Path, rotate_bytes: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let newest = files(dir)?.pop();
        let (first_seq, path) = match newest {
            Some(found) => found,
            None => (1, dir.join(file_name(1))),
        };
        let mut file = open_file(&path)?;
        let tail = Tail::read(&mut file, first_seq)?;
        file.set_len(tail.whole_bytes)?;
        file.seek(SeekFrom::End(0))?;
        let prev = match tail.prev {
            Some(prev) => prev,
            None => last_hash_before(dir, first_seq)?,
        };
        let (bytes, next_seq, torn_bytes) = (tail.whole_bytes, tail.next_seq, tail.torn_bytes);
        let dir = dir.to_owned();
        sync_dir(&dir)?;
        Ok(Self {
            dir,
            file,
            bytes,
            rotate_bytes,
            first_seq,
            next_seq,
            prev,
            torn_bytes,
            buffer: Vec::new(),
        })
    }

    /// Bytes of an unfinished line that [`Log::open`] cut away.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Appends one line for each body, in order, with a single write.
    ///
    /// A body is a JSON object with at least one member; its members follow those of the chain. On
    /// error nothing was appended: what a failed write left behind is cut away.
    pub fn append<'a>(
        &mut self,
        time: jiff::Timestamp,
        bodies: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        if self.bytes >= self.rotate_bytes {
            self.rotate()?;
        }
        let (mut seq, mut prev) = (self.next_seq, self.prev);
        let time = format!("{time:.6}");
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        for body in bodies {
            let start = buffer.len();
            write!(buffer, r#"{{"seq":{seq},"time":"{time}","prev":"{}","#, Hex(&prev))?;
            buffer.extend_from_slice(body.get(1..).unwrap_or_default());
            prev = Sha256::digest(&buffer[start..]).into();
            seq += 1;
            buffer.push(b'\n');
        }
        let written = self.write_whole(&buffer);
        self.buffer = buffer;
        written?;
        (self.next_seq, self.prev) = (seq, prev);
        Ok(())
    }

    fn write_whole(&mut self, buffer: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(buffer) {
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let file = open_file(&self.dir.join(file_name(self.next_seq)))?;
        sync_dir(&self.dir)?;
        self.file = file;
        self.first_seq = self.next_seq;
        self.bytes = 0;
        Ok(())
    }

    /// First sequence number of the current file: tells one file from the next.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Waits until everything appended is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A second handle on the current file, to sync it from another thread.
    pub fn sync_handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// The log files of `dir` with their first sequence numbers, oldest first.
pub fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let seq =
            name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl"));
        if let Some(seq) = seq.and_then(|seq| seq.parse().ok()) {
            found.push((seq, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(first_seq: u64) -> String {
    format!("audit-{first_seq:020}.jsonl")
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What the end of a file says about how to go on.
struct Tail {
    whole_bytes: u64,
    torn_bytes: u64,
    next_seq: u64,
    prev: Option<[u8; 32]>,
}

impl Tail {
    fn read(file: &mut File, first_seq: u64) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let whole_bytes = last_newline(file, len)?;
        let torn_bytes = len - whole_bytes;
        let Some(end) = whole_bytes.checked_sub(1) else {
            return Ok(Self { whole_bytes, torn_bytes, next_seq: first_seq, prev: None });
        };
        let start = last_newline(file, end)?;
        let mut line = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut line)?;
        let seq = sequence_number(&line).ok_or_else(|| {
            io::Error::other("the last line of the audit log has no sequence number")
        })?;
        let prev = Some(Sha256::digest(&line).into());
        Ok(Self { whole_bytes, torn_bytes, next_seq: seq + 1, prev })
    }
}

/// The sequence number that a line begins with.
pub fn sequence_number(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(br#"{"seq":"#)?;
    let digits = rest.split(|&byte| byte == b',').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Offset just after the last newline before `end`, 0 where there is none.
fn last_newline(file: &mut File, end: u64) -> io::Result<u64> {
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
fn last_hash_before(dir: &Path, first_seq: u64) -> io::Result<[u8; 32]> {
    let before = files(dir)?.into_iter().rfind(|&(seq, _)| seq < first_seq);
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
