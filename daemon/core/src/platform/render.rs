//! Writing platform policies as Google's API does: camelCase, empty fields left out.

use serde_json::{Map, Value, json};

use super::allow_pattern::AllowPattern;
use super::{
    AttestationAuthenticator, CheckKind, CheckSet, EvaluationRule, GkePolicy, InlineAttestor,
    InlineCloudRunPolicy, InlineEvaluation, MaximumSeverity, PlatformPolicy, PlatformRules,
    PolicyCheck, Scope, SigstoreAuthority, SimpleSigningAttestationCheck, TrustedBuilder,
    VerificationRule, VulnerabilityCheck,
};
use crate::attestor::render::{insert_text, public_key_to_json};
use crate::attestor::{KeyMaterial, PublicKey};
use crate::names::ProjectId;
use crate::policy::render::enforcement_mode;

/// The resource in JSON.
pub fn platform_policy_to_json(policy: &PlatformPolicy) -> Value {
    let (member, rules) = match &policy.rules {
        PlatformRules::Gke(policy) => ("gkePolicy", gke_policy(policy)),
        PlatformRules::CloudRun(policy) => ("cloudRunPolicy", cloud_run_policy(policy)),
    };
    let mut object = Map::new();
    insert_text(&mut object, "description", &policy.description);
    insert_text(&mut object, "etag", &policy.etag);
    object.insert(member.to_owned(), rules);
    object.insert("name".to_owned(), policy.name.to_string().into());
    insert_text(&mut object, "updateTime", &policy.update_time);
    object.into()
}

/// The resource in YAML.
pub fn platform_policy_to_yaml(policy: &PlatformPolicy) -> String {
    let json = platform_policy_to_json(policy);
    // JSON is YAML too, should the serializer ever fail.
    serde_saphyr::to_string(&json).unwrap_or_else(|_| json.to_string())
}

/// The scope of a check set; `None` where it has none.
pub(super) fn scope(scope: &Scope) -> Option<Value> {
    match scope {
        Scope::KubernetesServiceAccount(account) => {
            Some(json!({"kubernetesServiceAccount": account}))
        }
        Scope::KubernetesNamespace(namespace) => Some(json!({"kubernetesNamespace": namespace})),
        Scope::Default => None,
    }
}

fn gke_policy(policy: &GkePolicy) -> Value {
    let mut object = Map::new();
    insert_list(&mut object, "checkSets", &policy.check_sets, check_set);
    insert_allowlist(&mut object, &policy.image_allowlist);
    object.into()
}

fn check_set(set: &CheckSet) -> Value {
    let mut object = Map::new();
    insert_list(&mut object, "checks", &set.checks, check);
    insert_text(&mut object, "displayName", &set.display_name);
    insert_allowlist(&mut object, &set.image_allowlist);
    object.extend(scope(&set.scope).map(|scope| ("scope".to_owned(), scope)));
    object.into()
}

fn check(check: &PolicyCheck) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "displayName", &check.display_name);
    insert_allowlist(&mut object, &check.image_allowlist);
    let (member, kind) = match &check.kind {
        CheckKind::AlwaysDeny => ("alwaysDeny", true.into()),
        CheckKind::ImageFreshness(days) => {
            ("imageFreshnessCheck", json!({"maxUploadAgeDays": days}))
        }
        CheckKind::SigstoreSignature(authorities) => {
            let authorities: Vec<_> = authorities.iter().map(sigstore_authority).collect();
            ("sigstoreSignatureCheck", json!({"sigstoreAuthorities": authorities}))
        }
        CheckKind::SimpleSigningAttestation(check) => {
            ("simpleSigningAttestationCheck", simple_signing(check))
        }
        CheckKind::Slsa(rules) => {
            let rules: Vec<_> = rules.iter().map(verification_rule).collect();
            ("slsaCheck", json!({"rules": rules}))
        }
        CheckKind::TrustedDirectory(patterns) => {
            let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_str()).collect();
            ("trustedDirectoryCheck", json!({"trustedDirPatterns": patterns}))
        }
        CheckKind::Vulnerability(check) => ("vulnerabilityCheck", vulnerability(check)),
    };
    object.insert(member.to_owned(), kind);
    object.into()
}

fn simple_signing(check: &SimpleSigningAttestationCheck) -> Value {
    let mut object = Map::new();
    insert_list(&mut object, "attestationAuthenticators", &check.authenticators, authenticator);
    insert_list(&mut object, "containerAnalysisAttestationProjects", &check.projects, project);
    object.into()
}

fn authenticator(authenticator: &AttestationAuthenticator) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "displayName", &authenticator.display_name);
    let keys: Vec<_> = authenticator.public_keys.iter().map(pkix_public_key).collect();
    object.insert("pkixPublicKeySet".to_owned(), json!({"pkixPublicKeys": keys}));
    object.into()
}

/// A key with no wrapper around it has its id in itself.
fn pkix_public_key(key: &PublicKey) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "keyId", key.id.as_ref().map_or("", |id| id.as_str()));
    if let KeyMaterial::Pkix { public_key_pem, signature_algorithm } = &key.material {
        insert_text(&mut object, "publicKeyPem", public_key_pem);
        insert_text(&mut object, "signatureAlgorithm", signature_algorithm.name());
    }
    object.into()
}

fn sigstore_authority(authority: &SigstoreAuthority) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "displayName", &authority.display_name);
    let keys = authority.public_key_pems.iter();
    let keys: Vec<_> = keys.map(|pem| json!({"publicKeyPem": pem})).collect();
    object.insert("publicKeySet".to_owned(), json!({"publicKeys": keys}));
    object.into()
}

fn verification_rule(rule: &VerificationRule) -> Value {
    let mut object = Map::new();
    if !rule.attestation_projects.is_empty() {
        let mut source = Map::new();
        let projects = &rule.attestation_projects;
        insert_list(&mut source, "containerAnalysisAttestationProjects", projects, project);
        object.insert("attestationSource".to_owned(), source.into());
    }
    if rule.config_based_build_required {
        object.insert("configBasedBuildRequired".to_owned(), true.into());
    }
    insert_text(&mut object, "customConstraints", &rule.custom_constraints);
    let TrustedBuilder::GoogleCloudBuild = rule.trusted_builder;
    insert_text(&mut object, "trustedBuilder", "GOOGLE_CLOUD_BUILD");
    let patterns = &rule.trusted_source_repo_patterns;
    insert_list(&mut object, "trustedSourceRepoPatterns", patterns, |text| text.clone().into());
    object.into()
}

fn vulnerability(check: &VulnerabilityCheck) -> Value {
    let mut object = Map::new();
    let text = |text: &String| text.clone().into();
    insert_list(&mut object, "allowedCves", &check.allowed_cves, text);
    insert_list(&mut object, "blockedCves", &check.blocked_cves, text);
    insert_list(&mut object, "containerAnalysisVulnerabilityProjects", &check.projects, project);
    let (fixable, unfixable) = (check.maximum_fixable_severity, check.maximum_unfixable_severity);
    insert_text(&mut object, "maximumFixableSeverity", severity(fixable));
    insert_text(&mut object, "maximumUnfixableSeverity", severity(unfixable));
    object.into()
}

fn severity(severity: MaximumSeverity) -> &'static str {
    match severity {
        MaximumSeverity::BlockAll => "BLOCK_ALL",
        MaximumSeverity::Minimal => "MINIMAL",
        MaximumSeverity::Low => "LOW",
        MaximumSeverity::Medium => "MEDIUM",
        MaximumSeverity::High => "HIGH",
        MaximumSeverity::Critical => "CRITICAL",
        MaximumSeverity::AllowAll => "ALLOW_ALL",
    }
}

fn cloud_run_policy(policy: &InlineCloudRunPolicy) -> Value {
    let mut object = Map::new();
    insert_list(
        &mut object,
        "allowlistPatterns",
        &policy.allowlist_patterns,
        |pattern| json!({"namePattern": pattern.as_str()}),
    );
    object.insert("rule".to_owned(), evaluation_rule(&policy.rule));
    object.into()
}

fn evaluation_rule(rule: &EvaluationRule) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "enforcementMode", enforcement_mode(rule.enforcement));
    let evaluation = match &rule.evaluation {
        InlineEvaluation::AlwaysAllow => "ALWAYS_ALLOW",
        InlineEvaluation::AlwaysDeny => "ALWAYS_DENY",
        InlineEvaluation::RequireAttestation(attestors) => {
            insert_list(&mut object, "requiredAttestors", attestors, inline_attestor);
            "REQUIRE_ATTESTATION"
        }
    };
    insert_text(&mut object, "evaluationMode", evaluation);
    object.into()
}

fn inline_attestor(attestor: &InlineAttestor) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "attestationNote", &attestor.attestation_note.to_string());
    insert_text(&mut object, "description", &attestor.description);
    insert_text(&mut object, "id", &attestor.id);
    insert_list(&mut object, "publicKeys", &attestor.public_keys, public_key_to_json);
    object.into()
}

fn project(project: &ProjectId) -> Value {
    format!("projects/{project}").into()
}

fn insert_allowlist(object: &mut Map<String, Value>, patterns: &[AllowPattern]) {
    if !patterns.is_empty() {
        let patterns: Vec<_> = patterns.iter().map(AllowPattern::as_str).collect();
        object.insert("imageAllowlist".to_owned(), json!({"allowPattern": patterns}));
    }
}

fn insert_list<T>(
    object: &mut Map<String, Value>,
    name: &str,
    elements: &[T],
    render: impl Fn(&T) -> Value,
) {
    if !elements.is_empty() {
        let elements: Vec<_> = elements.iter().map(render).collect();
        object.insert(name.to_owned(), elements.into());
    }
}
