//! Keys for which others than their owner can sign: no door of the daemon lets one in.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::daemon::{Daemon, wait_for};
use hallmark_tests::keys::{openssl, write};
use hallmark_tests::pki::Authority;
use hallmark_tests::project::{note, sha256_hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The names and SubjectPublicKeyInfos of the corpus that nobody may take.
fn bad_keys() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/public_key");
    let files = std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("an entry").path());
    let bad = |path: &PathBuf| path.to_string_lossy().contains("/bad-");
    let read = |path: PathBuf| {
        (
            path.file_stem().expect("a name").to_string_lossy().into_owned(),
            std::fs::read(&path).expect("reads"),
        )
    };
    files.filter(bad).map(read).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

async fn attestor(client: &Client, id: &str, key: Value) -> Answer {
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/a", "publicKeys": [key],
    }});
    client.post(&format!("/v1/projects/p/attestors?attestorId={id}"), &body).await
}

#[tokio::test]
async fn an_attestor_takes_none_of_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "a").await;
    for (name, spki) in bad_keys() {
        let algorithm = match name.trim_start_matches("bad-").split('-').next() {
            Some("ed25519") => "ED25519",
            Some("p384") => "ECDSA_P384_SHA384",
            Some("p521") => "ECDSA_P521_SHA512",
            Some("rsa") => "RSA_SIGN_PKCS1_2048_SHA256",
            Some("ml_dsa_65") => "ML_DSA_65",
            _ => "ECDSA_P256_SHA256",
        };
        let key = json!({"pkixPublicKey": {
            "publicKeyPem": pem("PUBLIC KEY", &spki), "signatureAlgorithm": algorithm,
        }});
        let id = name.replace('_', "-").to_lowercase();
        let answer = attestor(&daemon.client, &id, key).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
    }
}

/// A certificate of OpenPGP whose key is the identity of Ed25519. It certifies itself and may sign;
/// the signature R = identity, S = 0 is good for it over every message.
fn identity_certificate() -> Vec<u8> {
    const MADE: [u8; 4] = 1_717_200_000_u32.to_be_bytes();
    let mut identity = [0_u8; 32];
    identity[0] = 1;
    let old = |tag: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&[0x80 | tag << 2 | 1][..], &length, body].concat()
    };
    let mpi = |bits: u16, bytes: &[u8]| [&bits.to_be_bytes()[..], bytes].concat();
    let oid = b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";
    let point = mpi(263, &[&[0x40][..], &identity].concat());
    let key = [&[4][..], &MADE, &[22], oid, &point].concat();
    let hashed_key = |key: &[u8]| {
        let length = u16::try_from(key.len()).expect("short").to_be_bytes();
        [&[0x99][..], &length, key].concat()
    };
    let user = b"nobody <nobody@example.com>";
    // Created; certifies and signs.
    let subpackets = [&[5, 2][..], &MADE, &[2, 27, 3]].concat();
    let head = [
        &[4, 0x13, 22, 8][..],
        &u16::try_from(subpackets.len()).expect("short").to_be_bytes(),
        &subpackets,
    ]
    .concat();
    let length = u32::try_from(user.len()).expect("short").to_be_bytes();
    let trailer =
        [&[4, 0xff][..], &u32::try_from(head.len()).expect("short").to_be_bytes()].concat();
    let hash =
        Sha256::digest([&hashed_key(&key)[..], &[0xb4], &length, user, &head, &trailer].concat());
    // R as the integer of its 32 octets, S as zero.
    let signature = [&head[..], &[0, 0], &hash[..2], &mpi(249, &identity), &mpi(0, &[])].concat();
    [old(6, &key), old(13, user), old(2, &signature)].concat()
}

#[tokio::test]
async fn a_certificate_of_openpgp_brings_none_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "a").await;
    let armored = format!(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
        STANDARD.encode(identity_certificate())
    );
    let answer =
        attestor(&daemon.client, "pgp", json!({"asciiArmoredPgpPublicKey": armored})).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains("Ed25519"), "{}", answer.text);
}

/// A self-signed certificate whose key is exchanged for another of the same length.
fn certificate_of(dir: &Path, spki: &[u8]) -> Vec<u8> {
    let key = dir.join("ed25519.key").to_string_lossy().into_owned();
    let made = openssl(&[
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", &key, "-days", "30", "-subj",
        "/CN=ca", "-outform", "DER",
    ]);
    let own = openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER"]);
    let at = made.windows(own.len()).position(|window| window == own).expect("its key");
    let mut certificate = made;
    certificate[at..at + spki.len()].copy_from_slice(spki);
    certificate
}

#[test]
fn a_client_ca_with_such_a_key_is_not_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    Authority::new("servers").server().write(dir.path(), "server");
    write(dir.path(), "auth.toml", b"");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let mut tried = 0;
    for (name, spki) in bad_keys().into_iter().filter(|(_, spki)| spki.len() == 44) {
        if !name.starts_with("bad-ed25519") {
            continue;
        }
        let ca = pem("CERTIFICATE", &certificate_of(dir.path(), &spki));
        write(dir.path(), "clients.pem", ca.as_bytes());
        let arguments = [
            ["--data-dir", &path("data")],
            ["--tls-cert", &path("server.pem")],
            ["--tls-key", &path("server.key")],
            ["--tls-client-ca", &path("clients.pem")],
            ["--auth", &path("auth.toml")],
        ];
        let refused = Daemon::try_start(dir.path(), &arguments.concat()).expect_err(&name);
        assert!(
            refused.contains("clients.pem") && refused.contains("Ed25519"),
            "{name}: {refused}"
        );
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[tokio::test]
async fn the_keys_of_an_issuer_do_without_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let jwks = path("keys.json");
    let token = sha256_hex(b"operator");
    let auth = format!(
        "[[tokens]]\nprincipal = 'user:operator'\nsha256 = '{token}'\n\
         [[bindings]]\nrole = 'roles/hallmark.operator'\nmembers = ['user:operator']\n\
         projects = ['*']\n\
         [[jwt]]\nissuer = 'https://issuer.example'\naudiences = ['hallmark']\njwks = '{jwks}'\n\
         algorithms = ['EdDSA', 'ES256']\nprefix = 'user:'\n"
    );
    write(dir.path(), "auth.toml", auth.as_bytes());
    let u = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwks_of = |name: &str, spki: &[u8]| match name.split('-').nth(1) {
        Some("ed25519") if spki.len() == 44 => {
            Some(json!({"kty": "OKP", "crv": "Ed25519", "x": u(&spki[12..])}))
        }
        Some("p256") if spki.len() == 91 => Some(json!({
            "kty": "EC", "crv": "P-256", "x": u(&spki[27..59]), "y": u(&spki[59..]),
        })),
        _ => None,
    };
    // A hybrid point has good coordinates: its form is lost on the way.
    let bad = bad_keys().into_iter().filter(|(name, _)| !name.ends_with("hybrid"));
    let bad: Vec<_> = bad.filter_map(|(name, spki)| jwks_of(&name, &spki)).collect();
    assert!(bad.len() > 12, "{}", bad.len());
    write(dir.path(), "keys.json", json!({"keys": bad}).to_string().as_bytes());
    let arguments = ["--data-dir", &path("data"), "--auth", &path("auth.toml")];
    let refused = Daemon::try_start(dir.path(), &arguments).expect_err("no key is left");
    assert!(refused.contains("no key in it can verify"), "{refused}");

    // Beside a good key they are named, and it counts.
    let good = openssl(&["genpkey", "-algorithm", "ED25519"]);
    let good = write(dir.path(), "good.pem", &good);
    let good = openssl(&["pkey", "-in", &good.to_string_lossy(), "-pubout", "-outform", "DER"]);
    let with_good: Vec<_> = bad.iter().cloned().chain(jwks_of("good-ed25519", &good)).collect();
    write(dir.path(), "keys.json", json!({"keys": with_good}).to_string().as_bytes());
    let daemon = Daemon::start_with(dir.path(), &arguments);
    wait_for("each bad key to be named", || {
        (daemon.log().matches("passed over").count() == bad.len()).then_some(())
    });
    let operator = daemon.client.bearing("operator");
    let ready = operator.get("/readyz").await;
    let said = ready.json["issuerKeyErrors"]["https://issuer.example"].as_str().expect("an error");
    assert_eq!(said.matches("passed over").count(), bad.len(), "{said}");
    let metrics = operator.get("/metrics").await.text;
    let counted = format!("hallmark_issuer_keys_refused {}", bad.len());
    assert!(metrics.contains(&counted), "{metrics}");
}
