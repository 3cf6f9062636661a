//! Keys for the tests, made by OpenSSL; ML-DSA, which OpenSSL 3.0 has not, by AWS-LC.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallmark_plugin_api::Algorithm;
use tempfile::TempDir;

/// The kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    P256,
    P384,
    P521,
    Ed25519,
    MlDsa65,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::MlDsa65,
    ];
    /// Those that OpenSSL 3.0 knows.
    pub(crate) const OPENSSL: [Self; 7] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
    ];

    pub(crate) fn algorithms(self) -> &'static [Algorithm] {
        use Algorithm::*;
        match self {
            Self::Rsa2048 => &[RsaPss2048Sha256, RsaPkcs1_2048Sha256],
            Self::Rsa3072 => &[RsaPss3072Sha256, RsaPkcs1_3072Sha256],
            Self::Rsa4096 => {
                &[RsaPss4096Sha256, RsaPss4096Sha512, RsaPkcs1_4096Sha256, RsaPkcs1_4096Sha512]
            }
            Self::P256 => &[EcdsaP256Sha256],
            Self::P384 => &[EcdsaP384Sha384],
            Self::P521 => &[EcdsaP521Sha512],
            Self::Ed25519 => &[Ed25519],
            Self::MlDsa65 => &[MlDsa65],
        }
    }

    fn genpkey(self) -> Vec<&'static str> {
        match self {
            Self::Rsa2048 => vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Self::Rsa3072 => vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
            Self::Rsa4096 => vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
            Self::P256 => vec!["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => vec!["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::P521 => vec!["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            Self::Ed25519 => vec!["-algorithm", "ED25519"],
            Self::MlDsa65 => vec![],
        }
    }
}

struct Made {
    private_pem: String,
    public_der: Vec<u8>,
}

/// Made once per kind and test run: an RSA-4096 key takes seconds.
fn made(kind: Kind) -> &'static Made {
    static MADE: [OnceLock<Made>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
    MADE[kind as usize].get_or_init(|| {
        if kind == Kind::MlDsa65 {
            let pair = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
            return Made {
                private_pem: pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()),
                public_der: pair.public_key().as_der().unwrap().as_ref().to_vec(),
            };
        }
        let private = openssl(&[&["genpkey"], kind.genpkey().as_slice()].concat(), &[]);
        let public_der = openssl(&["pkey", "-pubout", "-outform", "DER"], &private);
        Made { private_pem: String::from_utf8(private).unwrap(), public_der }
    })
}

/// A private key in PKCS#8 PEM.
pub(crate) fn private_pem(kind: Kind) -> &'static str {
    &made(kind).private_pem
}

/// Its public half, SPKI DER.
pub(crate) fn public_der(kind: Kind) -> &'static [u8] {
    &made(kind).public_der
}

/// Its public half, PEM.
pub(crate) fn public_pem(kind: Kind) -> String {
    pem("PUBLIC KEY", public_der(kind))
}

/// Its public half as a JSON Web Key, with `more` members (`"kid":"a",`) in front.
pub(crate) fn jwk(kind: Kind, more: &str) -> String {
    let der = public_der(kind);
    let tail = |end: usize, length: usize| {
        let end = der.len() - end;
        URL_SAFE_NO_PAD.encode(&der[end - length..end])
    };
    let ec = |crv: &str, field: usize| {
        let (x, y) = (tail(field, field), tail(0, field));
        format!(r#"{{{more}"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#)
    };
    // 65537 closes the key: 02 03 01 00 01.
    let rsa = |length| format!(r#"{{{more}"kty":"RSA","n":"{}","e":"AQAB"}}"#, tail(5, length));
    match kind {
        Kind::Rsa2048 => rsa(256),
        Kind::Rsa3072 => rsa(384),
        Kind::Rsa4096 => rsa(512),
        Kind::P256 => ec("P-256", 32),
        Kind::P384 => ec("P-384", 48),
        Kind::P521 => ec("P-521", 66),
        Kind::Ed25519 => {
            format!(r#"{{{more}"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, tail(0, 32))
        }
        Kind::MlDsa65 => {
            format!(r#"{{{more}"kty":"AKP","alg":"ML-DSA-65","pub":"{}"}}"#, tail(0, 1952))
        }
    }
}

/// A self-signed certificate, DER, for 30 days, with more arguments to `openssl req`.
pub(crate) fn certificate_der(kind: Kind, more: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let key = written(&directory, "key.pem", private_pem(kind).as_bytes());
    let key = key.to_str().unwrap();
    let arguments = [
        "req",
        "-x509",
        "-new",
        "-key",
        key,
        "-subj",
        "/CN=build",
        "-days",
        "30",
        "-outform",
        "DER",
    ];
    openssl(&[&arguments, more].concat(), &[])
}

/// The public half of a key that `openssl genpkey` makes of the arguments, SPKI DER.
pub(crate) fn openssl_public_der(genpkey: &[&str]) -> Vec<u8> {
    let private = openssl(&[&["genpkey"], genpkey].concat(), &[]);
    openssl(&["pkey", "-pubout", "-outform", "DER"], &private)
}

/// The output of `openssl` for the arguments and this standard input.
pub(crate) fn openssl(arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let input = fs::File::open(written(&directory, "stdin", stdin)).unwrap();
    let output = Command::new("openssl").args(arguments).stdin(input).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {message}");
    output.stdout
}

/// DER under a label, in lines of 64.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> =
        base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A new file in a directory.
pub(crate) fn written(directory: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    path
}
