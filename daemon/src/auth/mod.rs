//! Who asks, and what they may do.
//!
//! A caller proves who it is by a bearer token ([`token`]: one that is known by its hash, or a
//! [`jwt`] of a configured issuer) or by a client certificate ([`certificate`]). [`bindings`] give
//! principals [`role`]s in projects, roles are sets of [`permission`]s, and every route of the API
//! names the permission that it takes. [`Guard`] is all of it, followed as its files change.
//! Whatever is not permitted is refused, and no credential appears in any text.

mod bindings;
pub mod certificate;
mod error;
pub mod iam;
mod jwks;
mod jwt;
pub mod metrics;
mod parse;
pub mod permission;
pub mod principal;
pub mod role;
#[cfg(test)]
mod tests;
pub mod token;
pub mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use bindings::{Binding, Bindings, Member, Place, Scope};
pub use error::{AuthError, AuthFileError};

use crate::followed::{Followed, LookTime};
use certificate::ClientCertificate;
use jwt::Issuers;
use permission::Permission;
use principal::Principal;
use role::Role;
use token::{BearerToken, StaticToken};
use written::AuthSource;

/// Lets in whoever may, or everybody where nothing is configured.
#[derive(Debug, Default)]
pub struct Guard(Option<Followed<Auth, AuthFileError>>);

/// One state of the configuration.
#[derive(Debug)]
struct Auth {
    tokens: Vec<StaticToken>,
    issuers: Issuers,
    bindings: Bindings,
}

/// The credentials that a caller has shown. Checked again for each request, and each batch of a
/// stream, so that one that is withdrawn or has expired is of no use any more.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The certificate of the connection, found good by the handshake.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The token that the request brought, or why that cannot be used.
    pub bearer: Option<Result<BearerToken, AuthError>>,
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody is asked who they are: everybody may do everything.
    Unchecked,
    /// They brought no credential, and something may be done all the same.
    Anonymous,
    /// Authenticated.
    Known(Principal),
}

/// The name in records of whoever did not say who they are: Google's word for everybody.
const ALL_USERS: &str = "allUsers";

impl Caller {
    /// The name for records, where there is one.
    pub fn principal(&self) -> Option<&str> {
        match self {
            Self::Unchecked => None,
            Self::Anonymous => Some(ALL_USERS),
            Self::Known(principal) => Some(principal.as_str()),
        }
    }
}

impl Guard {
    /// Keys of issuers that are passed over, and why, by issuer.
    pub fn issuer_key_errors(&self) -> BTreeMap<String, String> {
        let Some(followed) = &self.0 else { return BTreeMap::new() };
        let auth = followed.current();
        let refused = auth.issuers.iter().filter(|issuer| !issuer.keys.notes.is_empty());
        refused.map(|issuer| (issuer.issuer.clone(), issuer.keys.notes.join("; "))).collect()
    }

    /// The number of these keys.
    pub fn refused_issuer_keys(&self) -> usize {
        let current = self.0.as_ref().map(Followed::current);
        current.map_or(0, |auth| auth.issuers.iter().map(|issuer| issuer.keys.notes.len()).sum())
    }

    /// Asks everybody who they are.
    pub fn load(source: AuthSource) -> Result<Self, AuthFileError> {
        Followed::load(move |files| parse::read(&source, files)).map(Some).map(Self)
    }

    /// True if anybody is asked.
    pub fn asks(&self) -> bool {
        self.0.is_some()
    }

    /// When the files were last looked at; `None` if nobody is asked.
    pub fn look_time(&self) -> Option<LookTime> {
        self.0.as_ref().map(Followed::look_time)
    }

    /// Takes up changed files; see [`Followed::look`].
    pub fn look(&self) -> Option<Result<(), AuthFileError>> {
        self.0.as_ref()?.look()
    }

    /// Reads the files again; see [`Followed::reload`].
    pub fn reload(&self) -> Result<(), AuthFileError> {
        self.0.as_ref().map_or(Ok(()), Followed::reload)
    }

    /// Who asks. A bearer token decides alone: a bad one is not mended by a good certificate. `now`
    /// in Unix seconds.
    pub fn caller(&self, credentials: &Credentials, now: i64) -> Result<Caller, AuthError> {
        let Some(auth) = &self.0 else { return Ok(Caller::Unchecked) };
        match (&credentials.bearer, &credentials.certificate) {
            (Some(token), _) => auth.current().holder(token.as_ref().map_err(|error| *error)?, now),
            (None, Some(certificate)) => certificate.principal(now),
            (None, None) if auth.current().bindings.welcome_all() => return Ok(Caller::Anonymous),
            (None, None) => Err(AuthError::Missing),
        }
        .map(Caller::Known)
    }

    /// True if the configuration lets the caller do this there.
    pub fn permits(&self, caller: &Caller, permission: Permission, place: Place<'_>) -> bool {
        let Some(auth) = &self.0 else { return true };
        let principal = match caller {
            Caller::Unchecked => return false,
            Caller::Anonymous => None,
            Caller::Known(principal) => Some(principal),
        };
        auth.current().bindings.permit(principal, permission, place)
    }

    /// True if the configuration lets the caller do this anywhere at all.
    pub fn permits_somewhere(&self, caller: &Caller, permission: Permission) -> bool {
        let Some(auth) = &self.0 else { return true };
        let principal = match caller {
            Caller::Unchecked => return false,
            Caller::Anonymous => None,
            Caller::Known(principal) => Some(principal),
        };
        auth.current().bindings.permit_somewhere(principal, permission)
    }

    /// True if bindings that are stored with a resource, each a role and its members, let the
    /// caller do this to it. A role that is not known permits nothing.
    pub fn permits_by<'a>(
        &self,
        bindings: impl IntoIterator<Item = (&'a str, &'a [String])>,
        caller: &Caller,
        permission: Permission,
    ) -> bool {
        let (Some(auth), Caller::Known(principal)) = (&self.0, caller) else { return false };
        let auth = auth.current();
        let permits = |role: &str| role.parse().is_ok_and(|role: Role| role.permits(permission));
        let is_member =
            |members: &[String]| members.iter().any(|one| auth.bindings.is_named(principal, one));
        bindings.into_iter().any(|(role, members)| permits(role) && is_member(members))
    }
}

impl Auth {
    fn holder(&self, token: &BearerToken, now: i64) -> Result<Principal, AuthError> {
        let hash = token.hash();
        match token::holder(&self.tokens, &hash) {
            Some(principal) => Ok(principal.clone()),
            None => self.issuers.principal(token, hash, now),
        }
    }
}
