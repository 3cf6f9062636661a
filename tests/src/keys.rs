//! Keys and signatures as users make them: by OpenSSL, or by a library where OpenSSL 3.0 cannot.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Every algorithm, by the name in the API.
pub const ALGORITHMS: [&str; 13] = [
    "RSA_PSS_2048_SHA256",
    "RSA_PSS_3072_SHA256",
    "RSA_PSS_4096_SHA256",
    "RSA_PSS_4096_SHA512",
    "RSA_SIGN_PKCS1_2048_SHA256",
    "RSA_SIGN_PKCS1_3072_SHA256",
    "RSA_SIGN_PKCS1_4096_SHA256",
    "RSA_SIGN_PKCS1_4096_SHA512",
    "ECDSA_P256_SHA256",
    "ECDSA_P384_SHA384",
    "ECDSA_P521_SHA512",
    "ML_DSA_65",
    "ED25519",
];

/// A key pair and the algorithm that it signs with.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name of its algorithm in the API.
    pub algorithm: &'static str,
    /// The private key: PKCS#8 in PEM.
    pub private_pem: String,
    /// The public key: SubjectPublicKeyInfo in PEM.
    pub public_pem: String,
}

/// The type of a key, whatever it signs with: one RSA-4096 key serves four algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Rsa(&'static str),
    Ec(&'static str),
    Ed25519,
    MlDsa65,
}

impl Kind {
    fn of(algorithm: &str) -> Self {
        match algorithm {
            "ECDSA_P256_SHA256" => Self::Ec("P-256"),
            "ECDSA_P384_SHA384" => Self::Ec("P-384"),
            "ECDSA_P521_SHA512" => Self::Ec("P-521"),
            "ED25519" => Self::Ed25519,
            "ML_DSA_65" => Self::MlDsa65,
            rsa if rsa.contains("2048") => Self::Rsa("2048"),
            rsa if rsa.contains("3072") => Self::Rsa("3072"),
            _ => Self::Rsa("4096"),
        }
    }

    /// Makes a key pair: private and public PEM.
    fn generate(self) -> (String, String) {
        let private = match self {
            Self::MlDsa65 => return generate_ml_dsa(),
            Self::Ed25519 => openssl(&["genpkey", "-algorithm", "ED25519"]),
            Self::Ec(curve) => {
                let curve = format!("ec_paramgen_curve:{curve}");
                openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", &curve])
            }
            Self::Rsa(bits) => {
                let bits = format!("rsa_keygen_bits:{bits}");
                openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &bits])
            }
        };
        let private = String::from_utf8(private).expect("PEM");
        let dir = tempfile::tempdir().expect("a directory");
        let path = write(dir.path(), "key.pem", private.as_bytes());
        let public = openssl(&["pkey", "-pubout", "-in", &path.to_string_lossy()]);
        (private, String::from_utf8(public).expect("PEM"))
    }
}

impl Key {
    /// The public key: SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> Vec<u8> {
        let body: String =
            self.public_pem.lines().filter(|line| !line.starts_with("---")).collect();
        STANDARD.decode(body).expect("PEM")
    }

    /// SHA-256 of the public key in DER, as decisions name it.
    pub fn spki_sha256(&self) -> String {
        Sha256::digest(self.spki_der()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes a key pair.
    pub fn generate(algorithm: &'static str) -> Self {
        let (private_pem, public_pem) = Kind::of(algorithm).generate();
        Self { algorithm, private_pem, public_pem }
    }

    /// A key pair that all tests of this process share: RSA keys take seconds to make.
    pub fn shared(algorithm: &'static str) -> Self {
        static MADE: Mutex<Option<HashMap<Kind, (String, String)>>> = Mutex::new(None);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = Kind::of(algorithm);
        let pair = made.get_or_insert_default().entry(kind).or_insert_with(|| kind.generate());
        Self { algorithm, private_pem: pair.0.clone(), public_pem: pair.1.clone() }
    }

    /// True if a key of `algorithm` could be this key, by type and by size or curve.
    pub fn fits(&self, algorithm: &str) -> bool {
        Kind::of(self.algorithm) == Kind::of(algorithm)
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a directory");
        let key = write(dir.path(), "key.pem", self.private_pem.as_bytes());
        let file = write(dir.path(), "message", message);
        let (key, file) = (key.to_string_lossy(), file.to_string_lossy());
        let hash = format!("-sha{}", self.algorithm.rsplit("SHA").next().unwrap_or("256"));
        let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
        match self.algorithm {
            "ML_DSA_65" => self.sign_ml_dsa(message),
            "ED25519" => openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &file]),
            rsa if rsa.contains("PSS") => {
                let rest = ["-sign", &key, &file];
                openssl(&[&["dgst", &hash][..], &pss, &rest].concat())
            }
            _ => openssl(&["dgst", &hash, "-sign", &key, &file]),
        }
    }

    fn sign_ml_dsa(&self, message: &[u8]) -> Vec<u8> {
        let body: String = self.private_pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pkcs8 = STANDARD.decode(body).expect("base64");
        let pair = PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, &pkcs8).expect("loads");
        let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
        let len = pair.sign(message, &mut signature).expect("signs");
        signature.truncate(len);
        signature
    }

    /// Writes `NAME.pem` and `NAME.pub` into `dir`, for the command line.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        (
            write(dir, &format!("{name}.pem"), self.private_pem.as_bytes()),
            write(dir, &format!("{name}.pub"), self.public_pem.as_bytes()),
        )
    }
}

fn generate_ml_dsa() -> (String, String) {
    let pair = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).expect("generates");
    let pkcs8 = pair.to_pkcs8v1().expect("encodes");
    let spki = pair.public_key().as_der().expect("encodes");
    (pem("PRIVATE KEY", pkcs8.as_ref()), pem("PUBLIC KEY", spki.as_ref()))
}

/// Writes a file and answers its path.
pub fn write(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).expect("writes");
    path
}

/// Runs OpenSSL; answers what it prints.
pub fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().expect("openssl is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args:?}: {error}");
    output.stdout
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
