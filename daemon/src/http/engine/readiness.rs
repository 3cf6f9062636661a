//! The conditions under which the daemon is ready for requests, and when that ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::followed::LookTime;

/// The state behind `/readyz`; fed by whoever opens, loads and drains.
#[derive(Debug)]
pub struct Readiness {
    state: Mutex<State>,
    /// By what they are for.
    looks: Mutex<BTreeMap<&'static str, LookTime>>,
    draining: watch::Sender<bool>,
}

/// The state of readiness, as `/readyz` tells it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct State {
    pub(in crate::http) store_open: bool,
    /// Of the snapshot that decides.
    pub(in crate::http) generation: Option<u64>,
    /// Why the last reload was not taken; the one before it still decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reload_error: Option<String>,
    /// Why changed certificates were not taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_reload_error: Option<String>,
    /// Why a change of who may do what was not taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_reload_error: Option<String>,
    /// Files with secrets that others than their owner may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exposed_secrets: Vec<String>,
}

impl Default for Readiness {
    fn default() -> Self {
        let (state, looks) = (Mutex::default(), Mutex::default());
        Self { state, looks, draining: watch::Sender::new(false) }
    }
}

impl Readiness {
    /// The store answers.
    pub fn store_opened(&self) {
        self.change(|state| state.store_open = true);
    }

    /// A snapshot decides, and the last reload succeeded.
    pub fn snapshot_loaded(&self, generation: u64) {
        self.change(|state| {
            state.generation = Some(generation);
            state.last_reload_error = None;
        });
    }

    /// A snapshot with other keys decides. Whether files could be reloaded is another matter.
    pub fn keys_taken_up(&self, generation: u64) {
        self.change(|state| state.generation = Some(generation));
    }

    /// A reload was not taken; the last good snapshot still decides.
    pub fn reload_failed(&self, error: String) {
        self.change(|state| state.last_reload_error = Some(error));
    }

    /// Changed certificates were taken up, or why not.
    pub fn tls_reloaded(&self, error: Option<String>) {
        self.change(|state| state.tls_reload_error = error);
    }

    /// A change of who may do what was taken up, or why not.
    pub fn auth_reloaded(&self, error: Option<String>) {
        self.change(|state| state.auth_reload_error = error);
    }

    /// Files with secrets that others than their owner may read, a sentence each.
    pub fn secrets_exposed(&self, files: Vec<String>) {
        self.change(|state| state.exposed_secrets = files);
    }

    /// `files` are followed, and `time` says when they were last looked at.
    pub fn looks_at(&self, files: &'static str, time: LookTime) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).insert(files, time);
    }

    /// Seconds since files were last looked at, by what they are for.
    pub fn look_ages(&self) -> BTreeMap<&'static str, u64> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.iter().map(|(files, time)| (*files, time.age().as_secs())).collect()
    }

    /// The daemon is going away.
    pub fn start_draining(&self) {
        self.draining.send_replace(true);
    }

    /// True if the daemon is going away.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns once the daemon is going away.
    pub async fn drained(&self) {
        let mut draining = self.draining.subscribe();
        if draining.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(in crate::http) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
