//! Verification in lanes, for keys that verify often: their tables, and the watch over them.
//!
//! A key without a table is not for lanes and verifies with a library at once; when it has turned
//! hot its table is computed on the side. Every one of the first verdicts of a table, and a share
//! of all later ones, is asked of the library again. If the two ever disagree neither is believed:
//! the batch is not answered, and lanes are not used again by this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hallmark_core::attestor::{Curve, HashFunction, Scheme, SignatureAlgorithm};
use hallmark_core::verdict::Check;
use hallmark_lanes::{
    Algorithm, Check as LaneCheck, Digest, EngineError, Engines, Kernel, Key, PrepareError,
};
use moka::sync::Cache;
use serde::Deserialize;

use super::algorithm::key_of_type;
use super::lane_metrics::LaneMetrics;
use super::verdict_cache::Outcome;

/// The engine that computes in lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneEngine {
    /// The fastest that this CPU has.
    #[default]
    Auto,
    /// AVX-512 IFMA, or the daemon does not start.
    Ifma,
    /// The one that runs on every CPU.
    Portable,
    /// Nothing: libraries verify everything.
    Off,
}

/// The configuration of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanesConfig {
    /// The kernel that computes. `None`: the fastest that this CPU has and that proves right.
    pub kernel: Option<Kernel>,
    /// Checks after which a key gets a table, which costs as much as some thirty of them. It is
    /// tried again at twice as many, and so on, should the table have been evicted.
    pub hot_checks: u64,
    /// Memory of all tables.
    pub table_bytes_max: u64,
    /// Of the verdicts after [`RECHECKED_FIRST`], one in so many is asked of the library again.
    pub recheck_one_in: u64,
}

/// Keys whose checks are counted. One more forgets the coldest.
const COUNTED_KEYS_MAX: u64 = 10_000;
/// The first verdicts of a table, all of which are asked again.
const RECHECKED_FIRST: u64 = 100;

/// The bits of a subject public key. Those of two types are never alike: they differ in length.
type Bits = Vec<u8>;

/// Verifies in lanes what it can.
pub(super) struct Lanes {
    config: LanesConfig,
    engines: Engines,
    /// Checks of keys that have no table.
    counts: Cache<Bits, Arc<AtomicU64>>,
    tables: Cache<Bits, Arc<HotKey>>,
    disagreed: AtomicBool,
    metrics: LaneMetrics,
}

struct HotKey {
    key: Key,
    verdicts: AtomicU64,
}

/// A check whose key has a table.
struct Ready<'a> {
    /// Its place among the checks.
    index: usize,
    check: &'a Check,
    algorithm: Algorithm,
    key: Arc<HotKey>,
}

/// Lanes and library gave different verdicts.
#[derive(Debug)]
pub(super) struct Disagreement;

impl Lanes {
    /// Fails if the kernel does not hold on this machine, or is not there.
    pub(super) fn new(config: LanesConfig, metrics: LaneMetrics) -> Result<Self, EngineError> {
        let engines = match config.kernel {
            Some(kernel) => Engines::new(kernel)?,
            None => Engines::new(Kernel::detect()).or_else(|error| {
                tracing::error!(%error, "verifying in portable lanes");
                Engines::new(Kernel::Portable)
            })?,
        };
        metrics.in_use(engines.kernel().name(), true);
        let tables = Cache::builder()
            .name("lane_tables")
            .max_capacity(config.table_bytes_max)
            .weigher(|_, hot: &Arc<HotKey>| u32::try_from(hot.key.bytes()).unwrap_or(u32::MAX))
            .build();
        let counts = Cache::new(COUNTED_KEYS_MAX);
        let disagreed = AtomicBool::new(false);
        Ok(Self { config, engines, counts, tables, disagreed, metrics })
    }

    /// The outcome of each check, `None` for one that is not for lanes. `library` is who is asked
    /// again.
    pub(super) fn verify(
        self: &Arc<Self>,
        checks: &[&Check],
        library: impl Fn(&Check) -> Outcome,
    ) -> Result<Vec<Option<Outcome>>, Disagreement> {
        let mut outcomes = vec![None; checks.len()];
        if self.disagreed.load(Ordering::Relaxed) {
            return Ok(outcomes);
        }
        let mut ready: Vec<_> = checks
            .iter()
            .enumerate()
            .filter_map(|(index, check)| {
                let algorithm = in_lanes(check.key.algorithm)?;
                if !self.engines.have(algorithm) {
                    return None;
                }
                let key = self.hot_key(check, algorithm)?;
                Some(Ready { index, check, algorithm, key })
            })
            .collect();
        self.metrics.checks.inc_by(ready.len() as u64);
        let rechecks: Vec<_> = ready
            .iter()
            .filter(|one| one.key.is_to_be_rechecked(self.config.recheck_one_in))
            .map(|one| (one.index, one.check))
            .collect();
        for attempt in 0..2 {
            ready.retain(|one| attempt < one.check.forms().len());
            let good = self.good(&ready, attempt);
            for (one, good) in ready.iter().zip(&good) {
                outcomes[one.index] = Some(good.then_some(one.check.forms()[attempt]));
            }
            let mut good = good.into_iter();
            ready.retain(|_| !good.next().unwrap_or(false));
        }
        for (index, check) in rechecks {
            self.metrics.rechecks.inc();
            if outcomes[index] != Some(library(check)) {
                return Err(self.disagree());
            }
        }
        // Another thread may have found meanwhile that these are not to be believed.
        let distrusted = self.disagreed.load(Ordering::Relaxed);
        Ok(if distrusted { vec![None; checks.len()] } else { outcomes })
    }

    /// Brings the gauges up to date; call it at scrape.
    pub(super) fn refresh_metrics(&self) {
        self.tables.run_pending_tasks();
        let bytes = i64::try_from(self.tables.weighted_size()).unwrap_or(i64::MAX);
        self.metrics.table_bytes.set(bytes);
    }

    /// Says of each signature if it is of its `nth` form; every check has one.
    fn good(&self, ready: &[Ready<'_>], nth: usize) -> Vec<bool> {
        let messages: Vec<_> =
            ready.iter().map(|one| one.check.message(one.check.forms()[nth])).collect();
        let checks: Vec<_> = ready
            .iter()
            .zip(&messages)
            .map(|(one, message)| LaneCheck {
                key: &one.key.key,
                algorithm: one.algorithm,
                message,
                signature: &one.check.signature,
            })
            .collect();
        let mut good = vec![false; checks.len()];
        self.engines.verify_batch(&checks, &mut good);
        good
    }

    /// The key's table, if it has one; else this check is counted, and may be what makes it hot.
    fn hot_key(self: &Arc<Self>, check: &Check, algorithm: Algorithm) -> Option<Arc<HotKey>> {
        let bits = key_of_type(check.key.algorithm, &check.key.spki)?;
        let key = self.tables.get(bits);
        if key.is_none() {
            let count = self.counts.get_with_by_ref(bits, Arc::default);
            let checks = count.fetch_add(1, Ordering::Relaxed) + 1;
            let hot = self.config.hot_checks;
            if checks.is_multiple_of(hot) && (checks / hot).is_power_of_two() {
                let (lanes, bits) = (Arc::clone(self), Bits::from(bits));
                // On the pool of the verification thread that this is.
                rayon::spawn_fifo(move || lanes.prepare(algorithm, bits));
            }
        }
        key
    }

    /// Computes and keeps a table. Bits that are no key have none, and sign nothing.
    fn prepare(&self, algorithm: Algorithm, bits: Bits) {
        match self.engines.prepare(algorithm, &bits) {
            Ok(key) => {
                let verdicts = AtomicU64::new(0);
                self.tables.insert(bits, Arc::new(HotKey { key, verdicts }));
                self.metrics.tables_built.inc();
            }
            Err(PrepareError::Key(_)) => {}
            Err(PrepareError::Engine(error)) => {
                tracing::error!(%error, ?algorithm, "verifying without lanes");
            }
        }
    }

    fn disagree(&self) -> Disagreement {
        self.disagreed.store(true, Ordering::Relaxed);
        self.metrics.disagreements.inc();
        self.metrics.in_use(self.engines.kernel().name(), false);
        tracing::error!(
            engine = self.engines.kernel().name(),
            "lanes and library disagree about a signature: lanes are off until restart, please report"
        );
        Disagreement
    }
}

/// The name that lanes have for an algorithm, if they have it.
pub(super) fn in_lanes(algorithm: SignatureAlgorithm) -> Option<Algorithm> {
    Some(match algorithm.scheme() {
        Scheme::Ecdsa { curve: Curve::P256, hash } => Algorithm::EcdsaP256(digest(hash)),
        Scheme::Ecdsa { curve: Curve::P384, hash } => Algorithm::EcdsaP384(digest(hash)),
        Scheme::Ed25519 => Algorithm::Ed25519,
        Scheme::RsaPkcs1 { hash, .. } => Algorithm::RsaPkcs1(digest(hash)),
        Scheme::RsaPss { hash, .. } => Algorithm::RsaPss(digest(hash)),
        Scheme::Ecdsa { curve: Curve::P521, .. } | Scheme::MlDsa65 => return None,
    })
}

fn digest(hash: HashFunction) -> Digest {
    match hash {
        HashFunction::Sha256 => Digest::Sha256,
        HashFunction::Sha384 => Digest::Sha384,
        HashFunction::Sha512 => Digest::Sha512,
    }
}

impl HotKey {
    fn is_to_be_rechecked(&self, one_in: u64) -> bool {
        let nth = self.verdicts.fetch_add(1, Ordering::Relaxed);
        nth < RECHECKED_FIRST || nth.is_multiple_of(one_in)
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("kernel", &self.engines.kernel())
            .field("tables", &self.tables.entry_count())
            .finish_non_exhaustive()
    }
}
