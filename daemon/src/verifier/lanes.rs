//! Verification in lanes, for keys that verify often: their tables, and the watch over them.
//!
//! A key without a table is not for lanes and verifies with a library at once; when it has turned
//! hot its table is computed on the side. Every one of the first verdicts of a table, and a share
//! of all later ones, is asked of the library again. If the two ever disagree neither is believed:
//! the batch is not answered, and lanes are not used again by this process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hallmark_core::attestor::{SignatureAlgorithm, VerificationKey};
use hallmark_core::verdict::{Check, SignedForm};
use hallmark_lanes::EngineError;
use moka::sync::Cache;

use super::engines::{Engines, Table};
use super::queue::FORMS;
use super::verdict_cache::Outcome;
use crate::metrics::lanes::LaneMetrics;

/// Checks after which a key gets a table, which costs as much as some thirty of them (of RSA, ten
/// to fifteen). It is tried again at twice as many, and so on, should the table have been evicted.
const HOT_CHECKS: u64 = 32;
/// Keys whose checks are counted. One more forgets the coldest.
const COUNTED_KEYS_MAX: u64 = 10_000;
/// Memory of all tables: some 250 keys of P-256, or 35,000 of RSA.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// The first verdicts of a table, all of which are asked again.
const RECHECKED_FIRST: u64 = 100;
/// Of the later ones, one in so many is.
const RECHECKED_ONE_IN: u64 = 1024;

/// A key by the fingerprint of its SubjectPublicKeyInfo, as a key of this algorithm.
type KeyOf = ([u8; 32], SignatureAlgorithm);

/// Verifies in lanes what it can.
pub(super) struct Lanes {
    engines: Engines,
    /// Checks of keys that have no table.
    counts: Cache<KeyOf, Arc<AtomicU64>>,
    tables: Cache<KeyOf, Arc<HotKey>>,
    disagreed: AtomicBool,
    metrics: LaneMetrics,
}

struct HotKey {
    table: Table,
    verdicts: AtomicU64,
}

/// Lanes and library gave different verdicts.
#[derive(Debug)]
pub(super) struct Disagreement;

impl Lanes {
    /// Fails if the engines of this build do not hold on this machine.
    pub(super) fn new(metrics: LaneMetrics) -> Result<Self, EngineError> {
        let engines = Engines::detect()?;
        metrics.in_use(engines.name(), true);
        let tables = Cache::builder()
            .name("lane_tables")
            .max_capacity(TABLE_BYTES_MAX)
            .weigher(|_, key: &Arc<HotKey>| u32::try_from(key.table.bytes()).unwrap_or(u32::MAX))
            .build();
        let counts = Cache::new(COUNTED_KEYS_MAX);
        Ok(Self { engines, counts, tables, disagreed: AtomicBool::new(false), metrics })
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
        for form in FORMS {
            let good = self.good(&ready, form);
            for ((index, ..), good) in ready.iter().zip(&good) {
                outcomes[*index] = Some(good.then_some(form));
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

    /// Whether each signature is of this form.
    fn good(&self, ready: &[(usize, &Check, Arc<HotKey>)], form: SignedForm) -> Vec<bool> {
        let checks: Vec<_> = ready.iter().map(|(_, check, key)| (*check, &key.table)).collect();
        self.engines.good(&checks, form)
    }

    /// The key's table, if it has one; else this check is counted, and may be what makes it hot.
    fn hot_key(self: &Arc<Self>, check: &Check) -> Option<Arc<HotKey>> {
        let id = (check.key.fingerprint, check.key.algorithm);
        if !self.engines.have(check.key.algorithm) {
            return None;
        }
        let key = self.tables.get(&id);
        if key.is_none() {
            let count = self.counts.get_with(id, Arc::default);
            let checks = count.fetch_add(1, Ordering::Relaxed) + 1;
            if checks >= HOT_CHECKS && checks.is_power_of_two() {
                let (lanes, key) = (Arc::clone(self), Arc::clone(&check.key));
                // On the pool of the verification thread that this is.
                rayon::spawn_fifo(move || lanes.build(&key));
            }
        }
        key
    }

    /// Computes and keeps a table. A key that is not what it says has none, and signs nothing.
    fn build(&self, key: &VerificationKey) {
        if let Some(table) = self.engines.build(key.algorithm, &key.spki_der) {
            let verdicts = AtomicU64::new(0);
            let id = (key.fingerprint, key.algorithm);
            self.tables.insert(id, Arc::new(HotKey { table, verdicts }));
            self.metrics.tables_built.inc();
        }
    }

    fn disagree(&self) -> Disagreement {
        self.disagreed.store(true, Ordering::Relaxed);
        self.metrics.disagreements.inc();
        self.metrics.in_use(self.engines.name(), false);
        tracing::error!(
            engine = self.engines.name(),
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
            .field("engines", &self.engines)
            .field("tables", &self.tables.entry_count())
            .finish_non_exhaustive()
    }
}
