//! Checks the chain of a log on disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::log::{GENESIS, Hex, LINE_BYTES_MAX, files, sequence_number};

/// What a whole chain looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Files read.
    pub files: usize,
    /// Lines read.
    pub lines: u64,
    /// First sequence number; above 1 where older files were moved away.
    pub first_seq: u64,
    /// SHA-256 of the last line, in hexadecimal. Kept elsewhere, it proves that nothing was cut
    /// off at the end.
    pub head: String,
    /// Bytes of an unfinished line at the very end: a daemon is writing, or one crashed.
    pub torn_bytes: usize,
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
        /// What gave it away.
        what: String,
    },
}

/// Reads every line of the log in `dir` and checks numbers and hashes.
pub fn verify(dir: &Path) -> Result<Verified, VerifyError> {
    let unreadable = |source| VerifyError::Unreadable { path: dir.to_owned(), source };
    let files = files(dir).map_err(unreadable)?;
    let Some(&(first_seq, _)) = files.first() else {
        return Err(VerifyError::Empty(dir.to_owned()));
    };
    let mut chain =
        Chain { next_seq: first_seq, prev: (first_seq == 1).then_some(GENESIS), lines: 0 };
    let mut torn_bytes = 0;
    for (index, (seq, path)) in files.iter().enumerate() {
        if *seq != chain.next_seq {
            let what = format!("begins with {seq}, expected {}: a file is missing", chain.next_seq);
            return Err(VerifyError::Broken { path: path.clone(), line: 1, what });
        }
        let last = index + 1 == files.len();
        torn_bytes = chain.read_file(path, last)?;
    }
    let head = Hex(&chain.prev.unwrap_or(GENESIS)).to_string();
    Ok(Verified { files: files.len(), lines: chain.lines, first_seq, head, torn_bytes })
}

struct Chain {
    next_seq: u64,
    prev: Option<[u8; 32]>,
    lines: u64,
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
        self.prev = Some(Sha256::digest(line).into());
        self.next_seq += 1;
        self.lines += 1;
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Members<'a> {
    seq: u64,
    #[serde(borrow)]
    prev: std::borrow::Cow<'a, str>,
}
