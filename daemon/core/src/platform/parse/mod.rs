//! Reading platform policies, as Google's tools read and export them.
//!
//! Here stand the policy, its check sets and their scopes; [`checks`] reads the checks,
//! [`cloud_run`] the policies of the other platform. Every error is reported with its path and
//! line.

mod checks;
mod cloud_run;

use std::collections::HashSet;

use super::allow_pattern::AllowPattern;
use super::{CheckSet, GkePolicy, PlatformPolicy, PlatformRules, PolicyCheck, Scope};
use crate::attributes::Namespace;
use crate::document::read::{Field, FieldErrors, Object, resource};
use crate::document::{Document, DocumentError, DocumentLimits, Value};
use crate::names::{Platform, PlatformPolicyName, ProjectId};
use crate::policy::parse::{
    ATTESTOR_REFERENCES_MAX, PATTERNS_MAX, RULES_MAX, is_account_of_namespace,
};

/// Check sets of one policy, as rules of a project's policy.
pub const CHECK_SETS_MAX: usize = RULES_MAX;

/// Checks of one check set. Google publishes no number; every one is answered for every image, so
/// the count bounds the length of an answer.
pub const CHECKS_MAX: usize = 100;

/// Projects of one check, as in Google's quota.
pub const PROJECTS_MAX: usize = 10;

/// Lookups of one check set: its authenticators, each times the attestation projects of its check.
/// One costs an evaluation as much as an attestor costs a decision, so there are as many.
pub const LOOKUPS_MAX: usize = ATTESTOR_REFERENCES_MAX;

/// Reads a platform policy in YAML; `name` as in [`platform_policy_from_document`].
pub fn platform_policy_from_yaml(
    text: &str,
    name: Option<&PlatformPolicyName>,
) -> Result<PlatformPolicy, DocumentError> {
    let document = Document::from_yaml(text, &DocumentLimits::DEFAULT)?;
    Ok(platform_policy_from_document(&document, name)?)
}

/// Reads a platform policy in JSON; `name` as in [`platform_policy_from_document`].
pub fn platform_policy_from_json(
    text: &str,
    name: Option<&PlatformPolicyName>,
) -> Result<PlatformPolicy, DocumentError> {
    let document = Document::from_json(text, &DocumentLimits::DEFAULT)?;
    Ok(platform_policy_from_document(&document, name)?)
}

/// Reads a platform policy from a document of either format. `name` is the one of the URL; the
/// document may leave its own out, and may not say another. `etag` and `updateTime` are kept as given:
/// a write replaces them.
pub fn platform_policy_from_document(
    document: &Document,
    name: Option<&PlatformPolicyName>,
) -> Result<PlatformPolicy, FieldErrors> {
    resource(document.root(), |root| platform_policy(root, name))
}

fn platform_policy(root: &Field<'_>, name: Option<&PlatformPolicyName>) -> Option<PlatformPolicy> {
    let object =
        root.object(&["name", "description", "gkePolicy", "cloudRunPolicy", "etag", "updateTime"])?;
    let name = object.own_name(name, str::parse);
    let platform = name.as_ref().map(PlatformPolicyName::platform);
    let rules = rules(&object, platform);
    Some(PlatformPolicy {
        description: object.text("description"),
        etag: object.text("etag"),
        update_time: object.text("updateTime"),
        name: name?,
        rules: rules?,
    })
}

/// The one of the two that belongs to the platform.
fn rules(object: &Object<'_>, platform: Option<Platform>) -> Option<PlatformRules> {
    let (gke, cloud_run) = (object.get("gkePolicy"), object.get("cloudRunPolicy"));
    let gke_rules = gke.as_ref().map(|field| gke_policy(field).map(PlatformRules::Gke));
    let cloud_run_rules =
        cloud_run.as_ref().map(|field| cloud_run::policy(field).map(PlatformRules::CloudRun));
    match (platform, gke, cloud_run) {
        (_, Some(_), Some(field)) => {
            field.fail("a policy is for one platform; remove this or gkePolicy");
            None
        }
        (Some(Platform::CloudRun), Some(field), None) => {
            field.fail("the name is of a policy for cloudRun; set cloudRunPolicy");
            None
        }
        (Some(Platform::Gke), None, Some(field)) => {
            field.fail("the name is of a policy for gke; set gkePolicy");
            None
        }
        (Some(Platform::CloudRun), None, None) => {
            object.required("cloudRunPolicy");
            None
        }
        (_, None, None) => {
            object.required("gkePolicy");
            None
        }
        (_, _, None) => gke_rules?,
        (_, None, _) => cloud_run_rules?,
    }
}

fn gke_policy(field: &Field<'_>) -> Option<GkePolicy> {
    let object = field.object(&["imageAllowlist", "checkSets"])?;
    let mut patterns = Patterns { left: PATTERNS_MAX };
    let image_allowlist = patterns.allowlist(&object);
    let elements = object.list("checkSets");
    if elements.len() > CHECK_SETS_MAX {
        field.fail(format!("{} checkSets; at most {CHECK_SETS_MAX}", elements.len()));
        return None;
    }
    let sets: Vec<_> = elements.iter().map(|field| check_set(field, &mut patterns)).collect();
    let check_sets: Vec<CheckSet> = sets.into_iter().collect::<Option<_>>()?;
    in_order(&elements, &check_sets);
    Some(GkePolicy { image_allowlist: image_allowlist?, check_sets })
}

/// Puts down what keeps the first check set that matches a pod from being the most specific one,
/// or leaves a pod without any.
fn in_order(fields: &[Field<'_>], sets: &[CheckSet]) {
    let mut scopes = HashSet::new();
    for (index, (field, set)) in fields.iter().zip(sets).enumerate() {
        let last = index + 1 == sets.len();
        let next_is_wider = last || set.scope.kind() <= sets[index + 1].scope.kind();
        match &set.scope {
            scope if !scopes.insert(scope) => {
                field.fail("a check set of this scope is here already; join the two");
            }
            Scope::Default if !last => {
                field.fail("a check set without scope matches every pod; put it last");
            }
            Scope::Default => {}
            _ if last => {
                field.fail("the last check set must have no scope; add one for all other pods");
            }
            _ if !next_is_wider => field.fail(
                "check sets of a namespace stand after all those of a service account; move it down",
            ),
            _ => {}
        }
    }
}

impl Scope {
    /// The rank of its kind: smaller is more specific.
    fn kind(&self) -> u8 {
        match self {
            Self::KubernetesServiceAccount(_) => 0,
            Self::KubernetesNamespace(_) => 1,
            Self::Default => 2,
        }
    }
}

fn check_set(field: &Field<'_>, patterns: &mut Patterns) -> Option<CheckSet> {
    let object = field.object(&["displayName", "scope", "imageAllowlist", "checks"])?;
    object.refuse_null(&["scope"]);
    let scope = match object.get("scope") {
        Some(field) => scope(&field),
        None => Some(Scope::Default),
    };
    let image_allowlist = patterns.allowlist(&object);
    let checks = check_list(&object, patterns);
    let display_name = object.text("displayName");
    Some(CheckSet {
        display_name,
        scope: scope?,
        image_allowlist: image_allowlist?,
        checks: checks?,
    })
}

fn check_list(object: &Object<'_>, patterns: &mut Patterns) -> Option<Vec<PolicyCheck>> {
    let elements = object.list("checks");
    if elements.len() > CHECKS_MAX {
        let given = elements.len();
        object.field().fail(format!("{given} checks; a check set has at most {CHECKS_MAX}"));
        return None;
    }
    let checks: Vec<_> = elements.iter().map(|field| checks::check(field, patterns)).collect();
    let checks: Vec<PolicyCheck> = checks.into_iter().collect::<Option<_>>()?;
    let lookups: usize = checks.iter().map(checks::lookups).sum();
    if lookups > LOOKUPS_MAX {
        object.field().fail(format!(
            "{lookups} lookups of attestations, which are authenticators times projects; a check \
             set has at most {LOOKUPS_MAX}"
        ));
        return None;
    }
    Some(checks)
}

/// Google: unset or empty applies to everything.
fn scope(field: &Field<'_>) -> Option<Scope> {
    if matches!(&field.node().value, Value::String(text) if text.is_empty()) {
        return Some(Scope::Default);
    }
    let object = field.object(&["kubernetesServiceAccount", "kubernetesNamespace"])?;
    object.refuse_null(&["kubernetesServiceAccount", "kubernetesNamespace"]);
    match (object.get("kubernetesServiceAccount"), object.get("kubernetesNamespace")) {
        (Some(_), Some(namespace)) => {
            namespace.fail("a scope is a namespace or a service account; remove one of the two");
            None
        }
        (Some(account), None) => {
            account.parsed(service_account).map(Scope::KubernetesServiceAccount)
        }
        (None, Some(name)) => name.parsed(namespace).map(Scope::KubernetesNamespace),
        (None, None) => Some(Scope::Default),
    }
}

fn namespace(text: &str) -> Result<String, &'static str> {
    match text.parse::<Namespace>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a Kubernetes namespace (RFC 1123 label)"),
    }
}

fn service_account(text: &str) -> Result<String, &'static str> {
    match is_account_of_namespace(text) {
        true => Ok(text.to_owned()),
        false => Err("must be NAMESPACE:SERVICE_ACCOUNT, such as shop:default"),
    }
}

/// The rest of [`PATTERNS_MAX`] while a policy is read: every pattern, of an allowlist or a trusted
/// directory, is compared with every image.
struct Patterns {
    left: usize,
}

impl Patterns {
    /// The allowlist of a policy, check set or check: an object in Google's API, a list of such
    /// objects in Google's documentation.
    fn allowlist(&mut self, object: &Object<'_>) -> Option<Vec<AllowPattern>> {
        let mut patterns = Some(Vec::new());
        for field in object.list("imageAllowlist") {
            let more = field.object(&["allowPattern"]).and_then(|object| {
                let elements = self.taken(&object, "allowPattern")?;
                all(&elements, |field| field.parsed(AllowPattern::parse))
            });
            patterns = patterns.zip(more).map(|(mut patterns, more)| {
                patterns.extend(more);
                patterns
            });
        }
        patterns
    }

    /// The elements of a list of patterns, where the policy may have as many.
    fn taken<'a>(&mut self, object: &Object<'a>, name: &'static str) -> Option<Vec<Field<'a>>> {
        let elements = object.list(name);
        let Some(left) = self.left.checked_sub(elements.len()) else {
            object.field().fail(format!(
                "with these, more than {PATTERNS_MAX} patterns in the policy: use wildcards"
            ));
            return None;
        };
        self.left = left;
        Some(elements)
    }
}

/// Reads every element, so that every error is put down.
fn all<'a, T>(elements: &[Field<'a>], read: impl FnMut(&Field<'a>) -> Option<T>) -> Option<Vec<T>> {
    let read: Vec<_> = elements.iter().map(read).collect();
    read.into_iter().collect()
}

/// `projects/P`, each once, at most [`PROJECTS_MAX`].
fn projects(object: &Object<'_>, name: &'static str) -> Option<Vec<ProjectId>> {
    let elements = object.list(name);
    if elements.len() > PROJECTS_MAX {
        let given = elements.len();
        object.field().fail(format!("{given} {name}; at most {PROJECTS_MAX}"));
        return None;
    }
    let mut projects = all(&elements, |field| field.parsed(project))?;
    let mut seen = HashSet::new();
    projects.retain(|project| seen.insert(project.clone()));
    Some(projects)
}

fn project(text: &str) -> Result<ProjectId, String> {
    let id = text.strip_prefix("projects/").ok_or("must be of the form `projects/*`")?;
    id.parse::<ProjectId>().map_err(|error| error.to_string())
}

/// The elements of a list that must not be empty.
fn some<'a>(object: &Object<'a>, name: &'static str) -> Option<Vec<Field<'a>>> {
    let elements = object.list(name);
    if elements.is_empty() {
        object.missing(name);
        return None;
    }
    Some(elements)
}
