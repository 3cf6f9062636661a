//! The state of the log, for `/readyz`.

use std::sync::{Mutex, PoisonError};

/// The state of the log. Written by its thread, read by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Report>);

/// What is wrong with the log, if anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why no record can be written, so that everything is denied.
    pub fault: Option<String>,
    /// Why that may come soon: the disk has less room than is kept in reserve.
    pub warning: Option<String>,
}

impl Health {
    pub(super) fn report(&self) -> Report {
        self.lock().clone()
    }

    pub(super) fn set_fault(&self, fault: Option<String>) {
        self.lock().fault = fault;
    }

    pub(super) fn set_warning(&self, warning: Option<String>) {
        self.lock().warning = warning;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
