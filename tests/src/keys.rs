//! Keys and signatures as users make them: by OpenSSL, or by a library where OpenSSL 3.0 cannot.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

/// A key pair on disk.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name of its algorithm in the API.
    pub algorithm: &'static str,
    /// The private key: PKCS#8 in PEM.
    pub private: PathBuf,
    /// The public key: SubjectPublicKeyInfo in PEM.
    pub public_pem: String,
}

impl Key {
    /// Makes a key pair; `name` names its files in `dir`.
    pub fn generate(dir: &Path, name: &str, algorithm: &'static str) -> Self {
        let private = dir.join(format!("{name}.pem"));
        if algorithm == "ML_DSA_65" {
            return Self::generate_ml_dsa(private);
        }
        let path = private.to_string_lossy().into_owned();
        let kind: &[&str] = match algorithm {
            "ECDSA_P256_SHA256" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "ECDSA_P384_SHA384" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            "ECDSA_P521_SHA512" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            "ED25519" => &["ED25519"],
            rsa if rsa.contains("2048") => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            rsa if rsa.contains("3072") => &["RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
            _ => &["RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
        };
        openssl(&[&["genpkey", "-out", &path, "-algorithm"], kind].concat());
        let public = openssl(&["pkey", "-in", &path, "-pubout"]);
        Self { algorithm, private, public_pem: String::from_utf8(public).expect("PEM") }
    }

    fn generate_ml_dsa(private: PathBuf) -> Self {
        let pair = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).expect("generates");
        let pkcs8 = pair.to_pkcs8v1().expect("encodes");
        let spki = pair.public_key().as_der().expect("encodes");
        std::fs::write(&private, pem("PRIVATE KEY", pkcs8.as_ref())).expect("writes");
        let public_pem = pem("PUBLIC KEY", spki.as_ref());
        Self { algorithm: "ML_DSA_65", private, public_pem }
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = self.private.to_string_lossy();
        let file = self.private.with_extension("message");
        std::fs::write(&file, message).expect("writes");
        let file = file.to_string_lossy();
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
        let text = std::fs::read_to_string(&self.private).expect("reads");
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let pkcs8 = STANDARD.decode(body).expect("base64");
        let pair = PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, &pkcs8).expect("loads");
        let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
        let len = pair.sign(message, &mut signature).expect("signs");
        signature.truncate(len);
        signature
    }
}

fn openssl(args: &[&str]) -> Vec<u8> {
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
