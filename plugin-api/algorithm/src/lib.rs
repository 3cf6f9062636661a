//! Signature algorithms: one table, of which each row says everything of one algorithm.
//!
//! The daemon and its plugins name algorithms by the numbers of this table across the boundary between
//! them, and each has the table that it was built with.
//!
//! Whoever treats algorithms of a kind alike asks for the parts ([`SignatureAlgorithm::scheme`])
//! and not for the algorithm, so that a new one is a row here and its arithmetic.

use std::fmt;

use self::Curve::{P256, P384, P521};
use self::HashFunction::{Sha256, Sha384, Sha512};

/// The parts of a signature's algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1 {
        /// Of the modulus, exactly.
        bits: usize,
        /// Of the message.
        hash: HashFunction,
    },
    /// RSASSA-PSS (RFC 8017 §8.1), MGF1 with the same hash.
    RsaPss {
        /// Of the modulus, exactly.
        bits: usize,
        /// Of the message.
        hash: HashFunction,
    },
    /// ECDSA (FIPS 186-5 §6), the signature in DER.
    Ecdsa {
        /// Of the key.
        curve: Curve,
        /// Of the message.
        hash: HashFunction,
    },
    /// FIPS 204 ML-DSA-65, pure, empty context.
    MlDsa65,
    /// RFC 8032 Ed25519.
    Ed25519,
}

/// A hash function of which signatures sign the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// FIPS 180-4 SHA-256.
    Sha256,
    /// FIPS 180-4 SHA-384.
    Sha384,
    /// FIPS 180-4 SHA-512.
    Sha512,
}

impl HashFunction {
    /// Every one.
    pub const ALL: [Self; 3] = [Sha256, Sha384, Sha512];

    /// Its name as APIs write it, such as `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Sha256 => "sha256",
            Sha384 => "sha384",
            Sha512 => "sha512",
        }
    }

    /// Bytes of a digest.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Sha256 => 32,
            Sha384 => 48,
            Sha512 => 64,
        }
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An elliptic curve of FIPS 186.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl Curve {
    /// Its name in FIPS 186, such as `P-256`.
    pub const fn name(self) -> &'static str {
        match self {
            P256 => "P-256",
            P384 => "P-384",
            P521 => "P-521",
        }
    }

    /// Bytes of a coordinate.
    pub const fn coordinate_bytes(self) -> usize {
        match self {
            P256 => 32,
            P384 => 48,
            P521 => 66,
        }
    }
}

/// Type, size and curve of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA, with this many bits of modulus.
    Rsa(usize),
    /// A point on this curve.
    Ec(Curve),
    /// RFC 8032.
    Ed25519,
    /// FIPS 204.
    MlDsa65,
}

impl KeyType {
    /// True if keys of this type verify signatures of `algorithm`.
    pub fn verifies(self, algorithm: SignatureAlgorithm) -> bool {
        self == algorithm.key_type()
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA with {bits} bits"),
            Self::Ec(curve) => write!(f, "EC {}", curve.name()),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa65 => f.write_str("ML-DSA-65"),
        }
    }
}

/// The name and the number of an algorithm in Cloud KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KmsAlgorithm {
    /// The name of its enum value.
    pub name: &'static str,
    /// The number of its enum value, another than [`SignatureAlgorithm::number`].
    pub number: u32,
}

/// The places where an algorithm is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// A PKIX key of an attestor may declare it.
    Attestors,
    /// In signatures of other formats only, such as OpenPGP.
    Formats,
}

/// A row of the table.
struct Row {
    scheme: Scheme,
    met: Met,
    /// The first is the one written, all are read.
    spellings: &'static [&'static str],
    kms: Option<KmsAlgorithm>,
}

/// Makes the enum and the table: `variant = number { parts; where met; spellings; name and number at
/// Cloud KMS }`.
macro_rules! algorithms {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $number:literal
        { $scheme:expr; $met:ident; $spellings:expr; $(kms $kms_name:literal = $kms_number:literal)? }
    )+) => {
        /// A signature algorithm with its key size or curve and its hash.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum SignatureAlgorithm {
            $($(#[$doc])* $variant = $number),+
        }

        const ALL: &[SignatureAlgorithm] = &[$(SignatureAlgorithm::$variant),+];

        impl SignatureAlgorithm {
            const fn row(self) -> &'static Row {
                use self::Scheme::{Ecdsa, Ed25519, MlDsa65, RsaPkcs1, RsaPss};
                match self {
                    $(Self::$variant => const {
                        let kms: &[KmsAlgorithm] =
                            &[$(KmsAlgorithm { name: $kms_name, number: $kms_number })?];
                        &Row {
                            scheme: $scheme,
                            met: Met::$met,
                            spellings: &$spellings,
                            kms: kms.first().copied(),
                        }
                    }),+
                }
            }
        }
    };
}

algorithms! {
    /// RSASSA-PSS, 2048-bit key, SHA-256.
    RsaPss2048Sha256 = 1 {
        RsaPss { bits: 2048, hash: Sha256 }; Attestors;
        ["RSA_PSS_2048_SHA256", "RSA_SIGN_PSS_2048_SHA256"]; kms "RSA_SIGN_PSS_2048_SHA256" = 2
    }
    /// RSASSA-PSS, 3072-bit key, SHA-256.
    RsaPss3072Sha256 = 2 {
        RsaPss { bits: 3072, hash: Sha256 }; Attestors;
        ["RSA_PSS_3072_SHA256", "RSA_SIGN_PSS_3072_SHA256"]; kms "RSA_SIGN_PSS_3072_SHA256" = 3
    }
    /// RSASSA-PSS, 4096-bit key, SHA-256.
    RsaPss4096Sha256 = 3 {
        RsaPss { bits: 4096, hash: Sha256 }; Attestors;
        ["RSA_PSS_4096_SHA256", "RSA_SIGN_PSS_4096_SHA256"]; kms "RSA_SIGN_PSS_4096_SHA256" = 4
    }
    /// RSASSA-PSS, 4096-bit key, SHA-512.
    RsaPss4096Sha512 = 4 {
        RsaPss { bits: 4096, hash: Sha512 }; Attestors;
        ["RSA_PSS_4096_SHA512", "RSA_SIGN_PSS_4096_SHA512"]; kms "RSA_SIGN_PSS_4096_SHA512" = 15
    }
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-256.
    RsaPkcs1_2048Sha256 = 5 {
        RsaPkcs1 { bits: 2048, hash: Sha256 }; Attestors;
        ["RSA_SIGN_PKCS1_2048_SHA256"]; kms "RSA_SIGN_PKCS1_2048_SHA256" = 5
    }
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-256.
    RsaPkcs1_3072Sha256 = 6 {
        RsaPkcs1 { bits: 3072, hash: Sha256 }; Attestors;
        ["RSA_SIGN_PKCS1_3072_SHA256"]; kms "RSA_SIGN_PKCS1_3072_SHA256" = 6
    }
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-256.
    RsaPkcs1_4096Sha256 = 7 {
        RsaPkcs1 { bits: 4096, hash: Sha256 }; Attestors;
        ["RSA_SIGN_PKCS1_4096_SHA256"]; kms "RSA_SIGN_PKCS1_4096_SHA256" = 7
    }
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-512.
    RsaPkcs1_4096Sha512 = 8 {
        RsaPkcs1 { bits: 4096, hash: Sha512 }; Attestors;
        ["RSA_SIGN_PKCS1_4096_SHA512"]; kms "RSA_SIGN_PKCS1_4096_SHA512" = 16
    }
    /// ECDSA on P-256 with SHA-256, signature in DER.
    EcdsaP256Sha256 = 9 {
        Ecdsa { curve: P256, hash: Sha256 }; Attestors;
        ["ECDSA_P256_SHA256", "EC_SIGN_P256_SHA256"]; kms "EC_SIGN_P256_SHA256" = 12
    }
    /// ECDSA on P-384 with SHA-384, signature in DER.
    EcdsaP384Sha384 = 10 {
        Ecdsa { curve: P384, hash: Sha384 }; Attestors;
        ["ECDSA_P384_SHA384", "EC_SIGN_P384_SHA384"]; kms "EC_SIGN_P384_SHA384" = 13
    }
    /// ECDSA on P-521 with SHA-512, signature in DER.
    EcdsaP521Sha512 = 11 {
        Ecdsa { curve: P521, hash: Sha512 }; Attestors;
        ["ECDSA_P521_SHA512", "EC_SIGN_P521_SHA512"];
    }
    /// FIPS 204 ML-DSA-65, pure, empty context.
    MlDsa65 = 12 {
        MlDsa65; Attestors;
        ["ML_DSA_65"]; kms "PQ_SIGN_ML_DSA_65" = 56
    }
    /// RFC 8032 Ed25519. An extension: Google's service has no Ed25519.
    Ed25519 = 32 {
        Ed25519; Attestors;
        ["ED25519", "EC_SIGN_ED25519"]; kms "EC_SIGN_ED25519" = 40
    }
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_2048Sha384 = 33 {
        RsaPkcs1 { bits: 2048, hash: Sha384 }; Formats;
        ["RSA_SIGN_PKCS1_2048_SHA384"];
    }
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-512. As met in OpenPGP.
    RsaPkcs1_2048Sha512 = 34 {
        RsaPkcs1 { bits: 2048, hash: Sha512 }; Formats;
        ["RSA_SIGN_PKCS1_2048_SHA512"];
    }
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_3072Sha384 = 35 {
        RsaPkcs1 { bits: 3072, hash: Sha384 }; Formats;
        ["RSA_SIGN_PKCS1_3072_SHA384"];
    }
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-512. As met in OpenPGP.
    RsaPkcs1_3072Sha512 = 36 {
        RsaPkcs1 { bits: 3072, hash: Sha512 }; Formats;
        ["RSA_SIGN_PKCS1_3072_SHA512"];
    }
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-384. As met in OpenPGP.
    RsaPkcs1_4096Sha384 = 37 {
        RsaPkcs1 { bits: 4096, hash: Sha384 }; Formats;
        ["RSA_SIGN_PKCS1_4096_SHA384"];
    }
    /// ECDSA on P-256 with SHA-384, signature in DER. As met in OpenPGP.
    EcdsaP256Sha384 = 38 {
        Ecdsa { curve: P256, hash: Sha384 }; Formats;
        ["ECDSA_P256_SHA384"];
    }
    /// ECDSA on P-256 with SHA-512, signature in DER. As met in OpenPGP.
    EcdsaP256Sha512 = 39 {
        Ecdsa { curve: P256, hash: Sha512 }; Formats;
        ["ECDSA_P256_SHA512"];
    }
    /// ECDSA on P-384 with SHA-256, signature in DER. As met in OpenPGP.
    EcdsaP384Sha256 = 40 {
        Ecdsa { curve: P384, hash: Sha256 }; Formats;
        ["ECDSA_P384_SHA256"];
    }
    /// ECDSA on P-384 with SHA-512, signature in DER. As met in OpenPGP.
    EcdsaP384Sha512 = 41 {
        Ecdsa { curve: P384, hash: Sha512 }; Formats;
        ["ECDSA_P384_SHA512"];
    }
    /// ECDSA on P-521 with SHA-256, signature in DER. As met in OpenPGP.
    EcdsaP521Sha256 = 42 {
        Ecdsa { curve: P521, hash: Sha256 }; Formats;
        ["ECDSA_P521_SHA256"];
    }
    /// ECDSA on P-521 with SHA-384, signature in DER. As met in OpenPGP.
    EcdsaP521Sha384 = 43 {
        Ecdsa { curve: P521, hash: Sha384 }; Formats;
        ["ECDSA_P521_SHA384"];
    }
}

/// The number of algorithms that a PKIX key may declare.
const fn declarable() -> usize {
    let mut count = 0;
    while count < ALL.len() && matches!(ALL[count].row().met, Met::Attestors) {
        count += 1;
    }
    count
}

impl SignatureAlgorithm {
    /// Those that a PKIX key may declare; they are the first of the table.
    pub const DECLARABLE: &[Self] = ALL.split_at(declarable()).0;

    /// Every algorithm, in the order of its number.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// Its parts.
    pub const fn scheme(self) -> Scheme {
        self.row().scheme
    }

    /// The one type of key that makes such signatures.
    pub fn key_type(self) -> KeyType {
        match self.scheme() {
            Scheme::RsaPkcs1 { bits, .. } | Scheme::RsaPss { bits, .. } => KeyType::Rsa(bits),
            Scheme::Ecdsa { curve, .. } => KeyType::Ec(curve),
            Scheme::MlDsa65 => KeyType::MlDsa65,
            Scheme::Ed25519 => KeyType::Ed25519,
        }
    }

    /// The hash function whose digest is signed; `None` for an algorithm that takes the message.
    pub fn hash(self) -> Option<HashFunction> {
        match self.scheme() {
            Scheme::RsaPkcs1 { hash, .. }
            | Scheme::RsaPss { hash, .. }
            | Scheme::Ecdsa { hash, .. } => Some(hash),
            Scheme::MlDsa65 | Scheme::Ed25519 => None,
        }
    }

    /// True if a PKIX key may declare it. The others are found in signatures of other formats.
    pub fn is_declarable(self) -> bool {
        self.row().met == Met::Attestors
    }

    /// The enum name as the API writes it, such as `ECDSA_P256_SHA256`.
    pub const fn name(self) -> &'static str {
        self.spellings()[0]
    }

    /// The algorithm that a PKIX key may declare of a name, as [`Self::name`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::DECLARABLE.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm of any spelling, in the command line's form, too: `ecdsa-p256-sha256`.
    pub fn from_spelling(text: &str) -> Option<Self> {
        let name = text.replace('-', "_").to_ascii_uppercase();
        Self::all().find(|algorithm| algorithm.spellings().contains(&name.as_str()))
    }

    /// Every spelling read, the written one first.
    pub const fn spellings(self) -> &'static [&'static str] {
        self.row().spellings
    }

    /// The number in Google's proto; the same number names it across the plugin boundary.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The algorithm of a proto number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::all().find(|algorithm| algorithm.number() == number)
    }

    /// Its name and number in Cloud KMS; `None` for an algorithm that Cloud KMS does not have.
    pub fn kms(self) -> Option<KmsAlgorithm> {
        self.row().kms
    }

    /// The algorithm of a name of Cloud KMS.
    pub fn from_kms_name(name: &str) -> Option<Self> {
        Self::all().find(|algorithm| algorithm.kms().is_some_and(|kms| kms.name == name))
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbered = (u32, &'static [&'static str], Option<(&'static str, u32)>);

    /// Number, names, and name and number at Cloud KMS, as Google's protos have them: see
    /// `Attestor.PkixPublicKey.SignatureAlgorithm` of Binary Authorization v1 and
    /// `CryptoKeyVersion.CryptoKeyVersionAlgorithm` of Cloud KMS v1. 32 and up are Hallmark's.
    const GOOGLE: [Numbered; 24] = [
        (
            1,
            &["RSA_PSS_2048_SHA256", "RSA_SIGN_PSS_2048_SHA256"],
            Some(("RSA_SIGN_PSS_2048_SHA256", 2)),
        ),
        (
            2,
            &["RSA_PSS_3072_SHA256", "RSA_SIGN_PSS_3072_SHA256"],
            Some(("RSA_SIGN_PSS_3072_SHA256", 3)),
        ),
        (
            3,
            &["RSA_PSS_4096_SHA256", "RSA_SIGN_PSS_4096_SHA256"],
            Some(("RSA_SIGN_PSS_4096_SHA256", 4)),
        ),
        (
            4,
            &["RSA_PSS_4096_SHA512", "RSA_SIGN_PSS_4096_SHA512"],
            Some(("RSA_SIGN_PSS_4096_SHA512", 15)),
        ),
        (5, &["RSA_SIGN_PKCS1_2048_SHA256"], Some(("RSA_SIGN_PKCS1_2048_SHA256", 5))),
        (6, &["RSA_SIGN_PKCS1_3072_SHA256"], Some(("RSA_SIGN_PKCS1_3072_SHA256", 6))),
        (7, &["RSA_SIGN_PKCS1_4096_SHA256"], Some(("RSA_SIGN_PKCS1_4096_SHA256", 7))),
        (8, &["RSA_SIGN_PKCS1_4096_SHA512"], Some(("RSA_SIGN_PKCS1_4096_SHA512", 16))),
        (9, &["ECDSA_P256_SHA256", "EC_SIGN_P256_SHA256"], Some(("EC_SIGN_P256_SHA256", 12))),
        (10, &["ECDSA_P384_SHA384", "EC_SIGN_P384_SHA384"], Some(("EC_SIGN_P384_SHA384", 13))),
        (11, &["ECDSA_P521_SHA512", "EC_SIGN_P521_SHA512"], None),
        (12, &["ML_DSA_65"], Some(("PQ_SIGN_ML_DSA_65", 56))),
        (32, &["ED25519", "EC_SIGN_ED25519"], Some(("EC_SIGN_ED25519", 40))),
        (33, &["RSA_SIGN_PKCS1_2048_SHA384"], None),
        (34, &["RSA_SIGN_PKCS1_2048_SHA512"], None),
        (35, &["RSA_SIGN_PKCS1_3072_SHA384"], None),
        (36, &["RSA_SIGN_PKCS1_3072_SHA512"], None),
        (37, &["RSA_SIGN_PKCS1_4096_SHA384"], None),
        (38, &["ECDSA_P256_SHA384"], None),
        (39, &["ECDSA_P256_SHA512"], None),
        (40, &["ECDSA_P384_SHA256"], None),
        (41, &["ECDSA_P384_SHA512"], None),
        (42, &["ECDSA_P521_SHA256"], None),
        (43, &["ECDSA_P521_SHA384"], None),
    ];

    /// The types of key, and the numbers of what each verifies.
    const VERIFIES: [(KeyType, &[u32]); 8] = [
        (KeyType::Rsa(2048), &[1, 5, 33, 34]),
        (KeyType::Rsa(3072), &[2, 6, 35, 36]),
        (KeyType::Rsa(4096), &[3, 4, 7, 8, 37]),
        (KeyType::Ec(P256), &[9, 38, 39]),
        (KeyType::Ec(P384), &[10, 40, 41]),
        (KeyType::Ec(P521), &[11, 42, 43]),
        (KeyType::MlDsa65, &[12]),
        (KeyType::Ed25519, &[32]),
    ];

    /// The numbers of the algorithms of each hash function, and of those that take the message.
    const HASHES: [(Option<HashFunction>, &[u32]); 4] = [
        (Some(Sha256), &[1, 2, 3, 5, 6, 7, 9, 40, 42]),
        (Some(Sha384), &[10, 33, 35, 37, 38, 43]),
        (Some(Sha512), &[4, 8, 11, 34, 36, 39, 41]),
        (None, &[12, 32]),
    ];

    #[test]
    fn numbers_and_names_are_those_of_googles_protos() {
        assert_eq!(SignatureAlgorithm::all().count(), GOOGLE.len());
        for (algorithm, (number, spellings, kms)) in SignatureAlgorithm::all().zip(GOOGLE) {
            assert_eq!(algorithm.number(), number);
            assert_eq!(SignatureAlgorithm::from_number(number), Some(algorithm));
            assert_eq!((algorithm.name(), algorithm.spellings()), (spellings[0], spellings));
            assert_eq!(algorithm.kms().map(|kms| (kms.name, kms.number)), kms, "{algorithm}");
            assert_eq!(algorithm.is_declarable(), number <= 32, "{algorithm}");
            assert_eq!(SignatureAlgorithm::DECLARABLE.contains(&algorithm), number <= 32);
            let declared = Some(algorithm).filter(|_| number <= 32);
            assert_eq!(SignatureAlgorithm::from_name(spellings[0]), declared);
            for spelling in spellings {
                assert_eq!(SignatureAlgorithm::from_spelling(spelling), Some(algorithm));
                let typed = spelling.to_ascii_lowercase().replace('_', "-");
                assert_eq!(SignatureAlgorithm::from_spelling(&typed), Some(algorithm));
            }
            if let Some((name, _)) = kms {
                assert_eq!(SignatureAlgorithm::from_kms_name(name), Some(algorithm));
            }
        }
        for name in ["", "RS256", "SIGNATURE_ALGORITHM_UNSPECIFIED", "PQ_SIGN_ML_DSA_65"] {
            assert_eq!(SignatureAlgorithm::from_name(name), None, "{name}");
            assert_eq!(SignatureAlgorithm::from_spelling(name), None, "{name}");
        }
        for number in [0, 13, 31, 44, 256 + 9] {
            assert_eq!(SignatureAlgorithm::from_number(number), None, "{number}");
        }
        for name in ["", "EC_SIGN_P521_SHA512", "ML_DSA_65", "ec_sign_p256_sha256"] {
            assert_eq!(SignatureAlgorithm::from_kms_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_type_of_key_verifies_its_own_algorithms_and_no_other() {
        for (key_type, own) in VERIFIES {
            for algorithm in SignatureAlgorithm::all() {
                let verifies = own.contains(&algorithm.number());
                assert_eq!(key_type.verifies(algorithm), verifies, "{key_type}, {algorithm}");
            }
        }
        for bits in [0, 1024, 2047, 2056, 8192] {
            assert!(SignatureAlgorithm::all().all(|one| !KeyType::Rsa(bits).verifies(one)));
        }
    }

    #[test]
    fn an_algorithm_signs_the_digest_of_its_hash_function() {
        for (hash, own) in HASHES {
            for algorithm in SignatureAlgorithm::all() {
                let is_own = own.contains(&algorithm.number());
                assert_eq!(algorithm.hash() == hash, is_own, "{algorithm}");
            }
        }
    }

    #[test]
    fn the_padding_is_that_of_the_name() {
        for algorithm in SignatureAlgorithm::all() {
            let padding = match algorithm.scheme() {
                Scheme::RsaPss { .. } => "RSA_PSS_",
                Scheme::RsaPkcs1 { .. } => "RSA_SIGN_PKCS1_",
                Scheme::Ecdsa { .. } => "ECDSA_",
                Scheme::MlDsa65 => "ML_DSA_65",
                Scheme::Ed25519 => "ED25519",
            };
            assert!(algorithm.name().starts_with(padding), "{algorithm}");
        }
    }
}
