//! Proofs of who somebody is: the `Authorization` header, JWTs, the keys of their issuers, and
//! client certificates.

use std::path::Path;
use std::sync::OnceLock;

use hallmark::auth::certificate::ClientCertificate;
use hallmark::auth::token::BearerToken;
use hallmark::auth::written::{AuthSection, AuthSource, Jwt};
use hallmark::auth::{AuthFileError, Credentials, Guard};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::Read;

/// Between `nbf` and `exp` of the good tokens of the corpus.
const NOW: i64 = 1_700_001_000;

/// An issuer whose keys are in this file.
fn guard(jwks: &Path) -> Result<Guard, AuthFileError> {
    let jwt = Jwt {
        issuer: "https://issuer.example.com".to_owned(),
        audiences: vec!["hallmark".to_owned()],
        jwks: jwks.to_owned(),
        algorithms: vec!["ES256".to_owned(), "RS256".to_owned()],
        claim: "sub".to_owned(),
        prefix: "user:".to_owned(),
    };
    Guard::load(AuthSource::Inline(AuthSection { jwt: vec![jwt], ..AuthSection::default() }))
}

/// No mutation of a token makes anybody of its sender but the one it was issued to.
pub(super) fn jwt(input: &[u8]) -> Read {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    const KEYS: &[u8] = include_bytes!("../../corpus/jwks/good-ec.json");
    let guard = GUARD.get_or_init(|| guard_of(KEYS).expect("keys"));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(input).map_err(|error| error.to_string())?;
    headers.insert(AUTHORIZATION, value);
    let bearer = BearerToken::take(&mut headers).transpose();
    assert!(headers.is_empty(), "nobody further in sees the token");
    let credentials = Credentials { bearer, ..Credentials::default() };
    let caller = guard.caller(&credentials, NOW).map_err(|error| error.to_string())?;
    assert_eq!(caller.principal(), Some("user:ada@example.com"));
    Ok(())
}

pub(super) fn jwks(input: &[u8]) -> Read {
    guard_of(input).map(drop).map_err(|error| error.to_string())
}

fn guard_of(jwks: &[u8]) -> Result<Guard, AuthFileError> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, jwks).expect("writes");
    guard(&file)
}

/// Whatever a certificate names, its holder is nobody but by certificate.
pub(super) fn client_certificate(input: &[u8]) -> Read {
    let principal =
        ClientCertificate::read(input).principal(NOW).map_err(|error| error.to_string())?;
    assert!(principal.to_string().starts_with("mtls:"), "{principal}");
    Ok(())
}
