//! Private keys in files, and signing with them. What is in a private key file appears in no error
//! and no log line.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::config::SigningKeyConfig;
use crate::key::{Key, KeyError};
use crate::pem::{self, Block, PemError};
use crate::source::file_uri;

/// Bytes of a private key file. ML-DSA-65 takes 5.5 KiB in PEM, RSA-4096 takes 3.3.
const FILE_BYTES_MAX: usize = 32 << 10;

/// Permission bits of others than the owner that let them read.
const OTHERS_READ: u32 = 0o044;

/// Why a private key cannot be loaded, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("signing key {path}: {reason}")]
pub(crate) struct LoadError {
    path: String,
    reason: LoadReason,
}

/// What is wrong with a private key file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not a regular file.
    #[error("not a regular file")]
    Special,
    /// More bytes than a private key has.
    #[error("larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not PEM, or encrypted in OpenSSL's old way.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// None or several where one belongs.
    #[error("{0} PEM blocks with keys where exactly one private key is expected")]
    NotOne(usize),
    /// A key under a passphrase.
    #[error("encrypted: a passphrase cannot be asked for, decrypt it with `openssl pkey`")]
    Encrypted,
    /// PEM of something else.
    #[error("a PEM block of `{0}` is not a private key: give PKCS#8 (`openssl pkey`)")]
    Label(String),
    /// Damaged, or of a kind that no signature algorithm here uses.
    #[error("not a valid RSA, P-256, P-384, P-521, Ed25519 or ML-DSA-65 private key")]
    Rejected,
    /// Its public half is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The algorithm it is configured for is not one of its kind and size.
    #[error("cannot sign with {}: the key can do {can}", algorithm.name())]
    Algorithm {
        /// The one configured.
        algorithm: Algorithm,
        /// Those of the key, by name.
        can: String,
    },
}

impl From<KeyRejected> for LoadReason {
    fn from(_: KeyRejected) -> Self {
        Self::Rejected
    }
}

impl From<Unspecified> for LoadReason {
    fn from(_: Unspecified) -> Self {
        Self::Rejected
    }
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignError {
    /// The algorithm asked for is not one the key signs with, or none was named and it has several.
    #[error("the key does not sign with the algorithm asked for")]
    Algorithm,
    /// The signature could not be made, or did not verify.
    #[error("signing failed")]
    Failed,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa65(Box<PqdsaKeyPair>),
}

/// A private key that signs.
pub(crate) struct SigningKey {
    /// What it goes by.
    pub(crate) id: String,
    /// Its public half, with the algorithms it may sign with.
    pub(crate) public: Key,
    /// What its owner should be told about its file.
    pub(crate) warning: Option<String>,
    pair: Pair,
}

impl SigningKey {
    /// Loads the key that a configuration names.
    pub(crate) fn load(config: &SigningKeyConfig) -> Result<Self, LoadError> {
        Self::load_file(config).map_err(|reason| LoadError { path: config.path.clone(), reason })
    }

    fn load_file(config: &SigningKeyConfig) -> Result<Self, LoadReason> {
        let path = Path::new(&config.path);
        let (text, mode) = private_text(path)?;
        let pair = Pair::parse(&the_block(pem::blocks(&text)?)?)?;
        let mut public = Key::from_spki_der(pair.public_der()?.as_ref())?;
        if let Some(algorithm) = config.algorithm {
            if !public.algorithms.contains(&algorithm) {
                let names: Vec<_> = public.algorithms.iter().map(|known| known.name()).collect();
                return Err(LoadReason::Algorithm { algorithm, can: names.join(", ") });
            }
            public.algorithms = vec![algorithm];
        }
        let warning = (mode & OTHERS_READ != 0).then(|| {
            let mode = mode & 0o777;
            format!("{}: a private key with mode {mode:o}: use 400 or 600", config.path)
        });
        let id = config.id.clone().unwrap_or_else(|| file_uri(path));
        Ok(Self { id, public, warning, pair })
    }

    /// The signature of `message`, in the form the algorithm defines, verified. `algorithm` may be
    /// left out where the key has one only.
    pub(crate) fn sign(
        &self,
        algorithm: Option<Algorithm>,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let algorithm = match (algorithm, self.public.algorithms.as_slice()) {
            (None, &[only]) => only,
            (Some(asked), can) if can.contains(&asked) => asked,
            _ => return Err(SignError::Algorithm),
        };
        let signature = self.pair.sign(algorithm, message).map_err(|_| SignError::Failed)?;
        // A fault during signing can leak the key through the wrong signature it makes.
        UnparsedPublicKey::new(algorithm.verification(), &self.public.spki_der)
            .verify(message, &signature)
            .map_err(|_| SignError::Failed)?;
        Ok(signature)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Pair {
    fn parse(block: &Block) -> Result<Self, LoadReason> {
        match block.label.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "EC PRIVATE KEY" => {
                ecdsa(|curve| EcdsaKeyPair::from_private_key_der(curve, &block.der))
            }
            "RSA PRIVATE KEY" => Ok(Self::Rsa(RsaKeyPair::from_der(&block.der)?)),
            "ENCRYPTED PRIVATE KEY" => Err(LoadReason::Encrypted),
            label => Err(LoadReason::Label(pem::shown(label))),
        }
    }

    /// Each parser takes its own object identifier only, so at most one of them succeeds.
    fn from_pkcs8(der: &[u8]) -> Result<Self, LoadReason> {
        RsaKeyPair::from_pkcs8(der)
            .map(Self::Rsa)
            .or_else(|_| ecdsa(|curve| EcdsaKeyPair::from_pkcs8(curve, der)))
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der).map(Self::Ed25519))
            .or_else(|_| {
                PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, der).map(Box::new).map(Self::MlDsa65)
            })
            .map_err(LoadReason::from)
    }

    fn public_der(&self) -> Result<PublicKeyX509Der<'static>, Unspecified> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_der(),
            Self::Ecdsa(pair) => pair.public_key().as_der(),
            Self::Ed25519(pair) => pair.public_key().as_der(),
            Self::MlDsa65(pair) => pair.public_key().as_der(),
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(algorithm)?, &random, message, &mut signature)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Self::MlDsa65(pair) => {
                let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
                let length = pair.sign(message, &mut signature)?;
                signature.truncate(length);
                Ok(signature)
            }
        }
    }
}

/// The pair of the first curve that `parse` takes.
fn ecdsa(
    parse: impl Fn(&'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, KeyRejected>,
) -> Result<Pair, LoadReason> {
    let curves = [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ];
    let pair = curves.into_iter().find_map(|curve| parse(curve).ok());
    pair.map(Pair::Ecdsa).ok_or(LoadReason::Rejected)
}

fn rsa_encoding(algorithm: Algorithm) -> Result<&'static dyn RsaEncoding, Unspecified> {
    use Algorithm::*;
    match algorithm {
        RsaPss2048Sha256 | RsaPss3072Sha256 | RsaPss4096Sha256 => Ok(&RSA_PSS_SHA256),
        RsaPss4096Sha512 => Ok(&RSA_PSS_SHA512),
        RsaPkcs1_2048Sha256 | RsaPkcs1_3072Sha256 | RsaPkcs1_4096Sha256 => Ok(&RSA_PKCS1_SHA256),
        RsaPkcs1_4096Sha512 => Ok(&RSA_PKCS1_SHA512),
        _ => Err(Unspecified),
    }
}

/// The one block that is a key. OpenSSL writes the curve in a block of its own before it.
fn the_block(mut blocks: Vec<Block>) -> Result<Block, LoadReason> {
    blocks.retain(|block| block.label != "EC PARAMETERS");
    let [block] = <[Block; 1]>::try_from(blocks).map_err(|all| LoadReason::NotOne(all.len()))?;
    Ok(block)
}

/// The content of a private key file and its permission bits.
fn private_text(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), LoadReason> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(LoadReason::Special);
    }
    // All of it reserved at once: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(LoadReason::TooLarge);
    }
    Ok((text, metadata.permissions().mode()))
}
