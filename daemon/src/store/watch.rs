//! The interface by which a store tells of changes that others made.

use std::fmt;

use super::files::FilesError;
use crate::followed::LookTime;

/// A state that was read whole and makes sense. It is in force once [`NextState::put_in_force`] is
/// called: whoever is told reads first what else belongs to it.
pub struct NextState(Box<dyn FnOnce() + Send>);

impl NextState {
    /// One that is in force after `put`.
    pub fn new(put: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(put))
    }

    /// Every read that starts afterwards sees it.
    pub fn put_in_force(self) {
        (self.0)();
    }
}

impl fmt::Debug for NextState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextState").finish_non_exhaustive()
    }
}

/// Is told of new states, and why there is none.
pub trait Told: FnMut(Result<NextState, WatchError>) + Send {}

impl<F: FnMut(Result<NextState, WatchError>) + Send> Told for F {}

/// Follows what others change until it is dropped.
pub trait Watch: fmt::Debug + Send + Sync {
    /// Has another look taken, and what it finds told, whether or not it is new.
    fn look_again(&self);

    /// When the last look was over.
    fn look_time(&self) -> LookTime;
}

/// Why what others changed is not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Files do not make sense, or cannot be read or watched.
    #[error(transparent)]
    Files(#[from] FilesError),
}
