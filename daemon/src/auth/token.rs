//! Bearer tokens: read from a header, compared by their hashes, never shown.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::AuthError;
use super::principal::Principal;

/// Longest token, in bytes: half of what headers may have together.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The token that a caller sent to prove who it is. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct BearerToken(Zeroizing<String>);

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl BearerToken {
    /// The token of a request, where there is one; taken out, so that nobody further in sees it.
    pub fn take(headers: &mut HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (sent.next().cloned(), sent.next().is_some());
        headers.remove(AUTHORIZATION);
        let Some(value) = first else { return Ok(None) };
        let value = value.to_str().map_err(|_| AuthError::NotBearer)?;
        let (scheme, token) = value.split_once(' ').ok_or(AuthError::NotBearer)?;
        let token = token.trim_matches(' ');
        let legal = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && !token.contains(' ');
        if second || !legal || !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthError::NotBearer);
        }
        Ok(Some(Self(Zeroizing::new(token.to_owned()))))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// A token that the configuration names by its hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StaticToken {
    pub(super) hash: [u8; 32],
    pub(super) principal: Principal,
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Whose token this is. Looks at every token, so that time says nothing of which it was.
pub(super) fn holder<'a>(tokens: &'a [StaticToken], hash: &[u8; 32]) -> Option<&'a Principal> {
    tokens.iter().fold(None, |found, token| match verify_slices_are_equal(&token.hash, hash) {
        Ok(()) => Some(&token.principal),
        Err(_) => found,
    })
}
