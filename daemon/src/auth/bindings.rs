//! Who may do what where: bindings of members to roles.

use std::collections::{BTreeMap, BTreeSet};

use super::permission::Permission;
use super::principal::Principal;
use super::role::Role;

/// Members hold a role, in some projects or everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What they may do.
    pub role: Role,
    /// Who.
    pub members: Vec<Member>,
    /// Where.
    pub scope: Scope,
}

/// Who holds a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// One.
    Principal(Principal),
    /// Everybody in a group, by its name `group:…`.
    Group(String),
    /// `allAuthenticatedUsers`: everybody who said who they are.
    AllAuthenticated,
}

/// Where a role is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `*`: in every project, and over the daemon itself.
    Everywhere,
    /// In these projects.
    Projects(BTreeSet<String>),
}

impl Scope {
    /// `None` stands for the daemon itself.
    fn covers(&self, project: Option<&str>) -> bool {
        match (self, project) {
            (Self::Everywhere, _) => true,
            (Self::Projects(projects), Some(project)) => projects.contains(project),
            (Self::Projects(_), None) => false,
        }
    }
}

/// Every binding and the groups that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    pub(super) bindings: Vec<Binding>,
    pub(super) groups: BTreeMap<String, BTreeSet<Principal>>,
}

impl Bindings {
    /// Whether `principal` may do this in `project`; `None` stands for the daemon itself.
    pub fn permit(
        &self,
        principal: &Principal,
        permission: Permission,
        project: Option<&str>,
    ) -> bool {
        self.bindings
            .iter()
            .filter(|binding| binding.scope.covers(project) && binding.role.permits(permission))
            .any(|binding| binding.members.iter().any(|member| self.is(principal, member)))
    }

    /// Whether one who is stored with a resource as a `member` of an IAM policy is `principal`.
    /// What is not known names nobody.
    pub fn is_named(&self, principal: &Principal, member: &str) -> bool {
        match member {
            "allUsers" | "allAuthenticatedUsers" => true,
            _ if member.starts_with("group:") => {
                self.is(principal, &Member::Group(member.to_owned()))
            }
            _ => principal.as_str() == member,
        }
    }

    fn is(&self, principal: &Principal, member: &Member) -> bool {
        match member {
            Member::Principal(named) => named == principal,
            Member::Group(group) => {
                self.groups.get(group).is_some_and(|members| members.contains(principal))
            }
            Member::AllAuthenticated => true,
        }
    }
}
