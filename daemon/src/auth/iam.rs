//! IAM policies: who may do what with one resource. Here they are read, checked for their form and
//! written; what they permit is asked elsewhere.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_core::document::read::Field;
use hallmark_core::names::{AttestorName, NoteName, ProjectId};
use hallmark_core::resource::ResourceName;
use serde_json::{Map, Value, json};

use super::role::Role;

/// Members of one policy, each counted as often as it is bound. Google's limit.
const MEMBERS_MAX: usize = 1_500;
/// Bytes of a member: an email address ends at 320.
const TEXT_BYTES_MAX: usize = 512;
/// Members that stand for everyone.
const EVERYONE: [&str; 2] = ["allUsers", "allAuthenticatedUsers"];

/// A resource that has an IAM policy of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IamResource {
    /// The policy of a project.
    Policy(ProjectId),
    /// An attestor.
    Attestor(AttestorName),
    /// A note.
    Note(NoteName),
}

impl IamResource {
    /// The project it lives in.
    pub fn project(&self) -> &ProjectId {
        match self {
            Self::Policy(project) => project,
            Self::Attestor(name) => name.project(),
            Self::Note(name) => name.project(),
        }
    }
}

impl fmt::Display for IamResource {
    /// The name of the resource.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(project) => write!(f, "projects/{project}/policy"),
            Self::Attestor(name) => name.fmt(f),
            Self::Note(name) => name.fmt(f),
        }
    }
}

impl From<IamResource> for ResourceName {
    fn from(resource: IamResource) -> Self {
        match resource {
            IamResource::Policy(project) => Self::Policy(project),
            IamResource::Attestor(name) => Self::Attestor(name),
            IamResource::Note(name) => Self::Note(name),
        }
    }
}

/// Who may do what with one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IamPolicy {
    /// Each role once.
    pub bindings: Vec<IamBinding>,
    /// Standard base64, as the API carries it. Empty where nothing was ever written.
    pub etag: String,
}

/// A role and who has it, without conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamBinding {
    /// Such as `roles/binaryauthorization.attestorsVerifier`.
    pub role: String,
    /// Such as `user:someone@example.com`.
    pub members: Vec<String>,
}

impl IamPolicy {
    /// Reads a policy as the API has it: each role once with each member once. A role that is not
    /// known here would permit nothing, and is refused, as Google's service refuses those that a
    /// resource does not support.
    pub fn from_field(field: &Field<'_>) -> Option<Self> {
        let object = field.object(&["version", "bindings", "auditConfigs", "etag"])?;
        if let Some(configured) = object.list("auditConfigs").first() {
            configured.fail("what is audited is not configured here: leave auditConfigs out");
        }
        let etag = object.get("etag").and_then(|field| field.bytes()).unwrap_or_default();
        let bindings: Vec<_> = object.list("bindings").iter().map(binding).collect();
        let bindings: Vec<_> = bindings.into_iter().collect::<Option<_>>()?;
        let members: usize = bindings.iter().map(|binding| binding.members.len()).sum();
        if members > MEMBERS_MAX {
            field.fail(format!("{members} members; a policy has at most {MEMBERS_MAX}"));
        }
        Some(Self { bindings: merged(bindings), etag: STANDARD.encode(etag) })
    }

    /// The policy as the API has it. Its version is 1 where anything is bound: there are no
    /// conditions.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        if !self.bindings.is_empty() {
            let binding =
                |binding: &IamBinding| json!({"role": binding.role, "members": binding.members});
            object.insert("version".to_owned(), 1.into());
            object.insert("bindings".to_owned(), self.bindings.iter().map(binding).collect());
        }
        if !self.etag.is_empty() {
            object.insert("etag".to_owned(), self.etag.clone().into());
        }
        object.into()
    }
}

fn binding(field: &Field<'_>) -> Option<IamBinding> {
    let object = field.object(&["role", "members", "condition"])?;
    object.refuse_null(&["condition"]);
    if let Some(condition) = object.get("condition") {
        condition.fail("conditions are not evaluated here: bind the role without one");
    }
    let role = object.required("role").and_then(|field| field.parsed(str::parse::<Role>));
    let members: Vec<_> = object.list("members").iter().map(member).collect();
    let members = members.into_iter().collect::<Option<_>>();
    Some(IamBinding { role: role?.as_str().to_owned(), members: members? })
}

fn member(field: &Field<'_>) -> Option<String> {
    let member = field.string()?;
    if !is_member(member) {
        field.fail("is no member, such as `user:someone@example.com`");
        return None;
    }
    Some(member.to_owned())
}

fn is_member(text: &str) -> bool {
    if EVERYONE.contains(&text) {
        return true;
    }
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let (kind, id) = text.split_once(':').unwrap_or_default();
    let named = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    named && !id.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(blank)
}

/// Each role once with each member once, in the order given, as Google's service stores them; a
/// role without members is bound to nobody.
fn merged(bindings: Vec<IamBinding>) -> Vec<IamBinding> {
    let mut merged: Vec<IamBinding> = Vec::new();
    for binding in bindings {
        match merged.iter_mut().find(|known| known.role == binding.role) {
            Some(known) => known.members.extend(binding.members),
            None => merged.push(binding),
        }
    }
    for binding in &mut merged {
        let mut seen = HashSet::new();
        binding.members.retain(|member| seen.insert(member.clone()));
    }
    merged.retain(|binding| !binding.members.is_empty());
    merged
}

#[cfg(test)]
mod tests {
    use hallmark_core::document::read::resource;
    use hallmark_core::document::{Document, DocumentLimits};

    use super::*;

    fn binding(role: &str, members: &[&str]) -> IamBinding {
        let members = members.iter().map(|&member| member.to_owned()).collect();
        IamBinding { role: role.to_owned(), members }
    }

    fn read(bindings: &[IamBinding]) -> Result<IamPolicy, String> {
        let policy = IamPolicy { bindings: bindings.to_vec(), etag: String::new() };
        let policy = policy.to_json().to_string();
        let document = Document::from_json(&policy, &DocumentLimits::DEFAULT).unwrap();
        resource(document.root(), IamPolicy::from_field).map_err(|error| error.to_string())
    }

    #[test]
    fn a_role_is_one_that_permits_something() {
        for role in Role::ALL {
            read(&[binding(role.as_str(), &["user:a"])]).unwrap();
        }
        let long = format!("roles/{}", "x".repeat(1 << 20));
        for role in ["", "roles/", "roles/viewer", "viewer", "projects/p/roles/custom_1", &long] {
            let error = read(&[binding(role, &["user:a"])]).unwrap_err();
            assert!(error.starts_with("line 1: bindings[0].role: there is no role `"), "{error}");
            assert!(error.len() < 512, "{}", error.len());
        }
    }

    #[test]
    fn what_is_null_is_no_binding_without_condition() {
        for bindings in [
            r#"[{"role": "roles/binaryauthorization.policyViewer", "members": ["user:a"], "condition": null}]"#,
            r#"[{"role": "roles/binaryauthorization.policyViewer", "members": [null]}]"#,
            r#"[{"role": null, "members": ["user:a"]}]"#,
            "[null]",
        ] {
            let document = format!("{{\"bindings\": {bindings}}}");
            let document = Document::from_json(&document, &DocumentLimits::DEFAULT).unwrap();
            let error = resource(document.root(), IamPolicy::from_field).unwrap_err();
            assert!(error.to_string().starts_with("line 1: bindings[0]"), "{error}");
        }
    }

    #[test]
    fn members_have_a_form() {
        for member in ["allUsers", "user:a@b.example", "principal://iam/x", "deleted:user:a?uid=1"]
        {
            assert!(is_member(member), "{member}");
        }
        for member in ["", "a@b.example", "user:", ":a", "user:a b", "everyone"] {
            assert!(!is_member(member), "{member}");
        }
        let long = "x".repeat(TEXT_BYTES_MAX);
        assert!(!is_member(&format!("user:{long}")));
    }

    #[test]
    fn a_policy_binds_no_more_members_than_googles() {
        let members: Vec<_> = (0..MEMBERS_MAX).map(|i| format!("user:u{i}@x.example")).collect();
        let all: Vec<_> = members.iter().map(String::as_str).collect();
        let (viewer, editor) = (Role::PolicyViewer.as_str(), Role::PolicyEditor.as_str());
        assert_eq!(read(&[binding(viewer, &all)]).unwrap().bindings[0].members, members);
        let error = read(&[binding(viewer, &all), binding(editor, &all[..1])]);
        assert!(error.unwrap_err().contains("1501 members"));
    }

    #[test]
    fn a_role_is_bound_once() {
        let bindings = vec![
            binding("roles/a", &["user:x@x.example"]),
            binding("roles/b", &[]),
            binding("roles/a", &["user:y@x.example", "user:x@x.example"]),
        ];
        let expected = binding("roles/a", &["user:x@x.example", "user:y@x.example"]);
        assert_eq!(merged(bindings), [expected]);
    }
}
