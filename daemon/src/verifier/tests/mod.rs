//! The verifier as its callers see it, and what it does when things go wrong.

mod lanes;
mod signatures;
mod wycheproof;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hallmark_core::attestor::{KeyId, Validity, VerificationKey};
use hallmark_core::verdict::{SignedForm, Verified};
use prometheus::Registry;
use sha2::Digest as _;

use super::*;
use crate::metrics::cache::CacheMetrics;

const RAW: Verdict = Verdict::Verified(Verified::assertion(SignedForm::Raw));
const OVERLOADED: Verdict = Verdict::Unavailable(Unavailable::Overloaded);
const LATE: Verdict = Verdict::Unavailable(Unavailable::Deadline);
const PANICKED: Verdict = Verdict::Unavailable(Unavailable::Panicked);

struct Bench {
    verifier: Arc<Verifier>,
    metrics: VerifierMetrics,
    cache: CacheCounters,
}

fn config(threads: usize, queue_checks_max: usize, batch_checks_max: usize) -> VerifierConfig {
    let some = |number| NonZeroUsize::new(number).expect("not zero");
    VerifierConfig {
        threads: some(threads),
        queue_checks_max: some(queue_checks_max),
        batch_checks_max: some(batch_checks_max),
        verdict_cache_bytes_max: 1 << 24,
        lanes: None,
    }
}

fn bench(config: VerifierConfig, arithmetic: Arithmetic) -> Bench {
    bench_with(config, arithmetic, |_| None)
}

fn bench_with(
    config: VerifierConfig,
    arithmetic: Arithmetic,
    lanes: impl FnOnce(&VerifierMetrics) -> Option<Arc<Lanes>>,
) -> Bench {
    let registry = Registry::new();
    let metrics = VerifierMetrics::register(&registry).expect("register");
    let cache = CacheMetrics::register(&registry).expect("register").verdict;
    let verifier = Verifier::with_arithmetic(
        config,
        metrics.clone(),
        cache.clone(),
        arithmetic,
        lanes(&metrics),
    );
    Bench { verifier: Arc::new(verifier.expect("threads")), metrics, cache }
}

impl Bench {
    async fn verify(&self, checks: &[Check]) -> Vec<Verdict> {
        self.verifier.verify(checks.to_vec(), soon()).await
    }

    /// Verifies meanwhile.
    fn start(&self, checks: &[Check]) -> tokio::task::JoinHandle<Vec<Verdict>> {
        let (verifier, checks) = (Arc::clone(&self.verifier), checks.to_vec());
        tokio::spawn(async move { verifier.verify(checks, soon()).await })
    }

    async fn until_queued(&self, checks: i64) {
        until(|| self.metrics.queue_checks.get() == checks).await;
    }
}

/// A deadline that no test reaches.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// A key that nobody judged: arithmetic itself must refuse what is wrong with it. Of bytes that are no
/// key at all nothing is read, as of a key that nobody would let in.
fn key(algorithm: SignatureAlgorithm, spki_der: &[u8]) -> Arc<VerificationKey> {
    Arc::new(VerificationKey {
        plugin: "pkix".into(),
        envelope: None,
        holder: None,
        ids: vec![KeyId::from("key")],
        spki: public_key::read(spki_der)
            .unwrap_or_else(|_| Spki::new(spki_der, algorithm.key_type(), 0..0)),
        fingerprint: sha2::Sha256::digest(spki_der).into(),
        algorithm,
        validity: Validity::default(),
    })
}

/// A check for made-up arithmetic, told from others by its payload.
fn check(payload: impl Into<Bytes>, signature: &'static str) -> Check {
    let key = key(SignatureAlgorithm::EcdsaP256Sha256, b"key");
    Check {
        exact: None,
        key,
        payload: payload.into(),
        signature: Bytes::from_static(signature.as_bytes()),
    }
}

/// Arithmetic for which the signature itself says what it is.
fn as_told(message: &[u8], signature: &[u8]) -> bool {
    let enveloped = message.starts_with(b"DSSEv1");
    match signature {
        b"raw" => !enveloped,
        b"pae" => enveloped,
        b"bad" => false,
        other => panic!("arithmetic met {other:?}"),
    }
}

/// Holds arithmetic back until opened, and counts who came.
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    came: AtomicUsize,
}

impl Gate {
    const fn closed() -> Self {
        Self { open: Mutex::new(false), opened: Condvar::new(), came: AtomicUsize::new(0) }
    }

    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().expect("lock");
        drop(self.opened.wait_while(open, |open| !*open).expect("lock"));
    }

    fn open(&self) {
        *self.open.lock().expect("lock") = true;
        self.opened.notify_all();
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

/// Arithmetic as told, behind a gate of this test's own.
macro_rules! gated {
    () => {{
        static GATE: Gate = Gate::closed();
        fn arithmetic(_: SignatureAlgorithm, _: &Spki, message: &[u8], signature: &[u8]) -> bool {
            GATE.pass();
            as_told(message, signature)
        }
        (&GATE, arithmetic as Arithmetic)
    }};
}

#[test]
fn the_self_test_knows_every_algorithm_and_notices_wrong_arithmetic() {
    for algorithm in SignatureAlgorithm::all() {
        assert!(self_test::KNOWN_ANSWERS.iter().any(|answer| answer.algorithm == algorithm));
    }
    assert_eq!(self_test::run(algorithm::verify), Ok(()));
    let first = self_test::KNOWN_ANSWERS[0].algorithm;
    assert_eq!(self_test::run(|_, _, _, _| true), Err(SelfTestError::AcceptsBad(first)));
    assert_eq!(self_test::run(|_, _, _, _| false), Err(SelfTestError::RefusesGood(first)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mixed_checks_are_answered_in_order() {
    let bench =
        bench(config(4, 100_000, 7), |_, _, message, signature| as_told(message, signature));
    let kinds = [
        ("raw", RAW),
        ("bad", Verdict::BadSignature),
        ("pae", Verdict::Verified(Verified::assertion(SignedForm::Pae))),
    ];
    // Quadratic residues, so that kinds do not come in the rhythm of a batch.
    let kind = |number: usize| kinds[number * number % 7 % 3];
    let one = |number: usize| check(number.to_string(), kind(number).0);
    let checks: Vec<_> = (0..10_000).map(one).collect();
    let expected: Vec<_> = (0..10_000).map(|number| kind(number).1).collect();
    let halves = [bench.start(&checks[..5_000]), bench.start(&checks[5_000..])];
    let mut answers = Vec::new();
    for half in halves {
        answers.extend(half.await.expect("verdicts"));
    }
    assert_eq!(answers, expected);
    assert_eq!(bench.verify(&checks).await, expected, "from the cache");
    assert_eq!(bench.cache.hits.get(), 10_000);
}

#[tokio::test]
async fn nothing_asked_is_nothing_answered() {
    let bench = bench(config(1, 1, 1), algorithm::verify);
    assert_eq!(bench.verify(&[]).await, []);
}

#[tokio::test]
async fn a_batch_is_whatever_came_while_the_thread_was_busy() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(1, 100, 16), arithmetic);
    let mut waiting = vec![bench.start(&[check("first", "raw")])];
    until(|| gate.came() == 1).await;
    waiting.extend((0..20).map(|number: u8| bench.start(&[check(vec![number], "raw")])));
    bench.until_queued(20).await;
    gate.open();
    for one in waiting {
        assert_eq!(one.await.expect("verdicts"), [RAW]);
    }
    let sizes = &bench.metrics.batch_size;
    assert_eq!((sizes.get_sample_count(), sizes.get_sample_sum()), (3, 21.0), "1 + 16 + 4");
}

#[tokio::test]
async fn a_burst_spreads_over_all_threads() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(3, 100, 100), arithmetic);
    let burst = bench.start(&[check("1", "raw"), check("2", "raw"), check("3", "raw")]);
    until(|| gate.came() == 3).await;
    gate.open();
    assert_eq!(burst.await.expect("verdicts"), [RAW; 3]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_what_it_holds_is_still_verified() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(1, 3, 16), arithmetic);
    let running = bench.start(&[check("running", "raw")]);
    until(|| gate.came() == 1).await;
    let checks: Vec<_> = (0..5_u8).map(|number| check(vec![number], "raw")).collect();
    let partly = bench.start(&checks);
    bench.until_queued(3).await;
    assert_eq!(bench.verify(&[check("one more", "raw")]).await, [OVERLOADED]);
    gate.open();
    assert_eq!(running.await.expect("verdicts"), [RAW]);
    assert_eq!(partly.await.expect("verdicts"), [RAW, RAW, RAW, OVERLOADED, OVERLOADED]);
    assert_eq!(bench.verify(&checks).await, [RAW; 5], "overload is not remembered");
    assert_eq!(bench.metrics.counted(OVERLOADED), 3);
}

#[tokio::test]
async fn a_passed_deadline_is_said_and_expired_checks_are_never_verified() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(1, 100, 16), arithmetic);
    let running = bench.start(&[check("running", "raw")]);
    until(|| gate.came() == 1).await;
    let shortly = Instant::now() + Duration::from_millis(20);
    let late = bench.verifier.verify(vec![check("late", "raw")], shortly).await;
    assert_eq!(late, [LATE]);
    gate.open();
    assert_eq!(running.await.expect("verdicts"), [RAW]);
    bench.until_queued(0).await;
    assert_eq!(gate.came(), 1);

    let past = Instant::now();
    let checks = vec![check("running", "raw"), check("late", "raw")];
    assert_eq!(
        bench.verifier.verify(checks, past).await,
        [RAW, LATE],
        "a known verdict is not late"
    );
    assert_eq!(bench.metrics.counted(LATE), 2);
}

#[tokio::test]
async fn a_check_that_outlasts_its_first_asker_serves_the_next() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(1, 100, 16), arithmetic);
    let running = bench.start(&[check("running", "raw")]);
    until(|| gate.came() == 1).await;
    let dropped = bench.start(&[check("dropped", "raw"), check("shared", "raw")]);
    bench.until_queued(2).await;
    let patient = bench.start(&[check("shared", "raw")]);
    until(|| bench.cache.shared.get() == 1).await;
    dropped.abort();
    assert!(dropped.await.expect_err("aborted").is_cancelled());
    gate.open();
    assert_eq!(running.await.expect("verdicts"), [RAW]);
    assert_eq!(patient.await.expect("verdicts"), [RAW]);
    assert_eq!(gate.came(), 2, "nobody waited for the dropped one");
}

#[tokio::test]
async fn a_panic_costs_its_batch_and_nothing_else() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(1, 100, 2), arithmetic);
    let running = bench.start(&[check("running", "raw")]);
    until(|| gate.came() == 1).await;
    let (beside, fatal) = (check("beside", "raw"), check("fatal", "panic"));
    let batches = bench.start(&[beside.clone(), fatal, check("third", "raw")]);
    bench.until_queued(3).await;
    gate.open();
    assert_eq!(running.await.expect("verdicts"), [RAW]);
    assert_eq!(batches.await.expect("verdicts"), [PANICKED, PANICKED, RAW]);
    assert_eq!(bench.metrics.panics.get(), 1);
    assert_eq!(bench.metrics.counted(PANICKED), 2);
    assert_eq!(bench.verify(&[beside]).await, [RAW], "a panic is not remembered");
}

#[tokio::test]
async fn identical_checks_under_way_are_verified_once() {
    let (gate, arithmetic) = gated!();
    let bench = bench(config(2, 100, 16), arithmetic);
    let same = check("same", "raw");
    let waiting: Vec<_> = (0..50).map(|_| bench.start(&[same.clone(), same.clone()])).collect();
    until(|| bench.cache.shared.get() == 99).await;
    gate.open();
    for one in waiting {
        assert_eq!(one.await.expect("verdicts"), [RAW, RAW]);
    }
    assert_eq!((gate.came(), bench.cache.misses.get()), (1, 1));
}

#[tokio::test]
async fn a_verdict_is_worked_out_once_for_key_payload_and_signature() {
    let (gate, arithmetic) = gated!();
    gate.open();
    let bench = bench(config(1, 100, 16), arithmetic);
    let (good, bad) = (check("payload", "raw"), check("payload", "bad"));
    for _ in 0..3 {
        let verdicts = bench.verify(&[good.clone(), bad.clone()]).await;
        assert_eq!(verdicts, [RAW, Verdict::BadSignature]);
    }
    assert_eq!(gate.came(), 3, "good: as it is; bad: as it is and enveloped");

    let renamed = VerificationKey { ids: vec![KeyId::from("other id")], ..(*good.key).clone() };
    assert_eq!(bench.verify(&[Check { key: Arc::new(renamed), ..good.clone() }]).await, [RAW]);
    assert_eq!(gate.came(), 3, "the id of a key is no part of it");

    let algorithm = SignatureAlgorithm::Ed25519;
    let other_algorithm = VerificationKey { algorithm, ..(*good.key).clone() };
    let other_key = key(good.key.algorithm, b"other key");
    for key in [Arc::new(other_algorithm), other_key] {
        let before = gate.came();
        bench.verify(&[Check { key, ..good.clone() }]).await;
        assert_eq!(gate.came(), before + 1);
    }

    let enveloped = Verdict::Verified(Verified::assertion(SignedForm::Enveloped));
    for exact in ["payload", "payload and more"] {
        let check = Check { exact: Some(Bytes::from_static(exact.as_bytes())), ..good.clone() };
        let before = gate.came();
        for _ in 0..2 {
            assert_eq!(bench.verify(std::slice::from_ref(&check)).await, [enveloped]);
        }
        assert_eq!(gate.came(), before + 1, "what exactly is signed is a part of it");
    }
}

#[tokio::test]
async fn the_verdict_cache_stays_in_its_bytes_and_may_be_switched_off() {
    let (gate, arithmetic) = gated!();
    gate.open();
    let checks: Vec<_> = (0..500).map(|n: u32| check(n.to_be_bytes().to_vec(), "raw")).collect();
    let small = VerifierConfig { verdict_cache_bytes_max: 30_000, ..config(1, 1_000, 16) };
    let bench_small = bench(small, arithmetic);
    bench_small.verify(&checks).await;
    bench_small.verifier.refresh_metrics();
    let (entries, bytes) = bench_small.cache.held();
    assert!((50..=100).contains(&entries), "{entries}");
    assert!(bytes <= 30_000, "{bytes}");
    assert!(bench_small.cache.evicted_for_size() >= 400);

    let off = bench(VerifierConfig { verdict_cache_bytes_max: 0, ..small }, arithmetic);
    let before = gate.came();
    for _ in 0..2 {
        assert_eq!(off.verify(&checks[..1]).await, [RAW]);
        off.verifier.refresh_metrics();
    }
    assert_eq!(gate.came(), before + 2);
}
