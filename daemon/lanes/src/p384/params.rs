//! P-384 (SEC 2 v2 §2.5.1): its numbers, least significant word first.

use crate::KeyError;
use crate::ecdsa::verified_arithmetic;

/// The error of a key that is none.
pub(crate) const NOT_A_KEY: KeyError = KeyError::P384;
/// Words of 64 bits that a number takes.
pub(crate) const WORDS: usize = 6;
/// Limbs of 52 bits that a number takes in vectors, with some bits to spare.
#[cfg(target_arch = "x86_64")]
pub(crate) const LIMBS: usize = 8;

/// p = 2^384 − 2^128 − 2^96 + 2^32 − 1.
pub(crate) const P: [u64; WORDS] = [
    0x0000_0000_ffff_ffff,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// The order.
pub(crate) const N: [u64; WORDS] = [
    0xecec_196a_ccc5_2973,
    0x581a_0db2_48b0_a77a,
    0xc763_4d81_f437_2ddf,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
pub(crate) const B: [u64; WORDS] = [
    0x2a85_c8ed_d3ec_2aef,
    0xc656_398d_8a2e_d19d,
    0x0314_088f_5013_875a,
    0x181d_9c6e_fe81_4112,
    0x988e_056b_e3f8_2d19,
    0xb331_2fa7_e23e_e7e4,
];
/// The base point.
pub(crate) const GENERATOR_X: [u64; WORDS] = [
    0x3a54_5e38_7276_0ab7,
    0x5502_f25d_bf55_296c,
    0x59f7_41e0_8254_2a38,
    0x6e1d_3b62_8ba7_9b98,
    0x8eb1_c71e_f320_ad74,
    0xaa87_ca22_be8b_0537,
];
pub(crate) const GENERATOR_Y: [u64; WORDS] = [
    0x7a43_1d7c_90ea_0e5f,
    0x0a60_b1ce_1d7e_819d,
    0xe9da_3113_b5f0_b8c0,
    0xf8f4_1dbd_289a_147c,
    0x5d9e_98bf_9292_dc29,
    0x3617_de4a_9626_2c6f,
];

/// Bits of one window of a key's table: 48 windows of 128 entries, 576 KiB.
pub(crate) const KEY_WINDOW: usize = 8;
/// Bits of one window of the base point's table.
pub(crate) const BASE_WINDOW: usize = 11;

/// Fiat-Crypto's product as it is.
pub(crate) use modulo_p::mul as product;

verified_arithmetic!(modulo_p of p384_64:
    fiat_p384_montgomery_domain_field_element,
    [fiat_p384_non_montgomery_domain_field_element by
    fiat_p384_to_montgomery], mul = fiat_p384_mul, add = fiat_p384_add, sub = fiat_p384_sub);
verified_arithmetic!(modulo_n of p384_scalar_64:
    fiat_p384_scalar_montgomery_domain_field_element,
    [fiat_p384_scalar_non_montgomery_domain_field_element by
    fiat_p384_scalar_to_montgomery], mul = fiat_p384_scalar_mul, add = fiat_p384_scalar_add);
