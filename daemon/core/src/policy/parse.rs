//! Reading policies, as Google's tools read and export them.
//!
//! Beyond the form of each field this checks what makes a policy valid as a whole; every error is
//! reported with its path and line.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::pattern::AllowlistPattern;
use super::{
    AdmissionRule, EnforcementMode, EvaluationMode, GlobalPolicyEvaluationMode, Policy,
    SpecificRules, SystemPolicy,
};
use crate::attributes::{ClusterName, MeshIdentity, Namespace, ServiceAccount};
use crate::document::read::{Field, FieldErrors, Object, resource};
use crate::document::{Document, DocumentError, DocumentLimits};
use crate::names::{AttestorName, ProjectId};

/// References to attestors in one policy, as in Google's quota.
pub const ATTESTOR_REFERENCES_MAX: usize = 200;

/// Rules in one map. Google publishes no number; with one rule for each namespace of the largest
/// supported cluster (10 000, the Kubernetes scalability thresholds) there is room.
pub const RULES_MAX: usize = 10_000;

/// Allowlist patterns in one policy. Google publishes no number; every pattern is compared with
/// every image, so the count bounds the cost of a decision.
pub const PATTERNS_MAX: usize = 1_000;

/// Reads a policy in YAML.
pub fn policy_from_yaml(text: &str) -> Result<Policy, DocumentError> {
    Ok(policy_from_document(&Document::from_yaml(text, &DocumentLimits::DEFAULT)?, None)?)
}

/// Reads a policy in JSON.
pub fn policy_from_json(text: &str) -> Result<Policy, DocumentError> {
    Ok(policy_from_document(&Document::from_json(text, &DocumentLimits::DEFAULT)?, None)?)
}

/// Reads a policy file by the extension of its name: `.json`, `.yaml` or `.yml`; `project` as in
/// [`policy_from_document`].
pub fn policy_from_file_name(
    name: &str,
    text: &str,
    project: Option<&ProjectId>,
) -> Result<Policy, DocumentError> {
    let document = Document::from_file(name, text.as_bytes(), &DocumentLimits::DEFAULT)?;
    Ok(policy_from_document(&document, project)?)
}

/// Reads a policy from a document of either format. Where it is known whose policy it is to be,
/// `project` says so, and a document that is named as another's is refused. `etag` and
/// `updateTime` are kept as given: a write replaces them.
pub fn policy_from_document(
    document: &Document,
    project: Option<&ProjectId>,
) -> Result<Policy, FieldErrors> {
    resource(document.root(), |root| policy(root, project))
}

/// Reads a system policy: the document of a policy, of which only the patterns count.
pub fn system_policy_from_document(document: &Document) -> Result<SystemPolicy, FieldErrors> {
    resource(document.root(), |root| {
        let object = root.object(&FIELDS)?;
        object.get("name").map(|field| field.parsed(policy_name));
        Some(SystemPolicy { admission_whitelist_patterns: patterns(&object)? })
    })
}

const FIELDS: [&str; 11] = [
    "name",
    "description",
    "globalPolicyEvaluationMode",
    "admissionWhitelistPatterns",
    "defaultAdmissionRule",
    "clusterAdmissionRules",
    "kubernetesNamespaceAdmissionRules",
    "kubernetesServiceAccountAdmissionRules",
    "istioServiceIdentityAdmissionRules",
    "etag",
    "updateTime",
];

fn policy(root: &Field<'_>, project: Option<&ProjectId>) -> Option<Policy> {
    let object = root.object(&FIELDS)?;
    match project.map(|project| format!("projects/{project}/policy")) {
        Some(name) => object.repeats("name", &name, |text| text == name),
        None => drop(object.get("name").map(|field| field.parsed(policy_name))),
    }
    let mode = match object.get("globalPolicyEvaluationMode") {
        Some(field) => field.enumeration(&GLOBAL_POLICY_EVALUATION_MODES),
        None => Some(GlobalPolicyEvaluationMode::Unspecified),
    };
    let patterns = patterns(&object);
    let mut references = References { left: ATTESTOR_REFERENCES_MAX };
    let default = object.required("defaultAdmissionRule").and_then(|rule| references.rule(&rule));
    let specific = specific_rules(&object, &mut references);
    Some(Policy {
        description: object.text("description"),
        global_policy_evaluation_mode: mode?,
        admission_whitelist_patterns: patterns?,
        default_admission_rule: default?,
        specific_rules: specific?,
        etag: object.text("etag"),
        update_time: object.text("updateTime"),
    })
}

const GLOBAL_POLICY_EVALUATION_MODES: [(&str, u32, GlobalPolicyEvaluationMode); 3] = [
    ("GLOBAL_POLICY_EVALUATION_MODE_UNSPECIFIED", 0, GlobalPolicyEvaluationMode::Unspecified),
    ("ENABLE", 1, GlobalPolicyEvaluationMode::Enable),
    ("DISABLE", 2, GlobalPolicyEvaluationMode::Disable),
];

/// The name is of a policy, of whatever project or location.
fn policy_name(text: &str) -> Result<(), String> {
    let mut parts = text.split('/');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    match parts {
        [Some("projects" | "locations"), Some(id), Some("policy"), None] => {
            id.parse::<ProjectId>().map(drop).map_err(|error| error.to_string())
        }
        _ => Err("must be of the form `projects/*/policy`, or be left out".to_owned()),
    }
}

fn patterns(object: &Object<'_>) -> Option<Vec<AllowlistPattern>> {
    pattern_list(object, "admissionWhitelistPatterns")
}

/// The patterns in the field `name`.
pub(crate) fn pattern_list(
    object: &Object<'_>,
    name: &'static str,
) -> Option<Vec<AllowlistPattern>> {
    let elements = object.list(name);
    if elements.len() > PATTERNS_MAX {
        let given = elements.len();
        object.field().fail(format!("{given} {name}; at most {PATTERNS_MAX}: use wildcards"));
        return None;
    }
    let patterns: Vec<_> = elements.iter().map(pattern).collect();
    patterns.into_iter().collect()
}

fn pattern(field: &Field<'_>) -> Option<AllowlistPattern> {
    let object = field.object(&["namePattern"])?;
    object.required("namePattern")?.parsed(AllowlistPattern::parse)
}

type RuleMap = BTreeMap<String, AdmissionRule>;

/// The specific rules, of which a policy has one kind only.
fn specific_rules(object: &Object<'_>, references: &mut References) -> Option<SpecificRules> {
    type Kind = (&'static str, fn(&str) -> Result<String, String>, fn(RuleMap) -> SpecificRules);
    const KINDS: [Kind; 4] = [
        ("clusterAdmissionRules", cluster, SpecificRules::Cluster),
        ("kubernetesNamespaceAdmissionRules", namespace, SpecificRules::KubernetesNamespace),
        (
            "kubernetesServiceAccountAdmissionRules",
            service_account,
            SpecificRules::KubernetesServiceAccount,
        ),
        ("istioServiceIdentityAdmissionRules", istio_identity, SpecificRules::IstioServiceIdentity),
    ];
    let mut first = None;
    let mut chosen = Some(SpecificRules::None);
    for (name, key, kind) in KINDS {
        let Some(field) = object.get(name) else { continue };
        let rules = rule_map(&field, key, references);
        match first {
            _ if rules.as_ref().is_some_and(RuleMap::is_empty) => continue,
            Some(first) => {
                field.fail(format!(
                    "{first} has rules too; a policy has specific rules of one kind"
                ));
                chosen = None;
            }
            None => chosen = rules.map(kind),
        }
        first = first.or(Some(name));
    }
    chosen
}

fn rule_map(
    field: &Field<'_>,
    normal_key: impl Fn(&str) -> Result<String, String>,
    references: &mut References,
) -> Option<RuleMap> {
    let entries = field.entries();
    if entries.len() > RULES_MAX {
        field.fail(format!("{} rules; at most {RULES_MAX}", entries.len()));
        return None;
    }
    let mut rules = Some(RuleMap::new());
    for (key, field) in entries {
        let rule = references.rule(&field);
        let key = normal_key(key).map_err(|error| field.fail(error)).ok();
        let (Some(key), Some(rule)) = (key, rule) else {
            rules = None;
            continue;
        };
        match rules.as_mut().map(|rules| rules.entry(key)) {
            Some(Entry::Vacant(place)) => {
                place.insert(rule);
            }
            Some(Entry::Occupied(place)) => {
                field.fail(format!("a second rule for {}; keep one of the two", place.key()));
            }
            None => {}
        }
    }
    rules
}

/// The rest of [`ATTESTOR_REFERENCES_MAX`] while a policy is read.
struct References {
    left: usize,
}

/// `evaluationMode` by itself.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    AlwaysAllow,
    RequireAttestation,
    AlwaysDeny,
}

const EVALUATION_MODES: [(&str, u32, Option<Mode>); 4] = [
    ("EVALUATION_MODE_UNSPECIFIED", 0, None),
    ("ALWAYS_ALLOW", 1, Some(Mode::AlwaysAllow)),
    ("REQUIRE_ATTESTATION", 2, Some(Mode::RequireAttestation)),
    ("ALWAYS_DENY", 3, Some(Mode::AlwaysDeny)),
];

const ENFORCEMENT_MODES: [(&str, u32, Option<EnforcementMode>); 3] = [
    ("ENFORCEMENT_MODE_UNSPECIFIED", 0, None),
    ("ENFORCED_BLOCK_AND_AUDIT_LOG", 1, Some(EnforcementMode::EnforcedBlockAndAuditLog)),
    ("DRYRUN_AUDIT_LOG_ONLY", 2, Some(EnforcementMode::DryrunAuditLogOnly)),
];

impl References {
    fn rule(&mut self, field: &Field<'_>) -> Option<AdmissionRule> {
        let object =
            field.object(&["evaluationMode", "requireAttestationsBy", "enforcementMode"])?;
        let attestors = self.attestors(&object);
        let evaluation = evaluation(&object, attestors);
        let enforcement = enforcement(&object);
        Some(AdmissionRule { evaluation: evaluation?, enforcement: enforcement? })
    }

    /// Each attestor once, in the order written.
    fn attestors(&mut self, object: &Object<'_>) -> Option<Vec<AttestorName>> {
        let elements = object.list("requireAttestationsBy");
        let Some(left) = self.left.checked_sub(elements.len()) else {
            object.field().fail(format!(
                "with these, more than {ATTESTOR_REFERENCES_MAX} requireAttestationsBy in the policy"
            ));
            return None;
        };
        self.left = left;
        let mut attestors = Some(Vec::new());
        for field in elements {
            match (field.parsed(str::parse), &mut attestors) {
                (None, _) => attestors = None,
                (Some(name), Some(names)) if !names.contains(&name) => names.push(name),
                (Some(_), _) => {}
            }
        }
        attestors
    }
}

fn evaluation(object: &Object<'_>, attestors: Option<Vec<AttestorName>>) -> Option<EvaluationMode> {
    let given = attestors.as_ref().map(Vec::len);
    let mode = evaluation_mode(object, "requireAttestationsBy", given);
    Some(match (mode?, attestors?) {
        (Mode::AlwaysAllow, _) => EvaluationMode::AlwaysAllow,
        (Mode::RequireAttestation, attestors) => EvaluationMode::RequireAttestation(attestors),
        (Mode::AlwaysDeny, _) => EvaluationMode::AlwaysDeny,
    })
}

/// `evaluationMode`, where it goes with as many attestors as the field `list` holds; `None` of
/// them could not be read.
pub(crate) fn evaluation_mode(
    object: &Object<'_>,
    list: &'static str,
    attestors: Option<usize>,
) -> Option<Mode> {
    let field = object.required("evaluationMode")?;
    let mode = field.enumeration(&EVALUATION_MODES)?;
    match (mode, attestors?) {
        (None, _) => {
            field.fail("required; say ALWAYS_ALLOW, REQUIRE_ATTESTATION or ALWAYS_DENY");
            None
        }
        (Some(Mode::RequireAttestation), 0) => {
            field.fail(format!("REQUIRE_ATTESTATION needs {list}; name at least one attestor"));
            None
        }
        (Some(Mode::AlwaysAllow | Mode::AlwaysDeny), 1..) => {
            let by = object.get(list).unwrap_or(field);
            by.fail("goes with REQUIRE_ATTESTATION only; remove it, or change evaluationMode");
            None
        }
        (mode, _) => mode,
    }
}

/// `enforcementMode`, which must be said.
pub(crate) fn enforcement(object: &Object<'_>) -> Option<EnforcementMode> {
    let field = object.required("enforcementMode")?;
    let mode = field.enumeration(&ENFORCEMENT_MODES)?;
    if mode.is_none() {
        field.fail("required; say ENFORCED_BLOCK_AND_AUDIT_LOG or DRYRUN_AUDIT_LOG_ONLY");
    }
    mode
}

fn cluster(key: &str) -> Result<String, String> {
    match key.parse::<ClusterName>() {
        Ok(_) => Ok(key.to_owned()),
        Err(_) => {
            Err("the key must be LOCATION.CLUSTER in lower case, such as us-east1-a.prod"
                .to_owned())
        }
    }
}

fn namespace(key: &str) -> Result<String, String> {
    match key.parse::<Namespace>() {
        Ok(_) => Ok(key.to_owned()),
        Err(_) => Err("the key must be a Kubernetes namespace (RFC 1123 label)".to_owned()),
    }
}

fn service_account(key: &str) -> Result<String, String> {
    match is_account_of_namespace(key) {
        true => Ok(key.to_owned()),
        false => Err("the key must be NAMESPACE:SERVICE_ACCOUNT, such as shop:default".to_owned()),
    }
}

fn istio_identity(key: &str) -> Result<String, String> {
    match key.parse::<MeshIdentity>() {
        Ok(identity) => Ok(identity.without_scheme().to_owned()),
        Err(_) => Err("the key must be spiffe://DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT".to_owned()),
    }
}

/// True if this is `NAMESPACE:SERVICE_ACCOUNT`.
pub(crate) fn is_account_of_namespace(text: &str) -> bool {
    text.split_once(':').is_some_and(|(namespace, account)| {
        namespace.parse::<Namespace>().is_ok() && account.parse::<ServiceAccount>().is_ok()
    })
}
