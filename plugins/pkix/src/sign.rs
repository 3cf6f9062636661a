//! Private keys in files, and signing with them. What is in a private key file appears in no error
//! and no log line.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    UnparsedPublicKey,
};
use hallmark_plugin_api::{Algorithm, textual};
use zeroize::Zeroizing;

use crate::algorithm;
use crate::config::{ID_BYTES_MAX, SigningKeyConfig};
use crate::key::{Key, KeyError};
use crate::pem::{self, Block, PemError};
use crate::source::file_uri;

/// Bytes of a private key file. ML-DSA-65 takes 5.5 KiB in PEM, RSA-4096 takes 3.3.
const FILE_BYTES_MAX: usize = 32 << 10;

/// Why a private key cannot be loaded, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("signing key {path}: {reason}")]
pub(crate) struct LoadError {
    path: String,
    reason: LoadReason,
}

/// The fault of a private key file.
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
    Label(&'static str),
    /// Not PEM, and a form that is known.
    #[error("not a private key in PEM: it is {0}")]
    Form(&'static str),
    /// Damaged, or of a kind that no signature algorithm here uses.
    #[error("not a valid RSA, P-256, P-384, P-521, Ed25519 or ML-DSA-65 private key")]
    Rejected,
    /// Its public half is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A path that makes too long an id.
    #[error("the key id made of its path has {0} bytes: at most {ID_BYTES_MAX}, give an `id`")]
    Id(usize),
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
    /// The digest is not as long as the algorithm's hash.
    #[error("the digest is not as long as the algorithm's hash")]
    Digest,
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
    /// Its id.
    pub(crate) id: String,
    /// Its public half, with the algorithms it may sign with.
    pub(crate) public: Key,
    pair: Pair,
}

impl SigningKey {
    /// Loads the key that a configuration names.
    pub(crate) fn load(config: &SigningKeyConfig) -> Result<Self, LoadError> {
        Self::load_file(config).map_err(|reason| LoadError { path: config.path.clone(), reason })
    }

    fn load_file(config: &SigningKeyConfig) -> Result<Self, LoadReason> {
        let path = Path::new(&config.path);
        let text = private_text(path)?;
        let blocks = pem::blocks(&text)?;
        if let Some(form) = textual::form(&text).filter(|_| blocks.is_empty()) {
            return Err(LoadReason::Form(form));
        }
        let pair = Pair::parse(&the_block(blocks)?)?;
        let mut public = Key::from_spki_der(pair.public_der()?.as_ref())?;
        if let Some(algorithm) = config.algorithm {
            if !public.algorithms.contains(&algorithm) {
                let can = algorithm::names(&public.algorithms);
                return Err(LoadReason::Algorithm { algorithm, can });
            }
            public.algorithms = vec![algorithm];
        }
        let id = config.id.clone().unwrap_or_else(|| file_uri(path));
        if id.len() > ID_BYTES_MAX {
            return Err(LoadReason::Id(id.len()));
        }
        Ok(Self { id, public, pair })
    }

    /// The signature of `message`, in the form the algorithm defines, verified. `algorithm` may be
    /// left out where the key has one only.
    pub(crate) fn sign(
        &self,
        algorithm: Option<Algorithm>,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let algorithm = self.chosen(algorithm)?;
        let signature = self.pair.sign(algorithm, message).map_err(|_| SignError::Failed)?;
        // A fault during signing can leak the key through the wrong signature it makes.
        UnparsedPublicKey::new(algorithm::verification(algorithm), &self.public.spki_der)
            .verify(message, &signature)
            .map_err(|_| SignError::Failed)?;
        Ok(signature)
    }

    /// As [`SigningKey::sign`], of the message that has this digest.
    pub(crate) fn sign_digest(
        &self,
        algorithm: Option<Algorithm>,
        digest: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let algorithm = self.chosen(algorithm)?;
        let hash = algorithm::hash(algorithm).ok_or(SignError::Algorithm)?;
        let digest = Digest::import_less_safe(digest, hash).map_err(|_| SignError::Digest)?;
        let signature = self.pair.sign_digest(algorithm, &digest).map_err(|_| SignError::Failed)?;
        UnparsedPublicKey::new(algorithm::verification(algorithm), &self.public.spki_der)
            .verify_digest(&digest, &signature)
            .map_err(|_| SignError::Failed)?;
        Ok(signature)
    }

    fn chosen(&self, algorithm: Option<Algorithm>) -> Result<Algorithm, SignError> {
        match (algorithm, self.public.algorithms.as_slice()) {
            (None, &[only]) => Ok(only),
            (Some(asked), can) if can.contains(&asked) => Ok(asked),
            _ => Err(SignError::Algorithm),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Pair {
    fn parse(block: &Block) -> Result<Self, LoadReason> {
        match block.label {
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "EC PRIVATE KEY" => {
                ecdsa(|curve| EcdsaKeyPair::from_private_key_der(curve, &block.der))
            }
            "RSA PRIVATE KEY" => Ok(Self::Rsa(RsaKeyPair::from_der(&block.der)?)),
            "ENCRYPTED PRIVATE KEY" => Err(LoadReason::Encrypted),
            label => Err(LoadReason::Label(label)),
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

    fn sign_digest(&self, algorithm: Algorithm, digest: &Digest) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(rsa_encoding(algorithm)?, digest, &mut signature)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => Ok(pair.sign_digest(digest)?.as_ref().to_vec()),
            Self::Ed25519(_) | Self::MlDsa65(_) => Err(Unspecified),
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

/// The content of a private key file. Who else may read it, the daemon asks.
fn private_text(path: &Path) -> Result<Zeroizing<Vec<u8>>, LoadReason> {
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
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{self, Kind, openssl, private_pem, public_pem, written};

    const MESSAGE: &[u8] = b"the payload of an attestation";

    fn load(text: &[u8]) -> Result<SigningKey, LoadError> {
        load_with(text, None)
    }

    fn load_with(text: &[u8], algorithm: Option<Algorithm>) -> Result<SigningKey, LoadError> {
        let directory = TempDir::new().unwrap();
        let path = written(&directory, "key.pem", text);
        let path = path.to_str().unwrap().to_owned();
        SigningKey::load(&SigningKeyConfig { path, id: None, algorithm })
    }

    /// The arguments with which `openssl` is asked about an algorithm.
    fn openssl_arguments(algorithm: Algorithm) -> Vec<&'static str> {
        use Algorithm::*;
        let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
        match algorithm {
            RsaPss2048Sha256 | RsaPss3072Sha256 | RsaPss4096Sha256 => {
                [&["dgst", "-sha256"], pss.as_slice()].concat()
            }
            RsaPss4096Sha512 => [&["dgst", "-sha512"], pss.as_slice()].concat(),
            RsaPkcs1_2048Sha256 | RsaPkcs1_3072Sha256 | RsaPkcs1_4096Sha256 | EcdsaP256Sha256 => {
                vec!["dgst", "-sha256"]
            }
            EcdsaP384Sha384 => vec!["dgst", "-sha384"],
            RsaPkcs1_4096Sha512 | EcdsaP521Sha512 => vec!["dgst", "-sha512"],
            Ed25519 => vec!["pkeyutl", "-rawin", "-pubin"],
            other => unreachable!("no key here signs with {other:?} and OpenSSL 3.0"),
        }
    }

    fn openssl_verifies(
        kind: Kind,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let directory = TempDir::new().unwrap();
        let key = written(&directory, "key.pem", public_pem(kind).as_bytes());
        let message = written(&directory, "message", message);
        let signature = written(&directory, "signature", signature);
        let mut command = Command::new("openssl");
        command.args(openssl_arguments(algorithm));
        if algorithm == Algorithm::Ed25519 {
            command.arg("-verify").arg("-inkey").arg(key);
            command.arg("-in").arg(message).arg("-sigfile").arg(signature);
        } else {
            command.arg("-verify").arg(key).arg("-signature").arg(signature).arg(message);
        }
        command.output().unwrap().status.success()
    }

    #[test]
    fn openssl_verifies_every_signature_and_none_with_a_flipped_bit() {
        for kind in Kind::OPENSSL {
            let key = load(private_pem(kind).as_bytes()).unwrap();
            for &algorithm in kind.algorithms() {
                let mut signature = key.sign(Some(algorithm), MESSAGE).unwrap();
                assert!(openssl_verifies(kind, algorithm, MESSAGE, &signature), "{algorithm:?}");
                assert!(
                    !openssl_verifies(kind, algorithm, b"another", &signature),
                    "{algorithm:?}"
                );
                let last = signature.len() - 1;
                signature[last] ^= 1;
                assert!(!openssl_verifies(kind, algorithm, MESSAGE, &signature), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn ml_dsa_signs_with_the_empty_context() {
        let key = load(private_pem(Kind::MlDsa65).as_bytes()).unwrap();
        let mut signature = key.sign(None, MESSAGE).unwrap();
        let public = UnparsedPublicKey::new(
            algorithm::verification(Algorithm::MlDsa65),
            fixture::public_der(Kind::MlDsa65),
        );
        assert_eq!(signature.len(), 3_309);
        public.verify(MESSAGE, &signature).unwrap();
        signature[1_000] ^= 1;
        assert!(public.verify(MESSAGE, &signature).is_err());
    }

    #[test]
    fn the_forms_that_openssl_writes_are_read() {
        for curve in ["prime256v1", "secp384r1", "secp521r1"] {
            let sec1 = openssl(&["ecparam", "-name", curve, "-genkey"], &[]);
            let text = String::from_utf8(sec1.clone()).unwrap();
            assert!(text.contains("EC PARAMETERS") && text.contains("EC PRIVATE KEY"), "{text}");
            let expected = openssl(&["pkey", "-pubout", "-outform", "DER"], &sec1);
            assert_eq!(load(&sec1).unwrap().public.spki_der, expected, "{curve}");
        }
        let pkcs8 = private_pem(Kind::Rsa2048).as_bytes();
        let pkcs1 = openssl(&["pkey", "-traditional"], pkcs8);
        assert!(pkcs1.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
        assert_eq!(load(&pkcs1).unwrap().public, load(pkcs8).unwrap().public);
    }

    #[test]
    fn encrypted_keys_are_refused_with_a_way_out() {
        for more in [&[][..], &["-traditional"]] {
            let arguments = [&["pkey", "-aes256", "-passout", "pass:secret"], more].concat();
            let encrypted = openssl(&arguments, private_pem(Kind::P256).as_bytes());
            let message = load(&encrypted).unwrap_err().to_string();
            assert!(message.contains("encrypted"), "{message}");
            assert!(message.contains("decrypt it"), "{message}");
        }
    }

    #[test]
    fn what_is_not_one_private_key_is_refused() {
        let refusal = |text: &str| load(text.as_bytes()).unwrap_err().reason;
        assert!(matches!(refusal(""), LoadReason::Form("empty")));
        assert!(matches!(refusal("hello"), LoadReason::NotOne(0)));
        let two = private_pem(Kind::P256).repeat(2);
        assert!(matches!(refusal(&two), LoadReason::NotOne(2)));
        assert!(matches!(refusal(&public_pem(Kind::P256)), LoadReason::Label(_)));
        let mislabelled = public_pem(Kind::P256).replace("PUBLIC", "PRIVATE");
        assert!(matches!(refusal(&mislabelled), LoadReason::Rejected));
        let x25519 = openssl(&["genpkey", "-algorithm", "X25519"], &[]);
        assert!(matches!(load(&x25519).unwrap_err().reason, LoadReason::Rejected));
        let weak = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
        load(&openssl(&weak, &[])).unwrap_err();
        let large = " ".repeat(FILE_BYTES_MAX + 1);
        assert!(matches!(refusal(&large), LoadReason::TooLarge));
        let missing = SigningKeyConfig { path: "/nowhere".to_owned(), id: None, algorithm: None };
        assert!(matches!(SigningKey::load(&missing).unwrap_err().reason, LoadReason::Io(_)));
        let directory = SigningKeyConfig { path: "/".to_owned(), ..missing };
        assert!(matches!(SigningKey::load(&directory).unwrap_err().reason, LoadReason::Special));
    }

    #[test]
    fn a_path_too_long_for_an_id_needs_one() {
        let directory = TempDir::new().unwrap();
        let name = "%".repeat(255);
        let deep = directory.path().join(&name).join(&name);
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join(&name);
        fs::write(&path, private_pem(Kind::P256)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let mut config = SigningKeyConfig { path, id: None, algorithm: None };
        assert!(matches!(SigningKey::load(&config).unwrap_err().reason, LoadReason::Id(_)));
        config.id = Some("build".to_owned());
        SigningKey::load(&config).unwrap();
    }

    #[test]
    fn damaged_keys_are_refused_and_not_repeated() {
        let text = private_pem(Kind::Rsa2048);
        let line = text.lines().nth(5).unwrap();
        let damaged = text.replace(line, &line.chars().rev().collect::<String>());
        let error = load(damaged.as_bytes()).unwrap_err();
        assert!(matches!(error.reason, LoadReason::Rejected));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&line[..10]), "{shown}");
    }

    #[test]
    fn an_algorithm_of_its_own_is_needed_where_the_key_has_several() {
        let rsa = private_pem(Kind::Rsa4096).as_bytes();
        let key = load(rsa).unwrap();
        assert_eq!(key.sign(None, MESSAGE), Err(SignError::Algorithm));
        let other = Some(Algorithm::RsaPss2048Sha256);
        assert_eq!(key.sign(other, MESSAGE), Err(SignError::Algorithm));

        let only = load_with(rsa, Some(Algorithm::RsaPss4096Sha512)).unwrap();
        only.sign(None, MESSAGE).unwrap();
        let refused = only.sign(Some(Algorithm::RsaPss4096Sha256), MESSAGE);
        assert_eq!(refused, Err(SignError::Algorithm));

        let p256 = private_pem(Kind::P256).as_bytes();
        let wrong = load_with(p256, Some(Algorithm::EcdsaP384Sha384)).unwrap_err().to_string();
        assert!(wrong.ends_with("sign with ECDSA_P384_SHA384: the key can do ECDSA_P256_SHA256"));
    }
}
