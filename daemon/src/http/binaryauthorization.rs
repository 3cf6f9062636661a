//! Google's Binary Authorization API: policies and attestors. v1, and v1beta1 with its field names.

use hallmark_core::attestor::parse::attestor_from_document;
use hallmark_core::attestor::render::{ApiVersion, attestor_to_json};
use hallmark_core::document::{DocumentError, DocumentLimits};
use hallmark_core::names::AttestorName;
use hallmark_core::policy::parse::policy_from_document;
use hallmark_core::policy::render::policy_to_json;
use serde_json::{Value, json as value};

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Change, Exchange, changed, json};
use super::google::{document, empty, listing, named, page, project, required};
use crate::resources::Written;

/// `GET projects/*/policy`: the policy, or Google's default where none was written.
pub(super) async fn get_policy(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let project = project(&exchange)?;
    let policy = doors.resources.policy(project.clone()).await?;
    json(&policy_to_json(&policy, &project))
}

/// `PUT projects/*/policy`: replaces it whole.
pub(super) async fn update_policy(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let project = project(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let policy = policy_from_document(&document).map_err(DocumentError::from)?;
    let policy = doors.resources.put_policy(project.clone(), policy).await?;
    let answer = json(&policy_to_json(&policy, &project))?;
    Ok(changed(answer, replaced(&policy, &policy.etag)))
}

/// `GET locations/*/policy`: the system policy, the same everywhere.
pub(super) fn get_system_policy(doors: &Doors, exchange: &Exchange) -> Result<Answer, HttpError> {
    let location = exchange.param("location");
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if location.is_empty() || location.len() > 63 || !location.bytes().all(legal) {
        return Err(HttpError::InvalidArgument(
            "the location is none, such as `global`".to_owned(),
        ));
    }
    let system = doors.resources.system_policy();
    let patterns = system.admission_whitelist_patterns.iter();
    let patterns: Vec<_> =
        patterns.map(|pattern| value!({"namePattern": pattern.as_str()})).collect();
    json(&value!({
        "name": format!("locations/{location}/policy"),
        "admissionWhitelistPatterns": patterns,
    }))
}

/// `POST projects/*/attestors?attestorId=`.
pub(super) async fn create_attestor(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let name: AttestorName = named(&exchange, "attestors", &required(&exchange, "attestorId")?)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let attestor = attestor_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let attestor = doors.resources.create_attestor(attestor).await?;
    let answer = json(&attestor_to_json(&attestor, version(&exchange)))?;
    let resources = vec![attestor.name.to_string()];
    let change = Change { resources, etag_after: Some(attestor.etag), etag_before: None };
    Ok(changed(answer, change))
}

/// `GET projects/*/attestors/*`.
pub(super) async fn get_attestor(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let attestor = doors.resources.attestor(attestor_name(&exchange)?).await?;
    json(&attestor_to_json(&attestor, version(&exchange)))
}

/// `GET projects/*/attestors`.
pub(super) async fn list_attestors(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let attestors = doors.resources.attestors(project(&exchange)?, page(&exchange)?).await?;
    let render = |attestor: &_| -> Value { attestor_to_json(attestor, version(&exchange)) };
    listing("attestors", &attestors, render)
}

/// `PUT projects/*/attestors/*`: replaces it whole, its note excepted.
pub(super) async fn update_attestor(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let name = attestor_name(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let attestor = attestor_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let attestor = doors.resources.update_attestor(attestor).await?;
    let answer = json(&attestor_to_json(&attestor, version(&exchange)))?;
    Ok(changed(answer, replaced(&attestor, &attestor.etag)))
}

/// `DELETE projects/*/attestors/*`.
pub(super) async fn delete_attestor(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let etag_before = doors.resources.delete_attestor(attestor_name(&exchange)?).await?;
    Ok(changed(empty()?, Change { etag_before, ..Change::default() }))
}

fn replaced<T>(written: &Written<T>, etag: &str) -> Change {
    Change {
        etag_before: written.etag_before.clone(),
        etag_after: Some(etag.to_owned()),
        ..Change::default()
    }
}

fn attestor_name(exchange: &Exchange) -> Result<AttestorName, HttpError> {
    named(exchange, "attestors", exchange.param("attestor"))
}

/// The version that the path begins with.
fn version(exchange: &Exchange) -> ApiVersion {
    match exchange.uri.path().starts_with("/v1beta1/") {
        true => ApiVersion::V1Beta1,
        false => ApiVersion::V1,
    }
}
