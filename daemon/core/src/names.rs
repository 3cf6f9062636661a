//! Resource names as types: `projects/P`, `projects/P/attestors/A`, `projects/P/notes/N`,
//! `projects/P/occurrences/O`, `projects/P/platforms/gke/policies/I`. Parsed once at the edge, never
//! strings afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::excerpt::Excerpt;

/// Longest id accepted in any position of a resource name, in bytes. Google's ids end at 63
/// (projects, attestors) and 128 (notes).
pub const ID_BYTES_MAX: usize = 128;

/// Why a resource name was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text does not have the segments of this kind of name.
    #[error("`{given}` is not of the form `{form}`")]
    Form {
        /// The text that was given.
        given: String,
        /// The form expected.
        form: &'static str,
    },
    /// An id is empty, too long, or holds a character outside `[A-Za-z0-9._~%:-]`.
    #[error("`{given}` is not an id: 1 to {ID_BYTES_MAX} of letters, digits and . _ ~ % : -")]
    Id {
        /// The text that was given.
        given: String,
    },
}

/// The one location of notes and occurrences, which names may leave out.
pub const GLOBAL: &str = "global";

fn id(text: &str) -> Result<Arc<str>, NameError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._~%:-".contains(&byte);
    let dots = text == "." || text == "..";
    if text.is_empty() || text.len() > ID_BYTES_MAX || dots || !text.bytes().all(legal) {
        return Err(NameError::Id { given: Excerpt::<ID_BYTES_MAX>(text).to_string() });
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
                    _ => Err(form(text, $form)),
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
impl NoteName {
    /// Reads a reference to a note: its name, with the one location that there is in it
    /// (`projects/P/locations/global/notes/N`), or as it was called before projects
    /// (`providers/P/notes/N`).
    pub fn from_reference(text: &str) -> Result<Self, NameError> {
        match text.split('/').take(7).collect::<Vec<_>>()[..] {
            ["providers", project, "notes", id]
            | ["projects", project, "locations", GLOBAL, "notes", id] => {
                Self::new(project.parse()?, id)
            }
            _ => text.parse(),
        }
    }
}

resource_name!(
    /// `projects/P/occurrences/O`.
    OccurrenceName, "occurrences", "projects/*/occurrences/*"
);
impl OccurrenceName {
    /// Reads the name of an occurrence with or without the one location that there is in it.
    pub fn from_reference(text: &str) -> Result<Self, NameError> {
        match text.split('/').take(7).collect::<Vec<_>>()[..] {
            ["projects", project, "locations", GLOBAL, "occurrences", id] => {
                Self::new(project.parse()?, id)
            }
            _ => text.parse(),
        }
    }
}

/// True if `text` is `projects/P` of this project, with or without the one location that there is.
pub fn is_project(text: &str, project: &ProjectId) -> bool {
    match text.split('/').take(5).collect::<Vec<_>>()[..] {
        ["projects", id] | ["projects", id, "locations", GLOBAL] => id == project.as_str(),
        _ => false,
    }
}

/// A platform that platform policies exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// Kubernetes.
    Gke,
    /// Cloud Run.
    CloudRun,
}

impl Platform {
    /// Every platform, in the order of their names.
    pub const ALL: [Self; 2] = [Self::CloudRun, Self::Gke];

    /// The segment in names, such as `gke`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gke => "gke",
            Self::CloudRun => "cloudRun",
        }
    }
}

impl FromStr for Platform {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let known = Self::ALL.into_iter().find(|platform| platform.as_str() == text);
        known.ok_or_else(|| form(text, "gke` or `cloudRun"))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `projects/P/platforms/gke/policies/I`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformPolicyName {
    project: ProjectId,
    platform: Platform,
    id: Arc<str>,
}

impl PlatformPolicyName {
    /// The name of policy `policy` for `platform` in `project`.
    pub fn new(project: ProjectId, platform: Platform, policy: &str) -> Result<Self, NameError> {
        Ok(Self { project, platform, id: id(policy)? })
    }

    /// The project it lives in.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The last segment.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for PlatformPolicyName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts: Vec<_> = text.split('/').take(7).collect();
        match parts[..] {
            ["projects", project, "platforms", platform, "policies", id] => {
                Self::new(project.parse()?, platform.parse()?, id)
            }
            _ => Err(form(text, "projects/*/platforms/*/policies/*")),
        }
    }
}

impl fmt::Display for PlatformPolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, platform, id } = self;
        write!(f, "projects/{project}/platforms/{platform}/policies/{id}")
    }
}

fn form(given: &str, form: &'static str) -> NameError {
    NameError::Form { given: Excerpt::<256>(given).to_string(), form }
}

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

    #[test]
    fn a_note_is_referred_to_by_its_name_old_or_new() {
        for text in
            ["projects/p/notes/n", "providers/p/notes/n", "projects/p/locations/global/notes/n"]
        {
            let name = NoteName::from_reference(text).expect(text);
            assert_eq!(name.to_string(), "projects/p/notes/n");
        }
        for text in ["providers/p/notes/n/x", "projects/p/locations/us-east1/notes/n", "n", ""] {
            NoteName::from_reference(text).expect_err(text);
        }
    }

    #[test]
    fn platform_policies_are_of_a_known_platform() {
        for (text, platform) in [
            ("projects/p/platforms/gke/policies/my-policy", Platform::Gke),
            ("projects/example.com:p/platforms/cloudRun/policies/i", Platform::CloudRun),
        ] {
            let name: PlatformPolicyName = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.platform()), (text, platform));
        }
        for text in [
            "projects/p/platforms/GKE/policies/i",
            "projects/p/platforms/cloudrun/policies/i",
            "projects/p/platforms/gke/policies",
            "projects/p/platforms/gke/policies/",
            "projects/p/platforms/gke/policies/i/x",
            "projects/p/platforms/gke/policy/i",
            "projects//platforms/gke/policies/i",
            "platforms/gke/policies/i",
            "",
        ] {
            text.parse::<PlatformPolicyName>().expect_err(text);
        }
    }
}
