//! JWTs of configured issuers, RFC 7519 under the advice of RFC 8725: the algorithm is ours to
//! choose, the key is of the issuer's set, and every claim that limits a token is asked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::AuthError;
use super::jwks::{Algorithm, Jwks};
use super::principal::Principal;
use super::token::BearerToken;

/// Seconds by which clocks may differ.
const LEEWAY: i64 = 60;

/// JWTs whose signature is remembered, at some 150 bytes: a webhook or a pipeline sends the same one
/// again and again.
const REMEMBERED_MAX: u64 = 10_000;

/// A JWT whose issuer is trusted is taken for what it says.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Jwks,
    pub(super) claim: String,
    pub(super) prefix: String,
}

/// Every issuer, and the tokens of theirs that were found good. The keys are part of it, so what is
/// remembered goes with them.
#[derive(Debug)]
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
    good: Cache<[u8; 32], Passport>,
}

/// The statements of a good JWT. Its times are checked at each use.
#[derive(Clone, Debug)]
struct Passport {
    principal: Principal,
    not_before: i64,
    expires: i64,
}

impl Issuers {
    pub(super) fn new(issuers: Vec<Issuer>) -> Self {
        Self { issuers, good: Cache::new(REMEMBERED_MAX) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter()
    }

    /// Who sent the token. `now` in Unix seconds.
    pub(super) fn principal(
        &self,
        token: &BearerToken,
        hash: [u8; 32],
        now: i64,
    ) -> Result<Principal, AuthError> {
        let passport = match self.good.get(&hash) {
            Some(passport) => passport,
            None => {
                let passport = self.verify(token.reveal())?;
                self.good.insert(hash, passport.clone());
                passport
            }
        };
        if now >= passport.expires.saturating_add(LEEWAY) {
            return Err(AuthError::Expired);
        }
        if now < passport.not_before.saturating_sub(LEEWAY) {
            return Err(AuthError::NotYet);
        }
        Ok(passport.principal)
    }

    fn verify(&self, token: &str) -> Result<Passport, AuthError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::UnknownToken)?;
        let (header, claims) = signed.split_once('.').ok_or(AuthError::UnknownToken)?;
        if claims.contains('.') {
            return Err(AuthError::UnknownToken);
        }
        let header: Header = json(header)?;
        let claims: Claims = json(claims)?;
        let issuer = claims.iss.as_deref().ok_or(AuthError::Issuer)?;
        let issuer =
            self.issuers.iter().find(|known| known.issuer == issuer).ok_or(AuthError::Issuer)?;
        header.check()?;
        let algorithm = Algorithm::named(&header.alg).ok_or(AuthError::Algorithm)?;
        if !issuer.algorithms.contains(&algorithm) {
            return Err(AuthError::Algorithm);
        }
        let keys = issuer.keys.find(header.kid.as_deref(), algorithm);
        if keys.is_empty() {
            return Err(AuthError::Key);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| AuthError::Malformed)?;
        if !keys.iter().any(|key| key.verifies(signed.as_bytes(), &signature)) {
            return Err(AuthError::Signature);
        }
        claims.passport(issuer)
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)?;
    hallmark_json::from_slice(&bytes).map_err(|_| AuthError::Malformed)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

impl Header {
    /// Extensions that must be understood are not, RFC 7515 §4.1.11; and what says that it is
    /// something else, such as a logout token, is not taken for an access token, RFC 8725 §3.11.
    fn check(&self) -> Result<(), AuthError> {
        let typ = self.typ.as_deref().is_none_or(|typ| {
            let typ = typ.strip_prefix("application/").unwrap_or(typ);
            typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt")
        });
        match typ && self.crit.is_none() && self.b64.is_none() {
            true => Ok(()),
            false => Err(AuthError::Malformed),
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<serde_json::Number>,
    nbf: Option<serde_json::Number>,
    email_verified: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    fn passport(&self, issuer: &Issuer) -> Result<Passport, AuthError> {
        let audiences = match self.aud.as_ref().ok_or(AuthError::Audience)? {
            Audience::One(audience) => std::slice::from_ref(audience),
            Audience::Many(audiences) => audiences,
        };
        if !audiences.iter().any(|audience| issuer.audiences.contains(audience)) {
            return Err(AuthError::Audience);
        }
        let expires = seconds(self.exp.as_ref().ok_or(AuthError::Expired)?)?;
        let not_before = self.nbf.as_ref().map_or(Ok(i64::MIN), seconds)?;
        Ok(Passport { principal: self.principal(issuer)?, not_before, expires })
    }

    fn principal(&self, issuer: &Issuer) -> Result<Principal, AuthError> {
        // An address that nobody has verified is anybody's to claim.
        if issuer.claim == "email" && self.email_verified != Some(Value::Bool(true)) {
            return Err(AuthError::Subject);
        }
        let name = self.others.get(&issuer.claim).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty()).ok_or(AuthError::Subject)?;
        format!("{}{name}", issuer.prefix).parse().map_err(|_| AuthError::Subject)
    }
}

/// A NumericDate, which may have a fraction, RFC 7519 §2.
fn seconds(number: &serde_json::Number) -> Result<i64, AuthError> {
    if let Some(seconds) = number.as_i64() {
        return Ok(seconds);
    }
    let seconds = number.as_f64().filter(|seconds| seconds.abs() < 1e15);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded above, and the fraction is ours to drop"
    )]
    seconds.map(|seconds| seconds.floor() as i64).ok_or(AuthError::Malformed)
}
