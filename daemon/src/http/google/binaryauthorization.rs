//! Google's Binary Authorization API: policies and attestors. v1, and v1beta1 and v1alpha2 with
//! their field names.

use hallmark_core::attestor::parse::attestor_from_document;
use hallmark_core::attestor::render::{ApiVersion, attestor_to_json};
use hallmark_core::document::{DocumentError, DocumentLimits};
use hallmark_core::limits::Limits;
use hallmark_core::names::AttestorName;
use hallmark_core::occurrence::parse::unstored_attestation_from_document;
use hallmark_core::policy::parse::policy_from_document;
use hallmark_core::policy::render::policy_to_json;
use serde_json::{Value, json as value};

use super::shared::answer;
use super::shared::document;
use super::shared::empty;
use super::shared::listing;
use super::shared::named;
use super::shared::page;
use super::shared::project;
use super::shared::required;
use crate::admit::{Validation, validate};
use crate::http::Api;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Change;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::Written;

/// `GET projects/*/policy`: the policy, or Google's default where none was written.
pub(in crate::http) async fn get_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let project = project(&exchange)?;
    let policy = api.resources.policy(project.clone()).await?;
    answer(&exchange, policy_to_json(&policy, &project))
}

/// `PUT projects/*/policy`: replaces it whole.
pub(in crate::http) async fn update_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let project = project(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let policy = policy_from_document(&document, Some(&project)).map_err(DocumentError::from)?;
    let policy = api.resources.put_policy(project.clone(), policy).await?;
    let answer = answer(&exchange, policy_to_json(&policy, &project))?;
    Ok(Written { answer, change: Change::replaced(&policy, &policy.etag) })
}

/// `GET locations/*/policy`: the system policy, the same everywhere.
pub(in crate::http) fn get_system_policy(
    api: &Api,
    exchange: &Exchange,
) -> Result<Answer, HttpError> {
    let location = exchange.param("location");
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if location.is_empty() || location.len() > 63 || !location.bytes().all(legal) {
        return Err(HttpError::InvalidArgument(
            "the location is none, such as `global`".to_owned(),
        ));
    }
    let system = api.resources.system_policy();
    let patterns = system.admission_whitelist_patterns.iter();
    let patterns: Vec<_> =
        patterns.map(|pattern| value!({"namePattern": pattern.as_str()})).collect();
    let policy = value!({
        "name": format!("locations/{location}/policy"),
        "admissionWhitelistPatterns": patterns,
    });
    answer(exchange, policy)
}

/// `POST projects/*/attestors?attestorId=`.
pub(in crate::http) async fn create_attestor(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let name: AttestorName = named(&exchange, "attestors", &required(&exchange, "attestorId")?)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let attestor = attestor_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let attestor = api.resources.create_attestor(attestor).await?;
    let answer = answer(&exchange, attestor_to_json(&attestor, version(&exchange)))?;
    Ok(Written { answer, change: Change::created(&attestor.name, Some(attestor.etag)) })
}

/// `GET projects/*/attestors/*`.
pub(in crate::http) async fn get_attestor(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let attestor = api.resources.attestor(attestor_name(&exchange)?).await?;
    answer(&exchange, attestor_to_json(&attestor, version(&exchange)))
}

/// `GET projects/*/attestors`.
pub(in crate::http) async fn list_attestors(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let attestors = api.resources.attestors(project(&exchange)?, page(&exchange)?).await?;
    let render = |attestor: &_| -> Value { attestor_to_json(attestor, version(&exchange)) };
    listing(&exchange, "attestors", &attestors, render)
}

/// `PUT projects/*/attestors/*`: replaces it whole, its note excepted.
pub(in crate::http) async fn update_attestor(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let name = attestor_name(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let attestor = attestor_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let attestor = api.resources.update_attestor(attestor).await?;
    let answer = answer(&exchange, attestor_to_json(&attestor, version(&exchange)))?;
    Ok(Written { answer, change: Change::replaced(&attestor, &attestor.etag) })
}

/// `DELETE projects/*/attestors/*`.
pub(in crate::http) async fn delete_attestor(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let etag_before = api.resources.delete_attestor(attestor_name(&exchange)?).await?;
    Ok(Written { answer: empty()?, change: Change::deleted(etag_before) })
}

/// `POST projects/*/attestors/*:validateAttestationOccurrence`: whether the attestor would accept
/// an attestation, which need not be stored.
pub(in crate::http) async fn validate_attestation_occurrence(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let name = attestor_name(&exchange)?;
    let document = document(&exchange, &DocumentLimits::OCCURRENCE)?;
    let candidate = unstored_attestation_from_document(&document, &name, &Limits::DEFAULT)?;
    api.resources.attestor(name.clone()).await?;
    match validate(&api.gate, &name, candidate, exchange.deadline).await {
        Validation::Verified => answer(&exchange, value!({"result": "VERIFIED"})),
        Validation::NotVerifiable(reason) => answer(
            &exchange,
            value!({"result": "ATTESTATION_NOT_VERIFIABLE", "denialReason": reason}),
        ),
        Validation::Undetermined(inside) => Err(HttpError::Unavailable { inside }),
    }
}

fn attestor_name(exchange: &Exchange) -> Result<AttestorName, HttpError> {
    named(exchange, "attestors", exchange.param("attestor"))
}

/// The version that the path begins with.
fn version(exchange: &Exchange) -> ApiVersion {
    match exchange.uri.path().starts_with("/v1/") {
        true => ApiVersion::V1,
        false => ApiVersion::V1Beta1,
    }
}
