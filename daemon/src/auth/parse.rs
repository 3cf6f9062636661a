//! From `[auth]` as written to who is who and who may do what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hallmark_core::attributes::ClusterName;
use hallmark_core::image::Digest;
use hallmark_core::names::ProjectId;

use super::Auth;
use super::bindings::{Binding, Bindings, Member, Scope};
use super::error::AuthFileError;
use super::jwks::{Algorithm, Jwks};
use super::jwt::{Issuer, Issuers};
use super::principal::{KINDS, Principal};
use super::role::Role;
use super::token::StaticToken;
use super::written::{self, AuthSection, AuthSource};
use crate::followed::Files;
use crate::toml_text;

/// A file of 1,000 tokens and 10,000 bindings is smaller.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Key sets of public issuers have some 10 KiB.
const JWKS_BYTES_MAX: u64 = 1 << 20;
/// Every one is looked at for every request.
const TOKENS_MAX: usize = 1_000;

type Result<T> = std::result::Result<T, AuthFileError>;

/// Reads it, and the files that it names.
pub(super) fn read(source: &AuthSource, files: &mut Files) -> Result<Auth> {
    match source {
        AuthSource::Inline(section) => auth(section, files),
        AuthSource::File(path) => {
            // Whoever may write it may do everything.
            let bytes = files.read_secret(path, FILE_BYTES_MAX);
            let section: AuthSection =
                toml(path, &bytes.map_err(|source| unreadable(path, source))?)?;
            if section.file.is_some() {
                return Err(AuthFileError::setting("file", "leads from one file to the next"));
            }
            auth(&section, files)
        }
    }
}

fn load(path: &Path, limit: u64, files: &mut Files) -> Result<Vec<u8>> {
    files.read(path, limit).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> AuthFileError {
    AuthFileError::Unreadable { path: path.to_owned(), source }
}

fn toml(path: &Path, bytes: &[u8]) -> Result<AuthSection> {
    let malformed = |problem| AuthFileError::Malformed { path: path.to_owned(), problem };
    let text = str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
    toml_text::read(text).map_err(|error| malformed(error.to_string()))
}

fn auth(section: &AuthSection, files: &mut Files) -> Result<Auth> {
    Ok(Auth {
        tokens: tokens(&section.tokens)?,
        issuers: issuers(&section.jwt, files)?,
        bindings: bindings(&section.bindings, &section.groups)?,
    })
}

fn tokens(written: &[written::Token]) -> Result<Vec<StaticToken>> {
    if written.len() > TOKENS_MAX {
        let problem = format!("more than {TOKENS_MAX}: let an issuer of JWTs make the others");
        return Err(AuthFileError::setting("tokens", problem));
    }
    let mut hashes = BTreeSet::new();
    let token = |(i, token): (usize, &written::Token)| {
        let key = |name| format!("tokens[{i}].{name}");
        let digest = format!("sha256:{}", token.sha256.to_ascii_lowercase()).parse::<Digest>();
        // Neither is repeated: it may be the token itself.
        let hash = digest.map_err(|_| {
            AuthFileError::setting(key("sha256"), "expected the SHA-256 of the token, 64 digits")
        })?;
        if !hashes.insert(hash.0) {
            return Err(AuthFileError::setting(key("sha256"), "is that of another token"));
        }
        let principal = token.principal.parse().map_err(|_| {
            AuthFileError::setting(
                key("principal"),
                "expected user:NAME, serviceAccount:NAME or principal:NAME",
            )
        })?;
        Ok(StaticToken { hash: hash.0, principal })
    };
    written.iter().enumerate().map(token).collect()
}

fn principal(text: &str, key: impl FnOnce() -> String) -> Result<Principal> {
    text.parse().map_err(|error| AuthFileError::setting(key(), error))
}

fn issuers(written: &[written::Jwt], files: &mut Files) -> Result<Issuers> {
    let mut names = BTreeSet::new();
    let issuer = |(i, jwt): (usize, &written::Jwt)| {
        if jwt.issuer.is_empty() || !names.insert(jwt.issuer.clone()) {
            return Err(AuthFileError::setting(
                format!("jwt[{i}].issuer"),
                "is empty or that of another",
            ));
        }
        issuer(jwt, &format!("jwt[{i}]"), files)
    };
    Ok(Issuers::new(written.iter().enumerate().map(issuer).collect::<Result<_>>()?))
}

fn issuer(jwt: &written::Jwt, path: &str, files: &mut Files) -> Result<Issuer> {
    let refused =
        |key: &str, problem: &str| AuthFileError::setting(format!("{path}.{key}"), problem);
    if jwt.audiences.is_empty() || jwt.audiences.iter().any(String::is_empty) {
        return Err(refused("audiences", "name what this daemon is called in `aud`"));
    }
    if !KINDS.iter().any(|kind| jwt.prefix.starts_with(kind)) || jwt.prefix.starts_with("mtls:") {
        return Err(refused("prefix", "begins with user:, serviceAccount: or principal:"));
    }
    let algorithm = |name: &String| {
        let known = "is one of RS256, PS256, ES256, ES384, EdDSA";
        Algorithm::named(name).ok_or_else(|| refused("algorithms", known))
    };
    let algorithms = jwt.algorithms.iter().map(algorithm).collect::<Result<Vec<_>>>()?;
    if algorithms.is_empty() {
        return Err(refused("algorithms", "name at least one"));
    }
    let keys = Jwks::parse(&load(&jwt.jwks, JWKS_BYTES_MAX, files)?);
    let malformed = |problem| AuthFileError::Malformed { path: jwt.jwks.clone(), problem };
    let keys = keys.map_err(malformed)?;
    for note in &keys.notes {
        tracing::warn!(issuer = jwt.issuer, jwks = %jwt.jwks.display(), "{note}");
    }
    Ok(Issuer {
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.clone(),
        algorithms,
        keys,
        claim: jwt.claim.clone(),
        prefix: jwt.prefix.clone(),
    })
}

fn bindings(written: &[written::Binding], groups: &[written::Group]) -> Result<Bindings> {
    let groups = self::groups(groups)?;
    let binding = |(i, written)| binding(written, &groups, &format!("bindings[{i}]"));
    let bindings = written.iter().enumerate().map(binding).collect::<Result<_>>()?;
    Ok(Bindings { bindings, groups })
}

fn binding(written: &written::Binding, groups: &Groups, path: &str) -> Result<Binding> {
    let role = written.role.parse::<Role>();
    let role = role.map_err(|error| AuthFileError::setting(format!("{path}.role"), error))?;
    let member = |(m, member): (usize, &String)| {
        self::member(member, role, groups)
            .map_err(|problem| AuthFileError::setting(format!("{path}.members[{m}]"), problem))
    };
    let clusters = written.clusters.as_ref();
    Ok(Binding {
        role,
        members: written.members.iter().enumerate().map(member).collect::<Result<_>>()?,
        scope: scope(&written.projects, &format!("{path}.projects"))?,
        clusters: clusters
            .map(|named| self::clusters(named, role, &format!("{path}.clusters")))
            .transpose()?,
    })
}

type Groups = BTreeMap<String, BTreeSet<Principal>>;

fn groups(written: &[written::Group]) -> Result<Groups> {
    let mut groups = Groups::new();
    for (i, group) in written.iter().enumerate() {
        let name = || format!("groups[{i}].name");
        if group.name.strip_prefix("group:").is_none_or(str::is_empty) {
            return Err(AuthFileError::setting(name(), "is of the form group:NAME"));
        }
        let key = || format!("groups[{i}].members");
        let members = group.members.iter().map(|member| principal(member, key));
        if groups.insert(group.name.clone(), members.collect::<Result<_>>()?).is_some() {
            return Err(AuthFileError::setting(name(), "is that of another group"));
        }
    }
    Ok(groups)
}

fn member(text: &str, role: Role, groups: &Groups) -> std::result::Result<Member, String> {
    match text {
        "allAuthenticatedUsers" => Ok(Member::AllAuthenticated),
        "allUsers" if role == Role::Decider => Ok(Member::All),
        "allUsers" => Err(format!(
            "nobody is let in unasked but by {}: say allAuthenticatedUsers, or leave out [auth] to \
             serve everybody on this machine",
            Role::Decider
        )),
        _ if groups.contains_key(text) => Ok(Member::Group(text.to_owned())),
        _ if text.starts_with("group:") => Err(format!("there is no `{text}` among the groups")),
        _ => text.parse().map(Member::Principal).map_err(|error| format!("{error}")),
    }
}

fn scope(projects: &[String], path: &str) -> Result<Scope> {
    if let [everywhere] = projects
        && everywhere == "*"
    {
        return Ok(Scope::Everywhere);
    }
    if projects.is_empty() {
        return Err(AuthFileError::setting(path, "name projects, or \"*\" for all"));
    }
    let project = |project: &String| {
        let id = project.parse::<ProjectId>();
        let id = id.map_err(|error| AuthFileError::setting(path, error))?;
        Ok(id.as_str().to_owned())
    };
    Ok(Scope::Projects(projects.iter().map(project).collect::<Result<_>>()?))
}

fn clusters(written: &[String], role: Role, path: &str) -> Result<BTreeSet<String>> {
    let refused = |problem: String| Err(AuthFileError::setting(path, problem));
    if role != Role::Decider {
        return refused(format!("only {} is held for clusters: leave it out", Role::Decider));
    }
    if written.is_empty() {
        return refused("name clusters, or leave it out for all".to_owned());
    }
    match written.iter().find_map(|named| named.parse::<ClusterName>().err()) {
        Some(error) => refused(error.to_string()),
        None => Ok(written.iter().cloned().collect()),
    }
}
