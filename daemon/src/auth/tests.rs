//! Credentials and permissions against keys and certificates made by OpenSSL.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::permission::Permission;
use super::role::Role;
use super::token::BearerToken;
use super::*;

const NOW: i64 = 1_800_000_000;

fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().expect("openssl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair made by OpenSSL that signs as a JWT library would.
struct Signer {
    alg: &'static str,
    private: PathBuf,
    jwk: Value,
    dir: TempDir,
}

impl Signer {
    fn new(alg: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let private = dir.path().join("key.pem");
        let path = private.to_string_lossy().into_owned();
        let kind: &[&str] = match alg {
            "RS256" | "PS256" => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "ES256" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "ES384" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            _ => &["ED25519"],
        };
        openssl(&[&["genpkey", "-out", &path, "-algorithm"], kind].concat());
        let spki = openssl(&["pkey", "-in", &path, "-pubout", "-outform", "DER"]);
        let tail = |length: usize| spki[spki.len() - length..].to_vec();
        let mut jwk = match alg {
            "RS256" | "PS256" => {
                let modulus = openssl(&["rsa", "-in", &path, "-noout", "-modulus"]);
                let hex = String::from_utf8(modulus).expect("text");
                let hex = hex.trim().trim_start_matches("Modulus=").to_owned();
                let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits");
                let n: Vec<u8> = (0..hex.len()).step_by(2).map(pair).collect();
                json!({"kty": "RSA", "n": b64(n), "e": "AQAB"})
            }
            "ES256" => {
                json!({"kty": "EC", "crv": "P-256", "x": b64(&tail(64)[..32]), "y": b64(tail(32))})
            }
            "ES384" => {
                json!({"kty": "EC", "crv": "P-384", "x": b64(&tail(96)[..48]), "y": b64(tail(48))})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(tail(32))}),
        };
        jwk["kid"] = json!("k1");
        jwk["use"] = json!("sig");
        Self { alg, private, jwk, dir }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let input = self.dir.path().join("message");
        std::fs::write(&input, message).expect("writes");
        let (key, input) = (self.private.to_string_lossy(), input.to_string_lossy().into_owned());
        match self.alg {
            "EdDSA" => openssl(&["pkeyutl", "-sign", "-inkey", &key, "-rawin", "-in", &input]),
            "PS256" => {
                let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
                openssl(&[&["dgst", "-sha256", "-sign", &key][..], &pss, &[&input]].concat())
            }
            "ES384" => raw(&openssl(&["dgst", "-sha384", "-sign", &key, &input]), 48),
            "ES256" => raw(&openssl(&["dgst", "-sha256", "-sign", &key, &input]), 32),
            _ => openssl(&["dgst", "-sha256", "-sign", &key, &input]),
        }
    }

    fn jwt(&self, claims: &Value) -> String {
        self.jwt_with(&json!({"alg": self.alg, "kid": "k1", "typ": "JWT"}), claims)
    }

    fn jwt_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{signed}.{}", b64(self.sign(signed.as_bytes())))
    }
}

/// ECDSA-Sig-Value to the fixed form of RFC 7518.
fn raw(der: &[u8], size: usize) -> Vec<u8> {
    let mut at = if der[1] < 0x80 { 2 } else { 3 };
    let mut number = || {
        let length = usize::from(der[at + 1]);
        let bytes = &der[at + 2..at + 2 + length];
        at += 2 + length;
        let bytes = &bytes[bytes.len().saturating_sub(size)..];
        [vec![0; size - bytes.len()], bytes.to_vec()].concat()
    };
    [number(), number()].concat()
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "hallmark", "sub": "ci", "exp": NOW + 300})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("writes");
    path
}

/// A guard that believes the issuer of `signer`.
fn trusting(signer: &Signer) -> Guard {
    let set = json!({"keys": [signer.jwk, {"kty": "oct", "k": "AAAA", "kid": "secret"}]});
    let jwks = write(signer.dir.path(), "jwks.json", &set.to_string());
    guard(
        signer.dir.path(),
        &format!(
            "[[jwt]]\nissuer = 'https://issuer.example'\naudiences = ['hallmark']\njwks = '{}'\n\
         algorithms = ['{}']\nprefix = 'serviceAccount:'",
            jwks.display(),
            signer.alg
        ),
    )
}

fn guard(dir: &Path, toml: &str) -> Guard {
    Guard::load(AuthSource::File(write(dir, "auth.toml", toml))).expect("loads")
}

fn refusal(toml: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), "auth.toml", toml);
    Guard::load(AuthSource::File(file)).expect_err(toml).to_string()
}

fn bearing(token: &str) -> Credentials {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"));
    Credentials { certificate: None, bearer: BearerToken::take(&mut headers).transpose() }
}

fn asks(guard: &Guard, token: &str) -> Result<String, AuthError> {
    let caller = guard.caller(&bearing(token), NOW)?;
    Ok(caller.principal().expect("a name").to_owned())
}

fn hex(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_jwt_of_each_algorithm_is_believed_and_none_of_its_changed_bits() {
    for alg in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let signer = Signer::new(alg);
        let guard = trusting(&signer);
        let jwt = signer.jwt(&claims());
        assert_eq!(asks(&guard, &jwt), Ok("serviceAccount:ci".to_owned()), "{alg}");
        let parts: Vec<_> =
            jwt.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("ours")).collect();
        for part in 0..3 {
            for bit in (0..parts[part].len() * 8).step_by(7) {
                let mut forged = parts.clone();
                forged[part][bit / 8] ^= 0x80 >> (bit % 8);
                let forged = forged.iter().map(b64).collect::<Vec<_>>().join(".");
                asks(&guard, &forged).expect_err("forged");
            }
        }
        assert_eq!(asks(&guard, &jwt), Ok("serviceAccount:ci".to_owned()), "{alg}");
    }
}

#[test]
fn every_claim_that_limits_a_jwt_is_asked() {
    let signer = Signer::new("ES256");
    let guard = trusting(&signer);
    let expired = |by: i64| with("exp", NOW - by);
    for (claims, expected) in [
        (expired(59), Ok(())),
        (expired(60), Err(AuthError::Expired)),
        (with("exp", 1e300), Err(AuthError::Malformed)),
        (with("exp", "tomorrow"), Err(AuthError::Malformed)),
        (without("exp"), Err(AuthError::Expired)),
        (with("nbf", NOW + 60), Ok(())),
        (with("nbf", NOW + 61), Err(AuthError::NotYet)),
        (with("aud", "another"), Err(AuthError::Audience)),
        (with("aud", json!(["another", "hallmark"])), Ok(())),
        (with("aud", json!([])), Err(AuthError::Audience)),
        (without("aud"), Err(AuthError::Audience)),
        (with("iss", "https://issuer.example/"), Err(AuthError::Issuer)),
        (without("iss"), Err(AuthError::Issuer)),
        (without("sub"), Err(AuthError::Subject)),
        (with("sub", ""), Err(AuthError::Subject)),
        (with("sub", "two words"), Err(AuthError::Subject)),
        (with("sub", "x".repeat(3_000)), Err(AuthError::Subject)),
        (with("sub", json!(["ci"])), Err(AuthError::Subject)),
    ] {
        let asked = asks(&guard, &signer.jwt(&claims)).map(drop);
        assert_eq!(asked, expected, "{claims}");
    }
}

#[test]
fn the_algorithm_is_the_configured_one_whatever_the_token_says() {
    let signer = Signer::new("RS256");
    let guard = trusting(&signer);
    let none = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(claims().to_string()));
    assert_eq!(asks(&guard, &none), Err(AuthError::Algorithm));
    // The public key as the secret of an HMAC.
    let header = json!({"alg": "HS256", "kid": "k1"});
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
    for secret in [signer.jwk["n"].as_str().expect("RSA").as_bytes(), b"AAAA", b""] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let forged = format!("{signed}.{}", b64(ring::hmac::sign(&key, signed.as_bytes())));
        assert_eq!(asks(&guard, &forged), Err(AuthError::Algorithm));
    }
    // Good with the same key, but not what is configured.
    let mut pss = Signer::new("PS256");
    pss.private.clone_from(&signer.private);
    assert_eq!(asks(&guard, &pss.jwt(&claims())), Err(AuthError::Algorithm));
    for (header, expected) in [
        (json!({"alg": "RS256"}), Ok(())),
        (json!({"alg": "RS256", "typ": "at+jwt"}), Ok(())),
        (json!({"alg": "RS256", "kid": "k2"}), Err(AuthError::Key)),
        (json!({"alg": "RS256", "kid": "secret"}), Err(AuthError::Key)),
        (json!({"alg": "RS256", "typ": "logout+jwt"}), Err(AuthError::Malformed)),
        (json!({"alg": "RS256", "crit": ["exp"]}), Err(AuthError::Malformed)),
        (json!({"alg": "RS256", "b64": false}), Err(AuthError::Malformed)),
    ] {
        let asked = asks(&guard, &signer.jwt_with(&header, &claims())).map(drop);
        assert_eq!(asked, expected, "{header}");
    }
    let stranger = Signer::new("RS256");
    assert_eq!(asks(&guard, &stranger.jwt(&claims())), Err(AuthError::Signature));
    for nonsense in ["a.b.c", "..", "....", "a.b", "x", "ü"] {
        asks(&guard, nonsense).expect_err(nonsense);
    }
}

#[test]
fn an_email_counts_where_its_issuer_has_verified_it() {
    let signer = Signer::new("ES256");
    let dir = signer.dir.path();
    let jwks = write(dir, "jwks.json", &json!({"keys": [signer.jwk]}).to_string());
    let guard = guard(
        dir,
        &format!(
            "[[jwt]]\nissuer = 'https://issuer.example'\naudiences = ['hallmark']\njwks = '{}'\n\
         algorithms = ['ES256']\nclaim = 'email'\nprefix = 'user:'",
            jwks.display()
        ),
    );
    for (verified, expected) in [
        (json!(true), Ok("user:a@example.com".to_owned())),
        (json!(false), Err(AuthError::Subject)),
        (json!("true"), Err(AuthError::Subject)),
        (Value::Null, Err(AuthError::Subject)),
    ] {
        let mut claims = with("email", "a@example.com");
        claims["email_verified"] = verified.clone();
        assert_eq!(asks(&guard, &signer.jwt(&claims)), expected, "{verified}");
    }
}

#[test]
fn a_static_token_is_known_by_its_hash_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = |principal: &str, token: &str| {
        format!("[[tokens]]\nprincipal = '{principal}'\nsha256 = '{}'\n", hex(token))
    };
    let toml = token("user:a", "secret-of-a") + &token("user:b", "secret-of-b");
    let guard = guard(dir.path(), &toml);
    assert_eq!(asks(&guard, "secret-of-a"), Ok("user:a".to_owned()));
    assert_eq!(asks(&guard, "secret-of-b"), Ok("user:b".to_owned()));
    for wrong in ["secret-of-", "secret-of-c", "Secret-of-a", &hex("secret-of-a")] {
        assert_eq!(asks(&guard, wrong), Err(AuthError::UnknownToken), "{wrong}");
    }
    assert_eq!(guard.caller(&Credentials::default(), NOW), Err(AuthError::Missing));
    // Withdrawn.
    write(dir.path(), "auth.toml", &token("user:b", "secret-of-b"));
    guard.look().expect("a change").expect("a good one");
    assert_eq!(asks(&guard, "secret-of-a"), Err(AuthError::UnknownToken));
    // A file that makes no sense changes nothing.
    write(dir.path(), "auth.toml", "[[tokens]]");
    guard.look().expect("a change").expect_err("a bad one");
    assert_eq!(asks(&guard, "secret-of-b"), Ok("user:b".to_owned()));
}

#[test]
fn a_header_that_is_not_one_bearer_token_is_refused_and_taken_out() {
    let take = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| {
            headers.append(AUTHORIZATION, value.parse().expect("a header"));
        });
        let taken = BearerToken::take(&mut headers);
        assert!(headers.is_empty());
        taken.map(|token| token.map(|token| token.reveal().to_owned()))
    };
    assert_eq!(take(&[]), Ok(None));
    assert_eq!(take(&["bearer  abc "]), Ok(Some("abc".to_owned())));
    let long = format!("Bearer {}", "x".repeat((16 << 10) + 1));
    for wrong in [
        &["Basic YWJj"][..],
        &["Bearer"],
        &["Bearer "],
        &["Bearer a b"],
        &["Bearer a", "Bearer a"],
        &[&long],
    ] {
        assert_eq!(take(wrong), Err(AuthError::NotBearer), "{wrong:?}");
    }
}

#[test]
fn nothing_of_a_token_is_shown() {
    let credentials = bearing("very-secret");
    assert!(!format!("{credentials:?}").contains("secret"));
    let dir = tempfile::tempdir().expect("a directory");
    let toml = format!("[[tokens]]\nprincipal = 'user:a'\nsha256 = '{}'", hex("very-secret"));
    let shown = format!("{:?}", guard(dir.path(), &toml));
    assert!(shown.contains("user:a") && !shown.contains(&hex("very-secret")[..8]), "{shown}");
}

#[test]
fn what_cannot_be_is_refused_with_its_place_and_without_its_value() {
    let token = format!("[[tokens]]\nprincipal = 'user:a'\nsha256 = '{}'\n", hex("t"));
    let binding = |text: &str| format!("[[bindings]]\n{text}");
    for (toml, sentence) in [
        ("[[tokens]]\nprincipal = 'alice'\nsha256 = ''", "tokens[0].sha256"),
        ("[[tokens]]\nprincipal = 'user:a'\nsha256 = 'very-secret'", "tokens[0].sha256"),
        ("[[tokens]]\nprincipal = 'user:a'\ntoken = 'very-secret'", "line 3"),
        ("tokens = 'very-secret", "line 1"),
        ("\ntokens = 'very-secret'", "line 2: tokens: invalid type: string"),
        ("\nvery-secret = 'user:a'", "line 2: unknown field"),
        ("[[tokens]]\nprincipal = 'user:a'", "missing field `sha256`"),
        (
            &format!("[[tokens]]\nprincipal = 'alice'\nsha256 = '{}'", hex("t")),
            "tokens[0].principal",
        ),
        (
            &format!("[[tokens]]\nprincipal = 'very-secret'\nsha256 = '{}'", hex("t")),
            "tokens[0].principal",
        ),
        (&token.repeat(2), "tokens[1].sha256"),
        ("file = 'x'", "leads from one file"),
        (&binding("role = 'roles/owner'\nmembers = []\nprojects = ['*']"), "bindings[0].role"),
        (
            &binding("role = 'roles/hallmark.decider'\nmembers = ['group:x']\nprojects = ['*']"),
            "no `group:x`",
        ),
        (
            &binding("role = 'roles/hallmark.operator'\nmembers = ['allUsers']\nprojects = ['*']"),
            "nobody is let in unasked but by roles/hallmark.decider",
        ),
        (
            &binding(
                "role = 'roles/hallmark.decider'\nmembers = []\nprojects = ['*']\nclusters = []",
            ),
            "bindings[0].clusters: name clusters",
        ),
        (
            &binding(
                "role = 'roles/hallmark.decider'\nmembers = []\nprojects = ['*']\nclusters = ['*']",
            ),
            "\"*\" is not LOCATION.CLUSTER",
        ),
        (
            &binding(
                "role = 'roles/hallmark.operator'\nmembers = []\nprojects = ['*']\nclusters = ['l.c']",
            ),
            "only roles/hallmark.decider is held for clusters",
        ),
        (
            &binding("role = 'roles/hallmark.decider'\nmembers = ['alice']\nprojects = ['*']"),
            "members[0]",
        ),
        (
            &binding("role = 'roles/hallmark.decider'\nmembers = []\nprojects = []"),
            "bindings[0].projects",
        ),
        (
            &binding("role = 'roles/hallmark.decider'\nmembers = []\nprojects = ['*', 'p']"),
            "bindings[0].projects",
        ),
        ("[[groups]]\nname = 'x'\nmembers = []", "groups[0].name"),
        ("[[groups]]\nname = 'group:x'\nmembers = ['group:y']", "groups[0].members"),
        (&"[[groups]]\nname = 'group:x'\nmembers = []\n".repeat(2), "groups[1].name"),
    ] {
        let error = refusal(toml);
        assert!(error.contains(sentence) && !error.contains("very-secret"), "{toml}: {error}");
    }
    let many = (0..1_001)
        .map(|i| format!("[[tokens]]\nprincipal = 'user:a'\nsha256 = '{}'\n", hex(&i.to_string())));
    assert!(refusal(&many.collect::<String>()).contains("more than 1000"));
}

#[test]
fn the_documented_example_is_one() {
    let document = include_str!("../../../docs/security.md");
    let example = document.split("```toml").nth(1).and_then(|rest| rest.split("```").next());
    let signer = Signer::new("RS256");
    let jwks = json!({"keys": [signer.jwk]}).to_string();
    let jwks = write(signer.dir.path(), "jwks.json", &jwks);
    let example = example
        .expect("an example")
        .replace("…64 digits…", &hex("t"))
        .replace("/etc/hallmark/github.jwks.json", &jwks.to_string_lossy());
    let guard = guard(signer.dir.path(), &example);
    assert_eq!(asks(&guard, "t"), Ok("user:alice".to_owned()));
    let alice = Caller::Known("user:alice".parse().expect("a principal"));
    assert!(guard.permits(&alice, Permission::OccurrencesCreate, Place::project("my-app-prod")));
    for role in Role::ALL.iter().map(|role| role.as_str()) {
        let (service, name) = role.rsplit_once('.').expect("service.name");
        let said =
            document.contains(role) || service == "roles/cloudkms" && document.contains(name);
        assert!(said, "docs/security.md does not say what {role} permits");
    }
}

#[test]
fn an_issuer_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let signer = Signer::new("ES256");
    let jwks = |keys: &Value| write(dir.path(), "jwks.json", &json!({"keys": keys}).to_string());
    let good = json!([signer.jwk]);
    let load = |keys: &Value, change: (&str, &str)| {
        let toml = format!(
            "[[jwt]]\nissuer = 'i'\naudiences = ['a']\njwks = '{}'\nalgorithms = ['ES256']\n\
             prefix = 'user:'",
            jwks(keys).display()
        );
        let file = write(dir.path(), "auth.toml", &toml.replace(change.0, change.1));
        Guard::load(AuthSource::File(file)).map_err(|error| error.to_string())
    };
    load(&good, ("", "")).expect("as it should be");
    for (change, sentence) in [
        (("'ES256'", "'HS256'"), "jwt[0].algorithms"),
        (("'ES256'", "'none'"), "jwt[0].algorithms"),
        (("'ES256'", ""), "jwt[0].algorithms"),
        (("['a']", "[]"), "jwt[0].audiences"),
        (("'user:'", "''"), "jwt[0].prefix"),
        (("'user:'", "'mtls:'"), "jwt[0].prefix"),
        (("'i'", "''"), "jwt[0].issuer"),
        (("jwks.json", "gone.json"), "gone.json cannot be read"),
    ] {
        let error = load(&good, change).expect_err("refused");
        assert!(error.contains(sentence), "{change:?}: {error}");
    }
    let mut short = signer.jwk.clone();
    short["x"] = json!("AAAA");
    for (keys, sentence) in [
        (json!([]), "no key"),
        (json!([{"kty": "oct", "k": "AAAA"}]), "no key"),
        (json!([short]), "key 1 passed over: its `x` is not base64url of the right length"),
        (json!([{"kty": "RSA", "n": b64([1; 128]), "e": "AQAB"}]), "an RSA key of 1017 bits"),
        (json!([{"kty": "OKP", "crv": "Ed25519", "x": b64([1; 32])}]), "Ed25519"),
        (json!(vec![signer.jwk.clone(); 65]), "more than 64 keys"),
    ] {
        let error = load(&keys, ("", "")).expect_err("refused");
        assert!(error.contains(sentence), "{error}");
    }
    // One that cannot be used takes nothing from the others, and one id may name several.
    for beside in [
        json!(short),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kid": "x"}),
        json!({"kty": "EC", "crv": "P-256", "kid": 7}),
        json!({"kty": "RSA", "n": "====", "e": "AQAB"}),
        json!("nothing"),
        signer.jwk.clone(),
    ] {
        load(&json!([beside, signer.jwk]), ("", "")).expect("the good key counts");
    }
}

#[test]
fn roles_are_held_where_they_are_bound_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let guard = guard(
        dir.path(),
        "[[groups]]\nname = 'group:g'\nmembers = ['user:g']\n\
         [[bindings]]\nrole = 'roles/binaryauthorization.policyEditor'\nmembers = ['user:a', \
         'group:g']\nprojects = ['p', 'q']\n\
         [[bindings]]\nrole = 'roles/hallmark.operator'\nmembers = ['user:o']\nprojects = ['*']\n\
         [[bindings]]\nrole = 'roles/hallmark.operator'\nmembers = ['user:a']\nprojects = ['p']\n\
         [[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['allAuthenticatedUsers']\nprojects = ['d']",
    );
    let permits = |name: &str, permission, project| {
        let place = Place { project, cluster: None };
        guard.permits(&Caller::Known(name.parse().expect("a principal")), permission, place)
    };
    use Permission::{AttestorsGet, DecisionsCreate, OperationsGet, PolicyUpdate};
    for (name, permission, project, expected) in [
        ("user:a", PolicyUpdate, Some("p"), true),
        ("user:g", PolicyUpdate, Some("q"), true),
        ("user:a", PolicyUpdate, Some("r"), false),
        ("user:a", PolicyUpdate, Some("p2"), false),
        ("user:a", PolicyUpdate, None, false),
        ("user:a", AttestorsGet, Some("p"), false),
        ("user:b", PolicyUpdate, Some("p"), false),
        ("serviceAccount:a", PolicyUpdate, Some("p"), false),
        ("user:o", OperationsGet, None, true),
        ("user:a", OperationsGet, None, false),
        ("user:b", DecisionsCreate, Some("d"), true),
        ("user:b", DecisionsCreate, Some("p"), false),
    ] {
        assert_eq!(permits(name, permission, project), expected, "{name} {permission} {project:?}");
    }
    assert!(!guard.permits(&Caller::Unchecked, DecisionsCreate, Place::project("d")));
    assert!(Guard::default().permits(&Caller::Unchecked, PolicyUpdate, Place::project("p")));
}

#[test]
fn a_cluster_is_spoken_for_by_whom_it_is_bound_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let bound = |member: &str, rest: &str| {
        format!("[[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['{member}']\n{rest}\n")
    };
    let toml = bound("mtls:cn:a", "projects = ['p']\nclusters = ['l.a', 'l.b']")
        + &bound("mtls:cn:a", "projects = ['q']\nclusters = ['l.q']")
        + &bound("user:any", "projects = ['p']");
    let guard = guard(dir.path(), &toml);
    for (name, project, cluster, expected) in [
        ("mtls:cn:a", "p", Some("l.a"), true),
        ("mtls:cn:a", "p", Some("l.b"), true),
        ("mtls:cn:a", "p", Some("l.c"), false),
        ("mtls:cn:a", "p", Some("L.a"), false),
        ("mtls:cn:a", "p", Some("l.q"), false),
        ("mtls:cn:a", "p", Some(""), false),
        ("mtls:cn:a", "p", None, false),
        ("mtls:cn:a", "q", Some("l.q"), true),
        ("mtls:cn:a", "q", Some("l.a"), false),
        ("mtls:cn:a", "r", Some("l.a"), false),
        ("user:any", "p", Some("l.c"), true),
        ("user:any", "p", None, true),
    ] {
        let place = Place { project: Some(project), cluster };
        let caller = Caller::Known(name.parse().expect("a principal"));
        let permits = guard.permits(&caller, Permission::DecisionsCreate, place);
        assert_eq!(permits, expected, "{name} {place:?}");
    }
}

#[test]
fn who_says_nothing_is_asked_who_they_are_unless_all_users_may_ask() {
    let dir = tempfile::tempdir().expect("a directory");
    let bound = |member: &str| {
        format!(
            "[[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['{member}']\n\
             projects = ['p']\nclusters = ['l.a']"
        )
    };
    let closed = guard(dir.path(), &bound("allAuthenticatedUsers"));
    assert_eq!(closed.caller(&Credentials::default(), NOW), Err(AuthError::Missing));
    let open = guard(dir.path(), &bound("allUsers"));
    let nameless = open.caller(&Credentials::default(), NOW).expect("let in");
    assert_eq!((&nameless, nameless.principal()), (&Caller::Anonymous, Some("allUsers")));
    // A bad credential is not forgiven for that.
    assert_eq!(open.caller(&bearing("guessed"), NOW), Err(AuthError::UnknownToken));
    let known = Caller::Known("user:a".parse().expect("a principal"));
    for caller in [&nameless, &known] {
        let permits = |permission, project, cluster| {
            open.permits(caller, permission, Place { project: Some(project), cluster })
        };
        assert!(permits(Permission::DecisionsCreate, "p", Some("l.a")));
        assert!(!permits(Permission::DecisionsCreate, "p", Some("l.b")));
        assert!(!permits(Permission::DecisionsCreate, "p", None));
        assert!(!permits(Permission::DecisionsCreate, "q", Some("l.a")));
        assert!(!permits(Permission::PolicyGet, "p", Some("l.a")));
    }
    let stored = ["allUsers".to_owned(), "allAuthenticatedUsers".to_owned()];
    let stored = || [("roles/binaryauthorization.policyEditor", &stored[..])];
    assert!(open.permits_by(stored(), &known, Permission::PolicyGet));
    assert!(!open.permits_by(stored(), &nameless, Permission::PolicyGet));
    assert!(!closed.permits(&nameless, Permission::DecisionsCreate, Place::project("p")));
}

#[test]
fn names_of_roles_and_permissions_are_read_as_they_are_written() {
    for role in Role::ALL {
        assert_eq!(role.to_string().parse::<Role>().as_ref(), Ok(role));
        let distinct: BTreeSet<_> = role.permissions().iter().map(|p| p.as_str()).collect();
        assert_eq!(distinct.len(), role.permissions().len(), "{role}");
    }
    for permission in Permission::ALL {
        assert_eq!(permission.to_string().parse::<Permission>().as_ref(), Ok(permission));
        assert!(Role::ALL.iter().any(|role| role.permits(*permission)), "{permission}");
    }
}

fn certificate(subject: &str, san: &str) -> ClientCertificate {
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key.pem").to_string_lossy().into_owned();
    let mut args = vec![
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        &key,
        "-days",
        "36500",
        "-outform",
        "DER",
        "-subj",
        subject,
    ];
    let san = format!("subjectAltName={san}");
    if san != "subjectAltName=" {
        args.extend(["-addext", &san]);
    }
    ClientCertificate::read(&openssl(&args))
}

#[test]
fn a_client_certificate_names_one_principal_or_none() {
    for (subject, san, expected) in [
        ("/CN=x", "URI:spiffe://c/ns/n/sa/s", Ok("mtls:spiffe://c/ns/n/sa/s")),
        ("/CN=x", "DNS:a.example,URI:spiffe://c/s", Ok("mtls:spiffe://c/s")),
        ("/CN=x", "DNS:A.example,DNS:b.example", Ok("mtls:dns:a.example")),
        ("/CN=x", "", Ok("mtls:cn:x")),
        ("/CN=x", "URI:spiffe://c/s,URI:spiffe://c/t", Err(AuthError::Certificate)),
        ("/CN=x", "URI:dns:a.example", Err(AuthError::Certificate)),
        ("/CN=x", "IP:127.0.0.1", Err(AuthError::Certificate)),
        ("/CN=x/CN=y", "", Err(AuthError::Certificate)),
        ("/O=x", "", Err(AuthError::Certificate)),
        ("/CN=spiffe:\\/\\/c\\/s", "", Err(AuthError::Certificate)),
    ] {
        let principal = certificate(subject, san).principal(NOW);
        let principal = principal.as_ref().map(Principal::as_str).map_err(|error| *error);
        assert_eq!(principal, expected, "{subject} {san}");
    }
    let good = certificate("/CN=x", "");
    assert_eq!(good.principal(i64::MAX), Err(AuthError::Expired));
    let nonsense = ClientCertificate::read(b"nonsense");
    nonsense.principal(NOW).expect_err("no certificate");
}

#[test]
fn a_bad_token_is_not_mended_by_a_good_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let guard = guard(dir.path(), "");
    let certificate = Some(Arc::new(certificate("/CN=x", "")));
    let alone = Credentials { certificate: certificate.clone(), bearer: None };
    guard.caller(&alone, NOW).expect("believed");
    let both = Credentials { certificate, ..bearing("wrong") };
    assert_eq!(guard.caller(&both, NOW), Err(AuthError::UnknownToken));
}
