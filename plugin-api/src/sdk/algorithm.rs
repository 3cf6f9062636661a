//! The registry of signature algorithms.

use crate::abi;

/// A signature algorithm with its key size or curve and its hash, numbered as in Google's proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Algorithm {
    /// RSASSA-PSS, 2048-bit key, SHA-256.
    RsaPss2048Sha256 = abi::HALLMARK_ALG_RSA_PSS_2048_SHA256,
    /// RSASSA-PSS, 3072-bit key, SHA-256.
    RsaPss3072Sha256 = abi::HALLMARK_ALG_RSA_PSS_3072_SHA256,
    /// RSASSA-PSS, 4096-bit key, SHA-256.
    RsaPss4096Sha256 = abi::HALLMARK_ALG_RSA_PSS_4096_SHA256,
    /// RSASSA-PSS, 4096-bit key, SHA-512.
    RsaPss4096Sha512 = abi::HALLMARK_ALG_RSA_PSS_4096_SHA512,
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-256.
    RsaPkcs1_2048Sha256 = abi::HALLMARK_ALG_RSA_PKCS1_2048_SHA256,
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-256.
    RsaPkcs1_3072Sha256 = abi::HALLMARK_ALG_RSA_PKCS1_3072_SHA256,
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-256.
    RsaPkcs1_4096Sha256 = abi::HALLMARK_ALG_RSA_PKCS1_4096_SHA256,
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-512.
    RsaPkcs1_4096Sha512 = abi::HALLMARK_ALG_RSA_PKCS1_4096_SHA512,
    /// ECDSA on P-256 with SHA-256, signature in DER.
    EcdsaP256Sha256 = abi::HALLMARK_ALG_ECDSA_P256_SHA256,
    /// ECDSA on P-384 with SHA-384, signature in DER.
    EcdsaP384Sha384 = abi::HALLMARK_ALG_ECDSA_P384_SHA384,
    /// ECDSA on P-521 with SHA-512, signature in DER.
    EcdsaP521Sha512 = abi::HALLMARK_ALG_ECDSA_P521_SHA512,
    /// FIPS 204 ML-DSA-65, pure, empty context.
    MlDsa65 = abi::HALLMARK_ALG_ML_DSA_65,
    /// RFC 8032 Ed25519.
    Ed25519 = abi::HALLMARK_ALG_ED25519,
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_2048Sha384 = abi::HALLMARK_ALG_RSA_PKCS1_2048_SHA384,
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-512. As met in OpenPGP.
    RsaPkcs1_2048Sha512 = abi::HALLMARK_ALG_RSA_PKCS1_2048_SHA512,
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_3072Sha384 = abi::HALLMARK_ALG_RSA_PKCS1_3072_SHA384,
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-512. As met in OpenPGP.
    RsaPkcs1_3072Sha512 = abi::HALLMARK_ALG_RSA_PKCS1_3072_SHA512,
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_4096Sha384 = abi::HALLMARK_ALG_RSA_PKCS1_4096_SHA384,
    /// ECDSA on P-256 with SHA-384, signature in DER. As met in OpenPGP.
    EcdsaP256Sha384 = abi::HALLMARK_ALG_ECDSA_P256_SHA384,
    /// ECDSA on P-256 with SHA-512, signature in DER. As met in OpenPGP.
    EcdsaP256Sha512 = abi::HALLMARK_ALG_ECDSA_P256_SHA512,
    /// ECDSA on P-384 with SHA-256, signature in DER. As met in OpenPGP.
    EcdsaP384Sha256 = abi::HALLMARK_ALG_ECDSA_P384_SHA256,
    /// ECDSA on P-384 with SHA-512, signature in DER. As met in OpenPGP.
    EcdsaP384Sha512 = abi::HALLMARK_ALG_ECDSA_P384_SHA512,
    /// ECDSA on P-521 with SHA-256, signature in DER. As met in OpenPGP.
    EcdsaP521Sha256 = abi::HALLMARK_ALG_ECDSA_P521_SHA256,
    /// ECDSA on P-521 with SHA-384, signature in DER. As met in OpenPGP.
    EcdsaP521Sha384 = abi::HALLMARK_ALG_ECDSA_P521_SHA384,
}

impl Algorithm {
    /// Every algorithm that a key of an attestor may declare, in the order of its number.
    pub const ALL: [Self; 13] = [
        Self::RsaPss2048Sha256,
        Self::RsaPss3072Sha256,
        Self::RsaPss4096Sha256,
        Self::RsaPss4096Sha512,
        Self::RsaPkcs1_2048Sha256,
        Self::RsaPkcs1_3072Sha256,
        Self::RsaPkcs1_4096Sha256,
        Self::RsaPkcs1_4096Sha512,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::MlDsa65,
        Self::Ed25519,
    ];

    /// The algorithms beside those, which signatures in other formats than PKIX use.
    pub const OTHERS: [Self; 11] = [
        Self::RsaPkcs1_2048Sha384,
        Self::RsaPkcs1_2048Sha512,
        Self::RsaPkcs1_3072Sha384,
        Self::RsaPkcs1_3072Sha512,
        Self::RsaPkcs1_4096Sha384,
        Self::EcdsaP256Sha384,
        Self::EcdsaP256Sha512,
        Self::EcdsaP384Sha256,
        Self::EcdsaP384Sha512,
        Self::EcdsaP521Sha256,
        Self::EcdsaP521Sha384,
    ];

    /// Its number across the boundary.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The algorithm of a number; `None` for one this version does not know.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().chain(Self::OTHERS).find(|algorithm| algorithm.number() == number)
    }

    /// Its name as the API writes it, such as `ECDSA_P256_SHA256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPss2048Sha256 => "RSA_PSS_2048_SHA256",
            Self::RsaPss3072Sha256 => "RSA_PSS_3072_SHA256",
            Self::RsaPss4096Sha256 => "RSA_PSS_4096_SHA256",
            Self::RsaPss4096Sha512 => "RSA_PSS_4096_SHA512",
            Self::RsaPkcs1_2048Sha256 => "RSA_SIGN_PKCS1_2048_SHA256",
            Self::RsaPkcs1_3072Sha256 => "RSA_SIGN_PKCS1_3072_SHA256",
            Self::RsaPkcs1_4096Sha256 => "RSA_SIGN_PKCS1_4096_SHA256",
            Self::RsaPkcs1_4096Sha512 => "RSA_SIGN_PKCS1_4096_SHA512",
            Self::EcdsaP256Sha256 => "ECDSA_P256_SHA256",
            Self::EcdsaP384Sha384 => "ECDSA_P384_SHA384",
            Self::EcdsaP521Sha512 => "ECDSA_P521_SHA512",
            Self::MlDsa65 => "ML_DSA_65",
            Self::Ed25519 => "ED25519",
            Self::RsaPkcs1_2048Sha384 => "RSA_SIGN_PKCS1_2048_SHA384",
            Self::RsaPkcs1_2048Sha512 => "RSA_SIGN_PKCS1_2048_SHA512",
            Self::RsaPkcs1_3072Sha384 => "RSA_SIGN_PKCS1_3072_SHA384",
            Self::RsaPkcs1_3072Sha512 => "RSA_SIGN_PKCS1_3072_SHA512",
            Self::RsaPkcs1_4096Sha384 => "RSA_SIGN_PKCS1_4096_SHA384",
            Self::EcdsaP256Sha384 => "ECDSA_P256_SHA384",
            Self::EcdsaP256Sha512 => "ECDSA_P256_SHA512",
            Self::EcdsaP384Sha256 => "ECDSA_P384_SHA256",
            Self::EcdsaP384Sha512 => "ECDSA_P384_SHA512",
            Self::EcdsaP521Sha256 => "ECDSA_P521_SHA256",
            Self::EcdsaP521Sha384 => "ECDSA_P521_SHA384",
        }
    }

    /// The algorithm of a name, as [`Algorithm::name`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name_and_number() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_number(algorithm.number()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name("RS256"), None);
    }
}
