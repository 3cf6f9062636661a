//! One core, distinct messages and signatures: lanes against the libraries, in the same run.
//!
//! Every case is a series of pairs, a rival's signatures and then ours, so that both see the same
//! clock. A line for each case: `lanes p256 batch=64 keys=1 vs_ring=N.N …`, of the medians of all
//! pairs. Hashing the message is part of everybody's time.

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
/// Signatures that a rival verifies between two readings of ours.
const RIVAL_ROUND: usize = 16;
/// Of ours: about what [`RIVAL_ROUND`] takes.
const READING: Duration = Duration::from_micros(640);
/// How long each case takes.
const TIME_OF_CASE: Duration = Duration::from_millis(1500);

struct Signed {
    key: usize,
    message: Vec<u8>,
    der: Vec<u8>,
}

/// Keys, as each verifier likes them best, and what they signed.
struct Case {
    sec1: Vec<[u8; 65]>,
    aws_lc: Vec<aws::ParsedPublicKey>,
    p256: Vec<VerifyingKey>,
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
    let p256: Vec<_> = keys.iter().map(|key| *key.verifying_key()).collect();
    let sec1: Vec<[u8; 65]> = p256
        .iter()
        .map(|key| key.to_sec1_point(false).as_bytes().try_into().expect("65 bytes"))
        .collect();
    let parse = |key| aws::ParsedPublicKey::new(&aws::ECDSA_P256_SHA256_ASN1, key).expect("a key");
    let aws_lc = sec1.iter().map(parse).collect();
    Case { sec1, aws_lc, p256, signed }
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

/// Median nanoseconds a signature.
struct Medians {
    ours: f64,
    rivals: Vec<f64>,
}

/// A library, and how it verifies.
type Rival = (&'static str, fn(&Case, &Signed) -> bool);

const RIVALS: [Rival; 3] = [("ring", by_ring), ("aws_lc", by_aws_lc), ("p256", by_p256)];

fn by_ring(case: &Case, signed: &Signed) -> bool {
    let algorithm = &ring_signature::ECDSA_P256_SHA256_ASN1;
    let key = ring_signature::UnparsedPublicKey::new(algorithm, &case.sec1[signed.key]);
    key.verify(&signed.message, &signed.der).is_ok()
}

fn by_aws_lc(case: &Case, signed: &Signed) -> bool {
    case.aws_lc[signed.key].verify_sig(&signed.message, &signed.der).is_ok()
}

fn by_p256(case: &Case, signed: &Signed) -> bool {
    let signature = Signature::from_der(&signed.der);
    signature
        .is_ok_and(|signature| case.p256[signed.key].verify(&signed.message, &signature).is_ok())
}

/// Every round takes each rival and then ours, one after the other.
fn rounds(case: &Case, size: usize, ours: &dyn Fn(&[Signed]) -> bool) -> Medians {
    let mut theirs = batches(&case.signed, RIVAL_ROUND);
    let mut next = batches(&case.signed, size);
    // About as long as the rival takes: a longer reading is more often interrupted.
    let one_call =
        nanoseconds(4, || (0..4).for_each(|_| assert!(ours(next()), "refused"))).max(1.0);
    let calls = (READING.as_nanos() as f64 / one_call).ceil() as usize;
    let mut our_times = Vec::new();
    let mut rival_times = RIVALS.map(|_| Vec::new());
    let end = Instant::now() + TIME_OF_CASE;
    while Instant::now() < end {
        for ((name, verify), times) in RIVALS.iter().zip(&mut rival_times) {
            let batch = theirs();
            times.push(nanoseconds(batch.len(), || {
                for signed in batch {
                    assert!(verify(case, black_box(signed)), "{name} refuses a good signature");
                }
            }));
            our_times.push(nanoseconds(calls * size, || {
                for _ in 0..calls {
                    assert!(ours(black_box(next())), "a lane refuses a good signature");
                }
            }));
        }
    }
    Medians { ours: median(our_times), rivals: rival_times.map(median).into() }
}

/// Of each of `count` things that `work` does.
fn nanoseconds(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / count as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut random = fastrand::Rng::with_seed(1);
    let engines: Vec<_> =
        [Engine::ifma(), Engine::portable()].into_iter().filter_map(Result::ok).collect();
    for keys in [1, 1000] {
        let case = case(keys, &mut random);
        for engine in &engines {
            of_engine(engine, &case);
        }
    }
}

fn of_engine(engine: &Engine, case: &Case) {
    let (name, keys) = (engine.name(), case.sec1.len());
    let mut tables = Vec::new();
    let built = nanoseconds(keys, || {
        tables = case.sec1.iter().map(|sec1| engine.build_table(sec1).expect("a key")).collect();
    });
    let (bytes, microseconds) = (tables[0].bytes(), built / 1000.0);
    println!("table p256 engine={name} bytes={bytes} microseconds={microseconds:.0}");
    for size in [1, 8, 64, 1024] {
        let medians = rounds(case, size, &|batch: &[Signed]| by_lanes(engine, &tables, batch));
        print!("lanes p256 batch={size} keys={keys}");
        for ((rival, _), time) in RIVALS.iter().zip(&medians.rivals) {
            print!(" vs_{rival}={:.1}", time / medians.ours);
        }
        println!(" engine={name} ns={:.0} ring_ns={:.0}", medians.ours, medians.rivals[0]);
    }
}
