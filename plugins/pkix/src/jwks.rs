//! JSON Web Key Sets (RFC 7517, RFC 7518, RFC 8037; `AKP` keys as ML-DSA writes them).
//!
//! A key that cannot be used is passed over and named, as RFC 7517 §5 asks: one bad key takes nothing
//! from the others, and never holds up the removal of another. It is named by its position, and no
//! value is repeated, for a value may be a secret that lost its place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_plugin_api::{Algorithm, json};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::key::{Curve, Key, KeyError};

/// Keys in one set. As many as keys in one attestor at Google.
pub(crate) const KEYS_MAX: usize = 1_000;
/// Bytes of a `kid`; thumbprints have 43.
pub(crate) const KID_BYTES_MAX: usize = 256;

/// Registered names that a note may show.
const REGISTERED: [&str; 32] = [
    "oct",
    "enc",
    "secp256k1",
    "Ed448",
    "X25519",
    "X448",
    "ML-DSA-44",
    "ML-DSA-87",
    "HS256",
    "HS384",
    "HS512",
    "RS384",
    "PS384",
    "ES256K",
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A256KW",
    "A128KW",
    "A256KW",
    "dir",
    "RS256",
    "RS512",
    "PS256",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "ML-DSA-65",
];

/// Why a set is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwksError {
    /// Not JSON, or not of the form `{"keys":[…]}`.
    #[error("not a JSON Web Key Set: {0}")]
    Json(String),
    /// More keys than a set may have.
    #[error("{0} keys in a set: at most {KEYS_MAX}")]
    TooMany(usize),
}

/// Why a key of a set is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    /// Not an object of the form of a key.
    #[error("a member is repeated or of the wrong type")]
    Form,
    /// A member that only private or symmetric keys have. Its value is not shown.
    #[error("it holds a private or secret key: remove it and replace the key")]
    Private,
    /// A member that its kind needs is missing.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// A member that is not canonical base64url of the right length.
    #[error("its `{member}` is not {expected} of unpadded base64url")]
    Encoding {
        /// The member.
        member: &'static str,
        /// The form that it takes, in words.
        expected: &'static str,
    },
    /// A `kid` that is empty or too long.
    #[error("its `kid` is not of 1 to {KID_BYTES_MAX} bytes")]
    Kid,
    /// A kind of key, curve or algorithm that is not known here.
    #[error("its `{member}`{value} is not supported")]
    Unknown {
        /// The member.
        member: &'static str,
        /// The value, if it is a registered name.
        value: Shown,
    },
    /// A key for another purpose.
    #[error("its `use`{0} is not `sig`")]
    Use(Shown),
    /// A key for another purpose.
    #[error("its `key_ops` have no `verify`")]
    Operations,
    /// `alg` names an algorithm of another kind of key.
    #[error("its `alg`{0} is nothing that a key of this kind or size can do")]
    Contradiction(Shown),
    /// Not a key that signatures can be checked with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A value of a set, shown if it is a registered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown(Option<&'static str>);

impl Shown {
    fn of(value: &str) -> Self {
        Self(REGISTERED.into_iter().find(|known| *known == value))
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " `{name}`"))
    }
}

/// A set, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jwks {
    /// The usable keys with their `kid`, in the order of the set. Not unique: both are tried.
    pub(crate) keys: Vec<(Option<String>, Key)>,
    /// A line for each key that is for another purpose, and passed over.
    pub(crate) notes: Vec<String>,
    /// A line for each key that cannot be used.
    pub(crate) unusable: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Box<RawValue>>,
}

/// A key as written. Unknown members are ignored, duplicate known ones refused.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
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

/// Reads a set.
pub(crate) fn parse(json: &[u8]) -> Result<Jwks, JwksError> {
    let document: Document =
        json::from_slice(json).map_err(|error| JwksError::Json(place(&error)))?;
    if document.keys.len() > KEYS_MAX {
        return Err(JwksError::TooMany(document.keys.len()));
    }
    let mut set = Jwks::default();
    for (written, position) in document.keys.iter().zip(1..) {
        match read(written) {
            Ok(key) => set.keys.push(key),
            Err(why @ (Unusable::Use(_) | Unusable::Operations)) => {
                set.notes.push(format!("key {position} passed over: {why}"));
            }
            Err(why) => set.unusable.push(format!("key {position} of the set: {why}")),
        }
    }
    Ok(set)
}

fn read(written: &RawValue) -> Result<(Option<String>, Key), Unusable> {
    let jwk: Jwk = json::from_str(written.get()).map_err(|_| Unusable::Form)?;
    let key = jwk.key()?;
    Ok((jwk.kid, key))
}

/// Where and of what kind a JSON error is. Its own text may quote a value, and that may be secret.
fn place(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "it is no object with a list of `keys`",
        serde_json::error::Category::Eof => "the text ends too early",
        _ => "it is not JSON",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}

impl Jwk {
    fn key(&self) -> Result<Key, Unusable> {
        if self.is_private() {
            return Err(Unusable::Private);
        }
        if self.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(Unusable::Kid);
        }
        self.check_purpose()?;
        self.restrict(self.public()?)
    }

    fn public(&self) -> Result<Key, Unusable> {
        match (self.kty.as_deref().ok_or(Unusable::Missing("kty"))?, self.crv.as_deref()) {
            ("RSA", _) => {
                Ok(Key::from_rsa_numbers(&number("n", &self.n)?, &number("e", &self.e)?)?)
            }
            ("EC", Some(crv)) => {
                let curve = curve(crv).ok_or_else(|| unknown("crv", crv))?;
                let coordinate = |member, text| decode(member, text, Some(curve.field_bytes()));
                let (x, y) = (coordinate("x", &self.x)?, coordinate("y", &self.y)?);
                Ok(Key::from_point(curve, &[&[4], x.as_slice(), &y].concat())?)
            }
            ("OKP", Some("Ed25519")) => Ok(Key::from_ed25519(&decode("x", &self.x, Some(32))?)?),
            ("OKP", Some(crv)) => Err(unknown("crv", crv)),
            ("EC" | "OKP", None) => Err(Unusable::Missing("crv")),
            ("AKP", _) => match self.alg.as_deref() {
                Some("ML-DSA-65") => Ok(Key::from_ml_dsa_65(&decode("pub", &self.r#pub, None)?)?),
                Some(alg) => Err(unknown("alg", alg)),
                None => Err(Unusable::Missing("alg")),
            },
            (kty, _) => Err(unknown("kty", kty)),
        }
    }

    /// Leaves the algorithms that `alg` allows.
    fn restrict(&self, mut key: Key) -> Result<Key, Unusable> {
        let Some(alg) = self.alg.as_deref() else { return Ok(key) };
        let allowed = algorithms(alg).ok_or_else(|| unknown("alg", alg))?;
        key.algorithms.retain(|algorithm| allowed.contains(algorithm));
        if key.algorithms.is_empty() {
            return Err(Unusable::Contradiction(Shown::of(alg)));
        }
        Ok(key)
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

    /// Refuses keys that are not meant for checking signatures.
    fn check_purpose(&self) -> Result<(), Unusable> {
        if let Some(purpose) = self.purpose.as_deref().filter(|&purpose| purpose != "sig") {
            return Err(Unusable::Use(Shown::of(purpose)));
        }
        let verifies = |operations: &Vec<String>| operations.iter().any(|it| it == "verify");
        match self.key_ops.as_ref().is_none_or(verifies) {
            true => Ok(()),
            false => Err(Unusable::Operations),
        }
    }
}

fn unknown(member: &'static str, value: &str) -> Unusable {
    Unusable::Unknown { member, value: Shown::of(value) }
}

fn curve(crv: &str) -> Option<Curve> {
    match crv {
        "P-256" => Some(Curve::P256),
        "P-384" => Some(Curve::P384),
        "P-521" => Some(Curve::P521),
        _ => None,
    }
}

/// The algorithms that an `alg` allows, whatever the size of the key.
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
fn number(member: &'static str, text: &Option<String>) -> Result<Vec<u8>, Unusable> {
    let bytes = decode(member, text, None)?;
    if bytes.first().is_none_or(|&first| first == 0) {
        return Err(Unusable::Encoding { member, expected: "a number without leading zeros" });
    }
    Ok(bytes)
}

/// The octets of a member, of `length` if that is fixed.
fn decode(
    member: &'static str,
    text: &Option<String>,
    length: Option<usize>,
) -> Result<Vec<u8>, Unusable> {
    let text = text.as_deref().ok_or(Unusable::Missing(member))?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let fits = |bytes: &Vec<u8>| length.is_none_or(|length| bytes.len() == length);
    let expected = if length.is_some() { "one number of its curve" } else { "octets" };
    bytes.filter(fits).ok_or(Unusable::Encoding { member, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Kind, jwk, public_der};

    fn set(keys: &[String]) -> Result<Jwks, JwksError> {
        parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    /// Why a key is passed over beside a good one, which stays.
    fn note(jwk: &str) -> String {
        let read = set(&[self::jwk(Kind::P256, ""), jwk.to_owned()]).unwrap();
        assert_eq!(read.keys.len(), 1, "{jwk}");
        assert_eq!(read.keys[0].1.spki_der, public_der(Kind::P256), "{jwk}");
        let said = [read.notes, read.unusable].concat();
        let [said] = said.as_slice() else { panic!("{said:?}: {jwk}") };
        let why = said.strip_prefix("key 2 of the set: ");
        why.or_else(|| said.strip_prefix("key 2 passed over: ")).unwrap().to_owned()
    }

    #[test]
    fn every_kind_is_read_as_its_spki() {
        let keys: Vec<_> = Kind::ALL.map(|kind| jwk(kind, r#""kid":"a","use":"sig","#)).into();
        let read = set(&keys).unwrap();
        assert_eq!((read.notes.len(), read.unusable.len()), (0, 0));
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
            let expected =
                format!("its `alg` `{alg}` is nothing that a key of this kind or size can do");
            assert_eq!(note(&jwk(kind, &format!(r#""alg":"{alg}","#))), expected);
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
        others.iter().map(String::as_str).map(note).for_each(drop);
        let read = set(&others).unwrap();
        assert_eq!((read.notes.len(), read.unusable.len()), (2, 5), "{read:?}");
        assert_eq!(note(&others[0]), "its `kty` is not supported");
        assert_eq!(note(&others[1]), "its `crv` `secp256k1` is not supported");
        let verifies = set(&[jwk(Kind::P256, r#""key_ops":["verify"],"#)]).unwrap();
        assert_eq!(verifies.keys.len(), 1);
    }

    #[test]
    fn a_secret_anywhere_is_passed_over_and_not_repeated() {
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
            let secret = jwk(Kind::P256, &format!(r#""{member}":"c2VjcmV0","#));
            assert_eq!(note(&secret), Unusable::Private.to_string(), "{member}");
        }
        for misplaced in [
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"c2VjcmV0"}"#,
            r#"{"kty":"EC","crv":"c2VjcmV0"}"#,
            r#"{"kty":"EC","crv":"P-256","alg":"c2VjcmV0","use":"c2VjcmV0"}"#,
            r#"{"kty":"AKP","alg":"c2VjcmV0"}"#,
            r#"{"kty":7,"d":"c2VjcmV0"}"#,
            r#""c2VjcmV0""#,
        ] {
            assert!(!note(misplaced).contains("c2Vj"), "{}", note(misplaced));
        }
        for misplaced in [r#"{"keys":"c2VjcmV0"}"#, r#"{"keys":{"c2VjcmV0":1}}"#, "c2VjcmV0"] {
            let error = parse(misplaced.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("c2Vj"), "{error}");
        }
    }

    #[test]
    fn a_kid_may_repeat_and_both_keys_stay() {
        let same = r#""kid":"a","#;
        let read = set(&[jwk(Kind::P256, same), jwk(Kind::P384, same)]).unwrap();
        let kids: Vec<_> = read.keys.iter().map(|(kid, _)| kid.as_deref()).collect();
        assert_eq!(kids, [Some("a"), Some("a")]);
        assert_eq!(note(&jwk(Kind::P256, r#""kid":"","#)), Unusable::Kid.to_string());
        let long = |length| format!(r#""kid":"{}","#, "k".repeat(length));
        set(&[jwk(Kind::P256, &long(KID_BYTES_MAX))]).unwrap();
        let longer = note(&jwk(Kind::P256, &long(KID_BYTES_MAX + 1)));
        assert_eq!(longer, Unusable::Kid.to_string());
    }

    #[test]
    fn members_are_canonical_and_of_their_length() {
        let good = jwk(Kind::P256, "");
        let x = good.split(r#""x":""#).nth(1).unwrap().split('"').next().unwrap();
        for bad in [format!("{x}="), x[1..].to_owned(), format!("AA{x}"), x.replace(&x[..1], "+")] {
            assert!(note(&good.replace(x, &bad)).starts_with("its `x` is not"), "{bad}");
        }
        let other_y = good.replacen(r#""y":""#, r#""y":"AAAA"#, 1);
        assert!(note(&other_y).starts_with("its `y` is not"));
        assert_eq!(note(&good.replacen(r#""y""#, r#""z""#, 1)), "it has no `y`");
        let padded = jwk(Kind::Rsa2048, "").replace(r#""e":"AQAB""#, r#""e":"AAEAAQ""#);
        assert!(note(&padded).starts_with("its `e` is not"));
        let even = jwk(Kind::Rsa2048, "").replace(r#""e":"AQAB""#, r#""e":"Ag""#);
        assert_eq!(note(&even), KeyError::Exponent.to_string());
        let flipped = good.replace(x, &URL_SAFE_NO_PAD.encode([7; 32]));
        assert_eq!(note(&flipped), KeyError::Invalid("P-256").to_string());
        for formless in [r#"{"kty":"EC","kty":"RSA"}"#, r#"{"kty":"EC","kid":7}"#, "1"] {
            assert_eq!(note(formless), Unusable::Form.to_string());
        }
        assert_eq!(note(r#"{"kid":"a"}"#), "it has no `kty`");
    }

    #[test]
    fn what_is_not_a_set_is_refused() {
        let deep = format!(r#"{{"keys":{}"#, "[".repeat(100_000));
        let twice = r#"{"keys":[],"keys":[]}"#;
        for json in ["{", "{}", "[]", r#"{"keys":{}}"#, twice, &deep] {
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
