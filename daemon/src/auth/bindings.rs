//! Who may do what where: bindings of members to roles.

use std::collections::{BTreeMap, BTreeSet};

use super::permission::Permission;
use super::principal::Principal;
use super::role::Role;

/// Members hold a role, in some projects or everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The role that they hold.
    pub role: Role,
    /// Who.
    pub members: Vec<Member>,
    /// Where.
    pub scope: Scope,
    /// For which clusters, as `LOCATION.CLUSTER`; `None` stands for all, and for none named.
    pub clusters: Option<BTreeSet<String>>,
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
    /// `allUsers`: everybody, whoever they are.
    All,
}

/// Where somebody would do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The project; `None` stands for the daemon itself.
    pub project: Option<&'a str>,
    /// The cluster that is spoken for.
    pub cluster: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The daemon itself.
    pub const DAEMON: Self = Self { project: None, cluster: None };

    /// A project.
    pub const fn project(project: &'a str) -> Self {
        Self { project: Some(project), cluster: None }
    }
}

/// Where a role is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `*`: in every project, and over the daemon itself.
    Everywhere,
    /// In these projects.
    Projects(BTreeSet<String>),
}

impl Binding {
    /// A request that names no cluster is not one for a cluster of the list: rules of clusters
    /// would not apply to it.
    fn covers(&self, place: Place<'_>) -> bool {
        let clusters = self.clusters.as_ref();
        self.scope.covers(place.project)
            && clusters.is_none_or(|named| place.cluster.is_some_and(|one| named.contains(one)))
    }
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
    /// True if `principal` may do this there; `None` stands for somebody who said nothing of who
    /// they are.
    pub fn permit(
        &self,
        principal: Option<&Principal>,
        permission: Permission,
        place: Place<'_>,
    ) -> bool {
        self.granting(principal, permission).any(|binding| binding.covers(place))
    }

    /// True if `principal` may do this in any place.
    pub fn permit_somewhere(&self, principal: Option<&Principal>, permission: Permission) -> bool {
        self.granting(principal, permission).next().is_some()
    }

    /// The bindings by which `principal` may do this in some place.
    fn granting(
        &self,
        principal: Option<&Principal>,
        permission: Permission,
    ) -> impl Iterator<Item = &Binding> {
        let bindings = self.bindings.iter().filter(move |one| one.role.permits(permission));
        bindings.filter(move |one| one.members.iter().any(|member| self.is(principal, member)))
    }

    /// True if somebody may do something who does not say who they are.
    pub fn welcome_all(&self) -> bool {
        self.bindings.iter().any(|binding| binding.members.contains(&Member::All))
    }

    /// True if one who is stored with a resource as a `member` of an IAM policy is `principal`. An
    /// unknown member names nobody.
    pub fn is_named(&self, principal: &Principal, member: &str) -> bool {
        match member {
            "allUsers" | "allAuthenticatedUsers" => true,
            _ if member.starts_with("group:") => {
                self.is(Some(principal), &Member::Group(member.to_owned()))
            }
            _ => principal.as_str() == member,
        }
    }

    fn is(&self, principal: Option<&Principal>, member: &Member) -> bool {
        match (member, principal) {
            (Member::All, _) | (Member::AllAuthenticated, Some(_)) => true,
            (Member::Principal(named), Some(principal)) => named == principal,
            (Member::Group(group), Some(principal)) => {
                self.groups.get(group).is_some_and(|members| members.contains(principal))
            }
            (_, None) => false,
        }
    }
}
