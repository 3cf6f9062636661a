//! Checks in, verdicts out: signature arithmetic, many at once, never on an async thread.
//!
//! A [`Verifier`] first asks its verdict cache, which holds only what arithmetic has said and so
//! never goes stale. What is left joins one bounded queue; an identical check that is already on
//! its way is joined, not repeated. Threads of its own take whatever is queued, up to a limit, and
//! never wait for more: idle means at once, load means large batches. Every check has an answer at
//! its deadline at the latest, and what was not computed says so ([`Unavailable`]).
//!
//! `algorithm` is the arithmetic, `self_test` proves it at start, `lanes` does the same faster for
//! keys that verify often, `queue` forms the batches, `verdict_cache` remembers.

mod algorithm;
mod lane_metrics;
mod lanes;
pub mod metrics;
mod queue;
mod self_test;
mod verdict_cache;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use hallmark_core::attestor::{SignatureAlgorithm, Spki};
use hallmark_core::verdict::{Check, Unavailable, Verdict};
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::metrics::VerifierMetrics;
use crate::metrics::cache::CacheCounters;
use crate::public_key;
use hallmark_lanes::EngineError;
use lanes::Lanes;
use queue::{Queue, Submission};
use verdict_cache::{CheckId, VerdictCache};

pub use lanes::{LaneEngine, LanesConfig};
pub use self_test::SelfTestError;

/// The resources that a verifier may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierConfig {
    /// Threads that verify.
    pub threads: NonZeroUsize,
    /// Checks that may wait; one more is [`Unavailable::Overloaded`].
    pub queue_checks_max: NonZeroUsize,
    /// Checks verified in one go. Larger shares more between them, smaller spreads them sooner.
    pub batch_checks_max: NonZeroUsize,
    /// Bytes that the verdict cache may hold. 0 remembers nothing.
    pub verdict_cache_bytes_max: u64,
    /// The lanes that verify the signatures of keys that verify often. `None`: libraries do.
    pub lanes: Option<LanesConfig>,
}

/// Why a verifier could not be made. The daemon must not start without one.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// The arithmetic of this build, on this machine, is wrong.
    #[error("signature self-test failed, do not use this build here: {0}")]
    SelfTest(#[from] SelfTestError),
    /// The kernel that was asked for does not run here.
    #[error("cannot verify in lanes as `lanes.engine` demands: {0}")]
    Lanes(#[from] EngineError),
    /// The system gave no threads.
    #[error("cannot start the verification threads, check process limits: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Does one check with one message: `(algorithm, SPKI, message, signature)`.
type Arithmetic = fn(SignatureAlgorithm, &Spki, &[u8], &[u8]) -> bool;

/// One check, here and now, on this thread: for tools that have no [`Verifier`]. A key that cannot be
/// read has signed nothing.
pub fn verify_one(
    algorithm: SignatureAlgorithm,
    spki_der: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    public_key::read(spki_der)
        .is_ok_and(|spki| algorithm::verify(algorithm, &spki, message, signature))
}

/// Verifies signatures. One per daemon; dropped, its threads finish what they hold and end.
#[derive(Debug)]
pub struct Verifier {
    queue: Arc<Queue>,
    pool: ThreadPool,
}

impl Verifier {
    /// Proves the arithmetic with known answers and starts the threads.
    pub fn new(
        config: VerifierConfig,
        metrics: VerifierMetrics,
        cache: CacheCounters,
    ) -> Result<Self, VerifierError> {
        self_test::run(algorithm::verify)?;
        let lanes = config.lanes.map(|config| Lanes::new(config, metrics.lanes.clone()));
        let lanes = match lanes {
            Some(Err(error)) if config.lanes.is_some_and(|lanes| lanes.kernel.is_none()) => {
                tracing::error!(%error, "verifying without lanes");
                None
            }
            lanes => lanes.transpose()?.map(Arc::new),
        };
        Self::with_arithmetic(config, metrics, cache, algorithm::verify, lanes)
    }

    fn with_arithmetic(
        config: VerifierConfig,
        metrics: VerifierMetrics,
        cache: CacheCounters,
        arithmetic: Arithmetic,
        lanes: Option<Arc<Lanes>>,
    ) -> Result<Self, VerifierError> {
        let panics = metrics.panics.clone();
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.threads.get())
            .thread_name(|index| format!("verify-{index}"))
            // Batches catch their own panics. Without this, one from elsewhere aborts the process.
            .panic_handler(move |_| panics.inc())
            .build()?;
        let verdicts = VerdictCache::new(config.verdict_cache_bytes_max, cache);
        Ok(Self { queue: Arc::new(Queue::new(config, arithmetic, lanes, verdicts, metrics)), pool })
    }

    /// Answers every check, in order, by `deadline` (give or take a timer tick).
    ///
    /// Needs a Tokio runtime with time enabled. Dropping the future gives up the checks: those
    /// that nobody else waits for are not verified.
    pub async fn verify(&self, checks: Vec<Check>, deadline: Instant) -> Vec<Verdict> {
        let algorithms: Vec<_> = checks.iter().map(|check| check.key.algorithm).collect();
        let ids = identify(&checks).await;
        let known: Vec<_> = ids.iter().map(|id| self.queue.verdicts().get(id)).collect();
        let answers = if known.iter().all(Option::is_some) {
            known
        } else {
            self.work_out(known, checks, &ids, deadline).await
        };
        let late = Verdict::Unavailable(Unavailable::Deadline);
        let verdicts: Vec<_> = answers.into_iter().map(|one| one.unwrap_or(late)).collect();
        for (&verdict, algorithm) in verdicts.iter().zip(algorithms) {
            if matches!(verdict, Verdict::Unavailable(_)) {
                self.queue.metrics().count(algorithm, verdict);
            }
        }
        verdicts
    }

    /// Brings the gauges of the verdict cache up to date; call it at scrape.
    pub fn refresh_metrics(&self) {
        self.queue.refresh_metrics();
    }

    /// Queues the checks that `known` has no verdict for, and waits.
    async fn work_out(
        &self,
        known: Vec<Option<Verdict>>,
        checks: Vec<Check>,
        ids: &[CheckId],
        deadline: Instant,
    ) -> Vec<Option<Verdict>> {
        if deadline <= Instant::now() {
            return known;
        }
        let unknown: Vec<_> = checks
            .into_iter()
            .enumerate()
            .filter(|(index, _)| known[*index].is_none())
            .map(|(index, check)| (index, ids[index], check))
            .collect();
        let submission = Arc::new(Submission::new(known, deadline));
        for _ in 0..self.queue.submit(&submission, unknown) {
            let queue = Arc::clone(&self.queue);
            self.pool.spawn_fifo(move || queue.drain());
        }
        // A timeout is no error here: what has no verdict by now is late.
        let _in_time =
            tokio::time::timeout_at(deadline.into(), submission.answered()).await.is_ok();
        submission.take_verdicts()
    }
}

/// Bytes hashed before other tasks of the async thread get their turn: some 40 µs of SHA-256.
const HASH_BYTES_PER_TURN: usize = 65_536;

async fn identify(checks: &[Check]) -> Vec<CheckId> {
    let mut ids = Vec::with_capacity(checks.len());
    let mut bytes_this_turn = 0;
    for check in checks {
        ids.push(CheckId::of(check));
        let message = check.exact.as_ref().unwrap_or(&check.payload);
        bytes_this_turn += message.len() + check.signature.len();
        if bytes_this_turn > HASH_BYTES_PER_TURN {
            bytes_this_turn = 0;
            tokio::task::yield_now().await;
        }
    }
    ids
}
