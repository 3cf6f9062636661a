//! ECDSA P-256 in lanes, for keys that verify often: their tables, and the watch over them.
//!
//! A key without a table is not for lanes and verifies with a library at once; when it has turned
//! hot its table is computed on the side. Every one of the first verdicts of a table, and a share
//! of all later ones, is asked of the library again. If the two ever disagree neither is believed:
//! the batch is not answered, and lanes are not used again by this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::verdict::Check;
use hallmark_lanes::{Engine, EngineError, KeyTable, LaneCheck, sha256};
use moka::sync::Cache;

use super::algorithm::key_of_type;
use super::verdict_cache::Outcome;
use crate::metrics::lanes::LaneMetrics;

/// Checks after which a key gets a table, which costs as much as some thirty of them. It is tried
/// again at twice as many, and so on, should the table have been evicted.
const HOT_CHECKS: u64 = 32;
/// Keys whose checks are counted. One more forgets the coldest.
const COUNTED_KEYS_MAX: u64 = 10_000;
/// Memory of all tables: some 250 keys.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// The first verdicts of a table, all of which are asked again.
const RECHECKED_FIRST: u64 = 100;
/// Of the later ones, one in so many is.
const RECHECKED_ONE_IN: u64 = 1024;

/// An uncompressed point of P-256.
type Point = [u8; 65];

/// Verifies in lanes what it can.
pub(super) struct Lanes {
    engine: Engine,
    /// Checks of keys that have no table.
    counts: Cache<Point, Arc<AtomicU64>>,
    tables: Cache<Point, Arc<HotKey>>,
    disagreed: AtomicBool,
    metrics: LaneMetrics,
}

struct HotKey {
    table: KeyTable,
    verdicts: AtomicU64,
}

/// Lanes and library gave different verdicts.
#[derive(Debug)]
pub(super) struct Disagreement;

impl Lanes {
    /// Fails if the engines of this build do not hold on this machine.
    pub(super) fn new(metrics: LaneMetrics) -> Result<Self, EngineError> {
        let engine = Engine::detect()?;
        metrics.in_use(engine.name(), true);
        let tables = Cache::builder()
            .name("lane_tables")
            .max_capacity(TABLE_BYTES_MAX)
            .weigher(|_, key: &Arc<HotKey>| u32::try_from(key.table.bytes()).unwrap_or(u32::MAX))
            .build();
        let counts = Cache::new(COUNTED_KEYS_MAX);
        Ok(Self { engine, counts, tables, disagreed: AtomicBool::new(false), metrics })
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
            .filter_map(|(index, check)| Some((index, *check, self.hot_key(check)?)))
            .collect();
        self.metrics.checks.inc_by(ready.len() as u64);
        let rechecks: Vec<_> = ready
            .iter()
            .filter(|(_, _, key)| key.is_to_be_rechecked())
            .map(|&(index, check, _)| (index, check))
            .collect();
        for attempt in 0..2 {
            ready.retain(|(_, check, _)| attempt < check.forms().len());
            let good = self.good(&ready, attempt);
            for ((index, check, _), good) in ready.iter().zip(&good) {
                outcomes[*index] = Some(good.then_some(check.forms()[attempt]));
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

    /// Whether each signature is over its `nth` message; every check has one.
    fn good(&self, ready: &[(usize, &Check, Arc<HotKey>)], nth: usize) -> Vec<bool> {
        let checks: Vec<_> = ready
            .iter()
            .map(|(_, check, key)| LaneCheck {
                table: &key.table,
                message_hash: sha256(&check.message(check.forms()[nth])),
                signature_der: &check.signature,
            })
            .collect();
        let mut good = vec![false; checks.len()];
        self.engine.verify_batch(&checks, &mut good);
        good
    }

    /// The key's table, if it has one; else this check is counted, and may be what makes it hot.
    fn hot_key(self: &Arc<Self>, check: &Check) -> Option<Arc<HotKey>> {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        if check.key.algorithm != algorithm {
            return None;
        }
        let point: &Point = key_of_type(algorithm, &check.key.spki_der)?.try_into().ok()?;
        let key = self.tables.get(point);
        if key.is_none() {
            let count = self.counts.get_with(*point, Arc::default);
            let checks = count.fetch_add(1, Ordering::Relaxed) + 1;
            if checks >= HOT_CHECKS && checks.is_power_of_two() {
                let (lanes, point) = (Arc::clone(self), *point);
                // On the pool of the verification thread that this is.
                rayon::spawn_fifo(move || lanes.build(point));
            }
        }
        key
    }

    /// Computes and keeps a table. A point that is not of the curve has none, and signs nothing.
    fn build(&self, point: Point) {
        if let Ok(table) = self.engine.build_table(&point) {
            let verdicts = AtomicU64::new(0);
            self.tables.insert(point, Arc::new(HotKey { table, verdicts }));
            self.metrics.tables_built.inc();
        }
    }

    fn disagree(&self) -> Disagreement {
        self.disagreed.store(true, Ordering::Relaxed);
        self.metrics.disagreements.inc();
        self.metrics.in_use(self.engine.name(), false);
        tracing::error!(
            engine = self.engine.name(),
            "lanes and library disagree about a signature: lanes are off until restart, please report"
        );
        Disagreement
    }
}

impl HotKey {
    fn is_to_be_rechecked(&self) -> bool {
        let nth = self.verdicts.fetch_add(1, Ordering::Relaxed);
        nth < RECHECKED_FIRST || nth.is_multiple_of(RECHECKED_ONE_IN)
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("engine", &self.engine)
            .field("tables", &self.tables.entry_count())
            .finish_non_exhaustive()
    }
}
