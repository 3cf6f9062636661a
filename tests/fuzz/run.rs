//! The loop around a target: corpus first, then mutations until the time is over.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::mutate::{INPUT_BYTES_MAX, Random, mutated};
use super::readers::Reader;

/// Processor time that one input may take. An optimised build takes a hundredth of it.
const INPUT_TIME_MAX: Duration = Duration::from_secs(2);
/// An input that runs this long on the clock of the wall is taken to run for ever.
const INPUT_PATIENCE: Duration = Duration::from_secs(120);
/// The most memory that the process may ever have held, in MiB: all targets together.
const MEMORY_MIB_MAX: u64 = 1_024;
/// Inputs that are kept because they came to something new.
const POOL_MAX: usize = 4_096;

/// Runs a target on its corpus and on mutations of it.
pub(crate) fn fuzz(name: &'static str, target: Reader) {
    let corpus = corpus(name);
    let seed = variable("HALLMARK_FUZZ_SEED").unwrap_or_else(fresh_seed);
    let seconds = variable("HALLMARK_FUZZ_SECONDS").unwrap_or(2);
    let now = Arc::new(Mutex::new((Vec::new(), Instant::now())));
    let (ended, end) = channel();
    let work = Work { target, now: Arc::clone(&now), until: Duration::from_secs(seconds) };
    let worker = std::thread::spawn(move || {
        let count = work.run(corpus, Random::new(seed));
        ended.send(count).expect("the test waits for it");
    });
    let count = watch(name, seed, &now, &end, worker);
    // Past the capture of the test runner: a run that passes says what it did, too.
    let line = format!("fuzz {name}: {count} inputs, HALLMARK_FUZZ_SEED={seed}\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
    let peak = peak_memory_mib();
    assert!(peak <= MEMORY_MIB_MAX, "{name}: {peak} MiB were held, at most {MEMORY_MIB_MAX}");
}

/// The input that is being read, and since when.
type Now = Arc<Mutex<(Vec<u8>, Instant)>>;

struct Work {
    target: Reader,
    now: Now,
    until: Duration,
}

impl Work {
    /// Returns how many inputs were read.
    fn run(&self, corpus: Vec<(String, Vec<u8>)>, mut random: Random) -> u64 {
        let started = Instant::now();
        let mut outcomes = HashSet::new();
        let mut pool = Vec::new();
        for (file, bytes) in corpus {
            let outcome = self.read(&bytes);
            if !file.starts_with("found-") {
                assert_eq!(outcome.is_ok(), file.starts_with("good-"), "{file}: {outcome:?}");
            }
            outcomes.insert(shape(&outcome));
            pool.push(bytes);
        }
        let mut count = pool.len() as u64;
        while started.elapsed() < self.until {
            let input = mutated(&pool, &mut random);
            let outcome = self.read(&input);
            count += 1;
            if pool.len() < POOL_MAX && outcomes.insert(shape(&outcome)) {
                pool.push(input);
            }
        }
        count
    }

    fn read(&self, input: &[u8]) -> Result<(), String> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (input.to_vec(), Instant::now());
        let before = processor_time();
        let outcome = (self.target)(input);
        let taken = processor_time().saturating_sub(before);
        assert!(taken <= INPUT_TIME_MAX, "took {taken:?}, at most {INPUT_TIME_MAX:?}");
        outcome
    }
}

/// The outcome of an input, without what differs from input to input: a new shape is a new way
/// through the reader, as far as that shows from outside.
fn shape(outcome: &Result<(), String>) -> String {
    let Err(error) = outcome else { return String::new() };
    let mut quoted = false;
    let plain = |c: &char| {
        quoted ^= matches!(c, '`' | '"');
        !quoted && !c.is_ascii_digit()
    };
    error.chars().filter(plain).take(200).collect()
}

/// Waits for the worker; says which input it panicked or hung on.
fn watch(name: &str, seed: u64, now: &Now, end: &Receiver<u64>, worker: JoinHandle<()>) -> u64 {
    let how = loop {
        match end.recv_timeout(Duration::from_secs(1)) {
            Ok(count) => return count,
            Err(RecvTimeoutError::Disconnected) => break "failed",
            Err(RecvTimeoutError::Timeout) => {
                let (_, since) = &*now.lock().unwrap_or_else(PoisonError::into_inner);
                if since.elapsed() > INPUT_PATIENCE {
                    break "does not end";
                }
            }
        }
    };
    let (input, _) = now.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let file = std::env::temp_dir().join(format!("hallmark-fuzz-{name}-{seed}"));
    let kept = std::fs::write(&file, &input).map(|()| file.display().to_string());
    if how == "failed" {
        drop(worker.join());
    }
    panic!(
        "{name} {how} on {} bytes, kept in {kept:?} for tests/corpus/{name}/ \
         (HALLMARK_FUZZ_SEED={seed}): {}",
        input.len(),
        input[..input.len().min(2_000)].escape_ascii()
    )
}

/// The files of a target, by name; every input is one that a mutation could be.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("reads");
            let bytes = std::fs::read(entry.path()).expect("reads");
            assert!(bytes.len() <= INPUT_BYTES_MAX, "{:?} is too long", entry.path());
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    let good = files.iter().filter(|(name, _)| name.starts_with("good-")).count();
    assert!(good > 0 && good < files.len(), "{dir:?} needs good-… and bad-…");
    files
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn fresh_seed() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    (time.tv_sec.unsigned_abs() << 20) ^ time.tv_nsec.unsigned_abs()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    kib >> 10
}
