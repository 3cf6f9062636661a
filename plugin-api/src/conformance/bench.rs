//! How many items a second a plugin answers.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::batch::{Op, Sample, repeat};
use super::finding::{Trouble, fail};
use super::job::Subject;
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

/// The measurements, or why there are none.
pub(super) fn run(
    subject: &Subject,
    batches: &[usize],
    threads: usize,
    millis: u64,
) -> Result<Vec<Rate>, String> {
    let measured = measure(subject, batches, threads, Duration::from_millis(millis));
    measured.map_err(|trouble| match trouble {
        Trouble::Fail(text) => text,
        Trouble::Skip(text) => text.to_owned(),
        Trouble::Stale => "every snapshot is stale at once".to_owned(),
    })
}

fn measure(
    subject: &Subject,
    batches: &[usize],
    threads: usize,
    time: Duration,
) -> Result<Vec<Rate>, Trouble> {
    let loaded = Loaded::new(subject)?;
    let live = loaded.create()?;
    let open = live.open_if_any()?;
    let threads = loaded.threads(threads);
    let mut rates = Vec::new();
    for op in Op::ALL.into_iter().filter(|op| loaded.has(op.cap())) {
        let some = honest(op, &live, open.as_ref())?;
        for &batch in batches.iter().filter(|&&batch| batch > 0 && batch <= loaded.batch_max()) {
            let samples: Vec<_> = some.iter().cycle().take(batch).cloned().collect();
            let items = items_in(op, (&live, open.as_ref()), &samples, threads, time)?;
            let per_second = items as f64 / time.as_secs_f64();
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
        _ => Vec::new(),
    };
    if honest.is_empty() { samples::of(op, live, open) } else { Ok(honest) }
}

/// Items that all threads had answered when the time was over.
fn items_in(
    op: Op,
    (live, open): (&Live<'_>, Option<&Open<'_>>),
    samples: &[Sample],
    threads: usize,
    time: Duration,
) -> Result<u64, Trouble> {
    let until = Instant::now() + time;
    let calls: u64 = std::thread::scope(|scope| {
        let work = || repeat((live, open), op, samples, until);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| fail("the kit panicked in a thread")));
        ended.sum::<Result<u64, Trouble>>()
    })?;
    Ok(calls * samples.len() as u64)
}
