//! Policies, attestors and notes as bytes: JSON of structs that belong to this file format alone,
//! so that what the API accepts may change without touching what is stored.

use std::collections::BTreeMap;

use hallmark_core::attestor::{Attestor, KeyId, KeyMaterial, PublicKey, SignatureAlgorithm};
use hallmark_core::names::{AttestorName, NoteName, PlatformPolicyName};
use hallmark_core::occurrence::Note;
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::platform::parse::platform_policy_from_json;
use hallmark_core::platform::render::platform_policy_to_json;
use hallmark_core::policy::pattern::AllowlistPattern;
use hallmark_core::policy::{
    AdmissionRule, EnforcementMode, EvaluationMode, GlobalPolicyEvaluationMode, Policy,
    SpecificRules,
};
use serde::{Deserialize, Serialize};

use super::write::version;
use crate::auth::iam::{IamBinding, IamPolicy};

/// A stored record does not read as what it should be: the disk, or another program, changed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored record is damaged: {0}")]
pub(super) struct Damaged(pub(super) String);

impl From<&str> for Damaged {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl From<serde_json::Error> for Damaged {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

#[derive(Serialize, Deserialize)]
struct AttestorRecord {
    etag: String,
    description: String,
    note: String,
    keys: Vec<KeyRecord>,
    update_time: String,
}

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    comment: String,
    id: Option<String>,
    material: MaterialRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MaterialRecord {
    Pkix { pem: String, algorithm: u32 },
    Pgp { armored: String },
    Reference,
}

/// An attestor without its name, which is its key.
pub(super) fn encode_attestor(attestor: &Attestor) -> Vec<u8> {
    let key = |key: &PublicKey| KeyRecord {
        comment: key.comment.clone(),
        id: key.id.as_ref().map(|id| id.as_str().to_owned()),
        material: match &key.material {
            KeyMaterial::Pkix { public_key_pem, signature_algorithm } => MaterialRecord::Pkix {
                pem: public_key_pem.clone(),
                algorithm: signature_algorithm.number(),
            },
            KeyMaterial::Pgp { ascii_armored } => {
                MaterialRecord::Pgp { armored: ascii_armored.clone() }
            }
            KeyMaterial::Reference => MaterialRecord::Reference,
        },
    };
    json(&AttestorRecord {
        etag: attestor.etag.clone(),
        description: attestor.description.clone(),
        note: attestor.note.to_string(),
        keys: attestor.public_keys.iter().map(key).collect(),
        update_time: attestor.update_time.clone(),
    })
}

/// Reads what [`encode_attestor`] wrote under `name`.
pub(super) fn decode_attestor(name: AttestorName, record: &[u8]) -> Result<Attestor, Damaged> {
    let record: AttestorRecord = serde_json::from_slice(record)?;
    let key = |key: KeyRecord| {
        let material = match key.material {
            MaterialRecord::Pkix { pem, algorithm } => KeyMaterial::Pkix {
                public_key_pem: pem,
                signature_algorithm: SignatureAlgorithm::from_number(algorithm)
                    .ok_or("a signature algorithm is unknown")?,
            },
            MaterialRecord::Pgp { armored } => KeyMaterial::Pgp { ascii_armored: armored },
            MaterialRecord::Reference => KeyMaterial::Reference,
        };
        Ok(PublicKey { comment: key.comment, id: key.id.as_deref().map(KeyId::from), material })
    };
    Ok(Attestor {
        name,
        description: record.description,
        note: record.note.parse().map_err(|_| "a note name is malformed")?,
        public_keys: record.keys.into_iter().map(key).collect::<Result<_, Damaged>>()?,
        etag: record.etag,
        update_time: record.update_time,
    })
}

#[derive(Serialize, Deserialize)]
struct PolicyRecord {
    etag: String,
    description: String,
    global: GlobalRecord,
    patterns: Vec<String>,
    default: RuleRecord,
    specific: SpecificRecord,
    update_time: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GlobalRecord {
    Unspecified,
    Enable,
    Disable,
}

#[derive(Serialize, Deserialize)]
struct RuleRecord {
    evaluation: EvaluationRecord,
    enforced: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EvaluationRecord {
    AlwaysAllow,
    AlwaysDeny,
    RequireAttestation(Vec<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpecificRecord {
    None,
    Cluster(BTreeMap<String, RuleRecord>),
    Namespace(BTreeMap<String, RuleRecord>),
    ServiceAccount(BTreeMap<String, RuleRecord>),
    IstioIdentity(BTreeMap<String, RuleRecord>),
}

impl From<&AdmissionRule> for RuleRecord {
    fn from(rule: &AdmissionRule) -> Self {
        Self {
            evaluation: match &rule.evaluation {
                EvaluationMode::AlwaysAllow => EvaluationRecord::AlwaysAllow,
                EvaluationMode::AlwaysDeny => EvaluationRecord::AlwaysDeny,
                EvaluationMode::RequireAttestation(attestors) => {
                    EvaluationRecord::RequireAttestation(
                        attestors.iter().map(AttestorName::to_string).collect(),
                    )
                }
            },
            enforced: match rule.enforcement {
                EnforcementMode::EnforcedBlockAndAuditLog => true,
                EnforcementMode::DryrunAuditLogOnly => false,
            },
        }
    }
}

impl TryFrom<RuleRecord> for AdmissionRule {
    type Error = Damaged;

    fn try_from(record: RuleRecord) -> Result<Self, Damaged> {
        let evaluation = match record.evaluation {
            EvaluationRecord::AlwaysAllow => EvaluationMode::AlwaysAllow,
            EvaluationRecord::AlwaysDeny => EvaluationMode::AlwaysDeny,
            // Every one of no attestors would be an allow.
            EvaluationRecord::RequireAttestation(names) if names.is_empty() => {
                return Err("a rule requires the attestation of nobody".into());
            }
            EvaluationRecord::RequireAttestation(names) => {
                let names = names.iter().map(|name| name.parse()).collect::<Result<_, _>>();
                EvaluationMode::RequireAttestation(
                    names.map_err(|_| "an attestor name is malformed")?,
                )
            }
        };
        let enforcement = if record.enforced {
            EnforcementMode::EnforcedBlockAndAuditLog
        } else {
            EnforcementMode::DryrunAuditLogOnly
        };
        Ok(Self { evaluation, enforcement })
    }
}

/// A policy without its project, which is its key.
pub(super) fn encode_policy(policy: &Policy) -> Vec<u8> {
    let rules = |rules: &BTreeMap<String, AdmissionRule>| {
        rules.iter().map(|(key, rule)| (key.clone(), rule.into())).collect()
    };
    json(&PolicyRecord {
        etag: policy.etag.clone(),
        description: policy.description.clone(),
        global: match policy.global_policy_evaluation_mode {
            GlobalPolicyEvaluationMode::Unspecified => GlobalRecord::Unspecified,
            GlobalPolicyEvaluationMode::Enable => GlobalRecord::Enable,
            GlobalPolicyEvaluationMode::Disable => GlobalRecord::Disable,
        },
        patterns: policy
            .admission_whitelist_patterns
            .iter()
            .map(|pattern| pattern.as_str().to_owned())
            .collect(),
        default: (&policy.default_admission_rule).into(),
        specific: match &policy.specific_rules {
            SpecificRules::None => SpecificRecord::None,
            SpecificRules::Cluster(map) => SpecificRecord::Cluster(rules(map)),
            SpecificRules::KubernetesNamespace(map) => SpecificRecord::Namespace(rules(map)),
            SpecificRules::KubernetesServiceAccount(map) => {
                SpecificRecord::ServiceAccount(rules(map))
            }
            SpecificRules::IstioServiceIdentity(map) => SpecificRecord::IstioIdentity(rules(map)),
        },
        update_time: policy.update_time.clone(),
    })
}

/// Reads what [`encode_policy`] wrote.
pub(super) fn decode_policy(record: &[u8]) -> Result<Policy, Damaged> {
    let record: PolicyRecord = serde_json::from_slice(record)?;
    let rules = |rules: BTreeMap<String, RuleRecord>| {
        rules
            .into_iter()
            .map(|(key, rule)| Ok((key, rule.try_into()?)))
            .collect::<Result<_, Damaged>>()
    };
    let patterns =
        record.patterns.iter().map(|text| AllowlistPattern::parse(text)).collect::<Result<_, _>>();
    Ok(Policy {
        description: record.description,
        global_policy_evaluation_mode: match record.global {
            GlobalRecord::Unspecified => GlobalPolicyEvaluationMode::Unspecified,
            GlobalRecord::Enable => GlobalPolicyEvaluationMode::Enable,
            GlobalRecord::Disable => GlobalPolicyEvaluationMode::Disable,
        },
        admission_whitelist_patterns: patterns.map_err(|_| "an allowlist pattern is malformed")?,
        default_admission_rule: record.default.try_into()?,
        specific_rules: match record.specific {
            SpecificRecord::None => SpecificRules::None,
            SpecificRecord::Cluster(map) => SpecificRules::Cluster(rules(map)?),
            SpecificRecord::Namespace(map) => SpecificRules::KubernetesNamespace(rules(map)?),
            SpecificRecord::ServiceAccount(map) => {
                SpecificRules::KubernetesServiceAccount(rules(map)?)
            }
            SpecificRecord::IstioIdentity(map) => SpecificRules::IstioServiceIdentity(rules(map)?),
        },
        etag: record.etag,
        update_time: record.update_time,
    })
}

/// A note: its JSON.
pub(super) fn encode_note(note: &Note) -> Vec<u8> {
    json(&note.json)
}

/// Reads what [`encode_note`] wrote under `name`.
pub(super) fn decode_note(name: &NoteName, record: &[u8]) -> Result<Note, Damaged> {
    Ok(Note { name: name.clone(), json: serde_json::from_slice(record)? })
}

#[derive(Serialize, Deserialize)]
struct IamRecord {
    etag: String,
    bindings: Vec<IamBindingRecord>,
}

#[derive(Serialize, Deserialize)]
struct IamBindingRecord {
    role: String,
    members: Vec<String>,
}

/// An IAM policy without its resource, which is its key.
pub(super) fn encode_iam_policy(policy: &IamPolicy) -> Vec<u8> {
    let binding = |binding: &IamBinding| IamBindingRecord {
        role: binding.role.clone(),
        members: binding.members.clone(),
    };
    json(&IamRecord {
        etag: policy.etag.clone(),
        bindings: policy.bindings.iter().map(binding).collect(),
    })
}

/// Reads what [`encode_iam_policy`] wrote.
pub(super) fn decode_iam_policy(record: &[u8]) -> Result<IamPolicy, Damaged> {
    let IamRecord { etag, bindings } = serde_json::from_slice(record)?;
    let binding = |IamBindingRecord { role, members }| IamBinding { role, members };
    Ok(IamPolicy { bindings: bindings.into_iter().map(binding).collect(), etag })
}

/// A platform policy: the JSON of the API, which is the form that all its checks have in common.
pub(super) fn encode_platform_policy(policy: &PlatformPolicy) -> Vec<u8> {
    json(&platform_policy_to_json(policy))
}

/// Reads what [`encode_platform_policy`] wrote under `name`.
pub(super) fn decode_platform_policy(
    name: &PlatformPolicyName,
    record: &[u8],
) -> Result<PlatformPolicy, Damaged> {
    let text = str::from_utf8(record).map_err(|_| "a platform policy is not UTF-8")?;
    platform_policy_from_json(text, Some(name)).map_err(|error| Damaged(error.to_string()))
}

/// The etag of a stored policy or attestor.
pub(super) fn etag(record: &[u8]) -> Result<String, Damaged> {
    #[derive(Deserialize)]
    struct Etag {
        etag: String,
    }
    let Etag { etag } = serde_json::from_slice(record)?;
    Ok(etag)
}

/// The version of a note that [`encode_note`] wrote.
pub(super) fn version_of_note(record: &[u8]) -> Result<String, Damaged> {
    Ok(version(&serde_json::from_slice(record)?).to_owned())
}

fn json(record: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and maps with string keys always serialize"
    )]
    serde_json::to_vec(record).expect("a record serializes")
}
