//! Google's platform policies: create, read, replace, delete, and `:evaluate` of pods.

use hallmark_core::document::DocumentLimits;
use hallmark_core::document::read::resource;
use hallmark_core::excerpt::Excerpt;
use hallmark_core::names::{NameError, Platform, PlatformPolicyName};
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::parse::platform_policy_from_document;
use hallmark_core::platform::render::platform_policy_to_json;
use hallmark_core::platform::result::response_to_json;
use serde_json::{Value, json as value};

use super::shared::answer;
use super::shared::document;
use super::shared::empty;
use super::shared::listing;
use super::shared::page;
use super::shared::project;
use super::shared::required;
use crate::admit::{ConformanceError, Origin, conformance};
use crate::http::Api;
use crate::http::dialect::Dialect;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Change;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::Written;
use crate::workload::{self, WorkloadError};

/// Objects of one `List`, lists in it included. A chart makes some dozens.
const OBJECTS_MAX: usize = 1_000;

/// Characters of the name of an object that an error repeats. Kubernetes' names end at 253.
const NAME_CHARS_SHOWN: usize = 253;

/// `GET projects/*/platforms`.
pub(in crate::http) fn list_platforms(_: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    project(exchange)?;
    let platforms = Platform::ALL.map(|platform| value!({"platformId": platform.as_str()}));
    answer(exchange, value!({"platforms": platforms}))
}

/// `POST projects/*/platforms/*/policies?policyId=`.
pub(in crate::http) async fn create_platform_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let name = named(&exchange, &required(&exchange, "policyId")?)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let policy = platform_policy_from_document(&document, Some(&name))?;
    let policy = api.resources.create_platform_policy(policy).await?;
    let answer = answer(&exchange, platform_policy_to_json(&policy))?;
    Ok(Written { answer, change: Change::created(&policy.name, Some(policy.etag)) })
}

/// `GET projects/*/platforms/*/policies/*`.
pub(in crate::http) async fn get_platform_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let policy = api.resources.platform_policy(name(&exchange)?).await?;
    answer(&exchange, platform_policy_to_json(&policy))
}

/// `GET projects/*/platforms/*/policies`.
pub(in crate::http) async fn list_platform_policies(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let platform = exchange.param("platform").parse::<Platform>()?;
    let (project, page) = (project(&exchange)?, page(&exchange)?);
    let found = api.resources.platform_policies(project, platform, &page).await?;
    listing(&exchange, "platformPolicies", &found, platform_policy_to_json)
}

/// `PUT projects/*/platforms/*/policies/*`: replaces it whole.
pub(in crate::http) async fn replace_platform_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let name = name(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let policy = platform_policy_from_document(&document, Some(&name))?;
    let policy = api.resources.replace_platform_policy(policy).await?;
    let answer = answer(&exchange, platform_policy_to_json(&policy))?;
    Ok(Written { answer, change: Change::replaced(&policy, &policy.etag) })
}

/// `DELETE projects/*/platforms/*/policies/*?etag=`.
pub(in crate::http) async fn delete_platform_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let etag = exchange.query("etag")?.unwrap_or_default();
    let etag_before = api.resources.delete_platform_policy(name(&exchange)?, etag).await?;
    Ok(Written { answer: empty()?, change: Change::deleted(etag_before) })
}

/// `POST projects/*/platforms/gke/policies/*:evaluate`: whether the pods of a Kubernetes object
/// conform.
pub(in crate::http) async fn evaluate(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let name = name(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let object = resource(document.root(), |root| {
        let object = root.object(&["name", "resource", "attestationMode"])?;
        let whole = name.to_string();
        object.repeats("name", &whole, |text| text == whole);
        let modes = [("ATTESTATION_MODE_UNSPECIFIED", 0, false), ("GENERATE_DEPLOY", 1, true)];
        if let Some(field) = object.get("attestationMode")
            && field.enumeration(&modes)?
        {
            field.fail("attestations of conformance are not made here: leave attestationMode out");
        }
        let read = object.required("resource").and_then(|field| field.json());
        read.filter(Value::is_object)
    })?;
    let pods = pods(&object.to_string())?;
    let principal = exchange.caller.principal().map(str::to_owned);
    let api_name = Dialect::BinaryAuthorization.name();
    let origin = Origin { api: api_name, principal, review: None };
    match conformance(&api.gate, &origin, &name, pods, exchange.deadline).await {
        Ok(results) => answer(&exchange, response_to_json(&results)),
        Err(ConformanceError::NotInForce) => Err(api.resources.not_in_force(name).await.into()),
        Err(ConformanceError::Unrecorded(error)) => {
            Err(HttpError::unrecorded("pods were evaluated", &error))
        }
    }
}

/// The pods of an object or a list of them. One whose images are all left blank cannot be
/// evaluated: without images everything would conform.
fn pods(json: &str) -> Result<Vec<Pod>, HttpError> {
    let pods = workload::objects(json, OBJECTS_MAX).and_then(|objects| {
        objects.iter().map(|object| object.pod()).collect::<Result<Vec<_>, _>>()
    });
    let invalid = |error: WorkloadError| HttpError::InvalidArgument(format!("resource: {error}"));
    let pods = pods.map_err(invalid)?;
    if pods.is_empty() {
        return Err(HttpError::InvalidArgument("resource: no pod in it".to_owned()));
    }
    if let Some(blank) = pods.iter().find(|pod| pod.images.is_empty()) {
        let name = Excerpt::<NAME_CHARS_SHOWN>(&blank.name);
        return Err(HttpError::InvalidArgument(format!(
            "resource: `{name}` leaves its images blank: evaluate its pods, when they are filled in"
        )));
    }
    Ok(pods.into_iter().map(pod).collect())
}

/// The pod as a policy sees it. Without a namespace the account that it would be given is not known.
fn pod(read: workload::Pod) -> Pod {
    let account = read.namespace.is_some().then(|| read.account()).or(read.service_account);
    let images = read.images.into_iter().map(|used| used.image).collect();
    Pod { name: read.name, namespace: read.namespace, service_account: account, images }
}

fn name(exchange: &Exchange) -> Result<PlatformPolicyName, NameError> {
    named(exchange, exchange.param("policy"))
}

fn named(exchange: &Exchange, id: &str) -> Result<PlatformPolicyName, NameError> {
    let (project, platform) = (exchange.param("project"), exchange.param("platform"));
    PlatformPolicyName::new(project.parse()?, platform.parse()?, id)
}
