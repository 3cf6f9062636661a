//! The IAM verbs of both APIs: `getIamPolicy`, `setIamPolicy`, `testIamPermissions` on policies,
//! attestors and notes.

use hallmark_core::document::DocumentLimits;
use hallmark_core::document::read::{Field, Object, resource as read};
use hallmark_core::names::{AttestorName, GLOBAL, NoteName};
use serde_json::Map;

use super::shared::answer;
use super::shared::document;
use super::shared::named;
use super::shared::project;
use crate::auth::Place;
use crate::auth::iam::{IamPolicy, IamResource};
use crate::auth::permission::Permission;
use crate::http::Api;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Change;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::Written;
use crate::resources::ResourceError;

/// Permissions that one call may ask about. Google's limit.
const PERMISSIONS_MAX: usize = 100;

/// `:getIamPolicy`.
pub(in crate::http) async fn get_iam_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let policy = api.resources.iam_policy(resource(&exchange)?).await?;
    answer(&exchange, policy.to_json())
}

/// `:setIamPolicy`: replaces the policy whole.
pub(in crate::http) async fn set_iam_policy(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let resource = resource(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let policy = read(document.root(), |root| {
        let object = root.object(&["resource", "policy", "updateMask"])?;
        repeats(&object, &resource);
        if let Some(mask) = object.get("updateMask") {
            check_mask(&mask);
        }
        object.required("policy").and_then(|field| IamPolicy::from_field(&field))
    })?;
    let policy = api.resources.set_iam_policy(resource, policy).await?;
    let answer = answer(&exchange, policy.to_json())?;
    Ok(Written { answer, change: Change::replaced(&policy, &policy.etag) })
}

/// `:testIamPermissions`: those of the permissions asked about that the caller has; none on a
/// resource that there is not, which is Google's answer.
pub(in crate::http) async fn test_iam_permissions(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let resource = resource(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let asked: Vec<String> = read(document.root(), |root| {
        let object = root.object(&["resource", "permissions"])?;
        repeats(&object, &resource);
        let elements = object.list("permissions");
        if elements.len() > PERMISSIONS_MAX {
            root.fail(format!("{} permissions; at most {PERMISSIONS_MAX}", elements.len()));
        }
        elements.iter().map(|field| permission(field, &resource)).collect()
    })?;
    let asked = match api.resources.iam_policy(resource).await {
        Ok(stored) => held(api, &exchange, &stored, asked),
        Err(ResourceError::NotFound(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut answered = Map::new();
    if !asked.is_empty() {
        answered.insert("permissions".to_owned(), asked.into());
    }
    answer(&exchange, answered.into())
}

/// The resource of the body is the one of the path, with or without its location.
fn repeats(object: &Object<'_>, resource: &IamResource) {
    let name = resource.to_string();
    object.repeats("resource", &name, |text| {
        text.replacen(&format!("/locations/{GLOBAL}/"), "/", 1) == name
    });
}

/// A policy is replaced whole, which is what a mask of both its members asks for.
fn check_mask(mask: &Field<'_>) {
    let Some(text) = mask.string() else { return };
    let paths: Vec<_> = text.split(',').map(str::trim).collect();
    let known = |path: &&str| ["bindings", "etag", "*", ""].contains(path);
    let whole = paths.iter().any(|path| *path != "etag");
    if !whole || !paths.iter().all(known) {
        mask.fail("the policy is replaced whole: leave updateMask out");
    }
}

/// Those of the permissions that the caller has.
fn held(api: &Api, exchange: &Exchange, stored: &IamPolicy, asked: Vec<String>) -> Vec<String> {
    let (caller, authorizer) = (&exchange.caller, &api.engine.authorizer);
    let place = Place::project(exchange.param("project"));
    let holds = |permission: Permission| {
        authorizer.guard.permits(caller, permission, place)
            || authorizer.permits_by(stored, caller, permission)
    };
    asked.into_iter().filter(|asked| asked.parse().is_ok_and(holds)).collect()
}

/// The permissions that there are on a resource.
fn permissions(resource: &IamResource) -> &'static [&'static str] {
    match resource {
        IamResource::Policy(_) => &[
            "binaryauthorization.policy.get",
            "binaryauthorization.policy.update",
            "binaryauthorization.policy.evaluatePolicy",
            "binaryauthorization.policy.getIamPolicy",
            "binaryauthorization.policy.setIamPolicy",
        ],
        IamResource::Attestor(_) => &[
            "binaryauthorization.attestors.get",
            "binaryauthorization.attestors.update",
            "binaryauthorization.attestors.delete",
            "binaryauthorization.attestors.verifyImageAttested",
            "binaryauthorization.attestors.getIamPolicy",
            "binaryauthorization.attestors.setIamPolicy",
        ],
        IamResource::Note(_) => &[
            "containeranalysis.notes.get",
            "containeranalysis.notes.update",
            "containeranalysis.notes.delete",
            "containeranalysis.notes.attachOccurrence",
            "containeranalysis.notes.listOccurrences",
            "containeranalysis.notes.getIamPolicy",
            "containeranalysis.notes.setIamPolicy",
        ],
    }
}

fn permission(field: &Field<'_>, resource: &IamResource) -> Option<String> {
    let asked = field.string()?;
    let known = permissions(resource);
    if !known.contains(&asked) {
        field.fail(format!("no permission on {resource}; one of {}", known.join(", ")));
        return None;
    }
    Some(asked.to_owned())
}

fn resource(exchange: &Exchange) -> Result<IamResource, HttpError> {
    let (attestor, note) = (exchange.param("attestor"), exchange.param("note"));
    if !attestor.is_empty() {
        let name: AttestorName = named(exchange, "attestors", attestor)?;
        Ok(IamResource::Attestor(name))
    } else if !note.is_empty() {
        let name: NoteName = named(exchange, "notes", note)?;
        Ok(IamResource::Note(name))
    } else {
        Ok(IamResource::Policy(project(exchange)?))
    }
}
