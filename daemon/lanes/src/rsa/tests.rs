//! The arithmetic, against num-bigint, over edge values and random ones in every lane.

use num_bigint::BigUint;

use super::job::{Job, LANES};
use super::kernel::{Blocks, Moduli, power, transpose, untranspose};
use super::key::KeyTable;
use super::number::{
    BLOCK, BLOCKS, BLOCKS_MAX, LOW_52, Number, from_be_bytes, less_once, negative_inverse,
    power_of_two, to_be_bytes,
};
use crate::ifma::Available;

/// Bits of the moduli, in the order of `BLOCKS`.
const BITS: [usize; 3] = [2048, 3072, 4096];

fn value(number: &Number) -> BigUint {
    number.iter().rev().fold(BigUint::ZERO, |value, limb| (value << 52) + limb)
}

fn number(value: &BigUint) -> Number {
    from_be_bytes(&value.to_bytes_be())
}

fn random_below(bound: &BigUint, random: &mut fastrand::Rng) -> BigUint {
    let mut bytes = vec![0; 530];
    random.fill(&mut bytes);
    BigUint::from_bytes_be(&bytes) % bound
}

/// R of so many blocks.
fn radix(blocks: usize) -> BigUint {
    BigUint::from(1u8) << (1040 * blocks)
}

fn table(modulus: &BigUint) -> KeyTable {
    let mut body = vec![0x02, 0x82];
    let bytes = modulus.to_bytes_be();
    body.extend(u16::try_from(bytes.len() + 1).expect("short").to_be_bytes());
    body.push(0);
    body.extend(bytes);
    body.extend([2, 3, 1, 0, 1]);
    let mut der = vec![0x30, 0x82];
    der.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    der.extend(body);
    KeyTable::new(&der).expect("a key")
}

/// Eight odd moduli of full length: the least, the greatest, those whose lowest limb is 1 or all
/// ones, and random ones.
fn moduli(bits: usize, random: &mut fastrand::Rng) -> [BigUint; LANES] {
    let (one, half) = (BigUint::from(1u8), BigUint::from(1u8) << (bits - 1));
    let low = BigUint::from(LOW_52);
    let any = |random: &mut fastrand::Rng| (random_below(&half, random) + &half) | &one;
    let above = |value: BigUint| (value >> 52u32) << 52u32;
    [
        &half + &one,
        (&half << 1u32) - &one,
        above(any(random)) + &one,
        any(random) | &low,
        &half + &low,
        any(random),
        any(random),
        any(random),
    ]
}

/// Numbers that a product must take: below 2 n, and R − 1, all ones.
fn edges(n: &BigUint, blocks: usize, random: &mut fastrand::Rng) -> Vec<BigUint> {
    let one = BigUint::from(1u8);
    let mut edges = vec![BigUint::ZERO, one.clone(), n - &one, n.clone(), n + &one];
    edges.extend([(n << 1u32) - &one, radix(blocks) - &one, radix(blocks) % n, &one << 52u32]);
    edges.extend([BigUint::from(LOW_52), n >> 1u32, random_below(n, random)]);
    edges
}

/// Which of [`edges`] is R − 1.
const ALL_ONES: usize = 6;

/// Checks one product of all lanes: congruent, below its bound, its limbs in range.
fn check_product(
    out: &[Number; LANES],
    factors: &[(BigUint, BigUint); LANES],
    n: &[BigUint],
    blocks: usize,
) {
    let radix = radix(blocks);
    for ((out, (a, b)), n) in out.iter().zip(factors).zip(n) {
        assert!(out.iter().all(|&limb| limb <= LOW_52), "limbs of {a} * {b}");
        let (product, out) = (a * b, value(out));
        assert_eq!(&out * &radix % n, &product % n, "{a} * {b} mod {n}");
        assert!(&out * &radix < product + n * &radix, "bound of {a} * {b} mod {n}");
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn products_and_squares() {
    let mut random = fastrand::Rng::with_seed(1);
    for (blocks, bits) in BLOCKS.into_iter().zip(BITS) {
        let n = moduli(bits, &mut random);
        let tables = n.each_ref().map(table);
        let moduli = Moduli::new(&tables.each_ref(), blocks);
        let edges = n.each_ref().map(|n| edges(n, blocks, &mut random));
        let count = edges[0].len();
        for (i, j) in (0..count).flat_map(|i| (0..count).map(move |j| (i, j))) {
            // (R − 1)² / R + n may be R or more.
            if i == ALL_ONES && j == ALL_ONES {
                continue;
            }
            let factors = edges.each_ref().map(|edges| (edges[i].clone(), edges[j].clone()));
            let a = vectors(&factors.each_ref().map(|(a, _)| a), blocks);
            let b = vectors(&factors.each_ref().map(|(_, b)| b), blocks);
            let mut out = vectors(&factors.each_ref().map(|(_, b)| b), blocks);
            moduli.mul(&mut out, &a, &b);
            check_product(&untranspose(&out, blocks), &factors, &n, blocks);
            if i == j {
                moduli.square(&mut out, &a);
                check_product(&untranspose(&out, blocks), &factors, &n, blocks);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn vectors(values: &[&BigUint; LANES], blocks: usize) -> Blocks {
    transpose(&values.map(number).each_ref(), blocks)
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn powers() {
    let mut random = fastrand::Rng::with_seed(2);
    let exponent = BigUint::from(65537u32);
    for (blocks, bits) in BLOCKS.into_iter().zip(BITS) {
        let n = moduli(bits, &mut random);
        let tables = n.each_ref().map(table);
        for round in 0..LANES {
            let bases: [BigUint; LANES] =
                std::array::from_fn(|lane| match (round + lane) % LANES {
                    0 => BigUint::ZERO,
                    1 => BigUint::from(1u8),
                    2 => &n[lane] - 1u8,
                    3 => &n[lane] - 2u8,
                    4 => &radix(blocks) % &n[lane],
                    _ => random_below(&n[lane], &mut random),
                });
            let jobs: [_; LANES] =
                std::array::from_fn(|lane| Job { key: &tables[lane], base: number(&bases[lane]) });
            for (lane, out) in power(&jobs.each_ref(), blocks).iter().enumerate() {
                let canonical = value(&less_once(out, &number(&n[lane])));
                assert_eq!(canonical, bases[lane].modpow(&exponent, &n[lane]), "lane {lane}");
            }
        }
    }
}

#[test]
fn products_in_lanes_are_those_of_num_bigint() {
    if let Some(available) = Available::detect() {
        available.call(products_and_squares);
    }
}

#[test]
fn powers_in_lanes_are_those_of_num_bigint() {
    if let Some(available) = Available::detect() {
        available.call(powers);
    }
}

#[test]
fn bytes_become_limbs_and_again_bytes() {
    let mut random = fastrand::Rng::with_seed(3);
    for bytes in [1, 6, 7, 8, 13, 256, 384, 512] {
        for filled in [Some(0), Some(0xff), None] {
            let mut given = vec![filled.unwrap_or(0); bytes];
            if filled.is_none() {
                random.fill(&mut given);
            }
            let limbs = from_be_bytes(&given);
            assert!(limbs.iter().all(|&limb| limb <= LOW_52), "{bytes} bytes");
            assert_eq!(value(&limbs), BigUint::from_bytes_be(&given));
            let mut again = vec![1; bytes];
            to_be_bytes(&limbs, &mut again);
            assert_eq!(again, given);
        }
    }
}

#[test]
fn what_is_computed_ahead_is_what_num_bigint_says() {
    let mut random = fastrand::Rng::with_seed(4);
    for (blocks, bits) in BLOCKS.into_iter().zip(BITS) {
        for n in moduli(bits, &mut random) {
            let table = table(&n);
            assert_eq!(table.blocks(), blocks);
            assert_eq!(value(table.n()), n);
            let radix = radix(blocks);
            assert_eq!(value(table.to_montgomery()), &radix * &radix % &n);
            assert_eq!(table.n()[0].wrapping_mul(table.quotient()) & LOW_52, LOW_52);
            for exponent in [bits - 1, bits, bits + 1] {
                let power = value(&power_of_two(exponent, table.n(), bits));
                assert_eq!(power, (BigUint::from(1u8) << exponent) % &n);
            }
        }
    }
}

#[test]
fn a_modulus_is_taken_away_once_at_most() {
    let mut random = fastrand::Rng::with_seed(5);
    for bits in BITS {
        for n in moduli(bits, &mut random) {
            let one = BigUint::from(1u8);
            for a in [BigUint::ZERO, &n - &one, n.clone(), &n + &one, (&n << 1u32) - &one] {
                assert_eq!(value(&less_once(&number(&a), &number(&n))), a % &n);
            }
        }
    }
}

#[test]
fn negative_inverses_of_every_kind_of_odd_number() {
    let mut random = fastrand::Rng::with_seed(6);
    for n in (0..1000).map(|_| random.u64(..) | 1).chain([1, 3, 5, LOW_52, LOW_52 - 2, u64::MAX]) {
        assert_eq!(n.wrapping_mul(negative_inverse(n)) & LOW_52, LOW_52, "{n}");
    }
    assert_eq!(BLOCK * BLOCKS_MAX * 52, 4160);
}
