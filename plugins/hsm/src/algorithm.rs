//! The questions that a token is asked for a signature of each algorithm, and its answers.
//!
//! The hash is computed here and the token signs the digest: `CKM_ECDSA`, `CKM_RSA_PKCS` and
//! `CKM_RSA_PKCS_PSS` are what every token has, whichever hashes it knows, and the same way
//! serves callers that only hold a digest.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use der::asn1::UintRef;
use der::{Decode, Encode, Reader, SliceReader};
use hallmark_plugin_api::{Algorithm, Curve, HashFunction, Scheme};

/// Those that keys in tokens sign with.
pub(crate) const SUPPORTED: [Algorithm; 11] = [
    Algorithm::RsaPss2048Sha256,
    Algorithm::RsaPss3072Sha256,
    Algorithm::RsaPss4096Sha256,
    Algorithm::RsaPss4096Sha512,
    Algorithm::RsaPkcs1_2048Sha256,
    Algorithm::RsaPkcs1_3072Sha256,
    Algorithm::RsaPkcs1_4096Sha256,
    Algorithm::RsaPkcs1_4096Sha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EcdsaP521Sha512,
];

/// RFC 8017 §9.2, note 1: what precedes a digest in the input of RSASSA-PKCS1-v1_5.
const fn digest_info(hash: HashFunction) -> [u8; 19] {
    let (all_bytes, oid_end, bytes) = match hash {
        HashFunction::Sha256 => (0x31, 1, 32),
        HashFunction::Sha384 => (0x41, 2, 48),
        HashFunction::Sha512 => (0x51, 3, 64),
    };
    [
        0x30, all_bytes, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
        oid_end, 0x05, 0x00, 0x04, bytes,
    ]
}

/// A question for a token: an operation, and the bytes it is done with.
pub(crate) struct Question {
    pub(crate) mechanism: Mechanism<'static>,
    pub(crate) data: Vec<u8>,
}

/// The parts of the algorithm; `None` for one that no token is asked for.
fn scheme(algorithm: Algorithm) -> Option<Scheme> {
    SUPPORTED.contains(&algorithm).then(|| algorithm.scheme())
}

/// The hash of the algorithm.
pub(crate) fn hash(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    scheme(algorithm)?;
    Some(match algorithm.hash()? {
        HashFunction::Sha256 => &digest::SHA256,
        HashFunction::Sha384 => &digest::SHA384,
        HashFunction::Sha512 => &digest::SHA512,
    })
}

/// The question for a token about a digest; `None` for an algorithm that no token is asked about.
pub(crate) fn question(algorithm: Algorithm, digest: &[u8]) -> Option<Question> {
    Some(match scheme(algorithm)? {
        Scheme::Ecdsa { .. } => Question { mechanism: Mechanism::Ecdsa, data: digest.to_vec() },
        Scheme::RsaPkcs1 { hash, .. } => {
            let data = [&digest_info(hash), digest].concat();
            Question { mechanism: Mechanism::RsaPkcs, data }
        }
        Scheme::RsaPss { hash, .. } => {
            let (hash_alg, mgf) = match hash {
                HashFunction::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
                HashFunction::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
                HashFunction::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
            };
            // Salt as long as the hash: what Google's algorithms prescribe.
            let s_len = u64::try_from(digest.len()).ok()?.into();
            let mechanism = Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len });
            Question { mechanism, data: digest.to_vec() }
        }
        Scheme::MlDsa65 | Scheme::Ed25519 => return None,
    })
}

/// The signature in the form of the algorithm, from what the token answered.
pub(crate) fn from_token(algorithm: Algorithm, raw: Vec<u8>) -> Option<Vec<u8>> {
    let Scheme::Ecdsa { curve, .. } = scheme(algorithm)? else { return Some(raw) };
    let bytes = curve.coordinate_bytes();
    if raw.len() != 2 * bytes {
        return None;
    }
    let (r, s) = raw.split_at(bytes);
    let numbers = [UintRef::new(r).ok()?, UintRef::new(s).ok()?];
    numbers.to_der().ok()
}

/// The signature as the token takes it; `None` where it cannot be one.
pub(crate) fn to_token(algorithm: Algorithm, signature: &[u8]) -> Option<Vec<u8>> {
    let Scheme::Ecdsa { curve, .. } = scheme(algorithm)? else { return Some(signature.to_vec()) };
    let bytes = curve.coordinate_bytes();
    let mut reader = SliceReader::new(signature).ok()?;
    let (r, s) = reader
        .sequence(|fields| {
            Ok::<_, der::Error>((UintRef::decode(fields)?, UintRef::decode(fields)?))
        })
        .ok()?;
    reader.finish().ok()?;
    let mut raw = vec![0; 2 * bytes];
    let (left, right) = raw.split_at_mut(bytes);
    for (place, number) in [(left, r), (right, s)] {
        let start = bytes.checked_sub(number.as_bytes().len())?;
        place[start..].copy_from_slice(number.as_bytes());
    }
    Some(raw)
}

/// True if the signature is that of the key over the message of this digest, computed here.
pub(crate) fn verifies(
    algorithm: Algorithm,
    spki_der: &[u8],
    digest: &Digest,
    signature: &[u8],
) -> bool {
    verification(algorithm).is_some_and(|rules| {
        UnparsedPublicKey::new(rules, spki_der).verify_digest(digest, signature).is_ok()
    })
}

fn verification(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use HashFunction::{Sha256, Sha384, Sha512};
    Some(match scheme(algorithm)? {
        Scheme::RsaPss { hash: Sha256, .. } => &RSA_PSS_2048_8192_SHA256,
        Scheme::RsaPss { hash: Sha512, .. } => &RSA_PSS_2048_8192_SHA512,
        Scheme::RsaPkcs1 { hash: Sha256, .. } => &RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPkcs1 { hash: Sha512, .. } => &RSA_PKCS1_2048_8192_SHA512,
        Scheme::Ecdsa { curve: Curve::P256, hash: Sha256 } => &ECDSA_P256_SHA256_ASN1,
        Scheme::Ecdsa { curve: Curve::P384, hash: Sha384 } => &ECDSA_P384_SHA384_ASN1,
        Scheme::Ecdsa { curve: Curve::P521, hash: Sha512 } => &ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_algorithm_has_all_its_parts() {
        for algorithm in Algorithm::all() {
            let supported = SUPPORTED.contains(&algorithm);
            assert_eq!(question(algorithm, &[0; 32]).is_some(), supported, "{algorithm:?}");
            assert_eq!(hash(algorithm).is_some(), supported, "{algorithm:?}");
            assert_eq!(verification(algorithm).is_some(), supported, "{algorithm:?}");
        }
    }

    /// Minimal and padded integers in both directions.
    #[test]
    fn ecdsa_signatures_change_their_form_and_back() {
        let p256 = Algorithm::EcdsaP256Sha256;
        let mut raw = vec![0; 64];
        raw[31] = 0x80;
        raw[63] = 1;
        let der = from_token(p256, raw.clone()).unwrap();
        assert_eq!(der, [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        assert_eq!(to_token(p256, &der), Some(raw.clone()));
        assert_eq!(from_token(p256, raw[1..].to_vec()), None);
        assert_eq!(from_token(Algorithm::EcdsaP384Sha384, raw), None);

        let long_r = [0x30, 38, 2, 33, 1].into_iter().chain([0; 32]).chain([2, 1, 1]);
        for wrong in [
            &[0x30, 7, 2, 2, 0, 0x80, 2, 1, 1, 0][..],
            &[0x30, 8, 2, 3, 0, 0, 0x80, 2, 1, 1],
            &[0x30, 6, 2, 1, 0x80, 2, 1, 1],
            &long_r.collect::<Vec<_>>(),
            &[],
        ] {
            assert_eq!(to_token(p256, wrong), None, "{wrong:02x?}");
        }
        let rsa = Algorithm::RsaPss2048Sha256;
        assert_eq!(to_token(rsa, &[1, 2]), Some(vec![1, 2]));
    }
}
