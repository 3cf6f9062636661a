//! The JSON form of a decision: one spelling for answers, streams, audit records and the command
//! line.
//!
//! Written straight into the bytes, with no tree and no serialiser between: a cached decision is
//! little else than its text.

use std::io::Write;

use bytes::Bytes;
use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::decision::{
    AttestorReason, AttestorResult, Decision, ImageDecision, OtherOutcomes, Trial, TrialOutcome,
};
use hallmark_core::image::Digest;
use hallmark_core::policy::RuleMatch;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::SignedForm;
use jiff::Timestamp;

/// The decision as JSON: `allowed`, `enforced`, `dryRun`, `breakGlass`, `generation` and `images`
/// with their whole explanation. Without a line break.
pub fn to_bytes(decision: &Decision) -> Bytes {
    let mut out = Vec::with_capacity(capacity(decision));
    write_decision(decision, &mut out);
    out.into()
}

/// Bytes that hold nearly every decision: an image with an attestation or two.
pub(crate) fn capacity(decision: &Decision) -> usize {
    let trials: usize = decision
        .images
        .iter()
        .flat_map(|image| image.attestors.iter())
        .map(|attestor| 1 + attestor.trials.len())
        .sum();
    128 + 512 * decision.images.len() + 384 * trials
}

/// Appends what [`to_bytes`] gives.
pub(crate) fn write_decision(decision: &Decision, out: &mut Vec<u8>) {
    member(out, "{", "allowed", decision.allowed);
    member(out, ",", "enforced", decision.enforced());
    member(out, ",", "dryRun", decision.dry_run);
    member(out, ",", "breakGlass", decision.break_glass);
    raw(out, r#","generation":"#);
    number(out, decision.generation);
    raw(out, r#","images":"#);
    list(out, &decision.images, image);
    raw(out, "}");
}

/// Appends a JSON string.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Without an early exit, for the loop to run on vectors: nearly no text has such a byte.
    if text.bytes().fold(false, |any, byte| any | escaped(byte)) {
        let quoted = serde_json::Value::from(text).to_string();
        return raw(out, &quoted);
    }
    raw(out, "\"");
    raw(out, text);
    raw(out, "\"");
}

pub(crate) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn image(out: &mut Vec<u8>, image: &ImageDecision) {
    raw(out, r#"{"image":"#);
    text(out, &image.image);
    raw(out, r#","digest":"#);
    or_null(out, image.digest, digest);
    member(out, ",", "allowed", image.allowed);
    raw(out, r#","rule":"#);
    or_null(out, image.rule.as_ref(), rule);
    raw(out, r#","reason":"#);
    word(out, image.reason.code());
    raw(out, r#","message":"#);
    text(out, &image.message());
    raw(out, r#","attestors":"#);
    list(out, &image.attestors, attestor);
    if image.attestors_left_out > 0 {
        raw(out, r#","attestorsLeftOut":"#);
        number(out, image.attestors_left_out as u64);
    }
    member(out, ",", "cached", image.cached);
    raw(out, "}");
}

fn attestor(out: &mut Vec<u8>, result: &AttestorResult) {
    let name = &result.attestor;
    resource_name(out, r#"{"attestor":"#, [name.project().as_str(), "attestors", name.id()]);
    member(out, ",", "satisfied", result.reason == AttestorReason::Verified);
    raw(out, r#","reason":"#);
    word(out, result.reason.code());
    if let AttestorReason::EvidenceUnavailable(detail) | AttestorReason::KeysUnavailable(detail) =
        &result.reason
    {
        raw(out, r#","detail":"#);
        text(out, detail);
    }
    raw(out, r#","trials":"#);
    list(out, &result.trials, trial);
    if result.others.total() > 0 {
        others(out, &result.others);
    }
    raw(out, "}");
}

fn others(out: &mut Vec<u8>, others: &OtherOutcomes) {
    let mut before = r#","otherOutcomes":{"#;
    for (code, count) in others.iter() {
        raw(out, before);
        word(out, code);
        raw(out, ":");
        number(out, count as u64);
        before = ",";
    }
    raw(out, "}");
}

fn trial(out: &mut Vec<u8>, trial: &Trial) {
    let name = &trial.occurrence;
    resource_name(out, r#"{"occurrence":"#, [name.project().as_str(), "occurrences", name.id()]);
    raw(out, r#","signature":"#);
    number(out, trial.signature_index as u64);
    raw(out, r#","keyId":"#);
    text(out, trial.key_id.as_str());
    raw(out, r#","algorithm":"#);
    or_null(out, trial.algorithm.map(SignatureAlgorithm::name), word);
    if let Some(key) = &trial.key {
        raw(out, r#","plugin":"#);
        text(out, &key.plugin);
        raw(out, r#","spkiSha256":"#);
        word(out, Digest(key.fingerprint).to_string().trim_start_matches("sha256:"));
    }
    raw(out, r#","outcome":"#);
    word(out, trial.outcome.code());
    if let Some(detail) = detail(&trial.outcome) {
        raw(out, r#","detail":"#);
        text(out, &detail);
    }
    if let Some(signer) = &trial.signer {
        raw(out, r#","signedBy":"#);
        text(out, &signer.key);
        if let Some(signed_at) = signer.signed_at {
            raw(out, r#","signedAt":"#);
            text(out, &rfc3339(signed_at));
        }
    }
    raw(out, "}");
}

/// The details that the outcome's word leaves open.
fn detail(outcome: &TrialOutcome) -> Option<String> {
    Some(match outcome {
        TrialOutcome::Verified { form: SignedForm::Pae } => "signed in its DSSE form".to_owned(),
        TrialOutcome::KeyNotYetValid { not_before } => {
            format!("valid from {}", rfc3339(*not_before))
        }
        TrialOutcome::KeyExpired { not_after } => format!("valid until {}", rfc3339(*not_after)),
        TrialOutcome::KeyRevoked { revoked_at } if revoked_at.0 == i64::MIN => {
            "revoked as compromised: nothing that it ever signed counts".to_owned()
        }
        TrialOutcome::KeyRevoked { revoked_at } => format!("revoked at {}", rfc3339(*revoked_at)),
        TrialOutcome::PayloadMalformed { error }
        | TrialOutcome::SignatureMalformed { error }
        | TrialOutcome::SignatureRefused { error }
        | TrialOutcome::AlgorithmUnsupported { error } => error.clone(),
        TrialOutcome::SignatureExpired { expires_at } => {
            format!("expired at {}", rfc3339(*expires_at))
        }
        TrialOutcome::SignatureNotYetMade { signed_at } => {
            format!("dated {}", rfc3339(*signed_at))
        }
        TrialOutcome::SignedBeforeKey { not_before } => {
            format!("the key is valid from {}", rfc3339(*not_before))
        }
        TrialOutcome::DigestMismatch { signed } => format!("signed {signed}"),
        TrialOutcome::Verified { form: SignedForm::Raw | SignedForm::Enveloped }
        | TrialOutcome::SigningKeyUnknown
        | TrialOutcome::PayloadDiffers
        | TrialOutcome::KeyIdUnknown
        | TrialOutcome::BadSignature
        | TrialOutcome::Unavailable(_) => return None,
    })
}

fn rfc3339(time: UnixTime) -> String {
    Timestamp::from_second(time.0)
        .map_or_else(|_| format!("second {} since 1970", time.0), |stamp| stamp.to_string())
}

fn rule(out: &mut Vec<u8>, rule: &RuleMatch) {
    text(out, &rule.to_string());
}

fn digest(out: &mut Vec<u8>, digest: Digest) {
    write(out, format_args!("\"{digest}\""));
}

fn number(out: &mut Vec<u8>, number: u64) {
    write(out, format_args!("{number}"));
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes whatever is written.
    drop(out.write_fmt(text));
}

/// A word of our own, with nothing to escape.
fn word(out: &mut Vec<u8>, word: &str) {
    raw(out, "\"");
    raw(out, word);
    raw(out, "\"");
}

/// A member whose value is the name of a resource; no id holds what would have to be escaped.
fn resource_name(out: &mut Vec<u8>, key: &str, [project, collection, id]: [&str; 3]) {
    raw(out, key);
    for part in ["\"projects/", project, "/", collection, "/", id, "\""] {
        raw(out, part);
    }
}

fn member(out: &mut Vec<u8>, before: &str, key: &str, value: bool) {
    for part in [before, "\"", key, if value { "\":true" } else { "\":false" }] {
        raw(out, part);
    }
}

fn or_null<T>(out: &mut Vec<u8>, value: Option<T>, write: fn(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => raw(out, "null"),
    }
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: fn(&mut Vec<u8>, &T)) {
    raw(out, "[");
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            raw(out, ",");
        }
        write(out, item);
    }
    raw(out, "]");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hallmark_core::attestor::{KeyType, Spki, Validity, VerificationKey};
    use hallmark_core::decision::Reason;
    use hallmark_core::verdict::Unavailable;
    use serde_json::{Value, json};

    use super::*;

    fn tried(outcome: TrialOutcome) -> Trial {
        Trial {
            signer: None,
            occurrence: "projects/p/occurrences/0c5f".parse().expect("a name"),
            signature_index: 12,
            key_id: "key \"1\"".into(),
            algorithm: Some(SignatureAlgorithm::EcdsaP256Sha256),
            key: None,
            outcome,
        }
    }

    fn key_of(plugin: &str) -> Arc<VerificationKey> {
        Arc::new(VerificationKey {
            ids: Vec::new(),
            spki: Spki::new([], KeyType::Ed25519, 0..0),
            fingerprint: [0xcd; 32],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            validity: Validity::default(),
            envelope: None,
            plugin: plugin.into(),
            holder: None,
        })
    }

    fn decided(attestors: Arc<[AttestorResult]>) -> Decision {
        let image = ImageDecision {
            image: "r/\u{e9}\u{1}\\@x".into(),
            digest: Some(Digest([0xab; 32])),
            allowed: false,
            rule: Some(RuleMatch::Cluster("a\"b".to_owned())),
            enforcement: None,
            reason: Reason::NotAttested,
            attestors,
            attestors_left_out: 0,
            cached: true,
        };
        let bare = ImageDecision {
            digest: None,
            rule: None,
            attestors: [].into(),
            attestors_left_out: 199,
            cached: false,
            ..image.clone()
        };
        Decision {
            allowed: false,
            dry_run: true,
            break_glass: false,
            generation: u64::MAX,
            images: vec![image, bare],
        }
    }

    #[test]
    fn every_member_is_spelled_and_escaped() {
        let outcomes = [
            TrialOutcome::BadSignature,
            TrialOutcome::KeyExpired { not_after: UnixTime(0) },
            TrialOutcome::Unavailable(Unavailable::Deadline),
        ];
        let mut trials: Vec<_> = outcomes.into_iter().map(tried).collect();
        trials[2].key = Some(key_of("acme \"kms\""));
        let reason = AttestorReason::KeysUnavailable("gone\t".to_owned());
        let attestor = "projects/q/attestors/built".parse().expect("a name");
        let mut others = OtherOutcomes::default();
        (0..990).for_each(|_| others.add(&TrialOutcome::KeyIdUnknown));
        others.add(&TrialOutcome::BadSignature);
        let decision = decided([AttestorResult { attestor, reason, trials, others }].into());
        let bytes = to_bytes(&decision);
        assert!(!bytes.contains(&b'\n'));
        let trial = |outcome: &str| {
            json!({
                "occurrence": "projects/p/occurrences/0c5f", "signature": 12,
                "keyId": "key \"1\"", "algorithm": "ECDSA_P256_SHA256", "outcome": outcome,
            })
        };
        let mut expired = trial("KEY_EXPIRED");
        expired["detail"] = json!("valid until 1970-01-01T00:00:00Z");
        let mut late = trial("DEADLINE_EXCEEDED");
        late["plugin"] = json!("acme \"kms\"");
        late["spkiSha256"] = json!("cd".repeat(32));
        let denied_by = |rule: &str, told: &str| {
            format!("Image r/\u{e9}\u{1}\\@x denied by Binary Authorization {rule}. {told}")
        };
        let told = "Image r/\u{e9}\u{1}\\@x denied by attestor projects/q/attestors/built: Could not be \
                    determined: its keys are unavailable: gone\\t";
        let image = json!({
            "image": "r/\u{e9}\u{1}\\@x", "digest": format!("sha256:{}", "ab".repeat(32)),
            "allowed": false, "rule": "cluster admission rule for a\"b",
            "reason": "NOT_ATTESTED", "message": denied_by("cluster admission rule for a\"b", told),
            "cached": true,
            "attestors": [{
                "attestor": "projects/q/attestors/built", "satisfied": false,
                "reason": "KEYS_UNAVAILABLE", "detail": "gone\t",
                "trials": [trial("BAD_SIGNATURE"), expired, late],
                "otherOutcomes": {"BAD_SIGNATURE": 1, "KEY_ID_UNKNOWN": 990},
            }],
        });
        let mut bare = image.clone();
        let told = "Could not be determined: the digest was not evaluated. 199 more attestors are not \
                    shown";
        bare["message"] = denied_by("default admission rule", told).into();
        bare["digest"] = Value::Null;
        bare["rule"] = Value::Null;
        bare["attestors"] = json!([]);
        bare["attestorsLeftOut"] = json!(199);
        bare["cached"] = json!(false);
        let expected = json!({
            "allowed": false, "enforced": decision.enforced(), "dryRun": true,
            "breakGlass": false, "generation": u64::MAX, "images": [image, bare],
        });
        assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), expected);
    }

    #[test]
    fn a_text_is_escaped_wherever_json_demands_it() {
        for code in 0..0x250_u32 {
            let given: String =
                ["ab", "c"].join(&char::from_u32(code).expect("a char").to_string());
            let mut out = Vec::new();
            text(&mut out, &given);
            assert_eq!(out, serde_json::to_vec(&given).expect("JSON"), "{code:#x}");
        }
    }
}
