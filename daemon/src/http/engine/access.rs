//! Who may ask: the credentials of a request against what its route takes.

use std::net::IpAddr;
use std::sync::Arc;

use hallmark_core::excerpt::Excerpt;
use http::HeaderMap;

use super::connections::Standing;
use super::error::HttpError;
use super::exchange::Params;
use super::flow::Flow;
use super::holder::Holder;
use super::routes::Route;
use super::server::Reach;
use crate::auth::certificate::ClientCertificate;
use crate::auth::iam::{IamPolicy, IamResource};
use crate::auth::permission::Permission;
use crate::auth::token::BearerToken;
use crate::auth::{AuthError, Caller, Credentials, Guard, Place};
use crate::resources::{ResourceError, Resources};

/// Characters of a resource that a refusal and a record repeat: a whole name and some.
const RESOURCE_CHARS_MAX: usize = 512;

/// The requirement for the use of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Anybody,
    /// To say who one is.
    Authenticated,
    /// This permission, in the project that the path names, or over the daemon where it names none.
    Holds(Permission),
    /// This permission, in the project that the body names: the endpoint asks, by
    /// [`Authorizer::check`]. Whoever has it nowhere is refused before the body is read.
    HoldsInBody(Permission),
}

impl Access {
    /// True if the use of the route is recorded as a write.
    pub fn writes(self) -> bool {
        match self {
            Self::Anybody | Self::Authenticated => false,
            Self::Holds(permission) | Self::HoldsInBody(permission) => permission.writes(),
        }
    }
}

/// Whoever is at the other end of a connection, and which of ours it is.
#[derive(Debug)]
pub(in crate::http) struct Peer {
    pub(in crate::http) certificate: Option<Arc<ClientCertificate>>,
    /// The routes that may be asked for at the listener.
    pub(in crate::http) reach: Reach,
    /// Where from.
    pub(in crate::http) address: IpAddr,
    /// The place of the connection among others.
    pub(in crate::http) standing: Arc<Standing>,
    /// The requests and answers that the connection has under way.
    pub(in crate::http) flow: Arc<Flow>,
}

impl Peer {
    /// The credentials of a request; its token is taken out of the headers.
    pub(in crate::http) fn credentials(&self, headers: &mut HeaderMap) -> Credentials {
        let bearer = BearerToken::take(headers).transpose();
        Credentials { certificate: self.certificate.clone(), bearer }
    }

    /// Whom a request of `caller` is charged to. Once somebody with a role was let in, the connection
    /// is no stranger's.
    pub(in crate::http) fn let_in(&self, caller: &Caller, access: Access) -> Holder {
        let holder = Holder::of(caller, self.address);
        if !matches!(access, Access::Anybody | Access::Authenticated) {
            self.standing.let_in(&holder);
            self.flow.let_in();
        }
        holder
    }
}

/// Says who may do what: by the configuration, or by the IAM policy stored with a resource.
#[derive(Debug)]
pub struct Authorizer {
    /// By the configuration. Without one nobody is asked who they are.
    pub guard: Guard,
    /// Where IAM policies are read; they are asked for nothing else.
    pub resources: Resources,
}

impl Authorizer {
    /// Who asks.
    pub(in crate::http) fn caller(&self, credentials: &Credentials) -> Result<Caller, HttpError> {
        Ok(self.guard.caller(credentials, jiff::Timestamp::now().as_second())?)
    }

    /// Lets a caller in at a route, or says why not.
    pub(in crate::http) async fn let_in(
        &self,
        caller: &Caller,
        route: &Route,
        params: &Params,
    ) -> Result<(), HttpError> {
        let permission = match (route.access, caller) {
            (Access::Holds(permission), _) => permission,
            (Access::Authenticated, Caller::Anonymous) => return Err(AuthError::Missing.into()),
            (Access::HoldsInBody(permission), _) => {
                let somewhere = self.guard.permits_somewhere(caller, permission);
                let refusal = || refused(caller, permission, &resource(route, params));
                return if somewhere { Ok(()) } else { Err(refusal()) };
            }
            (Access::Anybody | Access::Authenticated, _) => return Ok(()),
        };
        let named = |name| Some(params.get(name)).filter(|value| !value.is_empty());
        let place = Place { project: named("project"), cluster: named("cluster") };
        if self.guard.permits(caller, permission, place) {
            return Ok(());
        }
        self.check_on(caller, permission, place, &resource(route, params)).await
    }

    /// Checks that the caller may do this to `resource`, which lives there: by the configuration,
    /// or by the IAM policy stored with the resource.
    pub(in crate::http) async fn check_on(
        &self,
        caller: &Caller,
        permission: Permission,
        place: Place<'_>,
        resource: &str,
    ) -> Result<(), HttpError> {
        if self.guard.permits(caller, permission, place) {
            return Ok(());
        }
        match self.stored_policy(resource).await? {
            Some(policy) if self.permits_by(&policy, caller, permission) => Ok(()),
            _ => Err(refused(caller, permission, resource)),
        }
    }

    /// Checks that the caller may do this there by the configuration alone.
    pub(in crate::http) fn check(
        &self,
        caller: &Caller,
        permission: Permission,
        place: Place<'_>,
    ) -> Result<(), HttpError> {
        if self.guard.permits(caller, permission, place) {
            return Ok(());
        }
        let mut resource = format!("projects/{}", place.project.unwrap_or_default());
        if let Some(cluster) = place.cluster {
            resource.push_str(&format!("/clusters/{}", Excerpt::<RESOURCE_CHARS_MAX>(cluster)));
        }
        Err(refused(caller, permission, &resource))
    }

    pub(in crate::http) fn permits_by(
        &self,
        policy: &IamPolicy,
        caller: &Caller,
        permission: Permission,
    ) -> bool {
        let bindings = policy.bindings.iter();
        let bindings = bindings.map(|binding| (binding.role.as_str(), binding.members.as_slice()));
        self.guard.permits_by(bindings, caller, permission)
    }

    /// The IAM policy stored with a resource, where it is one that has any.
    async fn stored_policy(&self, resource: &str) -> Result<Option<IamPolicy>, HttpError> {
        let Some(resource) = iam_resource(resource) else { return Ok(None) };
        match self.resources.iam_policy(resource).await {
            Ok(policy) => Ok(Some(policy)),
            Err(ResourceError::Unavailable(inside)) => Err(HttpError::Unavailable { inside }),
            Err(_) => Ok(None),
        }
    }
}

/// The resource that an IAM policy is stored with: the policy of a project, an attestor, a note
/// and, with it, its occurrences.
fn iam_resource(resource: &str) -> Option<IamResource> {
    let segments: Vec<_> = resource.split('/').collect();
    match segments.as_slice() {
        ["projects", project, "policy"] => project.parse().ok().map(IamResource::Policy),
        ["projects", _, "attestors", _] => resource.parse().ok().map(IamResource::Attestor),
        ["projects", project, "notes", note]
        | ["projects", project, "notes", note, "occurrences"] => {
            format!("projects/{project}/notes/{note}").parse().ok().map(IamResource::Note)
        }
        _ => None,
    }
}

/// In Google's words, or that they should say who they are.
fn refused(caller: &Caller, permission: Permission, resource: &str) -> HttpError {
    match caller {
        Caller::Anonymous => AuthError::Missing.into(),
        Caller::Unchecked | Caller::Known(_) => HttpError::PermissionDenied(format!(
            "Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
        )),
    }
}

/// The resource that a path names, such as `projects/p/attestors/a`: without version and verb.
pub(in crate::http) fn resource(route: &Route, params: &Params) -> String {
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

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> Self {
        Self::Unauthenticated(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ROUTES;

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
            named("/v1/projects/{project}/attestors/{attestor}", &[p, ("attestor", "a")]),
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
