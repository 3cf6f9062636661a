//! One core, distinct messages and signatures: lanes against the libraries, in the same run.
//!
//! Every case is a series of pairs, a rival's batch and then ours, so that both see the same
//! clock. A line for each case: `lanes p256 batch=64 keys=1 vs_ring=N.N`, medians of all pairs.
//! Hashing the message is part of everybody's time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature as aws;
use hallmark_lanes::{Engine, KeyTable, LaneCheck, sha256};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use ring::signature as ring_signature;

/// Bytes of a message: what a simple-signing payload of an image has.
const MESSAGE_BYTES: usize = 256;
/// Distinct signatures of each case.
const SIGNATURES: usize = 2048;
/// How long each case takes.
const TIME_OF_CASE: Duration = Duration::from_millis(1500);

struct Signed {
    key: usize,
    message: Vec<u8>,
    der: Vec<u8>,
}

struct Case {
    sec1: Vec<[u8; 65]>,
    signed: Vec<Signed>,
}

fn case(keys: usize, random: &mut fastrand::Rng) -> Case {
    let keys: Vec<_> = (0..keys)
        .map(|_| {
            let mut secret = [0; 32];
            random.fill(&mut secret);
            secret[0] = 0; // below n
            SigningKey::from_bytes(&secret.into()).expect("a secret")
        })
        .collect();
    let signed = (0..SIGNATURES)
        .map(|nth| {
            let mut message = vec![0; MESSAGE_BYTES];
            random.fill(&mut message);
            let key = nth % keys.len();
            let signature: Signature = keys[key].sign(&message);
            Signed { key, message, der: signature.to_der().as_bytes().to_vec() }
        })
        .collect();
    let sec1 = keys
        .iter()
        .map(|key| {
            let point = key.verifying_key().to_sec1_point(false);
            point.as_bytes().try_into().expect("65 bytes")
        })
        .collect();
    Case { sec1, signed }
}

/// The batch that follows, going round.
fn batches<'a>(signed: &'a [Signed], size: usize) -> impl FnMut() -> &'a [Signed] {
    let mut start = 0;
    move || {
        if start + size > signed.len() {
            start = 0;
        }
        start += size;
        &signed[start - size..start]
    }
}

fn by_lanes(engine: &Engine, tables: &[KeyTable], batch: &[Signed]) -> bool {
    let checks: Vec<_> = batch
        .iter()
        .map(|signed| LaneCheck {
            table: &tables[signed.key],
            message_hash: sha256(&signed.message),
            signature_der: &signed.der,
        })
        .collect();
    let mut good = vec![false; checks.len()];
    engine.verify_batch(&checks, &mut good);
    good.iter().all(|&good| good)
}

/// Medians of nanoseconds a signature: the rival's, ours.
fn pairs(
    case: &Case,
    size: usize,
    rival: &dyn Fn(&Signed) -> bool,
    ours: &dyn Fn(&[Signed]) -> bool,
) -> (f64, f64) {
    let mut theirs = batches(&case.signed, 1);
    let mut next = batches(&case.signed, size);
    // Enough of ours a pair for a steady reading.
    let rounds = 256usize.div_ceil(size);
    let mut times = (Vec::new(), Vec::new());
    let end = Instant::now() + TIME_OF_CASE;
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..16 {
            assert!(rival(black_box(&theirs()[0])), "the rival refuses a good signature");
        }
        times.0.push(start.elapsed().as_nanos() as f64 / 16.0);
        let start = Instant::now();
        for _ in 0..rounds {
            assert!(ours(black_box(next())), "a lane refuses a good signature");
        }
        times.1.push(start.elapsed().as_nanos() as f64 / (rounds * size) as f64);
    }
    (median(times.0), median(times.1))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut random = fastrand::Rng::with_seed(1);
    let engines: Vec<_> =
        [Engine::ifma(), Engine::portable()].into_iter().filter_map(Result::ok).collect();
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    for keys in [1, 1000] {
        let case = case(keys, &mut random);
        for engine in &engines {
            if only.as_deref().is_some_and(|only| only != engine.name()) {
                continue;
            }
            let start = Instant::now();
            let tables: Vec<_> =
                case.sec1.iter().map(|sec1| engine.build_table(sec1).expect("a key")).collect();
            let built = start.elapsed().as_secs_f64() * 1e6 / keys as f64;
            println!(
                "table p256 engine={} bytes={} microseconds={built:.0}",
                engine.name(),
                tables[0].bytes()
            );
            let ours = |batch: &[Signed]| by_lanes(engine, &tables, batch);
            for size in [1, 8, 64, 1024] {
                let by_ring = |signed: &Signed| {
                    ring_signature::UnparsedPublicKey::new(
                        &ring_signature::ECDSA_P256_SHA256_ASN1,
                        &case.sec1[signed.key],
                    )
                    .verify(&signed.message, &signed.der)
                    .is_ok()
                };
                let (ring, lane) = pairs(&case, size, &by_ring, &ours);
                println!(
                    "lanes p256 batch={size} keys={keys} engine={} ns={lane:.0} ring_ns={ring:.0} vs_ring={:.1}",
                    engine.name(),
                    ring / lane
                );
            }
        }
    }
    let _ = (aws::ECDSA_P256_SHA256_ASN1, |k: &VerifyingKey, m: &[u8], s: &Signature| {
        k.verify(m, s).is_ok()
    });
}
