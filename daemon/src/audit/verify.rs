//! Checks the chain of a log on disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::directory::files;
use super::log::{GENESIS, Hex, LINE_BYTES_MAX, sequence_number};
use super::notice::CONTINUED;

/// SHA-256 of a line, by which the next one names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineHash([u8; 32]);

impl std::fmt::Display for LineHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Not the hash of a line. Whoever wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head has 64 hexadecimal digits, as `audit verify` prints it; this one does not")]
pub struct NotALineHash;

impl FromStr for LineHash {
    type Err = NotALineHash;

    fn from_str(text: &str) -> Result<Self, NotALineHash> {
        let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NotALineHash)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(|_| NotALineHash)?;
        }
        Ok(Self(hash))
    }
}

/// Measures of a whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Files read.
    pub files: usize,
    /// Lines read.
    pub lines: u64,
    /// First sequence number; above 1 where older files were moved away.
    pub first_seq: u64,
    /// The last line. Kept elsewhere, its hash proves later that nothing before it was cut off.
    pub head: LineHash,
    /// The number of the line whose hash was asked for.
    pub kept_seq: Option<u64>,
    /// Numbers that the daemon itself found lost or damaged while it wrote them.
    pub losses: Vec<Loss>,
    /// Bytes of an unfinished line at the very end: a daemon is writing, or one crashed.
    pub torn_bytes: usize,
}

/// Records that were in a file which was removed or damaged under the daemon, as the line says that
/// continues the chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The line that says so.
    #[serde(rename = "seq")]
    pub told_by: u64,
    /// The first number of that file.
    pub first_seq: u64,
    /// Its last.
    pub last_seq: u64,
    /// The cause of its loss.
    pub cause: String,
}

/// Why a log is not one whole chain.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No log is there.
    #[error("no audit log in {0}")]
    Empty(PathBuf),
    /// A file could not be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The chain is broken: a line was changed, removed, added or moved.
    #[error("{path} line {line}: {what}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which line of it, from 1.
        line: u64,
        /// The mismatch that gave it away.
        what: String,
    },
    /// The chain is whole, and it is not the one, or not all of the one, that was expected.
    #[error(
        "no line has the head {0}: lines are missing at the end, or it is the head of another log"
    )]
    HeadMissing(LineHash),
}

/// Reads every line of the log in `dir` and checks numbers and hashes. With `kept`, a head from
/// earlier, the log must contain that line, or go on right after it.
pub fn verify(dir: &Path, kept: Option<LineHash>) -> Result<Verified, VerifyError> {
    let unreadable = |source| VerifyError::Unreadable { path: dir.to_owned(), source };
    let files = files(dir).map_err(unreadable)?;
    let Some(&(first_seq, _)) = files.first() else {
        return Err(VerifyError::Empty(dir.to_owned()));
    };
    let prev = (first_seq == 1).then_some(GENESIS);
    let (kept_seq, losses) = (None, Vec::new());
    let mut chain = Chain { next_seq: first_seq, prev, lines: 0, kept, kept_seq, losses };
    let mut torn_bytes = 0;
    for (index, (seq, path)) in files.iter().enumerate() {
        if *seq != chain.next_seq {
            let what = format!("begins with {seq}, expected {}: a file is missing", chain.next_seq);
            return Err(VerifyError::Broken { path: path.clone(), line: 1, what });
        }
        let last = index + 1 == files.len();
        torn_bytes = chain.read_file(path, last)?;
    }
    let Chain { next_seq, prev, lines, kept, kept_seq, losses } = chain;
    let head = LineHash(prev.unwrap_or(GENESIS));
    let kept_seq = if kept == Some(head) { Some(next_seq - 1) } else { kept_seq };
    match kept {
        Some(kept) if kept_seq.is_none() => Err(VerifyError::HeadMissing(kept)),
        _ => Ok(Verified {
            files: files.len(),
            lines,
            first_seq,
            head,
            kept_seq,
            losses,
            torn_bytes,
        }),
    }
}

struct Chain {
    next_seq: u64,
    prev: Option<[u8; 32]>,
    lines: u64,
    kept: Option<LineHash>,
    kept_seq: Option<u64>,
    losses: Vec<Loss>,
}

impl Chain {
    /// Returns the bytes of an unfinished line at the end, which only the last file may have.
    fn read_file(&mut self, path: &Path, last: bool) -> Result<usize, VerifyError> {
        let unreadable = |source| VerifyError::Unreadable { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let limit = LINE_BYTES_MAX as u64 + 1;
            Read::take(&mut reader, limit).read_until(b'\n', &mut line).map_err(unreadable)?;
            let broken = |what| VerifyError::Broken { path: path.to_owned(), line: number, what };
            match line.split_last() {
                None => return Ok(0),
                Some((b'\n', whole)) => self.read_line(whole).map_err(broken)?,
                Some(_) if last && line.len() <= LINE_BYTES_MAX => return Ok(line.len()),
                Some(_) => return Err(broken("the line has no end".to_owned())),
            }
        }
        Ok(0)
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), String> {
        let members: Members<'_> =
            hallmark_json::from_slice(line).map_err(|error| error.to_string())?;
        if members.seq != self.next_seq || sequence_number(line) != Some(self.next_seq) {
            return Err(format!("its number is {}, expected {}", members.seq, self.next_seq));
        }
        let expected = self.prev.map(|prev| Hex(&prev).to_string());
        if expected.is_some_and(|expected| expected != members.prev) {
            return Err(
                "it does not follow from the line before it, or that line was changed".to_owned()
            );
        }
        if self.kept.is_some_and(|kept| members.prev.parse() == Ok(kept)) {
            self.kept_seq = Some(members.seq - 1);
        }
        if members.r#type == CONTINUED {
            self.losses.push(hallmark_json::from_slice(line).map_err(|error| error.to_string())?);
        }
        self.prev = Some(Sha256::digest(line).into());
        self.next_seq += 1;
        self.lines += 1;
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Members<'a> {
    seq: u64,
    #[serde(borrow, default)]
    r#type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    prev: std::borrow::Cow<'a, str>,
}
