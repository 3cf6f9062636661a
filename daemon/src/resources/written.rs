//! The result of a write, and the state that it found.

use std::ops::Deref;

/// A resource as it was written, and the etag of the one that it replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// As it is now.
    pub resource: T,
    /// `None`: there was none before.
    pub etag_before: Option<String>,
}

impl<T> Deref for Written<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.resource
    }
}
