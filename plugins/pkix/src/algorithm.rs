//! The signature algorithms that PKIX keys verify and sign with.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_65,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

/// A signature algorithm with its key size or curve and its hash. The numbers are those of
/// Google's `PkixPublicKey.SignatureAlgorithm`; 32 is Ed25519, which Google has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Algorithm {
    RsaPss2048Sha256 = 1,
    RsaPss3072Sha256 = 2,
    RsaPss4096Sha256 = 3,
    RsaPss4096Sha512 = 4,
    RsaPkcs1_2048Sha256 = 5,
    RsaPkcs1_3072Sha256 = 6,
    RsaPkcs1_4096Sha256 = 7,
    RsaPkcs1_4096Sha512 = 8,
    EcdsaP256Sha256 = 9,
    EcdsaP384Sha384 = 10,
    EcdsaP521Sha512 = 11,
    MlDsa65 = 12,
    Ed25519 = 32,
}

/// Each algorithm with the name it is written by.
const NAMES: [(Algorithm, &str); 13] = {
    use Algorithm::*;
    [
        (RsaPss2048Sha256, "RSA_PSS_2048_SHA256"),
        (RsaPss3072Sha256, "RSA_PSS_3072_SHA256"),
        (RsaPss4096Sha256, "RSA_PSS_4096_SHA256"),
        (RsaPss4096Sha512, "RSA_PSS_4096_SHA512"),
        (RsaPkcs1_2048Sha256, "RSA_SIGN_PKCS1_2048_SHA256"),
        (RsaPkcs1_3072Sha256, "RSA_SIGN_PKCS1_3072_SHA256"),
        (RsaPkcs1_4096Sha256, "RSA_SIGN_PKCS1_4096_SHA256"),
        (RsaPkcs1_4096Sha512, "RSA_SIGN_PKCS1_4096_SHA512"),
        (EcdsaP256Sha256, "ECDSA_P256_SHA256"),
        (EcdsaP384Sha384, "ECDSA_P384_SHA384"),
        (EcdsaP521Sha512, "ECDSA_P521_SHA512"),
        (MlDsa65, "ML_DSA_65"),
        (Ed25519, "ED25519"),
    ]
};

impl Algorithm {
    /// The number that names it across the plugin boundary.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// The algorithm of a number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        NAMES.iter().map(|&(algorithm, _)| algorithm).find(|known| known.number() == number)
    }

    /// The name as the API writes it, such as `ECDSA_P256_SHA256`.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|&&(algorithm, _)| algorithm == self).map_or("", |&(_, name)| name)
    }

    /// The algorithm that goes by `name`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|&&(_, known)| known == name).map(|&(algorithm, _)| algorithm)
    }

    /// How a signature of it is verified.
    pub(crate) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::RsaPss2048Sha256 | Self::RsaPss3072Sha256 | Self::RsaPss4096Sha256 => {
                &RSA_PSS_2048_8192_SHA256
            }
            Self::RsaPss4096Sha512 => &RSA_PSS_2048_8192_SHA512,
            Self::RsaPkcs1_2048Sha256 | Self::RsaPkcs1_3072Sha256 | Self::RsaPkcs1_4096Sha256 => {
                &RSA_PKCS1_2048_8192_SHA256
            }
            Self::RsaPkcs1_4096Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP521Sha512 => &ECDSA_P521_SHA512_ASN1,
            Self::MlDsa65 => &ML_DSA_65,
            Self::Ed25519 => &ED25519,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_number_and_its_name() {
        for (algorithm, name) in NAMES {
            assert_eq!(Algorithm::from_number(algorithm.number()), Some(algorithm));
            assert_eq!(Algorithm::from_name(name), Some(algorithm));
            assert_eq!(algorithm.name(), name);
        }
        assert_eq!(Algorithm::from_number(0), None);
        assert_eq!(Algorithm::from_number(13), None);
        assert_eq!(Algorithm::from_name("RS256"), None);
    }
}
