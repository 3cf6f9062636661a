//! The keys of an issuer, RFC 7517, and the arithmetic with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::Deserialize;

/// Keys of one issuer: far more than any rotation leaves behind.
const KEYS_MAX: usize = 64;

/// What a JWT may be signed with. There is nothing symmetric, and no `none`.
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
pub(super) struct Jwks(Vec<Key>);

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
    /// Reads a key set. Keys that are not for verifying, or of a kind that is not known, are passed
    /// over; a set without any other is refused, and so is one with a malformed key.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let set: WireSet = hallmark_json::from_slice(json).map_err(|error| error.to_string())?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (i, wire) in set.keys.iter().enumerate() {
            if let Some(key) = wire.key().map_err(|problem| format!("keys[{i}]: {problem}"))? {
                if key.kid.is_some() && keys.iter().any(|held| held.kid == key.kid) {
                    return Err(format!("keys[{i}]: its kid is that of another key"));
                }
                keys.push(key);
            }
        }
        match keys.is_empty() {
            true => Err("no key in it can verify a signature".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// The key of this id that can do this; without an id, the only key that can.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<PublicKey<'_>> {
        let mut able = self.0.iter().filter(|key| key.is_for(algorithm));
        let key = match kid {
            Some(kid) => able.find(|key| key.kid.as_deref() == Some(kid))?,
            None => able.next().filter(|_| able.next().is_none())?,
        };
        Some(PublicKey { key, algorithm })
    }
}

/// A key and what is to be done with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicKey<'a> {
    key: &'a Key,
    algorithm: Algorithm,
}

impl PublicKey<'_> {
    /// Whether the signature is one of these bytes.
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

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl WireKey {
    /// `None` where it is none of ours.
    fn key(&self) -> Result<Option<Key>, String> {
        let to_verify = self.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let alg = self.alg.as_deref().map(Algorithm::named);
        if !to_verify || alg == Some(None) {
            return Ok(None);
        }
        let Some(public) = self.public()? else { return Ok(None) };
        Ok(Some(Key { kid: self.kid.clone(), alg: alg.flatten(), public }))
    }

    fn public(&self) -> Result<Option<Public>, String> {
        Ok(Some(match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes("n", self.n.as_deref())?, bytes("e", self.e.as_deref())?);
                let (n, e) = (without_zeros(n), without_zeros(e));
                // What ring asks of RSA keys.
                if !(256..=1_024).contains(&n.len()) {
                    return Err("an RSA key has 2048 to 8192 bits".to_owned());
                }
                Public::Rsa { n, e }
            }
            ("EC", Some("P-256")) => Public::P256(self.point(32)?),
            ("EC", Some("P-384")) => Public::P384(self.point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(coordinate("x", self.x.as_deref(), 32)?),
            _ => return Ok(None),
        }))
    }

    fn point(&self, bytes: usize) -> Result<Vec<u8>, String> {
        let (x, y) = (self.x.as_deref(), self.y.as_deref());
        Ok([vec![4], coordinate("x", x, bytes)?, coordinate("y", y, bytes)?].concat())
    }
}

fn coordinate(name: &str, text: Option<&str>, length: usize) -> Result<Vec<u8>, String> {
    let bytes = bytes(name, text)?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => Err(format!("`{name}` has {} bytes, not {length}", bytes.len())),
    }
}

fn bytes(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url"))
}

fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.into_iter().skip(zeros).collect()
}
