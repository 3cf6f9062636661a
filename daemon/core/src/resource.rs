//! Every kind of resource that a project holds: by its name, and as it is written.

use std::fmt;

use crate::attestor::Attestor;
use crate::names::{AttestorName, NoteName, OccurrenceName, PlatformPolicyName, ProjectId};
use crate::occurrence::{Note, Occurrence};
use crate::platform::PlatformPolicy;
use crate::policy::Policy;

/// The name of a resource of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceName {
    /// The policy of a project.
    Policy(ProjectId),
    /// An attestor.
    Attestor(AttestorName),
    /// A note.
    Note(NoteName),
    /// An occurrence.
    Occurrence(OccurrenceName),
    /// A platform policy.
    PlatformPolicy(PlatformPolicyName),
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(project) => write!(f, "projects/{project}/policy"),
            Self::Attestor(name) => name.fmt(f),
            Self::Note(name) => name.fmt(f),
            Self::Occurrence(name) => name.fmt(f),
            Self::PlatformPolicy(name) => name.fmt(f),
        }
    }
}

/// A resource of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// The policy of a project.
    Policy(ProjectId, Policy),
    /// An attestor.
    Attestor(Attestor),
    /// A note.
    Note(Note),
    /// An occurrence.
    Occurrence(Occurrence),
    /// A platform policy.
    PlatformPolicy(PlatformPolicy),
}

impl Resource {
    /// Its name.
    pub fn name(&self) -> ResourceName {
        match self {
            Self::Policy(project, _) => ResourceName::Policy(project.clone()),
            Self::Attestor(attestor) => ResourceName::Attestor(attestor.name.clone()),
            Self::Note(note) => ResourceName::Note(note.name.clone()),
            Self::Occurrence(occurrence) => ResourceName::Occurrence(occurrence.name.clone()),
            Self::PlatformPolicy(policy) => ResourceName::PlatformPolicy(policy.name.clone()),
        }
    }
}

macro_rules! is_a_resource {
    ($($kind:ident: $name:ty, $resource:ty;)*) => {$(
        impl From<$name> for ResourceName {
            fn from(name: $name) -> Self {
                Self::$kind(name)
            }
        }

        impl From<$resource> for Resource {
            fn from(resource: $resource) -> Self {
                Self::$kind(resource)
            }
        }
    )*};
}

is_a_resource! {
    Attestor: AttestorName, Attestor;
    Note: NoteName, Note;
    Occurrence: OccurrenceName, Occurrence;
    PlatformPolicy: PlatformPolicyName, PlatformPolicy;
}
