//! Placeholder.
use hallmark_core::attestor::{KeyId, PublicKey, VerificationKey};
/// stub
#[derive(Debug)]
pub struct Catalog;
/// stub
#[derive(Debug, Clone)]
pub struct ResolvedKey {
    /// stub
    pub default_id: KeyId,
    /// stub
    pub keys: Vec<VerificationKey>,
}
/// stub
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// stub
    #[error("{0}")]
    Material(String),
    /// stub
    #[error("{0}")]
    Unavailable(String),
}
impl Catalog {
    /// stub
    pub fn resolve(&self, _: &PublicKey) -> Result<ResolvedKey, KeyError> {
        Err(KeyError::Unavailable("stub".into()))
    }
}
