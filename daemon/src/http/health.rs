//! `/livez`, `/readyz`, `/version`, `/metrics`: for those who operate the daemon.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use prometheus::TextEncoder;
use serde::Serialize;

use super::Api;
use crate::audit::Report;
use crate::auth::Place;
use crate::auth::permission::Permission;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::answer;
use crate::http::engine::exchange::json;
use crate::http::engine::readiness::State;

/// Attestors that are named in one answer.
const ATTESTORS_SHOWN: usize = 16;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers whoever asks whether the process is alive at all.
pub(super) fn livez(_: &Api, _: &Exchange) -> Result<Answer, HttpError> {
    Ok(answer(StatusCode::OK, TEXT, Bytes::from_static(b"ok\n")))
}

/// 200 where requests may come, else 503; to operators with what is known.
pub(super) fn readyz(api: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    let readiness = &api.engine.readiness;
    let (mut state, draining) = (readiness.state(), readiness.is_draining());
    // Of the snapshot that decides now: writes move it, as reloads do.
    let snapshot = api.gate.snapshots.current();
    state.generation = state.generation.map(|_| snapshot.generation);
    // Decisions that cannot be recorded are denials: another replica may be able to record them.
    let audit = api.gate.audit.health();
    let recording = audit.fault.is_none();
    let ready = state.store_open && state.generation.is_some() && !draining && recording;
    let (guard, permission) = (&api.engine.authorizer.guard, Permission::OperationsGet);
    let mut answer = match guard.permits(&exchange.caller, permission, Place::DAEMON) {
        true => {
            let Report { fault: audit_error, warning: audit_warning } = audit;
            let report = ReadinessReport {
                ready,
                draining,
                state,
                plugin_errors: api.gate.catalog.errors(),
                kms_key_errors: api.key_versions.unserved(),
                attestor_errors: snapshot.attestor_errors(ATTESTORS_SHOWN).0,
                issuer_key_errors: guard.issuer_key_errors(),
                audit_error,
                audit_warning,
                look_ages: readiness.look_ages(),
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

/// The version that runs here.
pub(super) fn version(_: &Api, _: &Exchange) -> Result<Answer, HttpError> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        git: option_env!("HALLMARK_GIT_SHA"),
        plugin_abi: 1,
    };
    json(&version)
}

/// Prometheus text.
pub(super) fn metrics(api: &Api, _: &Exchange) -> Result<Answer, HttpError> {
    api.engine.refresh_metrics();
    (api.refresh)();
    api.look_metrics.show(&api.engine.readiness.look_ages());
    api.auth_metrics.show(api.engine.authorizer.guard.refused_issuer_keys());
    let text = TextEncoder::new()
        .encode_to_string(&api.registry.gather())
        .map_err(|error| HttpError::internal(format!("metrics did not render: {error}")))?;
    let content_type = HeaderValue::from_static(prometheus::TEXT_FORMAT);
    Ok(answer(StatusCode::OK, content_type, Bytes::from(text)))
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
    /// Faults of plugins, by instance; the last good keys of those that have any decide.
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
