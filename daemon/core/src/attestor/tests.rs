use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::parse::{KEYS_MAX, attestor_from_document, attestor_from_json};
use super::render::{ApiVersion, attestor_to_json};
use super::*;
use crate::document::{Document, DocumentLimits};

/// The key of Google's documentation page on making attestations.
const DOCUMENTED_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXnpuYEfvLl1kj4fjxViFRwY1a+zC5qzlf9LJ\
                              IK+rnjq42tiKGyyXMbnZKJiYPPdMDGyltnkrABnztg2jJ48aYQ==";
const DOCUMENTED_ID: &str = "ni:///sha-256;EwVxs8fNUAHq9FI2AMfh8WNIXVBuuTMeGtPH72U-I70";
const KMS_ID: &str = "//cloudkms.googleapis.com/v1/projects/P/locations/L/keyRings/R/cryptoKeys/K/\
                      cryptoKeyVersions/1";

fn pem() -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{DOCUMENTED_KEY}\n-----END PUBLIC KEY-----\n")
}

fn pkix(id: &str) -> Value {
    json!({"id": id, "pkixPublicKey": {"publicKeyPem": pem(), "signatureAlgorithm": "ECDSA_P256_SHA256"}})
}

fn with_keys(keys: impl Into<Value>) -> Value {
    let keys = keys.into();
    json!({
        "name": "projects/p/attestors/a",
        "userOwnedGrafeasNote": {"noteReference": "projects/p/notes/n", "publicKeys": keys},
    })
}

/// The attestor, or the errors as shown, without the line: all of it is one.
fn read(json: &Value) -> Result<Attestor, String> {
    attestor_from_json(&json.to_string(), None)
        .map_err(|error| error.to_string().replace("line 1: userOwnedGrafeasNote.", ""))
}

#[test]
fn a_name_that_no_algorithm_goes_by_is_shown_in_part() {
    assert_eq!(algorithm_named("ecdsa-p256-sha256"), Ok(SignatureAlgorithm::EcdsaP256Sha256));
    let error = algorithm_named("ecdsa\n").expect_err("no name");
    assert_eq!(error.to_string(), "unknown signature algorithm `ecdsa\\n`");
    let error = algorithm_named(&"x".repeat(65)).expect_err("no name");
    assert_eq!(error.to_string(), format!("unknown signature algorithm `{}…`", "x".repeat(64)));
}

#[test]
fn a_pkix_key_declares_the_algorithms_of_the_api_and_no_other() {
    for algorithm in SignatureAlgorithm::all() {
        let key = json!({"publicKeyPem": "PEM", "signatureAlgorithm": algorithm.name()});
        let read = read(&with_keys(json!([{"pkixPublicKey": key}])));
        assert_eq!(read.is_ok(), algorithm.is_declarable(), "{algorithm}: {read:?}");
    }
    let extensions = SignatureAlgorithm::all().filter(|one| !one.is_declarable());
    assert_eq!(extensions.count(), 11);
}

#[test]
fn the_default_key_id_is_that_of_the_documented_key() {
    let mut spki = STANDARD.decode(DOCUMENTED_KEY).unwrap();
    assert_eq!(KeyId::of_spki(&spki).as_str(), DOCUMENTED_ID);
    spki[40] ^= 1;
    assert_ne!(KeyId::of_spki(&spki).as_str(), DOCUMENTED_ID);
}

#[test]
fn uris_and_their_schemes_are_told_from_other_ids() {
    for (id, uri, scheme) in [
        (DOCUMENTED_ID, true, Some("ni")),
        (KMS_ID, true, None),
        ("https://x.example/k", true, Some("https")),
        ("pkcs11:token=a;object=b%20c", true, Some("pkcs11")),
        ("acme+kms://k", true, Some("acme+kms")),
        ("0638AADD940361EA2D7F14C58C124F0E663DA097", false, None),
        ("mine", false, None),
        ("1a:b", false, None),
        ("a:", false, None),
        (":a", false, None),
        ("a: b", false, None),
        ("a:b%2", false, None),
        ("a:b%zz", false, None),
        ("//", false, None),
        ("//a b", false, None),
        ("/a", false, None),
        ("", false, None),
        ("ä:b", false, None),
        ("a:ä", false, None),
    ] {
        assert_eq!((KeyId::from(id).is_uri(), KeyId::from(id).scheme()), (uri, scheme), "{id}");
    }
}

#[test]
fn an_attestor_of_every_kind_of_key_survives_the_round_trip() {
    let pgp =
        json!({"id": "AB", "comment": "c", "asciiArmoredPgpPublicKey": "-----BEGIN PGP…\r\n"});
    let unnamed = json!({"pkixPublicKey": {"publicKeyPem": "x", "signatureAlgorithm": "RSA_SIGN_PKCS1_4096_SHA512"}});
    let json = json!({
        "name": "projects/p/attestors/a", "description": "d", "etag": "\"e\"", "updateTime": "2026-01-01T00:00:00Z",
        "userOwnedGrafeasNote": {
            "noteReference": "projects/q/notes/n",
            "publicKeys": [pkix(KMS_ID), pgp, {"id": "pkcs11:object=k"}, unnamed],
        },
    });
    let attestor = read(&json).unwrap();
    assert_eq!(attestor.public_keys[0].id, Some(KeyId::from(KMS_ID)));
    assert_eq!(attestor.public_keys[2].material, KeyMaterial::Reference);
    assert_eq!(attestor.public_keys[3].id, None);
    assert_eq!(attestor_to_json(&attestor, ApiVersion::V1), json);
    let beta = attestor_to_json(&attestor, ApiVersion::V1Beta1);
    assert_eq!(beta["userOwnedDrydockNote"], json["userOwnedGrafeasNote"]);
    assert_eq!(beta.get("userOwnedGrafeasNote"), None);
    assert_eq!(read(&beta), Ok(attestor));
}

#[test]
fn yaml_and_one_key_without_a_list_are_read() {
    let text = "name: projects/p/attestors/a\nuser_owned_grafeas_note:\n  note_reference: providers/p/notes/n\n  \
                delegationServiceAccountEmail: x@y\n  public_keys:\n    pkix_public_key:\n      \
                public_key_pem: x\n      signature_algorithm: 9\n";
    let document = Document::from_yaml(text, &DocumentLimits::DEFAULT).unwrap();
    let attestor = attestor_from_document(&document, None).unwrap();
    assert_eq!(attestor.note.to_string(), "projects/p/notes/n");
    let signature_algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let material = KeyMaterial::Pkix { public_key_pem: "x".to_owned(), signature_algorithm };
    assert_eq!(attestor.public_keys, [PublicKey { comment: String::new(), id: None, material }]);
}

#[test]
fn the_document_may_repeat_the_name_of_the_url_and_not_contradict_it() {
    let name: AttestorName = "projects/u/attestors/v".parse().unwrap();
    let named = |own: Value| {
        let mut json = with_keys(json!([]));
        json["name"] = own;
        attestor_from_json(&json.to_string(), Some(&name)).map_err(|error| error.to_string())
    };
    for own in [json!("projects/u/attestors/v"), json!("v"), json!(""), Value::Null] {
        assert_eq!(named(own).unwrap().name, name);
    }
    for own in ["projects/p/attestors/v", "projects/u/attestors/w", "w", "projects/u/notes/v"] {
        let error = "line 1: name: is not projects/u/attestors/v: correct it, or leave it out";
        assert_eq!(named(json!(own)), Err(error.to_owned()), "{own}");
    }
    let nameless = json!({"userOwnedGrafeasNote": {"noteReference": "projects/p/notes/n"}});
    assert_eq!(read(&nameless), Err("line 1: name: required; set it".to_owned()));
}

#[test]
fn keys_that_cannot_be_are_refused_with_their_path() {
    let mut both = pkix("");
    both["asciiArmoredPgpPublicKey"] = "x".into();
    let mut other_id = pkix("a:b");
    other_id["pkixPublicKey"]["keyId"] = "a:c".into();
    let pgp = json!({"asciiArmoredPgpPublicKey": "x"});
    let unspecified = json!({"pkixPublicKey": {"publicKeyPem": "x", "signatureAlgorithm": 0}});
    let bare = "publicKeys[0]: no key in it: set pkixPublicKey or asciiArmoredPgpPublicKey, or an id that is \
                a URI with the scheme of a key source";
    let cases = [
        (
            json!([pkix("mine")]),
            "publicKeys[0].id: the id of a PKIX key must be a URI (RFC 3986), or empty for the default",
        ),
        (
            json!([pkix("a:b"), pkix("a:b")]),
            "publicKeys[1]: a key with this id is here already; remove one of the two",
        ),
        (
            json!([pgp, pgp]),
            "publicKeys[1]: this OpenPGP key is here already; remove one of the two",
        ),
        (
            json!([both]),
            "publicKeys[0].pkixPublicKey: a key has pkixPublicKey or asciiArmoredPgpPublicKey; remove one of the two",
        ),
        (
            json!([other_id]),
            "publicKeys[0].pkixPublicKey.keyId: must equal the id of the key, or be empty",
        ),
        (json!([{"id": KMS_ID}]), bare),
        (json!([{}]), bare),
        (
            json!([unspecified]),
            "publicKeys[0].pkixPublicKey.signatureAlgorithm: required; name the algorithm that the key signs with",
        ),
        (
            json!([{"pkixPublicKey": {"publicKeyPem": " ", "signatureAlgorithm": 9}}]),
            "publicKeys[0].pkixPublicKey.publicKeyPem: required; it is empty",
        ),
        (
            json!([{"asciiArmoredPgpPublicKey": 1}]),
            "publicKeys[0].asciiArmoredPgpPublicKey: expected a string, not a number: put it in quotes",
        ),
    ];
    for (keys, error) in cases {
        assert_eq!(read(&with_keys(keys)), Err(error.to_owned()));
    }
    let mut misspelt = pkix("");
    misspelt["pkixPublicKey"]["signatureAlgorithm"] = "ECDSA_P256_SHA265".into();
    let error = read(&with_keys(json!([misspelt]))).unwrap_err();
    assert!(
        error.contains(r#"unknown value "ECDSA_P256_SHA265"; did you mean "ECDSA_P256_SHA256"?"#),
        "{error}"
    );
    // A key in the place of its algorithm is not repeated.
    let secrets = [
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg",
        "0b5d3f3e6a9c4a11",
        "kQ7xPzR2mWvTbYcA",
    ];
    for secret in secrets {
        misspelt["pkixPublicKey"]["signatureAlgorithm"] = secret.into();
        let error = read(&with_keys(json!([misspelt]))).unwrap_err();
        assert!(
            error.contains("unknown value; one of ") && !error.contains(&secret[..6]),
            "{error}"
        );
    }
}

#[test]
fn every_error_of_an_attestor_is_told_at_once() {
    let text = "{\"name\": \"projects/p/notes/a\",\n\"userOwnedGrafeasNote\": {\"noteReference\": \"n\",\n\
                \"publicKeys\": [{\"id\": \"x\"},\n{\"pkixPublicKey\": {}}]}}";
    let error = attestor_from_json(text, None).unwrap_err().to_string();
    let lines: Vec<_> =
        error.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>()).collect();
    let pkix = "userOwnedGrafeasNote.publicKeys[1].pkixPublicKey";
    let expected: [[String; 2]; 4] = [
        ["line 1".into(), "name".into()],
        ["line 2".into(), "userOwnedGrafeasNote.noteReference".into()],
        ["line 3".into(), "userOwnedGrafeasNote.publicKeys[0]".into()],
        ["line 4".into(), format!("{pkix}.publicKeyPem")],
    ];
    assert_eq!(lines[..4], expected);
    assert_eq!(lines[4], ["line 4".to_owned(), format!("{pkix}.signatureAlgorithm")]);
}

#[test]
fn notes_are_one_and_of_the_known_forms() {
    let note = |reference: &str| json!({"name": "projects/p/attestors/a", "userOwnedGrafeasNote": {"noteReference": reference}});
    assert_eq!(read(&note("providers/p/notes/n")).unwrap().note.to_string(), "projects/p/notes/n");
    for reference in
        ["", "n", "projects/p/attestors/n", "projects/providers/p/notes/n", "projects/p/notes/n/x"]
    {
        read(&note(reference)).unwrap_err();
    }
    let mut both = note("projects/p/notes/n");
    both["userOwnedDrydockNote"] = both["userOwnedGrafeasNote"].clone();
    assert!(read(&both).unwrap_err().contains("set one of the two"));
    let none = read(&json!({"name": "projects/p/attestors/a"}));
    assert_eq!(none, Err("line 1: userOwnedGrafeasNote: required; set it".to_owned()));
}

#[test]
fn keys_end_at_the_limit() {
    let keys =
        |count: usize| with_keys((0..count).map(|n| pkix(&format!("a:{n}"))).collect::<Vec<_>>());
    assert_eq!(read(&keys(KEYS_MAX)).unwrap().public_keys.len(), KEYS_MAX);
    let error = read(&keys(KEYS_MAX + 1)).unwrap_err();
    assert_eq!(
        error,
        "line 1: userOwnedGrafeasNote: 1001 publicKeys; an attestor has at most 1000"
    );
}
