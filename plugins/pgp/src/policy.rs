//! The algorithms that are strong enough to be believed.
//!
//! SHA-1 and MD5 bind nothing, neither a payload nor a certificate: Sequoia's dates for that have
//! passed, that for certificates on 2023-02-01. A revocation is believed whatever its hash is.

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::types::{EcdsaPublicParams, KeyDetails, PublicParams};

use crate::key;

/// Bits of modulus, as in every algorithm of an attestor's key.
const RSA_BITS_MIN: usize = 2_048;

/// True if a signature within a certificate may rest on this hash.
pub(crate) fn binds(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    matches!(hash, Sha224 | Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// True if a signature over a payload may rest on this hash.
pub(crate) fn signs(hash: HashAlgorithm) -> bool {
    matches!(hash, HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
}

/// The weakness that keeps a primary key from vouching for others.
pub(crate) fn weakness(key: &impl KeyDetails) -> Option<String> {
    match key.public_params() {
        PublicParams::RSA(_) if key.algorithm() == PublicKeyAlgorithm::RSAEncrypt => {
            Some("an RSA key for encryption only".to_owned())
        }
        PublicParams::RSA(_) => {
            let bits = key::rsa_bits(key.public_params()).unwrap_or(0);
            (bits < RSA_BITS_MIN).then(|| format!("an RSA key of {bits} bits"))
        }
        PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. }
            | EcdsaPublicParams::P384 { .. }
            | EcdsaPublicParams::P521 { .. },
        )
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => None,
        _ => Some(format!("a key of algorithm {:?}", key.algorithm())),
    }
}
