//! ECDSA (FIPS 186-5 §6.4.2) on a curve y² = x³ − 3x + b of prime order, many at once, for keys
//! with a table.
//!
//! The files beside this one are compiled once for each curve, as children of the curve's module:
//! numbers of a curve's size are arrays, and the length of an array can not yet come from a trait's
//! constant. What differs is in the curve's own `params` (constants, and which verified arithmetic),
//! `lane_prime` (reduction by its prime in vectors) and `known_answers`.
//!
//! `signature` parses, `table` holds what is computed ahead, a kernel (`portable`, `ifma`) answers
//! jobs by affine additions that share their inversions, and `job` answers alone, by complete
//! additions, what a kernel cannot. `field`, `scalar`, `inverse` and `curve` are the arithmetic
//! below. `docs/lanes.md` has the mathematics and the bounds.

/// Wraps one modulus of Fiat-Crypto: always canonical numbers, R = 2^(64 WORDS). `mul` is
/// Montgomery's product.
macro_rules! verified_arithmetic {
    ($name:ident of $fiat:ident: $in_form:ident, $([$plain:ident by $to:ident],)? $($op:ident = $by:ident),*) => {
        pub(crate) mod $name {
            use super::WORDS;
            use fiat_crypto::$fiat::{$in_form, $($plain, $to,)? $($by),*};

            $(
                /// a · R, for a below the modulus.
                pub(crate) const fn to_montgomery(a: [u64; WORDS]) -> [u64; WORDS] {
                    let mut out = $in_form([0; WORDS]);
                    $to(&mut out, &$plain(a));
                    out.0
                }
            )?

            $(
                #[inline]
                pub(crate) const fn $op(a: [u64; WORDS], b: [u64; WORDS]) -> [u64; WORDS] {
                    let mut out = $in_form([0; WORDS]);
                    $by(&mut out, &$in_form(a), &$in_form(b));
                    out.0
                }
            )*
        }
    };
}
pub(crate) use verified_arithmetic;
