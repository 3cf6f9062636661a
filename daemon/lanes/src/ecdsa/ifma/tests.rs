//! Vector arithmetic against a big-integer library, at the edges of what each function takes.

use std::arch::x86_64::_mm512_setzero_si512;

use num_bigint::BigUint;

use super::super::lane_prime::FOLDED;
use super::super::params::{self, LIMBS, WORDS};
use super::super::tests::{big, two_to};
use super::number::*;
use crate::ifma::{self, Available, LANES, load, store};

/// Numbers below `end`, a multiple of eight of them: around multiples of p and n, powers of two,
/// with limbs of ones and zeros, and random.
fn numbers(end: &BigUint) -> Vec<BigUint> {
    let mut numbers = Vec::new();
    for modulus in [big(&params::P), big(&params::N), two_to(64 * WORDS)] {
        for multiple in 0..16u8 {
            for offset in 0..3u8 {
                numbers.push(&modulus * multiple + offset);
                numbers.push(&modulus * (multiple + 1) - 1u8 - offset);
            }
        }
    }
    for bit in (0..=52 * LIMBS - 2).step_by(4).chain([51, 52, 53, 104, 156, 208]) {
        numbers.extend([two_to(bit), two_to(bit) - 1u8]);
    }
    for pattern in 0..=u8::MAX >> (8 - LIMBS) {
        let limbs = (0..LIMBS).map(|i| if pattern >> i & 1 == 1 { (1u64 << 52) - 1 } else { 0 });
        numbers.push(limbs.rev().fold(BigUint::ZERO, |sum, limb| (sum << 52) + limb));
    }
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..64 {
        let mut bytes = [0; 52 * LIMBS / 8 + 1];
        random.fill(&mut bytes);
        numbers.push(BigUint::from_bytes_le(&bytes) % end);
    }
    numbers.push(end - 1u8);
    numbers.retain(|number| number < end);
    numbers.truncate(numbers.len() / LANES * LANES);
    numbers
}

#[target_feature(enable = "avx512f")]
fn pack(numbers: &[BigUint]) -> Number {
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for (i, limb) in out.iter_mut().enumerate() {
        let low = |number: &BigUint| {
            let shifted: BigUint = number >> (52 * i);
            shifted.iter_u64_digits().next().unwrap_or(0) & ((1 << 52) - 1)
        };
        *limb = load(&std::array::from_fn(|lane| low(&numbers[lane])));
    }
    out
}

/// Also holds every limb to its range.
#[target_feature(enable = "avx512f")]
fn unpack(number: &Number) -> Vec<BigUint> {
    let mut limbs = Vec::new();
    for limb in number {
        limbs.push(store(*limb));
    }
    let mut out = Vec::new();
    for lane in 0..LANES {
        let mut sum = BigUint::ZERO;
        for limb in limbs.iter().rev() {
            assert!(limb[lane] < 1 << 52, "limb out of range");
            sum = (sum << 52) + limb[lane];
        }
        out.push(sum);
    }
    out
}

/// Calls `hold` on a CPU that has the instructions.
macro_rules! with_ifma {
    ($hold:ident) => {
        match Available::detect() {
            Some(available) => ifma::call!(available, $hold()),
            None => eprintln!("skipped: this CPU has no AVX-512 IFMA"),
        }
    };
}

/// 5.01 p is the most that the kernel multiplies; products of up to 8 p by 8 p fit five limbs.
#[test]
fn products_modulo_p() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let p = big(&params::P);
        let r_inverse = two_to(52 * LIMBS).modpow(&(&p - 2u8), &p);
        let numbers = numbers(&two_to(64 * WORDS + 3));
        let (chunks, _) = numbers.as_chunks::<LANES>();
        for a in chunks {
            let va = pack(a);
            let squares = unpack(&square(&va));
            for lane in 0..LANES {
                let bound = &a[lane] * &a[lane] / two_to(52 * LIMBS) + &p;
                assert!(squares[lane] <= bound, "{}²", a[lane]);
                assert_eq!(&squares[lane] % &p, &a[lane] * &a[lane] * &r_inverse % &p);
            }
            for b in chunks {
                let products = unpack(&mul(&va, &pack(b)));
                for lane in 0..LANES {
                    let product = &a[lane] * &b[lane];
                    assert!(products[lane] <= &product / two_to(52 * LIMBS) + &p);
                    assert_eq!(&products[lane] % &p, product * &r_inverse % &p);
                }
            }
        }
    }
}

#[test]
fn products_modulo_n() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let n = big(&params::N);
        let r_inverse = two_to(52 * LIMBS).modpow(&(&n - 2u8), &n);
        let numbers = numbers(&two_to(64 * WORDS + 2));
        let (chunks, _) = numbers.as_chunks::<LANES>();
        for a in chunks {
            for b in chunks {
                let products = unpack(&mul_mod_n(&pack(a), &pack(b)));
                for lane in 0..LANES {
                    let product = &a[lane] * &b[lane];
                    assert!(products[lane] <= &product / two_to(52 * LIMBS) + &n);
                    assert_eq!(&products[lane] % &n, product * &r_inverse % &n);
                }
            }
        }
    }
}

#[test]
fn canonical_modulo_n() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let n = big(&params::N);
        for a in numbers(&(&n * 3u8)).as_chunks::<LANES>().0 {
            let out = unpack(&canonical_mod_n(&pack(a)));
            assert_eq!(out, a.iter().map(|a| a % &n).collect::<Vec<_>>());
        }
    }
}

/// Sums and differences with addends, as the kernel makes them: products plus 5 p at most.
#[test]
fn sums_are_folded_below_twice_p() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let p = big(&params::P);
        let (low, high) = (&p - two_to(FOLDED.0), &p * 2u8 + two_to(FOLDED.1));
        for a in numbers(&(&p * 16u8)).as_chunks::<LANES>().0 {
            for folded in unpack(&fold(pack(a))).iter().zip(a) {
                assert!(low < *folded.0 && *folded.0 < high, "{} becomes {}", folded.1, folded.0);
                assert_eq!(folded.0 % &p, folded.1 % &p);
            }
        }
        let points = numbers(&high);
        let (points, _) = points.as_chunks::<LANES>();
        let r_inverse = two_to(52 * LIMBS).modpow(&(&p - 2u8), &p);
        for a in points {
            for b in points {
                let (va, vb) = (pack(a), pack(b));
                let differences = unpack(&difference(&va, &vb));
                let loose = square_add(&va, &p_times_minus(5, &plus(&va, &vb)));
                let folded = unpack(&fold(loose));
                for lane in 0..LANES {
                    assert_eq!(differences[lane], &a[lane] + &p * 3u8 - &b[lane]);
                    let square = &a[lane] * &a[lane] * &r_inverse;
                    let expected = square + &p * 5u8 - &a[lane] - &b[lane];
                    assert_eq!(&folded[lane] % &p, expected % &p);
                    assert!(low < folded[lane] && folded[lane] < high);
                }
            }
        }
    }
}

#[test]
fn zeros_are_found_in_every_lane() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let p = big(&params::P);
        for a in numbers(&(&p * 3u8)).as_chunks::<LANES>().0 {
            let mask = is_zero(&pack(a));
            for (lane, a) in a.iter().enumerate() {
                assert_eq!(mask >> lane & 1 == 1, (a % &p).bits() == 0, "{a}");
            }
        }
        for lane in 0..LANES {
            for multiple in 0..3u8 {
                let mut numbers = vec![BigUint::from(1u8); LANES];
                numbers[lane] = &p * multiple;
                assert_eq!(is_zero(&pack(&numbers)), 1 << lane);
            }
        }
    }
}

#[test]
fn words_become_limbs_and_lanes_words() {
    with_ifma!(hold);
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        for a in numbers(&two_to(64 * WORDS)).as_chunks::<LANES>().0 {
            let words = a.each_ref().map(super::super::tests::words);
            let mut columns = [_mm512_setzero_si512(); WORDS];
            for (i, column) in columns.iter_mut().enumerate() {
                *column = load(&words.map(|words| words[i]));
            }
            let number = from_words(&columns);
            assert_eq!(unpack(&number), a);
            assert_eq!(limbs(&words[0]).map(i64::cast_unsigned), number.map(|limb| store(limb)[0]));
            for modulus in [&params::P, &params::N] {
                let value = first_lane(&number, &limbs(modulus));
                assert_eq!(big(&value), &a[0] % big(modulus));
            }
            for (distance, swapped) in [
                (1, swap_lanes::<1>(&number)),
                (2, swap_lanes::<2>(&number)),
                (4, swap_lanes::<4>(&number)),
            ] {
                let swapped = unpack(&swapped);
                for lane in 0..LANES {
                    assert_eq!(swapped[lane], a[lane ^ distance]);
                }
            }
        }
    }
}
