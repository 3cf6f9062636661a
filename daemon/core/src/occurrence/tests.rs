use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::parse::*;
use super::render::{note_to_json, occurrence_to_json};
use super::*;
use crate::document::{Document, DocumentError, DocumentLimits};
use crate::limits::Limits;

const DIGEST: &str = "sha256:02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

fn attested() -> Value {
    json!({
        "name": "projects/p/occurrences/o",
        "resourceUri": format!("https://gcr.io/p/nginx@{DIGEST}"),
        "noteName": "projects/q/notes/n",
        "kind": "ATTESTATION",
        "remediation": "none",
        "attestation": {
            "serializedPayload": STANDARD.encode([0xfb, 0xff, 0]),
            "signatures": [
                {"publicKeyId": "ni:///sha-256;x", "signature": STANDARD.encode([1, 2])},
                {"publicKeyId": "k", "signature": STANDARD.encode([0xff])},
            ],
            "jwts": [{"compactJwt": "h.p.s"}],
        },
        "createTime": "2026-01-01T00:00:00Z",
        "updateTime": "2026-01-01T00:00:01Z",
    })
}

fn read(json: &Value) -> Result<Occurrence, String> {
    occurrence_from_json(&json.to_string(), None, &Limits::DEFAULT)
        .map_err(|error| error.to_string())
}

/// [`attested`] with one member changed.
fn changed(member: &str, value: Value) -> Value {
    let mut json = attested();
    match json.pointer_mut(member) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = member.rsplit_once('/').unwrap();
            json.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    json
}

fn without(member: &str) -> Value {
    changed(member, Value::Null)
}

#[test]
fn an_attestation_is_decoded_and_given_back_as_it_came() {
    let occurrence = read(&attested()).unwrap();
    assert_eq!(occurrence.name.to_string(), "projects/p/occurrences/o");
    assert_eq!(occurrence.note.to_string(), "projects/q/notes/n");
    assert_eq!(occurrence.digest.unwrap().to_string(), DIGEST);
    let body = occurrence.attestation.as_ref().unwrap();
    assert_eq!(body.payload[..], [0xfb, 0xff, 0]);
    let signatures: Vec<_> =
        body.signatures.iter().map(|s| (s.key_id.as_str(), &s.signature[..])).collect();
    assert_eq!(signatures, [("ni:///sha-256;x", &[1, 2][..]), ("k", &[0xff][..])]);
    assert_eq!(occurrence_to_json(&occurrence), attested());
}

#[test]
fn what_the_daemon_sets_is_not_taken_from_a_request() {
    let name: OccurrenceName = "projects/p/occurrences/given".parse().unwrap();
    let mut occurrence =
        occurrence_from_json(&attested().to_string(), Some(&name), &Limits::DEFAULT).unwrap();
    let rendered = occurrence_to_json(&occurrence);
    assert_eq!(rendered["name"], "projects/p/occurrences/given");
    assert_eq!((rendered.get("createTime"), rendered.get("updateTime")), (None, None));
    occurrence.stamp("then", "now");
    let rendered = occurrence_to_json(&occurrence);
    assert_eq!((&rendered["createTime"], &rendered["updateTime"]), (&json!("then"), &json!("now")));
    occurrence_from_json(&without("/name").to_string(), Some(&name), &Limits::DEFAULT).unwrap();
    assert_eq!(read(&without("/name")), Err("line 1: name: required; set it".to_owned()));
    let elsewhere: OccurrenceName = "projects/q/occurrences/given".parse().unwrap();
    let error = occurrence_from_json(&attested().to_string(), Some(&elsewhere), &Limits::DEFAULT);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("name: is not an occurrence of projects/q"), "{error}");
}

#[test]
fn base64_of_either_alphabet_and_snake_case_become_the_form_of_the_api() {
    let payload = URL_SAFE_NO_PAD.encode([0xfb, 0xff, 0, 0]);
    let text = format!(
        "name: projects/p/occurrences/o\nresource_uri: gcr.io/p/nginx@{DIGEST}\nnote_name: projects/q/notes/n\n\
         attestation:\n  serialized_payload: {payload}\n  signatures:\n    public_key_id: k\n    signature: AQI\n"
    );
    let document = Document::from_yaml(&text, &DocumentLimits::OCCURRENCE).unwrap();
    let occurrence = occurrence_from_document(&document, None, &Limits::DEFAULT).unwrap();
    let expected = json!({
        "name": "projects/p/occurrences/o", "kind": "ATTESTATION",
        "resourceUri": format!("gcr.io/p/nginx@{DIGEST}"), "noteName": "projects/q/notes/n",
        "attestation": {
            "serializedPayload": "+/8AAA==",
            "signatures": [{"publicKeyId": "k", "signature": "AQI="}],
        },
    });
    assert_eq!(occurrence_to_json(&occurrence), expected);
    assert_eq!(read(&expected), Ok(occurrence));
}

#[test]
fn the_kind_is_that_of_the_body() {
    assert_eq!(read(&without("/kind")).unwrap().kind, "ATTESTATION");
    assert_eq!(read(&changed("/kind", json!(7))).unwrap().kind, "ATTESTATION");
    let contradiction = "line 1: kind: BUILD, but the body is one of ATTESTATION; leave kind out";
    assert_eq!(read(&changed("/kind", json!("BUILD"))), Err(contradiction.to_owned()));
    let second = "line 1: attestation: ATTESTATION beside BUILD; set one body only";
    assert_eq!(read(&changed("/build", json!({}))), Err(second.to_owned()));
    let mut none = without("/kind");
    none["attestation"] = Value::Null;
    assert_eq!(
        read(&none),
        Err("line 1: no body: set one member, such as `attestation`".to_owned())
    );
    none["kind"] = "ATTESTATION".into();
    assert_eq!(read(&none), Err("line 1: attestation: required; set it".to_owned()));
    none["kind"] = Value::Null;
    none["vulnerability"] = json!({"cvssScore": 7.5, "packageIssue": [{"a": [1, true, null]}]});
    let vulnerability = read(&none).unwrap();
    assert_eq!((vulnerability.kind.as_str(), &vulnerability.attestation), ("VULNERABILITY", &None));
    assert_eq!(occurrence_to_json(&vulnerability)["vulnerability"], none["vulnerability"]);
}

#[test]
fn the_digest_is_the_one_in_the_uri_or_none() {
    for (uri, digest) in [
        (format!("gcr.io/p/i@{DIGEST}"), Some(DIGEST)),
        (format!("gcr.io/p/i:t@{DIGEST}"), Some(DIGEST)),
        ("gcr.io/p/i:t".to_owned(), None),
        (format!("gcr.io/p/i@{DIGEST}/x"), None),
        (format!("gcr.io/p/i@{}", DIGEST.to_uppercase()), None),
        (DIGEST.to_owned(), None),
    ] {
        let occurrence = read(&changed("/resourceUri", json!(uri))).unwrap();
        assert_eq!(occurrence.digest.map(|digest| digest.to_string()).as_deref(), digest, "{uri}");
    }
}

#[test]
fn fields_that_cannot_be_are_refused_with_their_path() {
    let long = "x".repeat(RESOURCE_URI_BYTES_MAX + 1);
    let cases = [
        (without("/resourceUri"), "resourceUri: required; set it"),
        (changed("/resourceUri", json!("")), "resourceUri: not a URI: it is empty or holds blanks"),
        (
            changed("/resourceUri", json!("a b")),
            "resourceUri: not a URI: it is empty or holds blanks",
        ),
        (changed("/resourceUri", json!(long)), "resourceUri: 2049 bytes; at most 2048"),
        (without("/noteName"), "noteName: required; set it"),
        (changed("/noteName", json!("n")), "noteName: `n` is not of the form `projects/*/notes/*`"),
        (
            changed("/resourceUrl", json!("x")),
            "resourceUrl: unknown field; did you mean \"resourceUri\"?",
        ),
        (
            without("/attestation/serializedPayload"),
            "attestation.serializedPayload: required; set it",
        ),
        (
            changed("/attestation/serializedPayload", json!("")),
            "attestation.serializedPayload: required; it is empty",
        ),
        (without("/attestation/signatures"), "attestation: no signatures; set at least one"),
        (
            changed("/attestation/signatures", json!([])),
            "attestation: no signatures; set at least one",
        ),
        (
            without("/attestation/signatures/1/publicKeyId"),
            "attestation.signatures[1].publicKeyId: required; set it",
        ),
        (
            without("/attestation/signatures/0/signature"),
            "attestation.signatures[0].signature: required; set it",
        ),
        (changed("/remediation", json!(serde_json::from_str::<Value>("1e300").unwrap())), ""),
    ];
    for (json, error) in cases {
        match read(&json) {
            Err(told) => assert_eq!(told, format!("line 1: {error}")),
            Ok(_) => assert_eq!(error, ""),
        }
    }
    let broken = read(&changed("/attestation/signatures/0/signature", json!("@@"))).unwrap_err();
    assert!(
        broken.starts_with("line 1: attestation.signatures[0].signature: not base64: "),
        "{broken}"
    );
    let text = attested().to_string().replace("\"none\"", "1e999");
    let error = occurrence_from_json(&text, None, &Limits::DEFAULT).unwrap_err().to_string();
    assert_eq!(
        error,
        "line 1: remediation: holds a number that does not fit 64 bits; write it as a string"
    );
}

#[test]
fn payload_signatures_and_text_end_at_the_limits() {
    let limits = Limits { payload_bytes_max: 3, signatures_max: 2, ..Limits::DEFAULT };
    let read =
        |json: &Value, limits: &Limits| occurrence_from_json(&json.to_string(), None, limits);
    read(&attested(), &limits).unwrap();
    let smaller = Limits { payload_bytes_max: 2, ..limits };
    let error = read(&attested(), &smaller).unwrap_err().to_string();
    assert_eq!(error, "line 1: attestation.serializedPayload: 3 bytes; at most 2");
    let error = read(&attested(), &Limits { signatures_max: 1, ..limits }).unwrap_err().to_string();
    assert_eq!(error, "line 1: attestation: 2 signatures; at most 1");
    let large = changed("/remediation", json!("x".repeat(1 << 20)));
    assert!(matches!(read(&large, &limits), Err(DocumentError::TooLarge { .. })));
}

#[test]
fn a_batch_is_read_whole_or_not_at_all() {
    let read = |second: Value| {
        let body = json!({"parent": "projects/p", "occurrences": [attested(), second]}).to_string();
        let document = Document::from_json(&body, &DocumentLimits::DEFAULT).unwrap();
        let name = "projects/p/occurrences/given".parse().unwrap();
        occurrences_from_batch(&document, &name, &Limits::DEFAULT)
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(attested()).unwrap().len(), 2);
    let error = "line 1: occurrences[1].noteName: required; set it";
    assert_eq!(read(without("/noteName")), Err(error.to_owned()));
}

#[test]
fn notes_are_given_back_as_they_came() {
    let json = json!({
        "name": "projects/p/notes/n", "kind": "ATTESTATION", "shortDescription": "s",
        "attestation": {"hint": {"humanReadableName": "x"}}, "createTime": "then",
    });
    let note = note_from_json(&json.to_string(), None).unwrap();
    assert_eq!((note.name.id(), note_to_json(&note)), ("n", json.clone()));
    let name: NoteName = "projects/p/notes/given".parse().unwrap();
    let mut note = note_from_json(r#"{"attestation": {"hint": {}}}"#, Some(&name)).unwrap();
    note.stamp("a", "b");
    let expected = json!({
        "name": "projects/p/notes/given", "kind": "ATTESTATION", "attestation": {"hint": {}},
        "createTime": "a", "updateTime": "b",
    });
    assert_eq!(note_to_json(&note), expected);
    let snake = r#"{"attestation": {"hint": {"human_readable_name": "x"}}}"#;
    let note_of_docs = note_from_json(snake, Some(&name)).unwrap();
    assert_eq!(note_of_docs.json["attestation"], json["attestation"]);
    for own in ["projects/p/notes/given", "projects/p/locations/global/notes/given", "given"] {
        let json = json!({"name": own, "attestation": {}}).to_string();
        note_from_json(&json, Some(&name)).unwrap();
    }
    for own in ["projects/q/notes/given", "projects/p/notes/n", "n"] {
        let json = json!({"name": own, "attestation": {}}).to_string();
        let error = note_from_json(&json, Some(&name)).unwrap_err().to_string();
        assert!(error.contains("name: is not projects/p/notes/given"), "{error}");
    }
    note_from_json(r#"{"kind": "BUILD", "attestation": {}}"#, Some(&name)).unwrap_err();
    note_from_json(r#"{"shortDescription": "x"}"#, Some(&name)).unwrap_err();
    note_from_json(r#"{"atestation": {}}"#, Some(&name)).unwrap_err();
}
