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
    /// Whether `principal` may do this to `resource`, which lives in `project`; `None` stands for
    /// the daemon itself.
    pub fn permit(
        &self,
        principal: &Principal,
        permission: Permission,
        project: Option<&str>,
        resource: &str,
    ) -> bool {
        self.bindings(project, resource)
            .filter(|binding| binding.role.permits(permission))
            .any(|binding| binding.members.iter().any(|member| self.is(principal, member)))
    }

    /// The bindings in force on `resource` of `project`. They come from the configuration, which
    /// binds whole projects; IAM policies stored with a resource join here.
    fn bindings(&self, project: Option<&str>, _resource: &str) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(move |binding| binding.scope.covers(project))
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
