//! IAM policies: who may do what with a policy, an attestor or a note.
//!
//! Here they are kept and checked for their form; what they permit is asked elsewhere.

use std::collections::HashSet;

use super::error::ResourceError;
use super::{Inner, Resources, Written, etag};
use crate::store::Write;
use crate::store::iam::{IamBinding, IamPolicy, IamResource};

/// Members of one policy, each counted as often as it is bound. Google's limit.
const MEMBERS_MAX: usize = 1_500;
/// Bytes of a role or of a member: an email address ends at 320.
const TEXT_BYTES_MAX: usize = 512;
/// What Google's service answers as the etag of a policy that nobody wrote.
const ETAG_UNWRITTEN: &str = "ACAB";
/// Members that stand for everyone.
const EVERYONE: [&str; 2] = ["allUsers", "allAuthenticatedUsers"];

impl Resources {
    /// The IAM policy of a resource; an empty one where none was written.
    pub async fn iam_policy(&self, resource: IamResource) -> Result<IamPolicy, ResourceError> {
        self.blocking(move |inner| {
            inner.exists(&resource)?;
            inner.iam_policy(&resource)
        })
        .await
    }

    /// Replaces the IAM policy of a resource. An etag in it must be the current one.
    pub async fn set_iam_policy(
        &self,
        resource: IamResource,
        policy: IamPolicy,
    ) -> Result<Written<IamPolicy>, ResourceError> {
        let project = resource.project().clone();
        self.writing(project, move |inner| inner.set_iam_policy(resource, policy)).await
    }
}

impl Inner {
    fn exists(&self, resource: &IamResource) -> Result<(), ResourceError> {
        match resource {
            IamResource::Policy(_) => Ok(()),
            IamResource::Attestor(name) => self.attestor(name).map(drop),
            IamResource::Note(name) => self.note(name).map(drop),
        }
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<IamPolicy, ResourceError> {
        let unwritten = || IamPolicy { etag: ETAG_UNWRITTEN.to_owned(), ..IamPolicy::default() };
        Ok(self.store.iam_policy(resource)?.unwrap_or_else(unwritten))
    }

    fn set_iam_policy(
        &self,
        resource: IamResource,
        policy: IamPolicy,
    ) -> Result<Written<IamPolicy>, ResourceError> {
        self.writable()?;
        self.exists(&resource)?;
        check(&policy.bindings)?;
        let sent = match policy.etag.as_str() {
            ETAG_UNWRITTEN => Some(String::new()),
            sent => etag::expected(sent),
        };
        let etag_before = self.store.iam_policy(&resource)?.map(|held| held.etag);
        let policy = IamPolicy { etag: etag::fresh_iam(), bindings: merged(policy.bindings) };
        let stored = policy.clone();
        self.store.apply(Write::PutIamPolicy { resource, policy: stored, expected_etag: sent })?;
        Ok(Written { resource: policy, etag_before })
    }
}

fn check(bindings: &[IamBinding]) -> Result<(), ResourceError> {
    let members: usize = bindings.iter().map(|binding| binding.members.len()).sum();
    if members > MEMBERS_MAX {
        let problem = format!("{members} members; a policy has at most {MEMBERS_MAX}");
        return Err(ResourceError::invalid("policy.bindings", problem));
    }
    for (i, binding) in bindings.iter().enumerate() {
        if !is_role(&binding.role) {
            let problem = "is no role, such as `roles/binaryauthorization.policyViewer`";
            return Err(ResourceError::invalid(format!("policy.bindings[{i}].role"), problem));
        }
        if let Some(j) = binding.members.iter().position(|member| !is_member(member)) {
            let problem = "is no member, such as `user:someone@example.com`";
            let field = format!("policy.bindings[{i}].members[{j}]");
            return Err(ResourceError::invalid(field, problem));
        }
    }
    Ok(())
}

fn is_role(text: &str) -> bool {
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        ["roles", name] => *name,
        ["projects" | "organizations", of, "roles", name] if !of.is_empty() => *name,
        _ => return false,
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    !name.is_empty() && text.len() <= TEXT_BYTES_MAX && name.bytes().all(legal)
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
    use super::*;

    fn binding(role: &str, members: &[&str]) -> IamBinding {
        let members = members.iter().map(|&member| member.to_owned()).collect();
        IamBinding { role: role.to_owned(), members }
    }

    #[test]
    fn roles_and_members_have_a_form() {
        for role in ["roles/a.b", "projects/p/roles/custom_1", "organizations/1/roles/r"] {
            assert!(is_role(role), "{role}");
        }
        for role in ["", "roles/", "role/a", "roles/a b", "projects//roles/a", "roles/a/b"] {
            assert!(!is_role(role), "{role}");
        }
        for member in ["allUsers", "user:a@b.example", "principal://iam/x", "deleted:user:a?uid=1"]
        {
            assert!(is_member(member), "{member}");
        }
        for member in ["", "a@b.example", "user:", ":a", "user:a b", "everyone"] {
            assert!(!is_member(member), "{member}");
        }
        let long = "x".repeat(TEXT_BYTES_MAX);
        assert!(!is_role(&format!("roles/{long}")) && !is_member(&format!("user:{long}")));
    }

    #[test]
    fn a_policy_binds_no_more_members_than_googles() {
        let members: Vec<_> = (0..MEMBERS_MAX).map(|i| format!("user:u{i}@x.example")).collect();
        let all: Vec<_> = members.iter().map(String::as_str).collect();
        assert_eq!(check(&[binding("roles/a", &all)]), Ok(()));
        let error = check(&[binding("roles/a", &all), binding("roles/b", &all[..1])]).unwrap_err();
        assert!(error.to_string().contains("1501 members"), "{error}");
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
