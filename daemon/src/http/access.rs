//! Who may ask: the credentials of a request against what its route takes.

use std::sync::Arc;

use http::HeaderMap;

use super::Doors;
use super::error::HttpError;
use super::exchange::Params;
use super::routes::Route;
use super::server::Reach;
use crate::auth::certificate::ClientCertificate;
use crate::auth::permission::Permission;
use crate::auth::token::BearerToken;
use crate::auth::{Caller, Credentials, Denied};

/// Characters of a resource that a refusal and a record repeat: a whole name and some.
const RESOURCE_CHARS_MAX: usize = 512;

/// What a route takes to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Anybody,
    /// To say who one is.
    Authenticated,
    /// This permission, in the project that the path names, or over the daemon where it names none.
    Holds(Permission),
    /// This permission, in the project that the body names: the endpoint asks, by
    /// [`Doors::check`].
    HoldsInBody(Permission),
}

impl Access {
    /// Whether the use of the route is recorded as a write.
    pub fn writes(self) -> bool {
        match self {
            Self::Anybody | Self::Authenticated => false,
            Self::Holds(permission) | Self::HoldsInBody(permission) => permission.writes(),
        }
    }
}

/// Whoever is at the other end of a connection, and which of ours it is.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) certificate: Option<Arc<ClientCertificate>>,
    /// What may be asked for at the listener.
    pub(super) reach: Reach,
}

impl Peer {
    /// The credentials of a request; its token is taken out of the headers.
    pub(super) fn credentials(&self, headers: &mut HeaderMap) -> Credentials {
        let bearer = BearerToken::take(headers).transpose();
        Credentials { certificate: self.certificate.clone(), bearer }
    }
}

impl Doors {
    /// Who asks.
    pub(super) fn caller(&self, credentials: &Credentials) -> Result<Caller, HttpError> {
        Ok(self.guard.caller(credentials, jiff::Timestamp::now().as_second())?)
    }

    /// Lets a caller in at a route, or says why not.
    pub(super) fn let_in(
        &self,
        caller: &Caller,
        route: &Route,
        params: &Params,
    ) -> Result<(), HttpError> {
        let Access::Holds(permission) = route.access else { return Ok(()) };
        let project = Some(params.get("project")).filter(|project| !project.is_empty());
        Ok(self.guard.check(caller, permission, project, &resource(route, params))?)
    }

    /// Whether the caller may do this to `resource`, which lives in `project`.
    pub fn check(
        &self,
        caller: &Caller,
        permission: Permission,
        project: &str,
        resource: &str,
    ) -> Result<(), HttpError> {
        Ok(self.guard.check(caller, permission, Some(project), resource)?)
    }
}

/// The resource that a path names, such as `projects/p/attestors/a`: without version and verb.
pub(super) fn resource(route: &Route, params: &Params) -> String {
    let segments = route.path.split('/').skip(2).map(|segment| {
        let Some(name) = segment.strip_prefix('{') else {
            return segment.split(':').next().unwrap_or_default();
        };
        params.get(name.split('}').next().unwrap_or_default())
    });
    let resource = segments.collect::<Vec<_>>().join("/");
    match resource.is_empty() {
        true => route.path.to_owned(),
        false => resource.chars().take(RESOURCE_CHARS_MAX).collect(),
    }
}

impl From<crate::auth::AuthError> for HttpError {
    fn from(error: crate::auth::AuthError) -> Self {
        Self::Unauthenticated(error)
    }
}

impl From<Denied> for HttpError {
    fn from(denied: Denied) -> Self {
        Self::PermissionDenied(denied.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ROUTES;
    use super::*;

    fn named(path: &str, params: &[(&'static str, &str)]) -> String {
        let route = ROUTES.iter().find(|route| route.path == path).expect("a route");
        let mut given = Params::default();
        params.iter().for_each(|(name, value)| given.push(name, (*value).to_owned()));
        resource(route, &given)
    }

    #[test]
    fn a_resource_is_the_path_without_version_and_verb() {
        let p = ("project", "p");
        assert_eq!(named("/v1/projects/{project}/policy", &[p]), "projects/p/policy");
        assert_eq!(
            named("/v1beta1/projects/{project}/attestors/{attestor}", &[p, ("attestor", "a")]),
            "projects/p/attestors/a"
        );
        assert_eq!(
            named("/v1/projects/{project}/occurrences:batchCreate", &[p]),
            "projects/p/occurrences"
        );
        assert_eq!(named("/metrics", &[]), "/metrics");
        assert!(
            named("/v1/projects/{project}/policy", &[("project", &"x".repeat(1_000))]).len() <= 512
        );
    }
}
