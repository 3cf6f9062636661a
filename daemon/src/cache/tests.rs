//! The decision cache under concurrency, and what it must never answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hallmark_core::attestor::KeyId;
use hallmark_core::decision::{
    AttestorReason, AttestorResult, OtherOutcomes, Reason, Trial, TrialOutcome,
};
use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::image::Digest;
use hallmark_core::names::AttestorName;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{SignedForm, Unavailable};
use prometheus::Registry;
use tokio::sync::Notify;

use super::*;
use crate::metrics::cache::{CacheCounters, CacheMetrics};

const NOW: UnixTime = UnixTime(1_000);

/// Never bumped.
static EPOCHS: LazyLock<EvidenceEpochs> = LazyLock::new(EvidenceEpochs::new);

fn cache(bytes_max: u64) -> (EvaluationCache, CacheCounters) {
    let counters = CacheMetrics::register(&Registry::new()).expect("register").evaluation;
    (EvaluationCache::new(bytes_max, counters.clone()), counters)
}

fn roomy() -> EvaluationCache {
    cache(1 << 20).0
}

fn scope(required: &[(&str, Option<u64>)]) -> EvaluationScope {
    let named = |&(name, identity): &(&str, _)| (name.parse().expect("attestor"), identity);
    let required: Vec<(AttestorName, _)> = required.iter().map(named).collect();
    EvaluationScope::new(required.iter().map(|(name, identity)| (name, *identity)))
}

const BUILT: &str = "projects/p/attestors/built";

fn key(digest: u32) -> EvaluationKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&digest.to_be_bytes());
    EvaluationKey {
        scope: scope(&[(BUILT, Some(1))]),
        digest: Digest(bytes),
        epoch: EPOCHS.of(&Digest(bytes)),
    }
}

/// Where an evaluation came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Cached,
    Fresh,
    /// Worked out by another request meanwhile.
    Shared,
}

/// One key, entered until there is an answer, as whoever evaluates does with many.
async fn answer(
    cache: &EvaluationCache,
    key: EvaluationKey,
    now: UnixTime,
    evaluate: impl Future<Output = Evaluation>,
) -> (Arc<Evaluation>, Origin) {
    loop {
        match cache.enter(key, now) {
            Entry::Cached(found) => return (found, Origin::Cached),
            Entry::Lead(lead) => return (lead.finish(evaluate.await), Origin::Fresh),
            Entry::Follow(flight) => match flight.landed().await {
                Some(shared) if shared.holds_at(now) => return (shared, Origin::Shared),
                Some(_) => return (Arc::new(evaluate.await), Origin::Fresh),
                None => {}
            },
        }
    }
}

fn evaluation(reason: Reason) -> Evaluation {
    Evaluation {
        digest: key(0).digest,
        attestors: [].into(),
        reason,
        valid_from: UnixTime(0),
        valid_until: None,
    }
}

fn attested() -> Evaluation {
    evaluation(Reason::Attested)
}

fn undetermined() -> Evaluation {
    evaluation(Reason::Undetermined)
}

#[tokio::test]
async fn a_thousand_requests_for_one_new_image_evaluate_once() {
    let (cache, counters) = cache(1 << 20);
    let (calls, go) = (&AtomicUsize::new(0), &Notify::new());
    let all = (0..1_000).map(|_| {
        answer(&cache, key(1), NOW, async move {
            calls.fetch_add(1, Ordering::SeqCst);
            go.notified().await;
            attested()
        })
    });
    let mut all: Vec<_> = all.map(Box::pin).collect();
    for one in &mut all {
        assert!(is_pending(one).await);
    }
    assert_eq!((counters.misses.get(), counters.shared.get()), (1, 999));
    go.notify_one();
    let mut origins = Vec::new();
    for one in all {
        let (evaluation, origin) = one.await;
        assert_eq!(evaluation.reason, Reason::Attested);
        origins.push(origin);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(origins.iter().filter(|&&origin| origin == Origin::Fresh).count(), 1);
    assert_eq!(origins.iter().filter(|&&origin| origin == Origin::Shared).count(), 999);
    let (_, origin) = answer(&cache, key(1), NOW, async { unreachable!() }).await;
    assert_eq!((origin, counters.hits.get()), (Origin::Cached, 1));
}

/// Polls once.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut future = std::pin::Pin::new(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}

#[tokio::test]
async fn what_could_not_be_determined_is_shared_but_not_kept() {
    let (cache, _) = cache(1 << 20);
    let go = Notify::new();
    let leader = answer(&cache, key(1), NOW, async {
        go.notified().await;
        undetermined()
    });
    let follower = answer(&cache, key(1), NOW, async { unreachable!() });
    let (leader, follower, ()) = tokio::join!(leader, follower, async { go.notify_one() });
    assert_eq!((leader.0.reason.clone(), leader.1), (Reason::Undetermined, Origin::Fresh));
    assert_eq!((follower.0.reason.clone(), follower.1), (Reason::Undetermined, Origin::Shared));
    assert_eq!(cache.get(&key(1), NOW), None);
    let (next, origin) = answer(&cache, key(1), NOW, async { attested() }).await;
    assert_eq!((next.reason.clone(), origin), (Reason::Attested, Origin::Fresh));
}

/// An attestor may be satisfied although another of its checks failed in passing: the allow
/// stands, but must not be remembered with that failure in its explanation.
#[tokio::test]
async fn a_passing_failure_in_the_explanation_is_not_kept() {
    let cache = roomy();
    let outcome = TrialOutcome::Unavailable(Unavailable::Overloaded);
    let attestors = [result(AttestorReason::Verified, outcome)].into();
    let evaluation = Evaluation { attestors, ..attested() };
    answer(&cache, key(1), NOW, async { evaluation }).await;
    assert_eq!(cache.get(&key(1), NOW), None);
}

#[tokio::test]
async fn a_cancelled_leader_hands_over() {
    let cache = roomy();
    let leading = {
        let cache = cache.clone();
        tokio::spawn(async move { answer(&cache, key(1), NOW, std::future::pending()).await })
    };
    tokio::task::yield_now().await;
    let follower = {
        let cache = cache.clone();
        tokio::spawn(async move { answer(&cache, key(1), NOW, async { attested() }).await })
    };
    tokio::task::yield_now().await;
    assert!(!follower.is_finished());
    leading.abort();
    let (_, origin) = soon(follower).await.expect("answered");
    assert_eq!(origin, Origin::Fresh);
}

#[tokio::test]
async fn a_panicking_leader_hands_over() {
    let cache = roomy();
    let go = Arc::new(Notify::new());
    let leading = {
        let (cache, go) = (cache.clone(), go.clone());
        tokio::spawn(async move {
            let evaluate = async {
                go.notified().await;
                panic!("in the evaluation")
            };
            answer(&cache, key(1), NOW, evaluate).await
        })
    };
    tokio::task::yield_now().await;
    let follower = {
        let cache = cache.clone();
        tokio::spawn(async move { answer(&cache, key(1), NOW, async { attested() }).await })
    };
    tokio::task::yield_now().await;
    go.notify_one();
    assert!(leading.await.expect_err("panicked").is_panic());
    assert_eq!(soon(follower).await.expect("answered").1, Origin::Fresh);
}

/// Fails a test that would hang.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

#[tokio::test]
async fn a_batch_that_enters_one_key_twice_leads_and_follows_itself() {
    let cache = roomy();
    let Entry::Lead(lead) = cache.enter(key(1), NOW) else { panic!("nobody leads") };
    let Entry::Follow(flight) = cache.enter(key(1), NOW) else { panic!("nobody follows") };
    let finished = lead.finish(attested());
    assert_eq!(soon(flight.landed()).await, Some(finished));
    assert!(matches!(cache.enter(key(1), NOW), Entry::Cached(_)));
}

#[tokio::test]
async fn an_evaluation_is_used_in_its_validity_only() {
    let cache = roomy();
    let window = Evaluation {
        valid_from: UnixTime(1_000),
        valid_until: Some(UnixTime(2_000)),
        ..attested()
    };
    answer(&cache, key(1), NOW, async { window }).await;
    for (now, valid) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
        assert_eq!(cache.get(&key(1), UnixTime(now)).is_some(), valid, "{now}");
    }
    let later = UnixTime(2_000);
    let denied = async { evaluation(Reason::NotAttested) };
    let (replaced, origin) = answer(&cache, key(1), later, denied).await;
    assert_eq!((replaced.reason.clone(), origin), (Reason::NotAttested, Origin::Fresh));
    assert_eq!(cache.get(&key(1), later), Some(replaced));
}

#[tokio::test]
async fn a_shared_evaluation_that_does_not_hold_for_a_follower_is_worked_out_again() {
    let cache = roomy();
    let go = Notify::new();
    let leader = answer(&cache, key(1), NOW, async {
        go.notified().await;
        Evaluation { valid_until: Some(UnixTime(1_001)), ..attested() }
    });
    let denied = async { evaluation(Reason::NotAttested) };
    let follower = answer(&cache, key(1), UnixTime(1_001), denied);
    let (_, (answer, origin), ()) = tokio::join!(leader, follower, async { go.notify_one() });
    assert_eq!((answer.reason.clone(), origin), (Reason::NotAttested, Origin::Fresh));
}

#[tokio::test]
async fn whatever_an_evaluation_rests_on_is_in_its_key() {
    let cache = roomy();
    answer(&cache, key(1), NOW, async { attested() }).await;
    let epochs = EvidenceEpochs::new();
    epochs.bump(&key(1).digest);
    let scopes = [
        scope(&[]),
        scope(&[(BUILT, None)]),
        scope(&[(BUILT, Some(2))]),
        scope(&[("projects/p/attestors/tested", None)]),
        scope(&[("projects/pb/attestors/uilt", None)]),
        scope(&[(BUILT, Some(1)), ("projects/p/attestors/tested", Some(2))]),
        scope(&[("projects/p/attestors/tested", Some(2)), (BUILT, Some(1))]),
        scope(&[(BUILT, Some(1)), ("projects/p/attestors/tested", None)]),
        scope(&[("projects/p/attestors/tested", None), (BUILT, Some(1))]),
    ];
    let mut others: Vec<_> =
        scopes.iter().map(|&scope| EvaluationKey { scope, ..key(1) }).collect();
    others.push(key(2));
    others.push(EvaluationKey { epoch: epochs.of(&key(1).digest), ..key(1) });
    for (nth, other) in others.iter().enumerate() {
        assert_eq!(cache.get(other, NOW), None, "{other:?}");
        assert!(!others[..nth].contains(other), "{other:?}");
    }
    assert!(cache.get(&key(1), NOW).is_some());
}

fn result(reason: AttestorReason, outcome: TrialOutcome) -> AttestorResult {
    let trial = Trial {
        signer: None,
        key: None,
        occurrence: "projects/p/occurrences/0c5f0a1e".parse().expect("name"),
        signature_index: 0,
        key_id: KeyId::from("ni:///sha-256;47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"),
        algorithm: None,
        outcome,
    };
    let attestor = BUILT.parse().expect("name");
    AttestorResult { attestor, reason, trials: vec![trial], others: OtherOutcomes::default() }
}

fn explained() -> Evaluation {
    let verified = TrialOutcome::Verified { form: SignedForm::Raw };
    Evaluation { attestors: [result(AttestorReason::Verified, verified)].into(), ..attested() }
}

#[tokio::test]
async fn the_cache_stays_in_its_bytes_and_says_what_it_dropped() {
    let (cache, counters) = cache(100_000);
    for digest in 0..1_000 {
        answer(&cache, key(digest), NOW, async { explained() }).await;
    }
    cache.refresh_metrics();
    let (entries, bytes) = counters.held();
    assert!((50..=250).contains(&entries), "{entries}");
    assert!((50_000..=100_000).contains(&bytes), "{bytes}");
    assert!(counters.evicted_for_size() >= 700);
}

#[tokio::test]
async fn a_cache_of_no_bytes_remembers_nothing() {
    let (cache, _) = cache(0);
    for _ in 0..2 {
        let (_, origin) = answer(&cache, key(1), NOW, async { attested() }).await;
        assert_eq!(origin, Origin::Fresh);
        cache.refresh_metrics();
    }
}
