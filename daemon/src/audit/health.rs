//! The state of the log, for `/readyz`.

use std::sync::{Mutex, PoisonError};

/// The state of the log. Written by its thread, read by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why records are refused.
    refusing: Option<String>,
    /// Why the next large record would be.
    full: Option<String>,
    warning: Option<String>,
}

/// Faults of the log, if it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why no record can be written, or not the next large one, so that what asks is denied.
    pub fault: Option<String>,
    /// Why that may come soon: the disk has less room than is kept in reserve.
    pub warning: Option<String>,
}

impl Health {
    pub(super) fn report(&self) -> Report {
        let state = self.lock();
        let fault = state.refusing.as_ref().or(state.full.as_ref()).cloned();
        Report { fault, warning: state.warning.clone() }
    }

    pub(super) fn set_fault(&self, fault: Option<String>) {
        self.lock().refusing = fault;
    }

    pub(super) fn set_full(&self, full: Option<String>) {
        self.lock().full = full;
    }

    pub(super) fn set_warning(&self, warning: Option<String>) {
        self.lock().warning = warning;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
