//! IAM policies: who may do what with one resource.

use std::fmt;

use hallmark_core::names::{AttestorName, NoteName, ProjectId};

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
