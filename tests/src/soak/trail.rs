//! The audit log, read by somebody who does not believe the daemon: every line once, in order, and
//! against every answer that was given.
//!
//! It is read while no daemon runs. A line that a failed write left behind is cut away again by a
//! daemon that lives, so a reader beside it could see lines that never were.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Promise, Violation};

/// Violations of one kind that are reported one by one; a broken log breaks for every answer.
const REPORTED_MAX: usize = 5;

/// The log of one daemon, as far as it was read, and the answers that must be in it.
#[derive(Debug)]
pub struct Trail {
    dir: PathBuf,
    place: Option<Place>,
    /// Verdicts by the number of their question, since the last reading.
    answered: HashMap<u64, bool>,
    /// Numbers below this one belong to questions that ended before the last reading.
    settled: u64,
    /// Writes acknowledged since the last reading.
    written: u64,
    figures: Figures,
}

/// Counts of what was read in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Lines whose place in the chain was checked.
    pub lines: u64,
    /// Answers that were found in the log.
    pub answers: u64,
    /// Acknowledged writes that were found in the log.
    pub writes: u64,
}

/// Where reading goes on, and what must still lie before it.
#[derive(Clone, Debug)]
struct Place {
    file: PathBuf,
    /// Where the last line that was read begins, and where the next one will.
    last: u64,
    next: u64,
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    prev: String,
    #[serde(rename = "type")]
    kind: String,
    principal: Option<String>,
    outcome: Option<String>,
    decision: Option<Decision>,
}

#[derive(Deserialize)]
struct Decision {
    allowed: bool,
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    image: String,
}

impl Trail {
    /// The log in `dir`, of which nothing was read.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            place: None,
            answered: HashMap::new(),
            settled: 0,
            written: 0,
            figures: Figures::default(),
        }
    }

    /// Notes that question `number` was answered with a verdict that the log must hold.
    pub fn answered(&mut self, number: u64, allowed: bool) {
        self.answered.insert(number, allowed);
    }

    /// Notes that a write of the principal [`WRITER`] was acknowledged.
    pub fn written(&mut self) {
        self.written += 1;
    }

    /// Counts of what was read in all.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Reads what is new and holds it against the answers. `next` is the number of the next
    /// question; no daemon may run, and no question be under way.
    pub fn settle(&mut self, next: u64) -> Vec<Violation> {
        let (records, broken) = match self.read_new() {
            Ok(records) => (records, None),
            Err(broken) => (Vec::new(), Some(broken)),
        };
        let mut found: Vec<_> = broken.into_iter().collect();
        let mut verdicts: HashMap<u64, Vec<bool>> = HashMap::new();
        let mut written = 0;
        for record in &records {
            let ours = record.principal.as_deref() == Some(WRITER);
            if record.kind == "write" && ours && record.outcome.as_deref() == Some("OK") {
                written += 1;
            }
            let Some(decision) = &record.decision else { continue };
            let number = decision.images.first().and_then(|image| number(&image.image));
            if let Some(number) = number {
                verdicts.entry(number).or_default().push(decision.allowed);
            }
        }
        found.extend(self.compare(&verdicts));
        if written < self.written {
            let what = format!("{} writes acknowledged, {written} recorded", self.written);
            found.push(Violation::new(Promise::RecordedOnce, what));
        }
        self.figures.answers += self.answered.len() as u64;
        self.figures.writes += self.written;
        self.answered.clear();
        self.written = 0;
        self.settled = next;
        found
    }

    fn compare(&self, verdicts: &HashMap<u64, Vec<bool>>) -> Vec<Violation> {
        let mut found = Vec::new();
        for (number, allowed) in &self.answered {
            match verdicts.get(number).map_or(&[][..], Vec::as_slice) {
                [recorded] if recorded == allowed => {}
                [] => found.push(format!("the answer to question {number} is not recorded")),
                recorded => found.push(format!(
                    "question {number} was answered {allowed}, and is recorded as {recorded:?}"
                )),
            }
        }
        let late = verdicts.keys().filter(|number| **number < self.settled);
        found.extend(late.map(|number| format!("question {number} is recorded again, later")));
        let total = found.len();
        found.truncate(REPORTED_MAX);
        if total > REPORTED_MAX {
            found.push(format!("{} more of this kind", total - REPORTED_MAX));
        }
        found.into_iter().map(|what| Violation::new(Promise::RecordedOnce, what)).collect()
    }

    fn read_new(&mut self) -> Result<Vec<Record>, Violation> {
        let broken = |what: String| Violation::new(Promise::OneChain, what);
        let io = |error: std::io::Error| broken(format!("the log cannot be read: {error}"));
        let mut records = Vec::new();
        if let Some(place) = &self.place {
            place.is_still_there().map_err(broken)?;
        }
        for path in files(&self.dir).map_err(io)? {
            let start = match &self.place {
                Some(place) if path < place.file => continue,
                Some(place) if path == place.file => place.next,
                _ => 0,
            };
            let mut file = File::open(&path).map_err(io)?;
            file.seek(SeekFrom::Start(start)).map_err(io)?;
            self.read_file(&path, start, BufReader::new(file), &mut records).map_err(broken)?;
        }
        Ok(records)
    }

    /// Reads whole lines; one without an end was never acknowledged.
    fn read_file(
        &mut self,
        path: &Path,
        start: u64,
        mut reader: impl BufRead,
        records: &mut Vec<Record>,
    ) -> Result<(), String> {
        let mut at = start;
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
            let Some((b'\n', whole)) = line.split_last() else { return Ok(()) };
            let record: Record = serde_json::from_slice(whole)
                .map_err(|error| format!("{} at byte {at}: {error}", path.display()))?;
            if let Some(place) = &self.place {
                place.is_followed_by(&record)?;
            }
            let next = at + line.len() as u64;
            self.place = Some(Place {
                file: path.to_owned(),
                last: at,
                next,
                seq: record.seq,
                hash: hash(whole),
            });
            self.figures.lines += 1;
            records.push(record);
            at = next;
        }
    }

    /// Ships all but the two newest files: removes them, as an operator does who has copied them.
    /// The newest may be empty, after a crash in a rotation; the line that the next one follows is
    /// then in the one before. Does so once the log is larger than `bytes`, and answers how many
    /// files are gone.
    pub fn ship(&self, bytes: u64) -> std::io::Result<usize> {
        let mut files = files(&self.dir)?;
        let size = |path: &PathBuf| std::fs::metadata(path).map(|file| file.len());
        let total = files.iter().map(size).sum::<std::io::Result<u64>>()?;
        files.truncate(files.len().saturating_sub(2));
        if total <= bytes {
            return Ok(0);
        }
        files.iter().try_for_each(std::fs::remove_file)?;
        Ok(files.len())
    }
}

/// The principal whose writes are counted.
pub const WRITER: &str = "user:writer";

impl Place {
    fn is_still_there(&self) -> Result<(), String> {
        let gone = |why: String| format!("line {} is gone from the log: {why}", self.seq);
        let mut file = File::open(&self.file).map_err(|error| gone(error.to_string()))?;
        file.seek(SeekFrom::Start(self.last)).map_err(|error| gone(error.to_string()))?;
        let mut line = Vec::new();
        let length = self.next - self.last;
        file.take(length).read_to_end(&mut line).map_err(|error| gone(error.to_string()))?;
        match line.split_last() {
            Some((b'\n', whole)) if hash(whole) == self.hash => Ok(()),
            _ => Err(gone("other bytes lie in its place".to_owned())),
        }
    }

    fn is_followed_by(&self, record: &Record) -> Result<(), String> {
        if record.seq != self.seq + 1 || record.prev != self.hash {
            return Err(format!("line {} does not follow from line {}", record.seq, self.seq));
        }
        Ok(())
    }
}

/// The tag of an image by which its question is found again: `…:q17@sha256:…`.
pub fn tagged(repository: &str, number: u64, digest: &str) -> String {
    format!("{repository}:q{number}@{digest}")
}

fn number(image: &str) -> Option<u64> {
    let (_, tag) = image.split_once('@')?.0.rsplit_once(":q")?;
    tag.parse().ok()
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    let of_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    let mut files: Vec<_> = entries.iter().map(std::fs::DirEntry::path).filter(of_log).collect();
    files.sort();
    Ok(files)
}

fn hash(line: &[u8]) -> String {
    crate::project::sha256_hex(line)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const FILE: &str = "audit-00000000000000000001.jsonl";

    /// A log of decisions on these questions, all allowed, and its lines.
    fn log(questions: &[u64]) -> (TempDir, Vec<String>) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut prev = "0".repeat(64);
        let mut lines = Vec::new();
        for (index, question) in questions.iter().enumerate() {
            let image = tagged("r/i", *question, "sha256:00");
            let line = format!(
                r#"{{"seq":{},"prev":"{prev}","type":"decision","decision":{{"allowed":true,"images":[{{"image":"{image}"}}]}}}}"#,
                index + 1
            );
            prev = hash(line.as_bytes());
            lines.push(line + "\n");
        }
        write(&dir, &lines);
        (dir, lines)
    }

    fn write(dir: &TempDir, lines: &[String]) {
        std::fs::write(dir.path().join(FILE), lines.concat()).expect("writes");
    }

    fn settled(trail: &mut Trail, answers: &[(u64, bool)], next: u64) -> Vec<Promise> {
        answers.iter().for_each(|(number, allowed)| trail.answered(*number, *allowed));
        trail.settle(next).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn every_answer_is_found_once() {
        let (dir, _) = log(&[0, 1, 2]);
        let mut trail = Trail::new(dir.path());
        // Number 2 was cut off before its answer came: it may be recorded or not.
        assert_eq!(settled(&mut trail, &[(0, true), (1, true)], 3), []);
        assert_eq!(trail.figures(), Figures { lines: 3, answers: 2, writes: 0 });
    }

    #[test]
    fn a_missing_record_is_found() {
        let (dir, _) = log(&[0, 2]);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[(0, true), (1, true)], 3), [Promise::RecordedOnce]);
    }

    #[test]
    fn a_second_record_is_found() {
        let (dir, _) = log(&[0, 1, 1]);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[(1, true)], 2), [Promise::RecordedOnce]);
    }

    #[test]
    fn a_second_record_in_a_later_life_is_found() {
        let (dir, _) = log(&[0, 1]);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[(0, true)], 2), []);
        let (_other, lines) = log(&[0, 1, 0]);
        write(&dir, &lines);
        assert_eq!(settled(&mut trail, &[], 2), [Promise::RecordedOnce]);
    }

    #[test]
    fn another_verdict_than_the_recorded_one_is_found() {
        let (dir, _) = log(&[0]);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[(0, false)], 1), [Promise::RecordedOnce]);
    }

    #[test]
    fn a_write_without_its_record_is_found() {
        let (dir, _) = log(&[0]);
        let mut trail = Trail::new(dir.path());
        trail.written();
        assert_eq!(settled(&mut trail, &[], 1), [Promise::RecordedOnce]);
    }

    #[test]
    fn a_line_that_is_missing_moved_or_changed_is_found() {
        let (dir, lines) = log(&[0, 1, 2, 3]);
        let without = [&lines[..1], &lines[2..]].concat();
        let swapped = vec![lines[0].clone(), lines[2].clone(), lines[1].clone()];
        let mut changed = lines.clone();
        changed[1] = changed[1].replace("true", "false");
        for lines in [without, swapped, changed] {
            write(&dir, &lines);
            let mut trail = Trail::new(dir.path());
            assert_eq!(settled(&mut trail, &[], 4), [Promise::OneChain]);
        }
    }

    #[test]
    fn a_log_that_shrinks_is_found() {
        let (dir, lines) = log(&[0, 1, 2, 3]);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[], 4), []);
        write(&dir, &lines[..3]);
        assert_eq!(settled(&mut trail, &[], 4), [Promise::OneChain]);
    }

    #[test]
    fn a_line_without_an_end_was_never_written() {
        let (dir, mut lines) = log(&[0, 1]);
        let whole = lines.clone();
        lines[1].truncate(40);
        write(&dir, &lines);
        let mut trail = Trail::new(dir.path());
        assert_eq!(settled(&mut trail, &[(0, true)], 2), []);
        write(&dir, &whole);
        assert_eq!(settled(&mut trail, &[], 2), [Promise::RecordedOnce]);
    }

    #[test]
    fn the_two_newest_files_stay() {
        let (dir, _) = log(&[0]);
        let newer = [2, 3].map(|seq| dir.path().join(format!("audit-{seq:020}.jsonl")));
        newer.iter().for_each(|file| std::fs::write(file, "").expect("writes"));
        let trail = Trail::new(dir.path());
        assert_eq!(trail.ship(1 << 20).expect("ships"), 0);
        assert_eq!(trail.ship(1).expect("ships"), 1);
        assert!(newer.iter().all(|file| file.exists()));
    }
}
