//! Signing and verifying with a key in a token.

use aws_lc_rs::digest::{self, Digest};
use cryptoki::error::{Error, RvError};
use hallmark_plugin_api::{Algorithm, Failure};

use crate::algorithm;
use crate::deadline::Deadline;
use crate::objects::{Half, Handles, TokenKey};
use crate::token::{Token, TokenError};

/// Why there is no signature, or no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    /// The algorithm asked for is not one of the key's, or none was named and it has several.
    #[error("the key does not sign with the algorithm asked for")]
    Algorithm,
    /// The digest is not as long as the algorithm's hash.
    #[error("the digest is not as long as the algorithm's hash")]
    Digest,
    /// The signature is not that of the key.
    #[error("the signature is not that of the key")]
    BadSignature,
    /// The token made a signature that does not verify: a fault, or another key.
    #[error("the token made a signature that does not verify with the public key of {0}")]
    Faulty(String),
    /// The token did not do it.
    #[error("{key}: {error}")]
    Token {
        /// With which key.
        key: String,
        /// Why.
        error: TokenError,
    },
}

impl OperationError {
    /// As a batch answers.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Algorithm => Failure::AlgUnsupported,
            Self::Digest => Failure::Malformed,
            Self::BadSignature => Failure::BadSignature,
            Self::Token { error: TokenError::Changed(_), .. } => Failure::KeyUnknown,
            Self::Token { error: TokenError::Unfit(_), .. } => Failure::AlgUnsupported,
            Self::Faulty(_) | Self::Token { .. } => Failure::Backend,
        }
    }
}

/// A token, and the handles of the objects in it.
pub(crate) struct Operation<'a> {
    pub(crate) token: &'a Token,
    pub(crate) handles: &'a Handles,
    pub(crate) key: &'a TokenKey,
    pub(crate) deadline: Deadline,
}

impl Operation<'_> {
    /// The signature of a message, in the form of the algorithm.
    pub(crate) fn sign(
        &self,
        algorithm: Option<Algorithm>,
        message: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        let algorithm = self.chosen(algorithm)?;
        let hash = algorithm::hash(algorithm).ok_or(OperationError::Algorithm)?;
        self.sign_hashed(algorithm, &digest::digest(hash, message))
    }

    /// The signature of the message that has this digest.
    pub(crate) fn sign_digest(
        &self,
        algorithm: Option<Algorithm>,
        digest: &[u8],
    ) -> Result<Vec<u8>, OperationError> {
        let algorithm = self.chosen(algorithm)?;
        let hash = algorithm::hash(algorithm).ok_or(OperationError::Algorithm)?;
        let digest = Digest::import_less_safe(digest, hash).map_err(|_| OperationError::Digest)?;
        self.sign_hashed(algorithm, &digest)
    }

    /// Checks that the token takes the signature for that of the key.
    pub(crate) fn verify(
        &self,
        algorithm: Option<Algorithm>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), OperationError> {
        let algorithm = self.chosen(algorithm)?;
        let hash = algorithm::hash(algorithm).ok_or(OperationError::Algorithm)?;
        let raw = algorithm::to_token(algorithm, signature).ok_or(OperationError::BadSignature)?;
        let question = algorithm::question(algorithm, digest::digest(hash, message).as_ref())
            .ok_or(OperationError::Algorithm)?;
        let verified = self.token.with(self.deadline, |lease, session| {
            let object = self.handles.find(lease, session, Half::Public, &self.key.object)?;
            Ok(session.verify(&question.mechanism, object, &question.data, &raw)?)
        });
        verified.map_err(|error| match error {
            TokenError::Unfit(Error::Pkcs11(
                RvError::SignatureInvalid | RvError::SignatureLenRange,
                _,
            )) => OperationError::BadSignature,
            error => self.blame(error),
        })
    }

    fn sign_hashed(
        &self,
        algorithm: Algorithm,
        digest: &Digest,
    ) -> Result<Vec<u8>, OperationError> {
        let question =
            algorithm::question(algorithm, digest.as_ref()).ok_or(OperationError::Algorithm)?;
        let raw = self.token.with(self.deadline, |lease, session| {
            let object = self.handles.find(lease, session, Half::Private, &self.key.object)?;
            Ok(session.sign(&question.mechanism, object, &question.data)?)
        });
        let raw = raw.map_err(|error| self.blame(error))?;
        let signature = algorithm::from_token(algorithm, raw);
        // A fault during signing can leak the key through the wrong signature it makes; and the
        // private key may not be the other half of the public one.
        let key = &self.key.public.spki_der;
        signature
            .filter(|signature| algorithm::verifies(algorithm, key, digest, signature))
            .ok_or_else(|| OperationError::Faulty(self.key.id.clone()))
    }

    fn chosen(&self, asked: Option<Algorithm>) -> Result<Algorithm, OperationError> {
        match (asked, self.key.public.algorithms.as_slice()) {
            (None, &[only]) => Ok(only),
            (Some(asked), can) if can.contains(&asked) => Ok(asked),
            _ => Err(OperationError::Algorithm),
        }
    }

    fn blame(&self, error: TokenError) -> OperationError {
        OperationError::Token { key: self.key.id.clone(), error }
    }
}
