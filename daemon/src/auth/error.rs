//! Why somebody is not who they say, or the configuration does not say who may do what.

use std::path::PathBuf;

/// Why nobody was authenticated. Says nothing of the credential itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There was none.
    #[error(
        "request is missing required authentication credential: send `Authorization: Bearer TOKEN`, or use a client certificate"
    )]
    Missing,
    /// Another scheme, two headers, or a header that is none.
    #[error("the Authorization header is not of the form `Bearer TOKEN`")]
    NotBearer,
    /// Neither a token that is known nor a JWT.
    #[error("the bearer token is not known")]
    UnknownToken,
    /// Not three parts of base64url, or JSON that says what it may not say.
    #[error("the JWT is malformed")]
    Malformed,
    /// No configured issuer made it.
    #[error("the JWT is of an issuer that is not trusted")]
    Issuer,
    /// Its algorithm is not one that is configured for its issuer.
    #[error("the JWT is signed with an algorithm that is not allowed")]
    Algorithm,
    /// No key of its issuer has its key id and algorithm.
    #[error("the JWT names no key that is known")]
    Key,
    /// The signature is wrong.
    #[error("the signature of the JWT is wrong")]
    Signature,
    /// It was made for somebody else.
    #[error("the JWT is for another audience")]
    Audience,
    /// Past its time, or without one.
    #[error("the credential has expired, or does not say when it will")]
    Expired,
    /// Before its time.
    #[error("the JWT is not valid yet")]
    NotYet,
    /// The claim that names the principal is missing or cannot be a name.
    #[error("the JWT does not name a principal")]
    Subject,
    /// The certificate is good, but names nobody, or several.
    #[error(
        "the client certificate names no principal: one SAN URI, a SAN DNS name or a subject CN"
    )]
    Certificate,
    /// The certificate is good, but its key is one that others can sign with, or of another type.
    #[error("the key of the client certificate is refused: use RSA of 2048 bits, P-256 or Ed25519")]
    CertificateKey,
}

/// Why the configuration of authentication was refused. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// A file could not be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than it may be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// The file is not what it should be.
    #[error("{path}: {problem}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// A setting cannot be.
    #[error("{key}: {problem}")]
    Setting {
        /// Which, as in `tokens[2].sha256`.
        key: String,
        /// The problem, and what to do.
        problem: String,
    },
}

impl AuthFileError {
    pub(super) fn setting(key: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Setting { key: key.into(), problem: problem.to_string() }
    }
}
