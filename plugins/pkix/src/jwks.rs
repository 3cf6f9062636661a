//! JSON Web Key Sets (RFC 7517, RFC 7518, RFC 8037; `AKP` keys as ML-DSA writes them).
//!
//! A key of an unknown kind, or one made for another purpose, is passed over with a note, as
//! RFC 7517 §5 asks. A key that is malformed, contradicts itself or holds a secret fails the set.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_plugin_api::{Algorithm, json};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::key::{Curve, Key, KeyError};

/// Keys in one set. As many as keys in one attestor at Google.
pub(crate) const KEYS_MAX: usize = 1_000;
/// Bytes of a `kid`; thumbprints have 43.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Characters of a value from the set that a message shows.
const SHOWN_CHARS: usize = 40;

/// Why a set is refused. The position counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwksError {
    /// Not JSON, or not of the form `{"keys":[…]}`.
    #[error("not a JSON Web Key Set: {0}")]
    Json(String),
    /// More keys than a set may have.
    #[error("{0} keys in a set: at most {KEYS_MAX}")]
    TooMany(usize),
    /// A member that only private or symmetric keys have. Its value is not shown.
    #[error("key {0} holds a private or secret key: remove it and replace the key")]
    Private(usize),
    /// A member that its kind needs is missing.
    #[error("key {position} has no `{member}`")]
    Missing {
        /// Which key.
        position: usize,
        /// The member.
        member: &'static str,
    },
    /// A member that is not canonical base64url of the right length.
    #[error("`{member}` of key {position} is not {expected} of unpadded base64url")]
    Encoding {
        /// Which key.
        position: usize,
        /// The member.
        member: &'static str,
        /// What it takes.
        expected: String,
    },
    /// A `kid` that is empty or too long.
    #[error("the `kid` of key {0} is not of 1 to {KID_BYTES_MAX} bytes")]
    Kid(usize),
    /// `alg` names an algorithm of another kind of key.
    #[error("`alg` of key {position} is `{alg}`, which a key of this kind or size cannot do")]
    Contradiction {
        /// Which key.
        position: usize,
        /// What it says.
        alg: String,
    },
    /// Not a key that signatures can be checked with.
    #[error("key {position}: {error}")]
    Key {
        /// Which key.
        position: usize,
        /// What is wrong with it.
        error: KeyError,
    },
}

/// A set, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Jwks {
    /// The usable keys with their `kid`, in the order of the set. Not unique: both are tried.
    pub(crate) keys: Vec<(Option<String>, Key)>,
    /// A line for each key passed over.
    pub(crate) notes: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// A key as written. Unknown members are ignored, duplicate known ones refused.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    r#pub: Option<String>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    r#priv: Option<IgnoredAny>,
}

/// What became of one key.
enum Reading {
    Usable(Key),
    Passed(String),
}

/// Reads a set.
pub(crate) fn parse(json: &[u8]) -> Result<Jwks, JwksError> {
    let document: Document =
        json::from_slice(json).map_err(|error| JwksError::Json(place(&error)))?;
    if document.keys.len() > KEYS_MAX {
        return Err(JwksError::TooMany(document.keys.len()));
    }
    let mut set = Jwks::default();
    for (jwk, position) in document.keys.iter().zip(1..) {
        match jwk.read(position)? {
            Reading::Usable(key) => set.keys.push((jwk.kid.clone(), key)),
            Reading::Passed(why) => set.notes.push(format!("key {position} passed over: {why}")),
        }
    }
    Ok(set)
}

/// Where and of what kind a JSON error is. Its own text may quote a value, and that may be secret.
fn place(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a member is missing, repeated or of the wrong type",
        serde_json::error::Category::Eof => "the text ends too early",
        _ => "it is not JSON",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}

impl Jwk {
    fn read(&self, position: usize) -> Result<Reading, JwksError> {
        if self.is_private() {
            return Err(JwksError::Private(position));
        }
        if self.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(JwksError::Kid(position));
        }
        if let Some(why) = self.other_purpose() {
            return Ok(Reading::Passed(why));
        }
        let field = |member, text: &Option<String>, length| decode(position, member, text, length);
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::from_rsa_numbers(
                &number(position, "n", &self.n)?,
                &number(position, "e", &self.e)?,
            ),
            ("EC", Some(crv)) => {
                let Some(curve) = curve(crv) else { return Ok(unknown("crv", crv)) };
                let x = field("x", &self.x, Some(curve.field_bytes()))?;
                let y = field("y", &self.y, Some(curve.field_bytes()))?;
                Key::from_point(curve, &[&[4], x.as_slice(), &y].concat())
            }
            ("OKP", Some("Ed25519")) => Key::from_ed25519(&field("x", &self.x, Some(32))?),
            ("OKP", Some(crv)) => return Ok(unknown("crv", crv)),
            ("EC" | "OKP", None) => return Err(JwksError::Missing { position, member: "crv" }),
            ("AKP", _) => match self.alg.as_deref() {
                Some("ML-DSA-65") => Key::from_ml_dsa_65(&field("pub", &self.r#pub, None)?),
                Some(alg) => return Ok(unknown("alg", alg)),
                None => return Err(JwksError::Missing { position, member: "alg" }),
            },
            (kty, _) => return Ok(unknown("kty", kty)),
        };
        self.restrict(position, key.map_err(|error| JwksError::Key { position, error })?)
    }

    /// Leaves the algorithms that `alg` allows.
    fn restrict(&self, position: usize, mut key: Key) -> Result<Reading, JwksError> {
        let Some(alg) = self.alg.as_deref() else { return Ok(Reading::Usable(key)) };
        let Some(allowed) = algorithms(alg) else { return Ok(unknown("alg", alg)) };
        key.algorithms.retain(|algorithm| allowed.contains(algorithm));
        if key.algorithms.is_empty() {
            return Err(JwksError::Contradiction { position, alg: shown(alg) });
        }
        Ok(Reading::Usable(key))
    }

    fn is_private(&self) -> bool {
        let secrets = [
            &self.d,
            &self.p,
            &self.q,
            &self.dp,
            &self.dq,
            &self.qi,
            &self.oth,
            &self.k,
            &self.r#priv,
        ];
        secrets.iter().any(|member| member.is_some())
    }

    /// Why the key is not meant for checking signatures.
    fn other_purpose(&self) -> Option<String> {
        if let Some(purpose) = self.purpose.as_deref().filter(|&purpose| purpose != "sig") {
            return Some(format!("its `use` is `{}`, not `sig`", shown(purpose)));
        }
        let operations = self.key_ops.as_ref()?;
        let verifies = operations.iter().any(|operation| operation == "verify");
        (!verifies).then(|| "its `key_ops` have no `verify`".to_owned())
    }
}

fn unknown(member: &str, value: &str) -> Reading {
    Reading::Passed(format!("{member} `{}` is not supported", shown(value)))
}

fn shown(value: &str) -> String {
    value.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS).collect()
}

fn curve(crv: &str) -> Option<Curve> {
    match crv {
        "P-256" => Some(Curve::P256),
        "P-384" => Some(Curve::P384),
        "P-521" => Some(Curve::P521),
        _ => None,
    }
}

/// What an `alg` allows, whatever the size of the key.
fn algorithms(alg: &str) -> Option<&'static [Algorithm]> {
    use Algorithm::*;
    match alg {
        "RS256" => Some(&[RsaPkcs1_2048Sha256, RsaPkcs1_3072Sha256, RsaPkcs1_4096Sha256]),
        "RS512" => Some(&[RsaPkcs1_4096Sha512]),
        "PS256" => Some(&[RsaPss2048Sha256, RsaPss3072Sha256, RsaPss4096Sha256]),
        "PS512" => Some(&[RsaPss4096Sha512]),
        "ES256" => Some(&[EcdsaP256Sha256]),
        "ES384" => Some(&[EcdsaP384Sha384]),
        "ES512" => Some(&[EcdsaP521Sha512]),
        "EdDSA" | "Ed25519" => Some(&[Ed25519]),
        "ML-DSA-65" => Some(&[MlDsa65]),
        _ => None,
    }
}

/// A big-endian number without leading zero octets (RFC 7518 §2).
fn number(
    position: usize,
    member: &'static str,
    text: &Option<String>,
) -> Result<Vec<u8>, JwksError> {
    let bytes = decode(position, member, text, None)?;
    if bytes.first().is_none_or(|&first| first == 0) {
        let expected = "a number without leading zeros".to_owned();
        return Err(JwksError::Encoding { position, member, expected });
    }
    Ok(bytes)
}

/// The octets of a member, of `length` where it is fixed.
fn decode(
    position: usize,
    member: &'static str,
    text: &Option<String>,
    length: Option<usize>,
) -> Result<Vec<u8>, JwksError> {
    let text = text.as_deref().ok_or(JwksError::Missing { position, member })?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.filter(|bytes| length.is_none_or(|length| bytes.len() == length)).ok_or_else(|| {
        let expected =
            length.map_or_else(|| "octets".to_owned(), |length| format!("{length} octets"));
        JwksError::Encoding { position, member, expected }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Kind, jwk, public_der};

    fn set(keys: &[String]) -> Result<Jwks, JwksError> {
        parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    fn notes(jwk: &str) -> Vec<String> {
        let read = set(&[jwk.to_owned()]).unwrap();
        assert_eq!(read.keys, [], "{jwk}");
        read.notes
    }

    #[test]
    fn every_kind_is_read_as_its_spki() {
        let keys: Vec<_> = Kind::ALL.map(|kind| jwk(kind, r#""kid":"a","use":"sig","#)).into();
        let read = set(&keys).unwrap();
        assert_eq!(read.notes, Vec::<String>::new());
        for (kind, (kid, key)) in Kind::ALL.into_iter().zip(read.keys) {
            assert_eq!(kid.as_deref(), Some("a"));
            assert_eq!(key.spki_der, public_der(kind), "{kind:?}");
            assert_eq!(key.algorithms, kind.algorithms(), "{kind:?}");
        }
    }

    #[test]
    fn alg_restricts_and_may_not_contradict() {
        let cases = [
            (Kind::Rsa2048, "PS256", Algorithm::RsaPss2048Sha256),
            (Kind::Rsa3072, "RS256", Algorithm::RsaPkcs1_3072Sha256),
            (Kind::Rsa4096, "PS512", Algorithm::RsaPss4096Sha512),
            (Kind::Rsa4096, "RS512", Algorithm::RsaPkcs1_4096Sha512),
            (Kind::P256, "ES256", Algorithm::EcdsaP256Sha256),
            (Kind::P384, "ES384", Algorithm::EcdsaP384Sha384),
            (Kind::P521, "ES512", Algorithm::EcdsaP521Sha512),
            (Kind::Ed25519, "EdDSA", Algorithm::Ed25519),
            (Kind::Ed25519, "Ed25519", Algorithm::Ed25519),
        ];
        for (kind, alg, expected) in cases {
            let read = set(&[jwk(kind, &format!(r#""alg":"{alg}","#))]).unwrap();
            assert_eq!(read.keys[0].1.algorithms, [expected], "{alg}");
        }
        for (kind, alg) in [(Kind::P384, "ES256"), (Kind::Rsa2048, "PS512"), (Kind::P256, "RS256")]
        {
            let refused = set(&[jwk(kind, &format!(r#""alg":"{alg}","#))]);
            let expected = JwksError::Contradiction { position: 1, alg: alg.to_owned() };
            assert_eq!(refused, Err(expected));
        }
    }

    #[test]
    fn keys_of_other_kinds_and_purposes_are_passed_over() {
        let others = [
            r#"{"kty":"XYZ"}"#.to_owned(),
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(),
            r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned(),
            jwk(Kind::P256, r#""use":"enc","#),
            jwk(Kind::P256, r#""key_ops":["encrypt"],"#),
            jwk(Kind::Rsa2048, r#""alg":"RSA-OAEP","#),
        ];
        for other in &others {
            assert_eq!(notes(other).len(), 1, "{other}");
        }
        let beside =
            set(&[others[0].clone(), jwk(Kind::P256, r#""key_ops":["verify"],"#)]).unwrap();
        assert_eq!(beside.keys.len(), 1);
        assert_eq!(beside.notes, ["key 1 passed over: kty `XYZ` is not supported"]);
    }

    #[test]
    fn a_secret_anywhere_fails_the_set_and_is_not_repeated() {
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
            let secret = jwk(Kind::P256, &format!(r#""{member}":"c2VjcmV0","#));
            let refused = set(&[jwk(Kind::P256, ""), secret]);
            assert_eq!(refused, Err(JwksError::Private(2)), "{member}");
            assert!(!JwksError::Private(2).to_string().contains("c2Vj"));
        }
        let oct = r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned();
        assert_eq!(set(&[oct]), Err(JwksError::Private(1)));
        let misplaced = parse(br#"{"keys":["c2VjcmV0"]}"#).unwrap_err().to_string();
        assert!(!misplaced.contains("c2Vj"), "{misplaced}");
    }

    #[test]
    fn a_kid_may_repeat_and_both_keys_stay() {
        let same = r#""kid":"a","#;
        let read = set(&[jwk(Kind::P256, same), jwk(Kind::P384, same)]).unwrap();
        let kids: Vec<_> = read.keys.iter().map(|(kid, _)| kid.as_deref()).collect();
        assert_eq!(kids, [Some("a"), Some("a")]);
        assert_eq!(set(&[jwk(Kind::P256, r#""kid":"","#)]), Err(JwksError::Kid(1)));
        let long = |length| format!(r#""kid":"{}","#, "k".repeat(length));
        set(&[jwk(Kind::P256, &long(KID_BYTES_MAX))]).unwrap();
        assert_eq!(set(&[jwk(Kind::P256, &long(KID_BYTES_MAX + 1))]), Err(JwksError::Kid(1)));
    }

    #[test]
    fn members_are_canonical_and_of_their_length() {
        let good = jwk(Kind::P256, "");
        let x = good.split(r#""x":""#).nth(1).unwrap().split('"').next().unwrap();
        for bad in [format!("{x}="), x[1..].to_owned(), format!("AA{x}"), x.replace(&x[..1], "+")] {
            let refused = set(&[good.replace(x, &bad)]);
            assert!(matches!(refused, Err(JwksError::Encoding { member: "x", .. })), "{bad}");
        }
        let other_y = good.replacen(r#""y":""#, r#""y":"AAAA"#, 1);
        assert!(matches!(set(&[other_y]), Err(JwksError::Encoding { member: "y", .. })));
        let no_y = good.replacen(r#""y""#, r#""z""#, 1);
        let missing = JwksError::Missing { position: 1, member: "y" };
        assert_eq!(set(&[no_y]), Err(missing));
        let padded = jwk(Kind::Rsa2048, "").replace(r#""e":"AQAB""#, r#""e":"AAEAAQ""#);
        assert!(matches!(set(&[padded]), Err(JwksError::Encoding { member: "e", .. })));
        let even = jwk(Kind::Rsa2048, "").replace(r#""e":"AQAB""#, r#""e":"Ag""#);
        let error = KeyError::Exponent;
        assert_eq!(set(&[even]), Err(JwksError::Key { position: 1, error }));
        let flipped = good.replace(x, &URL_SAFE_NO_PAD.encode([7; 32]));
        assert!(matches!(set(&[flipped]), Err(JwksError::Key { .. })));
    }

    #[test]
    fn what_is_not_a_set_is_refused() {
        let deep = format!(r#"{{"keys":{}"#, "[".repeat(100_000));
        let twice = r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#;
        for json in ["{", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, twice, &deep] {
            let refused = parse(json.as_bytes());
            assert!(matches!(refused, Err(JwksError::Json(_))), "{refused:?}");
        }
        assert_eq!(parse(br#"{"keys":[]}"#), Ok(Jwks::default()));
    }

    #[test]
    fn the_number_of_keys_is_limited() {
        let other = r#"{"kty":"XYZ"}"#.to_owned();
        set(&vec![other.clone(); KEYS_MAX]).unwrap();
        assert_eq!(set(&vec![other; KEYS_MAX + 1]), Err(JwksError::TooMany(KEYS_MAX + 1)));
    }
}
