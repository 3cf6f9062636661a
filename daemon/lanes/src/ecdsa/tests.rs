//! The arithmetic below the kernels against a big-integer library, and points that collide.

use num_bigint::BigUint;

use super::curve::{Affine, GENERATOR, Projective};
use super::field::Field;
use super::forge;
use super::inverse::{self, Modulus};
use super::job::{Answer, Job};
use super::library;
use super::library::elliptic_curve::ff::PrimeField;
use super::params::{BASE_WINDOW, KEY_WINDOW, N, P, WORDS};
use super::portable;
use super::scalar::{P_MINUS_N, Scalar};
use super::signature::{Signature, from_be_bytes};
use super::table::{BASE_WINDOWS, BaseComb, Comb, Form, KEY_WINDOWS, KeyComb, base_comb};
use crate::comb::digit;

#[cfg(target_arch = "x86_64")]
const FORMS: [Form; 2] = [Form::Words, Form::Limbs];
#[cfg(not(target_arch = "x86_64"))]
const FORMS: [Form; 1] = [Form::Words];

/// Bits of a number.
const BITS: usize = 64 * WORDS;

pub(super) fn big(limbs: &[u64]) -> BigUint {
    let bytes: Vec<_> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    BigUint::from_bytes_le(&bytes)
}

pub(super) fn words(number: &BigUint) -> [u64; WORDS] {
    let digits = number.to_u64_digits();
    std::array::from_fn(|i| digits.get(i).copied().unwrap_or(0))
}

pub(super) fn two_to(power: usize) -> BigUint {
    BigUint::from(1u8) << power
}

/// Numbers below `modulus` where carries, borrows and reductions change, and random ones.
pub(super) fn edges(modulus: &BigUint, random: usize) -> Vec<BigUint> {
    let mut edges = Vec::new();
    for bit in (0..=BITS).step_by(16).chain([52, 104, 156, 208, 62, 124, 186, 248]) {
        for offset in 0..3u8 {
            edges.push(two_to(bit) + offset);
            edges.push(two_to(bit) - 1u8);
            edges.push(two_to(BITS) - two_to(bit) + offset);
        }
    }
    for offset in 0..4u8 {
        edges.extend([modulus - offset, modulus / 2u8 + offset, BigUint::from(offset)]);
    }
    let mut source = fastrand::Rng::with_seed(1);
    for _ in 0..random {
        let mut bytes = [0; 8 * WORDS];
        source.fill(&mut bytes);
        edges.push(BigUint::from_bytes_le(&bytes));
    }
    edges.into_iter().map(|edge| edge % modulus).collect()
}

#[test]
fn field_against_big_integers() {
    let p = big(&P);
    let edges = edges(&p, 40);
    let plain = |field: Field| {
        // Taking the Montgomery form off again: times 1 / R.
        let inverse = two_to(BITS).modpow(&(&p - 2u8), &p);
        big(&field.montgomery()) * inverse % &p
    };
    for a in &edges {
        let fa = Field::new(words(a));
        assert_eq!(plain(fa), *a);
        assert_eq!(plain(fa.square()), a * a % &p);
        assert_eq!(plain(fa.neg()), (&p - a) % &p);
        assert_eq!(plain(fa.double()), a * 2u8 % &p);
        assert_eq!(fa.invert().map(plain), (a.bits() > 0).then(|| a.modpow(&(&p - 2u8), &p)));
        for b in &edges {
            let fb = Field::new(words(b));
            assert_eq!(plain(fa.mul(fb)), a * b % &p, "{a} · {b}");
            assert_eq!(plain(fa.add(fb)), (a + b) % &p, "{a} + {b}");
            assert_eq!(plain(fa.sub(fb)), (&p + a - b) % &p, "{a} - {b}");
        }
    }
}

#[test]
fn scalars_against_big_integers() {
    let n = big(&N);
    let r_inverse = two_to(BITS).modpow(&(&n - 2u8), &n);
    let edges = edges(&n, 40);
    for a in &edges {
        let sa = Scalar::reduced(words(a));
        assert_eq!(big(&sa.limbs()), *a);
        assert_eq!(big(&sa.halved().limbs()) * 2u8 % &n, *a);
        let expected = (a.bits() > 0).then(|| a.modpow(&(&n - 2u8), &n) * two_to(BITS - 1) % &n);
        assert_eq!(sa.invert_halved().map(|inverse| big(&inverse.limbs())), expected);
        for b in &edges {
            let sb = Scalar::reduced(words(b));
            assert_eq!(big(&sa.mul(sb).limbs()), a * b % &n * &r_inverse % &n, "{a} · {b}");
            assert_eq!(big(&sa.add(sb).limbs()), (a + b) % &n, "{a} + {b}");
        }
    }
    for offset in 0..5u8 {
        for number in [&n + offset, &n - offset, two_to(BITS) - 1u8 - offset] {
            assert_eq!(big(&Scalar::reduced(words(&number)).limbs()), &number % &n);
            let in_range = number < n;
            assert_eq!(Scalar::in_range(words(&number)).is_some(), in_range, "{number}");
        }
    }
    assert!(Scalar::in_range([0; WORDS]).is_none());
    assert_eq!(big(&P_MINUS_N), big(&P) - &n);
    assert_eq!(big(&Scalar::ONE.limbs()), two_to(BITS) % &n);
}

#[test]
fn inverses_against_big_integers() {
    let hold = |limbs: &[u64; WORDS], modulus: &Modulus| {
        let m = big(limbs);
        for a in edges(&m, 2000).iter().filter(|a| a.bits() > 0) {
            let inverse = big(&inverse::invert(&words(a), modulus));
            assert_eq!(inverse * a % &m, BigUint::from(1u8), "1 / {a}");
        }
    };
    hold(&P, &inverse::FIELD);
    hold(&N, &inverse::ORDER);
}

/// The digits of u, by their definition: odd, and u when put together again.
#[test]
fn digits_are_odd_and_add_up() {
    let n = big(&N);
    let hold = |width: usize, windows: usize, offset: Scalar| {
        for u in edges(&n, 100) {
            let v = Scalar::reduced(words(&u)).halved().add(offset).limbs();
            let (mut plus, mut minus) = (BigUint::ZERO, BigUint::ZERO);
            for window in 0..windows {
                let (index, negative) = digit(&v, width, window);
                assert!(index < 1 << (width - 1));
                let term = BigUint::from(2 * index + 1) << (width * window);
                *(if negative { &mut minus } else { &mut plus }) += term;
            }
            assert_eq!((plus + &n * (&minus / &n + 1u8) - minus) % &n, u);
        }
    };
    hold(KEY_WINDOW, KEY_WINDOWS, KeyComb::OFFSET);
    hold(BASE_WINDOW, BASE_WINDOWS, BaseComb::OFFSET);
    hold(5, 77, Comb::<77, 16>::OFFSET);
}

fn affine(sec1: &forge::Sec1) -> Affine {
    Affine::from_sec1(sec1).unwrap()
}

/// Every entry of a table, both forms, against the curve's crate.
#[test]
fn tables_hold_odd_multiples() {
    let forge = forge::Forge::new(1, 1);
    let signer = &forge.signers[0];
    for form in FORMS {
        let table = KeyComb::build(&affine(&signer.sec1), form).unwrap();
        let mut base = signer.secret;
        for window in 0..KEY_WINDOWS {
            for (index, entry) in table.window(window).iter().enumerate().step_by(9) {
                let multiple = base * library::Scalar::from(2 * index as u64 + 1);
                let expected = affine(&forge::Signer::new(multiple).sec1);
                assert_eq!(entry.point(form), expected, "{index} of window {window}");
            }
            for _ in 0..KEY_WINDOW {
                base = base.double();
            }
        }
    }
}

/// Complete additions in every relation that two points can have.
#[test]
fn complete_additions() {
    let multiple = |k: i64| {
        let magnitude = library::Scalar::from(k.unsigned_abs());
        forge::Signer::new(if k < 0 { -magnitude } else { magnitude })
    };
    for a in -4..=4i64 {
        for b in [-4, -3, -2, -1, 1, 2, 3, 4i64] {
            let start = Projective::INFINITY;
            let first = if a == 0 { start } else { start.add(&affine(&multiple(a).sec1)) };
            let sum = first.add(&affine(&multiple(b).sec1));
            if a + b == 0 {
                assert!(sum.z.is_zero(), "{a} + {b}");
            } else {
                let expected = affine(&multiple(a + b).sec1);
                assert_eq!(expected.x.mul(sum.z), sum.x, "{a} + {b}");
            }
        }
    }
    assert_eq!(affine(&multiple(1).sec1), GENERATOR);
    assert_eq!(affine(&multiple(2).sec1), GENERATOR.double().unwrap());
}

fn number(scalar: &library::Scalar) -> Scalar {
    Scalar::reduced(from_be_bytes(&scalar.to_repr().into()))
}

/// The multiples of G and of the key that entries `which` add up to, for u1 and u2, in the order
/// in which the kernels hold them.
fn partial(u1: &library::Scalar, u2: &library::Scalar, which: &[usize]) -> [library::Scalar; 2] {
    let mut sums = [library::Scalar::ZERO; 2];
    for &nth in which {
        let (u, width, window, offset, sum) = if nth < BASE_WINDOWS {
            (u1, BASE_WINDOW, nth, BaseComb::OFFSET, 0)
        } else {
            (u2, KEY_WINDOW, nth - BASE_WINDOWS, KeyComb::OFFSET, 1)
        };
        let v = number(u).halved().add(offset).limbs();
        let (index, negative) = digit(&v, width, window);
        let mut term = library::Scalar::from(2 * index as u64 + 1);
        for _ in 0..width * window {
            term = term.double();
        }
        sums[sum] += if negative { -term } else { term };
    }
    sums
}

/// Keys for which two given partial sums are the same point, or opposite ones, at every depth of
/// the additions: the kernels must notice, and the verdict must be right all the same.
#[test]
fn colliding_partial_sums_are_noticed() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut forge = forge::Forge::new(9, 1);
    let other = forge.good(0);
    let benches = FORMS.map(|form| Bench {
        form,
        base: base_comb(form).unwrap(),
        neighbour: KeyComb::build(&affine(&other.sec1), form).unwrap(),
    });
    let points = BASE_WINDOWS + KEY_WINDOWS;
    let mut noticed = 0;
    for round in 0..240 {
        let (u1, u2) = (forge::scalar(&mut random), forge::scalar(&mut random));
        // After k rounds of halving, place i holds the sum of all places that fell on it.
        let (depth, opposite) = (round % 6, round / 6 % 2 == 1);
        let mut places: Vec<_> = (0..points).map(|nth| vec![nth]).collect();
        for _ in 0..depth {
            let upper = places.split_off(places.len() / 2);
            let odd = upper.len() > places.len();
            for (nth, mut upper) in upper.into_iter().enumerate() {
                if odd && nth == places.len() {
                    places.push(upper)
                } else {
                    places[nth].append(&mut upper)
                }
            }
        }
        let half = places.len() / 2;
        let nth = random.usize(..half);
        let [a, b] = partial(&u1, &u2, &places[nth]);
        let [c, d] = partial(&u1, &u2, &places[nth + half]);
        // a + b x = ±(c + d x)
        let (rise, run) = if opposite { (-(c + a), b + d) } else { (c - a, b - d) };
        let secret = rise * run.invert().into_option().unwrap_or_default();
        if secret == library::Scalar::ZERO {
            continue;
        }
        let signer = forge::Signer::new(secret);
        let specimen = forge::Forge::with_signer(signer).with_multiples(0, u1, u2);
        noticed += usize::from(hold(&specimen, &benches, &other));
    }
    assert!(noticed > 100, "only {noticed} collisions");
}

struct Bench {
    form: Form,
    base: BaseComb,
    neighbour: KeyComb,
}

/// Holds all kernels to a right verdict; true if a kernel notices. The neighbours in the batch are
/// fine, and must not be harmed.
fn hold(specimen: &forge::Specimen, benches: &[Bench], other: &forge::Specimen) -> bool {
    let signature = Signature::from_der(&specimen.der).unwrap();
    let digest = Scalar::reduced(from_be_bytes(&specimen.hash));
    let expected = specimen.aws_lc_says();
    let wrong = if expected { Answer::Bad } else { Answer::Good };
    let mut noticed = false;
    for Bench { form, base, neighbour } in benches {
        let form = *form;
        let table = KeyComb::build(&affine(&specimen.sec1), form).unwrap();
        let job = Job { slot: 0, table: &table, signature, digest };
        let fine = Job {
            slot: 0,
            table: neighbour,
            signature: Signature::from_der(&other.der).unwrap(),
            digest: Scalar::reduced(from_be_bytes(&other.hash)),
        };
        assert_eq!(job.verify_alone(base), expected);
        for place in [0, 5, 11] {
            let mut jobs = vec![fine; 12];
            jobs[place] = job;
            let mut answers = vec![wrong; 12];
            run(form, &jobs, base, &mut answers);
            for (nth, answer) in answers.iter().enumerate() {
                if nth == place {
                    assert_ne!(*answer, wrong, "{form:?}");
                    noticed |= *answer == Answer::Unclear;
                } else {
                    assert_eq!(*answer, Answer::Good, "{form:?}: neighbour {nth} of {place}");
                }
            }
        }
    }
    noticed
}

fn run(form: Form, jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
    match form {
        Form::Words => portable::verify(jobs, base, answers),
        #[cfg(target_arch = "x86_64")]
        Form::Limbs => match crate::ifma::Available::detect() {
            Some(available) => super::ifma::verify(available, jobs, base, answers),
            None => answers.fill(Answer::Good),
        },
    }
}
