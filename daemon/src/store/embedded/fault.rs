//! The faults that can arise below the [`Store`](crate::store::Store) trait.

use crate::store::StoreError;
use crate::store::record::Damaged;

/// Why a transaction came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The database did not do its part: after this it must be opened again.
    #[error("{0}")]
    Database(String),
    /// A record does not read as one.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The file is not under its name any more, so what is written would be lost.
    #[error("{0}")]
    Gone(String),
    /// The disk has no room, so nothing was tried.
    #[error("{0}")]
    Full(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

macro_rules! database_errors {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.to_string())
            }
        }
    )*};
}

database_errors!(
    TransactionError,
    TableError,
    StorageError,
    CommitError,
    DatabaseError,
    SetDurabilityError
);
