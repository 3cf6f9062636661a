use hallmark_core::payload::simple_signing;
use serde_json::json;

use super::*;
use crate::store::record::Damaged;
use crate::store::samples::{attestation, digest, object, uri, vulnerability};

const NAME: &str = "projects/p/occurrences/o";
const NOTE: &str = "projects/p/notes/n";

/// Through the tables' bytes and back.
fn stored(occurrence: &Occurrence) -> Occurrence {
    let record = Bytes::from(encode(occurrence));
    let head = Stored::decode(occurrence.name.clone(), record).unwrap();
    assert_eq!(head.evidence().is_some(), is_evidence(occurrence));
    let evidence = occurrence.attestation.as_ref().filter(|_| is_evidence(occurrence));
    let evidence = evidence.map(|body| {
        let record = encode_attestation(body, occurrence.digest);
        decode_attestation(record.into(), occurrence.digest.unwrap()).unwrap()
    });
    head.complete(evidence).unwrap()
}

#[test]
fn every_shape_of_occurrence_comes_back_as_it_was() {
    let sample = || attestation(NAME, NOTE, &uri(1));
    let mut no_body = sample();
    no_body.attestation = None;
    let mut digest_elsewhere = sample();
    digest_elsewhere.digest = Some(digest(9));
    let mut digest_unknown = sample();
    digest_unknown.digest = None;
    let mut unsigned = sample();
    unsigned.attestation.as_mut().unwrap().signatures.clear();
    let mut empty = sample();
    empty.json.clear();
    for occurrence in [
        sample(),
        attestation(NAME, NOTE, &format!("https://{}", uri(1))),
        attestation(NAME, NOTE, "gcr.io/p/i:tag"),
        attestation(NAME, NOTE, ""),
        vulnerability(NAME, NOTE, &uri(1)),
        no_body,
        digest_elsewhere,
        digest_unknown,
        unsigned,
        empty,
    ] {
        assert_eq!(stored(&occurrence), occurrence);
    }
}

#[test]
fn json_that_is_spelled_in_another_way_comes_back_in_that_spelling() {
    let sample = attestation(NAME, NOTE, &uri(1));
    let body = &sample.json["attestation"];
    let payload = body["serializedPayload"].as_str().unwrap();
    let unpadded = json!({"serializedPayload": payload.trim_end_matches('='), "signatures": body["signatures"]});
    let more = json!({
        "serializedPayload": payload, "signatures": body["signatures"], "jwts": [{"compactJwt": "h.p.s"}],
    });
    let one_less = json!({"serializedPayload": payload, "signatures": [body["signatures"][0]]});
    for member in
        [unpadded, more, one_less, json!({}), json!(null), json!("text"), json!([1.5, -0.0, 1e300])]
    {
        let mut occurrence = sample.clone();
        occurrence.json.insert("attestation".to_owned(), member);
        assert_eq!(stored(&occurrence), occurrence);
    }
    for (member, value) in [
        ("name", json!("projects/p/occurrences/another")),
        ("kind", json!(7)),
        ("createTime", json!(null)),
        ("updateTime", json!("2027-01-01T00:00:00Z")),
        ("remediation", json!({"a": [true, {"b": "\u{0}\u{1f600}"}]})),
        ("number", json!(u64::MAX)),
    ] {
        let mut occurrence = sample.clone();
        occurrence.json.insert(member.to_owned(), value);
        assert_eq!(stored(&occurrence), occurrence);
        occurrence.json.remove(member);
        assert_eq!(stored(&occurrence), occurrence, "without {member}");
    }
    let other = Occurrence { json: object(json!({"createTime": "x"})), ..sample };
    assert_eq!(stored(&other), other);
}

#[test]
fn nothing_that_the_evidence_holds_is_stored_twice() {
    let occurrence = attestation(NAME, NOTE, &uri(1));
    let record = encode(&occurrence);
    assert!(record.len() < 200, "{} bytes: {}", record.len(), String::from_utf8_lossy(&record));
}

#[test]
fn a_payload_of_gcloud_is_small_and_comes_back_byte_for_byte() {
    let gcloud = simple_signing::payload("europe-docker.pkg.dev/my-app-prod/shop/web", digest(1));
    let sample = attestation(NAME, NOTE, &uri(1));
    let size = |payload: Vec<u8>| {
        let body =
            AttestationBody { payload: payload.into(), ..sample.attestation.clone().unwrap() };
        let record = encode_attestation(&body, Some(digest(1)));
        let len = record.len();
        assert_eq!(decode_attestation(record.into(), digest(1)), Ok(body));
        len
    };
    let small = size(gcloud.clone());
    assert!(
        small + 200 < size(simple_signing::payload("r", digest(2))),
        "another digest's is kept whole"
    );
    assert!(size(simple_signing::payload("a\"b\\", digest(1))) < small);
    for position in 0..gcloud.len() {
        let mut flipped = gcloud.clone();
        flipped[position] ^= 1;
        size(flipped);
        size(gcloud[..position].to_vec());
        size(gcloud[position..].to_vec());
    }
}

#[test]
fn a_cut_record_is_damaged() {
    let occurrence = attestation(NAME, NOTE, "gcr.io/p/i:tag");
    let record = Bytes::from(encode(&occurrence));
    for cut in 0..record.len() {
        let read = Stored::decode(occurrence.name.clone(), record.slice(..cut));
        assert!(matches!(read, Err(Damaged(_))), "{cut} of {}", record.len());
    }
    let evidence =
        Bytes::from(encode_attestation(occurrence.attestation.as_ref().unwrap(), Some(digest(1))));
    for cut in 0..evidence.len() {
        let read = decode_attestation(evidence.slice(..cut), digest(1));
        assert!(matches!(read, Err(Damaged(_))), "{cut} of {}", evidence.len());
    }
}
