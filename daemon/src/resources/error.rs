//! Why a resource was not read or written, in the terms of the caller.

use hallmark_core::names::NameError;

use crate::store::StoreError;

/// Why a resource was not read or written. Every variant but [`ResourceError::Unavailable`] names
/// a fault that only the caller can mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// A field of the request cannot be accepted.
    #[error("{field}: {problem}")]
    Invalid {
        /// Dotted path of the field, as in `userOwnedGrafeasNote.publicKeys[2].pkixPublicKey`.
        field: String,
        /// The fault in it and the remedy.
        problem: String,
    },
    /// The resource does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The name is taken.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// The etag sent is not the current one: somebody wrote in between.
    #[error("{name} was changed since it was read: read it again and repeat the change")]
    EtagMismatch {
        /// Which resource.
        name: String,
    },
    /// There are as many of these as there may be.
    #[error("{what}: the limit is {limit}")]
    LimitExceeded {
        /// The kind that there are too many of.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// Resources are read from files.
    #[error("{0}")]
    ReadOnly(String),
    /// The store or a key source did not do its part; the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
}

impl ResourceError {
    /// A field that cannot be accepted.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}

impl From<StoreError> for ResourceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(name) => Self::NotFound(name.to_string()),
            StoreError::AlreadyExists(name) => Self::AlreadyExists(name.to_string()),
            StoreError::EtagMismatch { name, .. } => Self::EtagMismatch { name: name.to_string() },
            StoreError::OtherKind { .. } => Self::invalid("noteName", error.to_string()),
            StoreError::OtherNote { note, .. } => Self::invalid(
                "userOwnedGrafeasNote.noteReference",
                format!(
                    "cannot be changed, it is {note}: create another attestor for another note"
                ),
            ),
            StoreError::TooMany { place, what, limit } => {
                Self::LimitExceeded { what: format!("{place} holds {limit} {what}"), limit }
            }
            StoreError::Exhausted { what, limit, of } => {
                let what = format!(
                    "{what} of {of}, but for what a key of an attestor of the note has newly \
                     signed; delete occurrences that are not needed"
                );
                Self::LimitExceeded { what, limit }
            }
            StoreError::ReadOnly => Self::ReadOnly(error.to_string()),
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<NameError> for ResourceError {
    fn from(error: NameError) -> Self {
        Self::invalid("name", error.to_string())
    }
}
