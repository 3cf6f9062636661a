//! `[auth]` as written, in the configuration or in a file of its own.

use std::path::PathBuf;

use serde::Deserialize;

/// `[auth]`: who is who, and who may do what.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSection {
    /// A file that holds all the rest, and is followed.
    pub file: Option<PathBuf>,
    /// Static bearer tokens.
    #[serde(default)]
    pub tokens: Vec<Token>,
    /// Issuers of JWTs.
    #[serde(default)]
    pub jwt: Vec<Jwt>,
    /// Groups that bindings may name.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Who may do what where.
    #[serde(default)]
    pub bindings: Vec<Binding>,
}

/// A static bearer token.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Who holds it.
    pub principal: String,
    /// SHA-256 of the token in hexadecimal.
    pub sha256: String,
}

/// An issuer of JWTs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// `iss`, exactly.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// A file with its keys, as the issuer publishes them.
    pub jwks: PathBuf,
    /// `RS256`, `PS256`, `ES256`, `ES384`, `EdDSA`.
    pub algorithms: Vec<String>,
    /// The claim that names the principal.
    #[serde(default = "sub")]
    pub claim: String,
    /// The text that is put before it, beginning with a kind.
    pub prefix: String,
}

fn sub() -> String {
    "sub".to_owned()
}

/// A group.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// `group:NAME`.
    pub name: String,
    /// Principals.
    pub members: Vec<String>,
}

/// Members hold a role.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// `roles/…`.
    pub role: String,
    /// Principals, groups, `allAuthenticatedUsers`, or `allUsers` where the role is
    /// `roles/hallmark.decider`.
    pub members: Vec<String>,
    /// Project ids, or `*` alone.
    pub projects: Vec<String>,
    /// Of `roles/hallmark.decider`: the clusters that the members speak for, `LOCATION.CLUSTER`.
    pub clusters: Option<Vec<String>>,
}

/// Where it is said who may do what.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthSource {
    /// In the configuration.
    Inline(AuthSection),
    /// In a file, which is followed.
    File(PathBuf),
}

impl AuthSection {
    /// Where it is said.
    pub fn source(self) -> AuthSource {
        match self.file {
            Some(file) => AuthSource::File(file),
            None => AuthSource::Inline(self),
        }
    }

    /// True if something is said beside the file that says it.
    pub fn is_said_twice(&self) -> bool {
        let said = self.tokens.len() + self.jwt.len() + self.groups.len() + self.bindings.len();
        self.file.is_some() && said > 0
    }
}
