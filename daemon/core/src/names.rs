//! Resource names as types: `projects/P`, `projects/P/attestors/A`, `projects/P/notes/N`,
//! `projects/P/occurrences/O`. Parsed once at the edge, never strings afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest id accepted in any position of a resource name, in bytes. Google's ids end at 63
/// (projects, attestors) and 128 (notes).
pub const ID_BYTES_MAX: usize = 128;

/// Why a resource name was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text does not have the segments of this kind of name.
    #[error("`{given}` is not of the form `{form}`")]
    Form {
        /// What was given.
        given: String,
        /// The form expected.
        form: &'static str,
    },
    /// An id is empty, too long, or holds a character outside `[A-Za-z0-9._~%:-]`.
    #[error("`{given}` is not an id: 1 to {ID_BYTES_MAX} of letters, digits and . _ ~ % : -")]
    Id {
        /// What was given.
        given: String,
    },
}

fn id(text: &str) -> Result<Arc<str>, NameError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._~%:-".contains(&byte);
    let dots = text == "." || text == "..";
    if text.is_empty() || text.len() > ID_BYTES_MAX || dots || !text.bytes().all(legal) {
        return Err(NameError::Id { given: text.chars().take(ID_BYTES_MAX).collect() });
    }
    Ok(text.into())
}

/// A project id, such as `my-app-prod` or the domain-scoped `example.com:my-app`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(Arc<str>);

impl ProjectId {
    /// The bare id, without `projects/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        id(text).map(Self)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! resource_name {
    ($(#[$doc:meta])* $name:ident, $collection:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            project: ProjectId,
            id: Arc<str>,
        }

        impl $name {
            /// The name of resource `id` in `project`.
            pub fn new(project: ProjectId, resource: &str) -> Result<Self, NameError> {
                Ok(Self { project, id: id(resource)? })
            }

            /// The project it lives in.
            pub fn project(&self) -> &ProjectId {
                &self.project
            }

            /// The last segment.
            pub fn id(&self) -> &str {
                &self.id
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let mut parts = text.split('/');
                let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
                match parts {
                    [Some("projects"), Some(project), Some($collection), Some(id), None] => {
                        Self::new(project.parse()?, id)
                    }
                    _ => Err(NameError::Form { given: text.chars().take(256).collect(), form: $form }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("projects/{}/", $collection, "/{}"), self.project, self.id)
            }
        }
    };
}

resource_name!(
    /// `projects/P/attestors/A`.
    AttestorName, "attestors", "projects/*/attestors/*"
);
resource_name!(
    /// `projects/P/notes/N`.
    NoteName, "notes", "projects/*/notes/*"
);
resource_name!(
    /// `projects/P/occurrences/O`.
    OccurrenceName, "occurrences", "projects/*/occurrences/*"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in
            ["projects/p/attestors/built-by-cloud-build", "projects/example.com:p/attestors/a"]
        {
            assert_eq!(
                text.parse::<AttestorName>().map(|name| name.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn foreign_forms_and_ids_are_refused() {
        for text in [
            "",
            "projects",
            "projects/p/attestors",
            "projects/p/attestors/",
            "projects//attestors/a",
            "projects/p/attestors/a/b",
            "projects/p/notes/a",
            "projects/../attestors/a",
            "projects/p/attestors/a b",
        ] {
            assert!(text.parse::<AttestorName>().is_err(), "{text}");
        }
    }
}
