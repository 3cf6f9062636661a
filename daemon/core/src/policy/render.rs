//! Writing policies as Google's tools export them: fields in the order of the alphabet, empty
//! ones left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    AdmissionRule, EnforcementMode, EvaluationMode, GlobalPolicyEvaluationMode, Policy,
    SpecificRules,
};
use crate::names::ProjectId;

/// The policy of `project` in JSON.
pub fn policy_to_json(policy: &Policy, project: &ProjectId) -> Value {
    let mut object = Map::new();
    let patterns = policy.admission_whitelist_patterns.iter();
    let patterns: Vec<_> = patterns.map(|p| json!({"namePattern": p.as_str()})).collect();
    if !patterns.is_empty() {
        object.insert("admissionWhitelistPatterns".to_owned(), patterns.into());
    }
    let default = rule_to_json(&policy.default_admission_rule);
    object.insert("defaultAdmissionRule".to_owned(), default);
    let mode = match policy.global_policy_evaluation_mode {
        GlobalPolicyEvaluationMode::Unspecified => "",
        GlobalPolicyEvaluationMode::Enable => "ENABLE",
        GlobalPolicyEvaluationMode::Disable => "DISABLE",
    };
    if let Some((name, rules)) = specific(&policy.specific_rules) {
        object.insert(name.to_owned(), rules);
    }
    for (name, text) in [
        ("description", &*policy.description),
        ("etag", &*policy.etag),
        ("globalPolicyEvaluationMode", mode),
        ("updateTime", &*policy.update_time),
    ] {
        if !text.is_empty() {
            object.insert(name.to_owned(), text.into());
        }
    }
    object.insert("name".to_owned(), format!("projects/{project}/policy").into());
    object.into()
}

/// The policy of `project` in YAML.
pub fn policy_to_yaml(policy: &Policy, project: &ProjectId) -> String {
    let json = policy_to_json(policy, project);
    // JSON is YAML too, should the serializer ever fail.
    serde_saphyr::to_string(&json).unwrap_or_else(|_| json.to_string())
}

fn specific(rules: &SpecificRules) -> Option<(&'static str, Value)> {
    let (name, rules) = match rules {
        SpecificRules::None => return None,
        SpecificRules::Cluster(rules) => ("clusterAdmissionRules", rules),
        SpecificRules::KubernetesNamespace(rules) => ("kubernetesNamespaceAdmissionRules", rules),
        SpecificRules::KubernetesServiceAccount(rules) => {
            ("kubernetesServiceAccountAdmissionRules", rules)
        }
        SpecificRules::IstioServiceIdentity(rules) => ("istioServiceIdentityAdmissionRules", rules),
    };
    (!rules.is_empty()).then(|| (name, rules_to_json(rules)))
}

fn rules_to_json(rules: &BTreeMap<String, AdmissionRule>) -> Value {
    rules.iter().map(|(key, rule)| (key.clone(), rule_to_json(rule))).collect()
}

/// The enum name of an enforcement mode.
pub(crate) fn enforcement_mode(mode: EnforcementMode) -> &'static str {
    match mode {
        EnforcementMode::EnforcedBlockAndAuditLog => "ENFORCED_BLOCK_AND_AUDIT_LOG",
        EnforcementMode::DryrunAuditLogOnly => "DRYRUN_AUDIT_LOG_ONLY",
    }
}

fn rule_to_json(rule: &AdmissionRule) -> Value {
    let enforcement = enforcement_mode(rule.enforcement);
    match &rule.evaluation {
        EvaluationMode::AlwaysAllow => {
            json!({"enforcementMode": enforcement, "evaluationMode": "ALWAYS_ALLOW"})
        }
        EvaluationMode::AlwaysDeny => {
            json!({"enforcementMode": enforcement, "evaluationMode": "ALWAYS_DENY"})
        }
        EvaluationMode::RequireAttestation(attestors) => {
            let attestors: Vec<_> = attestors.iter().map(ToString::to_string).collect();
            json!({
                "enforcementMode": enforcement,
                "evaluationMode": "REQUIRE_ATTESTATION",
                "requireAttestationsBy": attestors,
            })
        }
    }
}
