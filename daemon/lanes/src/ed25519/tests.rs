//! The arithmetic below the kernels against a big-integer library.

use num_bigint::BigUint;

use super::curve::{BASE, Point};
use super::field::{Field, P};
use super::scalar::{self, ORDER};
use super::table::{BaseComb, Comb, KeyComb};
use crate::comb::digit;

fn big(words: &[u64]) -> BigUint {
    let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    BigUint::from_bytes_le(&bytes)
}

fn words<const N: usize>(number: &BigUint) -> [u64; N] {
    let digits = number.to_u64_digits();
    std::array::from_fn(|i| digits.get(i).copied().unwrap_or(0))
}

fn two_to(power: usize) -> BigUint {
    BigUint::from(1u8) << power
}

/// Numbers below `end` where carries and reductions change, and random ones.
fn edges(end: &BigUint, random: usize) -> Vec<BigUint> {
    let mut edges = Vec::new();
    for bit in (0..255).step_by(17).chain([51, 102, 153, 204, 252, 253, 254]) {
        for offset in 0..3u8 {
            edges.extend([
                two_to(bit) + offset,
                two_to(bit) - 1u8,
                two_to(255) - two_to(bit) + offset,
            ]);
        }
    }
    for offset in 0..20u8 {
        edges.extend([end - 1u8 - offset, BigUint::from(offset), end / 2u8 + offset]);
    }
    let mut source = fastrand::Rng::with_seed(1);
    for _ in 0..random {
        let mut bytes = [0; 32];
        source.fill(&mut bytes);
        edges.push(BigUint::from_bytes_le(&bytes));
    }
    edges.into_iter().map(|edge| edge % end).collect()
}

fn number(field: Field) -> BigUint {
    big(&field.words())
}

#[test]
fn field_against_big_integers() {
    let p = big(&P);
    assert_eq!(p, two_to(255) - 19u8);
    let edges = edges(&p, 40);
    for a in &edges {
        let fa = Field::new(words(a));
        assert_eq!(number(fa), *a);
        assert_eq!(number(fa.square()), a * a % &p);
        assert_eq!(number(fa.neg()), (&p - a) % &p);
        assert_eq!(number(fa.to_p58()), a.modpow(&(two_to(252) - 3u8), &p));
        assert_eq!(number(fa.invert()), a.modpow(&(&p - 2u8), &p));
        assert_eq!((fa.is_zero(), fa.is_odd()), (a.bits() == 0, a.bit(0)));
        for b in &edges {
            let fb = Field::new(words(b));
            assert_eq!(number(fa.mul(fb)), a * b % &p, "{a} · {b}");
            assert_eq!(number(fa.add(fb)), (a + b) % &p, "{a} + {b}");
            assert_eq!(number(fa.sub(fb)), (&p + a - b) % &p, "{a} - {b}");
            assert_eq!(fa == fb, a == b);
        }
    }
    // Not canonical, but taken: what is at least p and below 2^255.
    for offset in 0..19u8 {
        assert_eq!(number(Field::new(words(&(&p + offset)))), BigUint::from(offset));
    }
}

#[test]
fn scalars_against_big_integers() {
    let order = big(&ORDER);
    let half = (&order + 1u8) / 2u8;
    for a in &edges(&order, 40) {
        assert_eq!(big(&scalar::halved(words(a))), a * &half % &order);
        for b in &edges(&order, 5) {
            assert_eq!(big(&scalar::add(words(a), words(b))), (a + b) % &order);
            assert_eq!(big(&scalar::sub(words(a), words(b))), (&order + a - b) % &order);
        }
    }
    for a in edges(&two_to(512), 100) {
        for a in [a.clone(), two_to(512) - 1u8 - a] {
            let words: [u64; 8] = words(&a);
            let mut bytes = [0; 64];
            bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(b, w)| *b = w.to_le_bytes());
            assert_eq!(big(&scalar::half_of_wide(&bytes)), a * &half % &order);
        }
    }
    for offset in 0..5u8 {
        for number in [&order + offset, &order - offset, two_to(256) - 1u8 - offset] {
            let mut bytes = [0; 32];
            let words: [u64; 4] = words(&number);
            bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(b, w)| *b = w.to_le_bytes());
            assert_eq!(scalar::in_range(&bytes).is_some(), number < order, "{number}");
        }
    }
}

/// The digits of u, by their definition: odd, and u when put together again.
#[test]
fn digits_are_odd_and_add_up() {
    fn hold<const WIDTH: usize>() {
        let order = big(&ORDER);
        for u in edges(&order, 100) {
            let v = scalar::add(scalar::halved(words(&u)), Comb::<WIDTH>::OFFSET);
            let (mut plus, mut minus) = (BigUint::ZERO, BigUint::ZERO);
            for window in 0..Comb::<WIDTH>::WINDOWS {
                let (index, negative) = digit(&v, WIDTH, window);
                let term = BigUint::from(2 * index + 1) << (WIDTH * window);
                *(if negative { &mut minus } else { &mut plus }) += term;
            }
            assert_eq!((plus + &order * (&minus / &order + 1u8) - minus) % &order, u);
        }
    }
    hold::<7>();
    hold::<11>();
}

/// y, and the lowest bit of x.
fn encoded(point: &Point) -> [u64; 4] {
    let z = point.z.invert();
    super::portable::encode(point.x.mul(z), point.y.mul(z))
}

#[test]
fn tables_hold_odd_multiples() {
    let table = KeyComb::build(&BASE);
    let mut base = BASE;
    for window in 0..KeyComb::WINDOWS {
        let mut multiple = base;
        for index in 0..KeyComb::ENTRIES {
            // The entry, as the digit that chooses it.
            for negative in [false, true] {
                let entries = KeyComb::ENTRIES;
                let bits = if negative { entries - 1 - index } else { entries + index };
                let v: [u64; 4] = words(&(BigUint::from(bits) << (7 * window)));
                if 7 * window + 7 > 256 {
                    continue;
                }
                let sum = Point::ZERO.add_affine(&table.term(&v, window));
                let mut expected = encoded(&multiple);
                expected[3] ^= u64::from(negative) << 63;
                assert_eq!(encoded(&sum), expected, "{index} of window {window}");
            }
            multiple = multiple.add(&base).add(&base);
        }
        (0..7).for_each(|_| base = base.double());
    }
    assert_eq!(BaseComb::WINDOWS, 23);
}

/// Keys that are points but not for lanes: of small and mixed order, and not canonical.
#[test]
fn only_canonical_keys_of_prime_order_are_read() {
    let bytes = |point: &Point| {
        let mut bytes = [0; 32];
        let words = encoded(point);
        bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(b, w)| *b = w.to_le_bytes());
        bytes
    };
    assert!(Point::from_key(&bytes(&BASE)).is_some());
    assert!(Point::from_key(&bytes(&BASE.double())).is_some());
    // (0, −1) has order two, (0, 1) order one.
    let y_minus_one = Field::ONE.neg();
    let two = Point { x: Field::ZERO, y: y_minus_one, z: Field::ONE, t: Field::ZERO };
    for bad in [two, Point::ZERO, BASE.add(&two)] {
        assert!(Point::from_key(&bytes(&bad)).is_none());
    }
    // y = 1 written as 1 + p, and a y of no point.
    let mut one = [0xff; 32];
    (one[0], one[31]) = (0xee, 0x7f);
    let mut none = [0; 32];
    none[0] = 2;
    for bad in [one, none, [0xff; 32], [0; 32]] {
        assert!(Point::from_key(&bad).is_none(), "{bad:?}");
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::_mm512_setzero_si512;

    use super::super::lanes::{fields, from_words, invert, minus, mul, plus};
    use super::*;
    use crate::ifma::{self, Available, LANES, load};

    #[test]
    fn vector_arithmetic_against_big_integers() {
        match Available::detect() {
            Some(available) => ifma::call!(available, hold()),
            None => eprintln!("skipped: this CPU has no AVX-512 IFMA"),
        }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn hold() {
        let p = big(&P);
        // Up to 2^255 − 1, which is above p.
        let edges = edges(&two_to(255), 40);
        let (chunks, _) = edges.as_chunks::<LANES>();
        let mut packed = Vec::new();
        for chunk in chunks {
            let mut columns = [_mm512_setzero_si512(); 4];
            for (i, column) in columns.iter_mut().enumerate() {
                *column = load(&std::array::from_fn(|lane| words::<4>(&chunk[lane])[i]));
            }
            packed.push(from_words(&columns));
        }
        let values = |number| fields(&number).map(super::number);
        for (a, va) in chunks.iter().zip(&packed) {
            assert_eq!(values(*va), a.each_ref().map(|a| a % &p));
            assert_eq!(values(invert(va)), a.each_ref().map(|a| a.modpow(&(&p - 2u8), &p)));
            for (b, vb) in chunks.iter().zip(&packed) {
                let expected = |op: &dyn Fn(&BigUint, &BigUint) -> BigUint| -> [BigUint; LANES] {
                    std::array::from_fn(|lane| op(&a[lane], &b[lane]) % &p)
                };
                assert_eq!(values(mul(va, vb)), expected(&|a, b| a * b));
                assert_eq!(values(plus(va, vb)), expected(&|a, b| a + b));
                let difference = minus(va, vb);
                assert_eq!(values(difference), expected(&|a, b| a + &p * 2u8 - b));
                // With what such operations give as factors, not only what tables hold.
                let sum = plus(&plus(va, va), &plus(vb, vb));
                let product = expected(&|a, b| (a + &p * 2u8 - b) * (a + b) * 2u8);
                assert_eq!(values(mul(&difference, &sum)), product);
            }
        }
    }
}
