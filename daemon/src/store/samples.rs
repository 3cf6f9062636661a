//! Resources for the tests of both stores.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hallmark_core::attestor::{Attestor, KeyMaterial, PublicKey, SignatureAlgorithm};
use hallmark_core::image::Digest;
use hallmark_core::occurrence::{AttestationBody, Note, Occurrence, Signature};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::platform::parse::platform_policy_from_json;
use hallmark_core::policy::pattern::AllowlistPattern;
use hallmark_core::policy::{
    AdmissionRule, EnforcementMode, EvaluationMode, GlobalPolicyEvaluationMode, Policy,
    SpecificRules,
};
use hallmark_core::resource::ResourceName;
use serde_json::{Map, Value, json};

use super::Write;
use super::query::digest_at_end;

pub(super) fn digest(seed: u8) -> Digest {
    Digest([seed; 32])
}

pub(super) fn uri(seed: u8) -> String {
    format!("europe-docker.pkg.dev/my-app-prod/shop/web@{}", digest(seed))
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

pub(super) fn note(name: &str) -> Note {
    let json = json!({"name": name, "kind": "ATTESTATION", "attestation": {"hint": {"humanReadableName": "prod"}}});
    Note { name: name.parse().unwrap(), json: object(json) }
}

pub(super) fn platform_policy(name: &str, etag: &str) -> PlatformPolicy {
    let allowlist = json!({"allowPattern": ["registry.k8s.io/pause"]});
    let check = json!({"alwaysDeny": true});
    let gke = json!({"imageAllowlist": allowlist, "checkSets": [{"checks": [check]}]});
    let json = json!({"name": name, "description": "d", "etag": etag, "gkePolicy": gke});
    platform_policy_from_json(&json.to_string(), None).unwrap()
}

/// An ATTESTATION occurrence with two signatures, its JSON as the API spells it.
pub(super) fn attestation(name: &str, note: &str, uri: &str) -> Occurrence {
    let payload =
        format!("{{\"critical\": {{\"image\": {{\"docker-manifest-digest\": \"{uri}\"}}}}}}\n")
            .into_bytes();
    let signatures: Vec<_> =
        [("ni:///sha-256;EwVxs8fNUAHq9FI2AMfh8WNIXVBuuTMeGtPH72U-I70", 1), ("other", 2)]
            .map(|(key, seed)| Signature { key_id: key.into(), signature: vec![seed; 71].into() })
            .into();
    let signatures_json: Vec<_> = signatures
        .iter()
        .map(|one| json!({"publicKeyId": one.key_id.as_str(), "signature": BASE64.encode(&one.signature)}))
        .collect();
    let json = json!({
        "name": name, "noteName": note, "resourceUri": uri, "kind": "ATTESTATION",
        "createTime": "2026-11-20T18:20:52.123456Z", "updateTime": "2026-11-20T18:20:52.123456Z",
        "attestation": {"serializedPayload": BASE64.encode(&payload), "signatures": signatures_json},
    });
    Occurrence {
        name: name.parse().unwrap(),
        note: note.parse().unwrap(),
        resource_uri: uri.to_owned(),
        digest: digest_at_end(uri),
        kind: "ATTESTATION".to_owned(),
        attestation: Some(AttestationBody { payload: payload.into(), signatures }),
        json: object(json),
    }
}

/// An occurrence that is no evidence.
pub(super) fn vulnerability(name: &str, note: &str, uri: &str) -> Occurrence {
    let json = json!({
        "name": name, "noteName": note, "resourceUri": uri, "kind": "VULNERABILITY",
        "vulnerability": {"severity": "HIGH", "packageIssue": [{"fixAvailable": true}]},
    });
    Occurrence {
        kind: "VULNERABILITY".to_owned(),
        attestation: None,
        json: object(json),
        ..attestation(name, note, uri)
    }
}

pub(super) fn attestor(name: &str, note: &str, etag: &str) -> Attestor {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXnpuYEfvLl1kj4fjxViFRwY1a+zC\n\
               5qzlf9LJIK+rnjq42tiKGyyXMbnZKJiYPPdMDGyltnkrABnztg2jJ48aYQ==\n-----END PUBLIC KEY-----\n";
    let key = |id: Option<&str>, material| PublicKey {
        comment: "büro".to_owned(),
        id: id.map(Into::into),
        material,
    };
    Attestor {
        name: name.parse().unwrap(),
        description: "built by the pipeline".to_owned(),
        note: note.parse().unwrap(),
        public_keys: vec![key(
            Some("kms://projects/kms/key/1"),
            KeyMaterial::Pkix {
                public_key_pem: pem.to_owned(),
                signature_algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            },
        )],
        etag: etag.to_owned(),
        update_time: "2026-11-20T18:20:52Z".to_owned(),
    }
}

pub(super) fn policy(attestor: &str, etag: &str) -> Policy {
    let rule = |evaluation, enforcement| AdmissionRule { evaluation, enforcement };
    Policy {
        description: "what production asks for".to_owned(),
        global_policy_evaluation_mode: GlobalPolicyEvaluationMode::Enable,
        admission_whitelist_patterns: vec![AllowlistPattern::parse("gcr.io/base/*").unwrap()],
        default_admission_rule: rule(
            EvaluationMode::RequireAttestation(vec![attestor.parse().unwrap()]),
            EnforcementMode::EnforcedBlockAndAuditLog,
        ),
        specific_rules: SpecificRules::Cluster(
            [(
                "europe-west2.test".to_owned(),
                rule(EvaluationMode::AlwaysAllow, EnforcementMode::DryrunAuditLogOnly),
            )]
            .into(),
        ),
        etag: etag.to_owned(),
        update_time: "2026-11-20T18:20:52Z".to_owned(),
    }
}

/// Creates occurrences of which nothing was verified.
pub(super) fn unproven(occurrences: Vec<Occurrence>) -> Write {
    Write::file(occurrences.into_iter().map(|one| (one, Vec::new())))
}

/// The name of a resource, by its form.
pub(super) fn named(name: &str) -> ResourceName {
    let segments: Vec<_> = name.split('/').collect();
    match segments.as_slice() {
        ["projects", project, "policy"] => ResourceName::Policy(project.parse().unwrap()),
        ["projects", _, "attestors", _] => ResourceName::Attestor(name.parse().unwrap()),
        ["projects", _, "notes", _] => ResourceName::Note(name.parse().unwrap()),
        ["projects", _, "occurrences", _] => ResourceName::Occurrence(name.parse().unwrap()),
        ["projects", _, "platforms", ..] => ResourceName::PlatformPolicy(name.parse().unwrap()),
        _ => panic!("{name}"),
    }
}
