//! The one thread that writes. It takes whatever writes are queued, runs them in one transaction,
//! makes them durable with one commit, and only then answers them all: many writers share the
//! price of one fsync, and a lone writer waits for nobody.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::database::Shared;
use super::fault::Fault;
use super::tables::Tables;
use super::write::Prepared;
use crate::store::StoreError;
use crate::store::metrics::StoreMetrics;

/// Writes that wait. More are refused: at a commit of a few milliseconds these are seconds.
pub(super) const QUEUE_MAX: usize = 1_024;
/// Writes in one commit.
const GROUP_MAX: usize = 256;
/// Bytes of records in one commit; one write alone may be larger.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// The time after which an idle committer looks again if the database needs healing.
const IDLE: Duration = Duration::from_millis(500);

type Answer = Result<Option<String>, StoreError>;

#[derive(Debug)]
struct Job {
    write: Prepared,
    answer: SyncSender<Answer>,
}

/// The queue to the writing thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Shared>, metrics: StoreMetrics) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let thread = Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || run(&shared, &metrics, &jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues one write and waits until it is durable or refused.
    pub(super) fn apply(&self, write: Prepared) -> Answer {
        let ended = || {
            StoreError::Unavailable("the writing thread has ended: restart the daemon".to_owned())
        };
        let (answer, answered) = sync_channel(1);
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.try_send(Job { write, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable(format!(
                "{QUEUE_MAX} writes are waiting already: try again later"
            )),
            TrySendError::Disconnected(_) => ended(),
        })?;
        answered.recv().unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writing thread panicked");
        }
    }
}

fn run(shared: &Shared, metrics: &StoreMetrics, jobs: &Receiver<Job>) {
    let mut said = None;
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(first) => commit(shared, metrics, &group(first, jobs)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Now, so that reads need not wait for the next write.
        let fault = shared.heal().err().map(|fault| fault.to_string());
        if let Some(fault) = fault.as_ref().filter(|_| fault != said) {
            tracing::error!(fault, "the store takes no writes");
        }
        said = fault;
    }
}

/// `first` and what is queued behind it, without waiting for more.
fn group(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.write.size();
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.write.size();
        group.push(job);
    }
    group
}

fn commit(shared: &Shared, metrics: &StoreMetrics, group: &[Job]) {
    let outcome = shared.heal().and_then(|()| shared.with(|database| transact(database, group)));
    // The file may have gone meanwhile: then nothing of it is durable.
    let outcome = outcome.and_then(|answers| shared.check_place().map(|()| answers));
    match outcome {
        Ok(answers) => {
            metrics.committed(answers.iter().filter(|answer| answer.is_ok()).count());
            for (job, result) in group.iter().zip(answers) {
                answer(job, result);
            }
        }
        Err(fault) => {
            tracing::error!(%fault, writes = group.len(), "a commit failed");
            for job in group {
                answer(job, Err(StoreError::Unavailable(fault.to_string())));
            }
        }
    }
}

/// A writer that no longer waits has no use for its answer.
fn answer(job: &Job, result: Answer) {
    drop(job.answer.try_send(result));
}

/// Each write checks its own preconditions before it touches anything, so that one which is
/// refused spoils none of the others.
fn transact(database: &redb::Database, group: &[Job]) -> Result<Vec<Answer>, Fault> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    let answers: Result<Vec<_>, Fault> = group
        .iter()
        .map(|job| match job.write.run(&mut tables) {
            // Found where preconditions are checked, so nothing was touched.
            Err(Fault::Damaged(damaged)) => Ok(Err(Fault::Damaged(damaged).into())),
            outcome => outcome,
        })
        .collect();
    let answers = answers?;
    drop(tables);
    if answers.iter().any(Result::is_ok) {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(answers)
}
