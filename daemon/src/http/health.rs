//! `/livez`, `/readyz`, `/version`, `/metrics`: for those who operate the daemon.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use prometheus::TextEncoder;
use serde::Serialize;
use tokio::sync::watch;

use super::Doors;
use crate::audit::Report;
use crate::auth::Place;
use crate::auth::permission::Permission;
use crate::followed::LookTime;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::answer;
use crate::http::engine::exchange::json;

/// Attestors that are named in one answer.
const ATTESTORS_SHOWN: usize = 16;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers whoever asks whether the process is alive at all.
pub(super) fn livez(_: &Doors, _: &Exchange) -> Result<Answer, HttpError> {
    Ok(answer(StatusCode::OK, TEXT, Bytes::from_static(b"ok\n")))
}

/// 200 where requests may come, else 503; to operators with what is known.
pub(super) fn readyz(doors: &Doors, exchange: &Exchange) -> Result<Answer, HttpError> {
    let (mut state, draining) = (doors.readiness.state(), doors.readiness.is_draining());
    if let (Some(_), Some(now)) = (state.generation, doors.generation()) {
        state.generation = Some(now);
    }
    // What cannot be recorded is denied: another replica may be able to.
    let audit = doors.audit();
    let recording = audit.fault.is_none();
    let ready = state.store_open && state.generation.is_some() && !draining && recording;
    let permission = Permission::OperationsGet;
    let mut answer = match doors.guard.permits(&exchange.caller, permission, Place::DAEMON) {
        true => {
            let plugin_errors = doors.plugin_errors();
            let kms_key_errors = doors.kms_key_errors();
            let look_ages = doors.readiness.look_ages();
            let Report { fault: audit_error, warning: audit_warning } = audit;
            let report = ReadinessReport {
                ready,
                draining,
                state,
                plugin_errors,
                kms_key_errors,
                attestor_errors: doors.attestor_errors(ATTESTORS_SHOWN),
                issuer_key_errors: doors.guard.issuer_key_errors(),
                audit_error,
                audit_warning,
                look_ages,
            };
            json(&report)?
        }
        false => json(&Ready { ready })?,
    };
    if !ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// What runs here.
pub(super) fn version(_: &Doors, _: &Exchange) -> Result<Answer, HttpError> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        git: option_env!("HALLMARK_GIT_SHA"),
        plugin_abi: 1,
    };
    json(&version)
}

/// Prometheus text.
pub(super) fn metrics(doors: &Doors, _: &Exchange) -> Result<Answer, HttpError> {
    doors.refresh_metrics();
    doors.look_metrics.show(&doors.readiness.look_ages());
    doors.auth_metrics.show(doors.guard.refused_issuer_keys());
    let text = TextEncoder::new()
        .encode_to_string(&doors.registry.gather())
        .map_err(|error| HttpError::internal(format!("metrics did not render: {error}")))?;
    let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
    Ok(answer(StatusCode::OK, content_type, Bytes::from(text)))
}

/// What `/readyz` says; fed by whoever opens, loads and drains.
#[derive(Debug)]
pub struct Readiness {
    state: Mutex<State>,
    /// By what they are for.
    looks: Mutex<BTreeMap<&'static str, LookTime>>,
    draining: watch::Sender<bool>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    store_open: bool,
    /// Of the snapshot that decides.
    generation: Option<u64>,
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

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadinessReport {
    ready: bool,
    draining: bool,
    #[serde(flatten)]
    state: State,
    /// What is wrong with plugins, by instance; the last good keys of those that have any decide.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    plugin_errors: BTreeMap<String, String>,
    /// Key versions under names of Cloud KMS that no plugin serves now, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kms_key_errors: BTreeMap<String, String>,
    /// Keys of attestors that cannot be used, and why, by attestor; the first of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attestor_errors: BTreeMap<String, String>,
    /// Keys of issuers of tokens that are passed over, and why, by issuer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    issuer_key_errors: BTreeMap<String, String>,
    /// Why the audit log takes no records, so that everything is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_error: Option<String>,
    /// Why that may come soon.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_warning: Option<String>,
    /// Seconds since files were last looked at, to the end.
    #[serde(rename = "lookAgeSeconds", skip_serializing_if = "BTreeMap::is_empty")]
    look_ages: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    git: Option<&'static str>,
    plugin_abi: u32,
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

    /// Whether the daemon is going away.
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

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
