//! The bytes that the caches account for are the bytes that they use. Alone in its process,
//! because it reads the process's resident memory.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark::cache::{Entry, EvaluationCache, EvaluationKey, EvaluationScope, EvidenceEpochs};
use hallmark::metrics::cache::CacheMetrics;
use hallmark::verifier::metrics::VerifierMetrics;
use hallmark::verifier::{Verifier, VerifierConfig};
use hallmark_core::attestor::{
    KeyId, KeyType, SignatureAlgorithm, Spki, Validity, VerificationKey,
};
use hallmark_core::decision::{
    AttestorReason, AttestorResult, OtherOutcomes, Reason, Trial, TrialOutcome,
};
use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::image::Digest;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, SignedForm, Verdict};
use prometheus::{Registry, TextEncoder};

const ENTRIES: u32 = 50_000;
const PLENTY: u64 = 1 << 32;

#[test]
fn caches_use_the_memory_they_account_for() {
    let registry = Registry::new();
    let metrics = CacheMetrics::register(&registry).expect("register");
    let evaluations = EvaluationCache::new(PLENTY, metrics.evaluation);
    let used = growth(|| {
        fill_evaluations(&evaluations);
        evaluations.refresh_metrics();
    });
    assert_close("evaluation", accounted(&registry, "evaluation"), used);

    let config = VerifierConfig {
        threads: NonZeroUsize::MIN,
        queue_checks_max: NonZeroUsize::MAX,
        batch_checks_max: NonZeroUsize::MAX,
        verdict_cache_bytes_max: PLENTY,
        lanes: None,
    };
    let counts = VerifierMetrics::register(&registry).expect("register");
    let verifier = Verifier::new(config, counts, metrics.verdict).expect("verifier");
    let used = growth(|| {
        fill_verdicts(&verifier);
        verifier.refresh_metrics();
    });
    assert_close("verdict", accounted(&registry, "verdict"), used);
}

/// Half to once and a quarter: allocators differ, and hash tables grow by doubling.
fn assert_close(cache: &str, accounted: u64, used: u64) {
    let range = accounted / 2..=accounted * 5 / 4;
    assert!(range.contains(&used), "{cache}: {accounted} bytes accounted for, {used} used");
}

fn growth(work: impl FnOnce()) -> u64 {
    let before = resident_bytes();
    work();
    resident_bytes().saturating_sub(before)
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib = line.split_ascii_whitespace().nth(1).expect("a number");
    kib.parse::<u64>().expect("a number") * 1024
}

fn accounted(registry: &Registry, cache: &str) -> u64 {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    let series = format!("hallmark_cache_bytes{{cache=\"{cache}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series)).expect("the series");
    value.parse().expect("a number")
}

fn fill_evaluations(cache: &EvaluationCache) {
    let attestor = "projects/my-app-prod/attestors/built".parse().expect("attestor");
    let scope = EvaluationScope::new([(&attestor, Some(1))]);
    let epochs = EvidenceEpochs::new();
    for number in 0..ENTRIES {
        let mut digest = Digest([0; 32]);
        digest.0[..4].copy_from_slice(&number.to_be_bytes());
        let key = EvaluationKey { scope, digest, epoch: epochs.of(&digest) };
        let Entry::Lead(lead) = cache.enter(key, UnixTime(0)) else { panic!("not new") };
        lead.finish(evaluation(digest));
    }
}

/// As of a rule with one attestor and an image with one signature.
fn evaluation(digest: Digest) -> Evaluation {
    let trial = Trial {
        signer: None,
        key: None,
        occurrence: "projects/my-app-prod/occurrences/0c5f0a1e-7c53-4d41-9f0e-2f1f5b2a9d10"
            .parse()
            .expect("occurrence"),
        signature_index: 0,
        key_id: KeyId::from("ni:///sha-256;47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"),
        algorithm: Some(SignatureAlgorithm::EcdsaP256Sha256),
        outcome: TrialOutcome::Verified { form: SignedForm::Raw },
    };
    let result = AttestorResult {
        attestor: "projects/my-app-prod/attestors/built-by-ci".parse().expect("attestor"),
        reason: AttestorReason::Verified,
        trials: vec![trial],
        others: OtherOutcomes::default(),
    };
    Evaluation {
        digest,
        attestors: [result].into(),
        reason: Reason::Attested,
        valid_from: UnixTime(0),
        valid_until: None,
    }
}

/// With a key that is none, so that the arithmetic is quick to say no.
fn fill_verdicts(verifier: &Verifier) {
    let key = Arc::new(VerificationKey {
        plugin: "pkix".into(),
        envelope: None,
        holder: None,
        ids: Vec::new(),
        spki: Spki::new([], KeyType::Ed25519, 0..0),
        fingerprint: [0; 32],
        algorithm: SignatureAlgorithm::Ed25519,
        validity: Validity::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("runtime");
    // In portions, so that the checks themselves do not stay in memory.
    for portion in 0..ENTRIES / 1_000 {
        let check = |number: u32| Check {
            exact: None,
            key: Arc::clone(&key),
            payload: number.to_be_bytes().to_vec().into(),
            signature: Vec::new().into(),
        };
        let checks = (portion * 1_000..(portion + 1) * 1_000).map(check).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        let verdicts = runtime.block_on(verifier.verify(checks, deadline));
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::BadSignature));
    }
}
