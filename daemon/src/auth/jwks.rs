//! The keys of an issuer, RFC 7517, and the arithmetic with them.
//!
//! A key that cannot be used is passed over and named by its position, RFC 7517 §5: it takes nothing
//! from the others. What is in the set is never repeated; a private key may be among it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::public_key::{self, Encoded, KeyTypeError};

/// Keys of one issuer: far more than any rotation leaves behind.
const KEYS_MAX: usize = 64;

/// Algorithms that a JWT may be signed with. No symmetric one is among them, and no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By its name in RFC 7518 and RFC 8037.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys of one issuer that can verify.
#[derive(Clone, Debug)]
pub(super) struct Jwks {
    keys: Vec<Key>,
    /// A line for each key passed over.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    /// The only algorithm it is for, where it says so.
    alg: Option<Algorithm>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Jwks {
    /// Reads a key set. A set without any key that verifies is refused.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let set: WireSet = hallmark_json::from_slice(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("it is no JSON Web Key Set (line {line}, column {column})")
        })?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let mut read = Self { keys: Vec::new(), notes: Vec::new() };
        for (wire, position) in set.keys.iter().zip(1..) {
            match key(wire) {
                Ok(key) => read.keys.push(key),
                Err(why) => read.notes.push(format!("key {position} passed over: {why}")),
            }
        }
        match (read.keys.is_empty(), read.notes.first()) {
            (false, _) => Ok(read),
            (true, None) => Err("no key in it".to_owned()),
            (true, Some(first)) => Err(format!("no key in it can verify a signature: {first}")),
        }
    }

    /// The keys of this id that can do this; without an id, the only key that can.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<PublicKey<'_>> {
        let able = self.keys.iter().filter(|key| key.is_for(algorithm));
        let found: Vec<_> = match kid {
            Some(kid) => able.filter(|key| key.kid.as_deref() == Some(kid)).collect(),
            None => able.collect(),
        };
        if kid.is_none() && found.len() > 1 {
            return Vec::new();
        }
        found.into_iter().map(|key| PublicKey { key, algorithm }).collect()
    }
}

/// A key and what is to be done with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicKey<'a> {
    key: &'a Key,
    algorithm: Algorithm,
}

impl PublicKey<'_> {
    /// True if the signature is one of these bytes.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters: &RsaParameters, n: &[u8], e: &[u8]| {
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
        };
        let other = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (&self.key.public, self.algorithm) {
            (Public::Rsa { n, e }, Algorithm::Rs256) => rsa(&RSA_PKCS1_2048_8192_SHA256, n, e),
            (Public::Rsa { n, e }, Algorithm::Ps256) => rsa(&RSA_PSS_2048_8192_SHA256, n, e),
            (Public::P256(key), Algorithm::Es256) => other(&ECDSA_P256_SHA256_FIXED, key),
            (Public::P384(key), Algorithm::Es384) => other(&ECDSA_P384_SHA384_FIXED, key),
            (Public::Ed25519(key), Algorithm::EdDsa) => other(&ED25519, key),
            _ => false,
        }
    }
}

impl Key {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let able = matches!(
            (&self.public, algorithm),
            (Public::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256)
                | (Public::P256(_), Algorithm::Es256)
                | (Public::P384(_), Algorithm::Es384)
                | (Public::Ed25519(_), Algorithm::EdDsa)
        );
        able && self.alg.is_none_or(|alg| alg == algorithm)
    }
}

/// Why a key of a set is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it is no object, or a member is of the wrong type")]
    Form,
    #[error("it holds a private or secret key: remove it and replace the key")]
    Private,
    #[error("it is not for verifying signatures (`use`, `key_ops`)")]
    Purpose,
    #[error("its `alg` is none of RS256, PS256, ES256, ES384 and EdDSA")]
    Algorithm,
    #[error("its `alg` is nothing that a key of its type can do")]
    Contradiction,
    #[error("its `kty` and `crv` are none of RSA, EC P-256, EC P-384 and OKP Ed25519")]
    Type,
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("its `{0}` is not base64url of the right length")]
    Encoding(&'static str),
    #[error(transparent)]
    Key(#[from] KeyTypeError),
}

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

fn key(written: &RawValue) -> Result<Key, Unusable> {
    let wire: WireKey = hallmark_json::from_str(written.get()).map_err(|_| Unusable::Form)?;
    if wire.d.is_some() || wire.k.is_some() {
        return Err(Unusable::Private);
    }
    let to_verify = wire.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
        && wire.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !to_verify {
        return Err(Unusable::Purpose);
    }
    let named = |alg| Algorithm::named(alg).ok_or(Unusable::Algorithm);
    let alg = wire.alg.as_deref().map(named).transpose()?;
    let public = wire.public()?;
    public_key::judge(&public.spki_der().ok_or(Unusable::Type)?)?;
    let key = Key { kid: wire.kid, alg, public };
    match alg.is_none_or(|alg| key.is_for(alg)) {
        true => Ok(key),
        false => Err(Unusable::Contradiction),
    }
}

impl Public {
    fn spki_der(&self) -> Option<Vec<u8>> {
        public_key::encode(&match self {
            Self::Rsa { n, e } => Encoded::Rsa { n, e },
            Self::P256(point) => Encoded::P256(point),
            Self::P384(point) => Encoded::P384(point),
            Self::Ed25519(point) => Encoded::Ed25519(point),
        })
    }
}

impl WireKey {
    fn public(&self) -> Result<Public, Unusable> {
        let kty = self.kty.as_deref().ok_or(Unusable::Missing("kty"))?;
        Ok(match (kty, self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes("n", self.n.as_deref())?, bytes("e", self.e.as_deref())?);
                Public::Rsa { n: without_zeros(n), e: without_zeros(e) }
            }
            ("EC", Some("P-256")) => Public::P256(self.point(32)?),
            ("EC", Some("P-384")) => Public::P384(self.point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(coordinate("x", self.x.as_deref(), 32)?),
            _ => return Err(Unusable::Type),
        })
    }

    fn point(&self, bytes: usize) -> Result<Vec<u8>, Unusable> {
        let (x, y) = (self.x.as_deref(), self.y.as_deref());
        Ok([vec![4], coordinate("x", x, bytes)?, coordinate("y", y, bytes)?].concat())
    }
}

fn coordinate(name: &'static str, text: Option<&str>, length: usize) -> Result<Vec<u8>, Unusable> {
    let bytes = bytes(name, text)?;
    if bytes.len() == length { Ok(bytes) } else { Err(Unusable::Encoding(name)) }
}

fn bytes(name: &'static str, text: Option<&str>) -> Result<Vec<u8>, Unusable> {
    let text = text.ok_or(Unusable::Missing(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Encoding(name))
}

fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.into_iter().skip(zeros).collect()
}
