//! One core, distinct messages and signatures: lanes against the libraries, in the same run.
//!
//! Every case is a series of pairs, a rival's signatures and then ours, so that both see the same
//! clock. A line for each case: `lanes p256 batch=64 keys=1 vs_ring=N.N …`, of the medians of all
//! pairs. Hashing the message is part of everybody's time but that of `openssl speed`, which is
//! asked once for each algorithm, on the same core. Arguments name the algorithms, all if there are
//! none.

mod subjects;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use subjects::{Case, SUBJECTS, Signed, Subject};

/// The time that a reading takes, at least: longer ones are more often interrupted.
const READING: Duration = Duration::from_micros(640);
/// The time that each case takes.
const TIME_OF_CASE: Duration = Duration::from_millis(1500);

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    for subject in &SUBJECTS {
        if wanted.is_empty() || wanted.iter().any(|name| name == subject.name) {
            run(subject);
        }
    }
}

fn run(subject: &Subject) {
    let mut random = fastrand::Rng::with_seed(1);
    let openssl = openssl_speed(subject.openssl);
    for &keys in subject.keys {
        let case = (subject.case)(keys, &mut random);
        for engine in &case.engines {
            for size in [1, 8, 64, 1024] {
                let medians = rounds(&case, size, &engine.verify);
                print!("lanes {} batch={size} keys={keys}", subject.name);
                for (rival, time) in case.rivals.iter().zip(&medians.rivals) {
                    print!(" vs_{}={:.1}", rival.name, time / medians.ours);
                }
                if let Some(openssl) = openssl {
                    print!(" vs_openssl={:.1}", openssl / medians.ours);
                }
                let ring = medians.rivals[0];
                println!(" engine={} ns={:.0} ring_ns={ring:.0}", engine.name, medians.ours);
            }
        }
    }
}

/// Nanoseconds of a verification by `openssl speed`, which inherits the core of this process.
fn openssl_speed(algorithm: &str) -> Option<f64> {
    let output = Command::new("openssl").args(["speed", "-seconds", "1", algorithm]).output();
    let output = String::from_utf8(output.ok()?.stdout).ok()?;
    // The last column of the last line is verifications a second.
    let a_second: f64 = output.lines().last()?.split_whitespace().last()?.parse().ok()?;
    Some(1e9 / a_second)
}

/// The batch that follows, going round.
fn batches<'a>(signed: &'a [Signed], size: usize) -> impl FnMut() -> &'a [Signed] {
    let mut start = 0;
    move || {
        if start + size > signed.len() {
            start = 0;
        }
        start += size;
        &signed[start - size..start]
    }
}

/// Median nanoseconds a signature.
struct Medians {
    ours: f64,
    rivals: Vec<f64>,
}

/// Every round takes each rival and then ours, one after the other.
fn rounds(case: &Case, size: usize, ours: &dyn Fn(&[Signed]) -> bool) -> Medians {
    let mut next = batches(&case.signed, size);
    let calls = calls(|| assert!(ours(next()), "a lane refuses a good signature"));
    let mut theirs: Vec<_> = case
        .rivals
        .iter()
        .map(|rival| {
            batches(
                &case.signed,
                self::calls(|| {
                    assert!(
                        (rival.verify)(&case.signed[0]),
                        "{} refuses a good signature",
                        rival.name
                    );
                }),
            )
        })
        .collect();
    let mut our_times = Vec::new();
    let mut rival_times = vec![Vec::new(); case.rivals.len()];
    let end = Instant::now() + TIME_OF_CASE;
    while Instant::now() < end || our_times.len() < 10 {
        for ((rival, times), theirs) in case.rivals.iter().zip(&mut rival_times).zip(&mut theirs) {
            let batch = theirs();
            times.push(nanoseconds(batch.len(), || {
                for signed in batch {
                    let good = (rival.verify)(black_box(signed));
                    assert!(good, "{} refuses a good signature", rival.name);
                }
            }));
            our_times.push(nanoseconds(calls * size, || {
                for _ in 0..calls {
                    assert!(ours(black_box(next())), "a lane refuses a good signature");
                }
            }));
        }
    }
    Medians { ours: median(our_times), rivals: rival_times.into_iter().map(median).collect() }
}

/// The number of times that `work` is to be done in a reading.
fn calls(mut work: impl FnMut()) -> usize {
    let once = nanoseconds(4, || (0..4).for_each(|_| work())).max(1.0);
    (READING.as_nanos() as f64 / once).ceil() as usize
}

/// Of each of `count` things that `work` does. The time of this thread, which on a machine with
/// other work is not that of the wall.
fn nanoseconds(count: usize, work: impl FnOnce()) -> f64 {
    let start = thread_nanoseconds();
    work();
    (thread_nanoseconds() - start) / count as f64
}

fn thread_nanoseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
