//! The number of items a second that a plugin answers, called as the daemon calls it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Program;
use super::batch::{Op, Sample};
use super::finding::{Trouble, fail};
use super::job::Subject;
use super::place::{Place, failed, in_worker, items};
use super::plugin::{Live, Loaded, Open};
use super::samples;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// The function of the table.
    pub call: String,
    /// Items in a batch.
    pub batch: usize,
    /// Threads that called.
    pub threads: usize,
    /// Items answered in a second, all threads together.
    pub items_per_second: f64,
    /// Microseconds that one thread waited for an item.
    pub micros_per_item: f64,
}

/// The measurements to make.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) batches: &'a [usize],
    pub(super) threads: usize,
    /// Of each measurement.
    pub(super) time: Duration,
}

/// The measurements, or why there are none. In a worker of `worker`, or in this process.
pub(super) fn run(
    subject: &Subject,
    plan: Plan<'_>,
    worker: Option<Program>,
) -> Result<Vec<Rate>, String> {
    measure(subject, plan, worker).map_err(|trouble| match trouble {
        Trouble::Fail(text) => text,
        Trouble::Skip(text) => text.to_owned(),
        Trouble::Stale => "every snapshot is stale at once".to_owned(),
    })
}

fn measure(
    subject: &Subject,
    plan: Plan<'_>,
    worker: Option<Program>,
) -> Result<Vec<Rate>, Trouble> {
    let loaded = Loaded::new(subject)?;
    let live = loaded.create()?;
    let open = live.open_if_any()?;
    let image = match worker {
        Some(program) => Arc::new(in_worker(subject, program)?),
        None => Arc::clone(&loaded.image),
    };
    let place = Place::new(&loaded, &image)?;
    let threads = loaded.threads(plan.threads);
    let mut rates = Vec::new();
    for op in Op::ALL.into_iter().filter(|op| loaded.has(op.cap())) {
        let some = honest(op, &live, open.as_ref())?;
        for &batch in plan.batches.iter().filter(|&&batch| batch > 0) {
            let samples: Vec<_> = some.iter().cycle().take(batch).cloned().collect();
            let begun = Instant::now();
            let items = items_in(op, &place, &samples, threads, begun + plan.time)?;
            let per_second = items as f64 / begun.elapsed().as_secs_f64();
            rates.push(Rate {
                call: op.name().to_owned(),
                batch,
                threads,
                items_per_second: per_second.round(),
                micros_per_item: threads as f64 * 1e6 / per_second.max(1.0),
            });
        }
    }
    Ok(rates)
}

/// Items that have a good answer where the plugin can make any.
fn honest(op: Op, live: &Live<'_>, open: Option<&Open<'_>>) -> Result<Vec<Sample>, Trouble> {
    let honest = match (op, open) {
        (Op::Verify, Some(open)) => samples::signed(live, open)?,
        (Op::Sign, Some(open)) => samples::to_sign(open),
        (Op::Decode, _) => samples::given_blobs(live),
        _ => Vec::new(),
    };
    let all = if honest.is_empty() { samples::of(op, live, open)? } else { honest };
    Ok(all.into_iter().filter(|sample| sample.flags == 0).collect())
}

/// Items that all threads had answered when the time was over.
fn items_in(
    op: Op,
    place: &Place,
    samples: &[Sample],
    threads: usize,
    until: Instant,
) -> Result<usize, Trouble> {
    let items = items(samples);
    std::thread::scope(|scope| {
        let work = || {
            let mut answered = 0;
            while Instant::now() < until {
                answered += place.verdicts(op, &items).map_err(failed)?.len();
            }
            Ok(answered)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| fail("the kit panicked in a thread")));
        ended.sum()
    })
}
