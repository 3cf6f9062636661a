//! Enum values as numbers, for clients that ask for `$alt=json;enum-encoding=int`. All generated
//! REST clients of Google do.

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::occurrence::parse::KINDS;
use serde_json::Value;

/// The enum members of what this API writes, each with its values from 0.
const MEMBERS: &[(&str, &[&str])] = &[
    (
        "evaluationMode",
        &["EVALUATION_MODE_UNSPECIFIED", "ALWAYS_ALLOW", "REQUIRE_ATTESTATION", "ALWAYS_DENY"],
    ),
    (
        "enforcementMode",
        &["ENFORCEMENT_MODE_UNSPECIFIED", "ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY"],
    ),
    (
        "globalPolicyEvaluationMode",
        &["GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED", "ENABLE", "DISABLE"],
    ),
    ("result", &["RESULT_UNSPECIFIED", "VERIFIED", "ATTESTATION_NOT_VERIFIABLE"]),
    ("verdict", &["VERDICT_UNSPECIFIED", "CONFORMANT", "NON_CONFORMANT", "ERROR"]),
    ("logType", &["LOG_TYPE_UNSPECIFIED", "ADMIN_READ", "DATA_WRITE", "DATA_READ"]),
    ("protectionLevel", &["PROTECTION_LEVEL_UNSPECIFIED", "SOFTWARE", "HSM"]),
    ("publicKeyFormat", &["PUBLIC_KEY_FORMAT_UNSPECIFIED", "PEM", "DER", "NIST_PQC"]),
    ("state", &["CRYPTO_KEY_VERSION_STATE_UNSPECIFIED", "ENABLED"]),
    ("maximumFixableSeverity", SEVERITIES),
    ("maximumUnfixableSeverity", SEVERITIES),
    ("trustedBuilder", &["BUILDER_UNSPECIFIED", "GOOGLE_CLOUD_BUILD"]),
];

const SEVERITIES: &[&str] = &[
    "MAXIMUM_ALLOWED_SEVERITY_UNSPECIFIED",
    "BLOCK_ALL",
    "MINIMAL",
    "LOW",
    "MEDIUM",
    "HIGH",
    "CRITICAL",
    "ALLOW_ALL",
];

/// Replaces the names of enum values by their numbers. A value that the proto does not number,
/// which is an extension of Hallmark, keeps its name.
pub(in crate::http) fn to_numbers(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(to_numbers),
        // The rest of a note or an occurrence is the client's own.
        Value::Object(members) if members.contains_key("kind") => {
            if let Some(kind) = members.get_mut("kind") {
                replace("kind", kind);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                replace(name, member);
                to_numbers(member);
            }
        }
        _ => {}
    }
}

fn replace(name: &str, value: &mut Value) {
    if let Some(number) = value.as_str().and_then(|text| number(name, text)) {
        *value = number.into();
    }
}

fn number(name: &str, text: &str) -> Option<u32> {
    match name {
        "kind" => KINDS.iter().find(|(kind, _, _)| *kind == text).map(|(_, number, _)| *number),
        "signatureAlgorithm" => Some(SignatureAlgorithm::from_spelling(text)?.number()),
        // Cloud KMS numbers algorithms in its own way.
        "algorithm" => Some(SignatureAlgorithm::from_kms_name(text)?.kms()?.number),
        _ => {
            let (_, values) = MEMBERS.iter().find(|(member, _)| *member == name)?;
            u32::try_from(values.iter().position(|value| *value == text)?).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn enums_become_numbers_and_what_clients_keep_stays() {
        let mut value = json!({
            "defaultAdmissionRule": {"evaluationMode": "ALWAYS_DENY"},
            "clusterAdmissionRules": {"a.b": {"enforcementMode": "DRYRUN_AUDIT_LOG_ONLY"}},
            "publicKeys": [{"signatureAlgorithm": "ECDSA_P256_SHA256"}],
            "algorithm": "EC_SIGN_P256_SHA256",
            "description": "ENABLE",
        });
        to_numbers(&mut value);
        assert_eq!(
            value,
            json!({
                "defaultAdmissionRule": {"evaluationMode": 3},
                "clusterAdmissionRules": {"a.b": {"enforcementMode": 2}},
                "publicKeys": [{"signatureAlgorithm": 9}],
                "algorithm": 12,
                "description": "ENABLE",
            })
        );
        let mut occurrence = json!({"kind": "BUILD", "build": {"state": "ENABLED"}});
        to_numbers(&mut occurrence);
        assert_eq!(occurrence, json!({"kind": 2, "build": {"state": "ENABLED"}}));
    }
}
