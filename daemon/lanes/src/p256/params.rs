//! P-256 (SEC 2 v2 §2.4.2): its numbers, least significant word first.

use crate::KeyError;
use crate::ecdsa::verified_arithmetic;

/// The error of a key that is none.
pub(crate) const NOT_A_KEY: KeyError = KeyError::P256;
/// Words of 64 bits that a number takes.
pub(crate) const WORDS: usize = 4;
/// Limbs of 52 bits that a number takes in vectors, with some bits to spare.
#[cfg(target_arch = "x86_64")]
pub(crate) const LIMBS: usize = 5;

/// p = 2^256 − 2^224 + 2^192 + 2^96 − 1.
pub(crate) const P: [u64; WORDS] =
    [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001];
/// The order.
pub(crate) const N: [u64; WORDS] =
    [0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84, 0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000];
pub(crate) const B: [u64; WORDS] =
    [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];
/// The base point.
pub(crate) const GENERATOR_X: [u64; WORDS] =
    [0xf4a1_3945_d898_c296, 0x7703_7d81_2deb_33a0, 0xf8bc_e6e5_63a4_40f2, 0x6b17_d1f2_e12c_4247];
pub(crate) const GENERATOR_Y: [u64; WORDS] =
    [0xcbb6_4068_37bf_51f5, 0x2bce_3357_6b31_5ece, 0x8ee7_eb4a_7c0f_9e16, 0x4fe3_42e2_fe1a_7f9b];

/// Bits of one window of a key's table: 32 windows of 128 entries, 256 KiB.
pub(crate) const KEY_WINDOW: usize = 8;
/// Bits of one window of the base point's table.
pub(crate) const BASE_WINDOW: usize = 11;

pub(crate) use super::product::product;

verified_arithmetic!(modulo_p of p256_64:
    fiat_p256_montgomery_domain_field_element,
    [fiat_p256_non_montgomery_domain_field_element by
    fiat_p256_to_montgomery], add = fiat_p256_add, sub = fiat_p256_sub);
verified_arithmetic!(modulo_n of p256_scalar_64:
    fiat_p256_scalar_montgomery_domain_field_element,
    [fiat_p256_scalar_non_montgomery_domain_field_element by
    fiat_p256_scalar_to_montgomery], mul = fiat_p256_scalar_mul, add = fiat_p256_scalar_add);
