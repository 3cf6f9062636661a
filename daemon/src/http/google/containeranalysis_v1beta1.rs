//! Attestations as `v1beta1` of Google's Container Analysis API writes them, which scripts of its
//! time still send: turned into those of v1 on the way in and back on the way out. What is wrong
//! with a body is named by its place in v1.

use hallmark_core::document::read::{camel_case, resource};
use hallmark_core::document::{Document, DocumentLimits};
use serde_json::{Map, Value, json};

use super::shared::document;
use crate::http::engine::error::FieldViolation;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Exchange;

/// Members of a note whose names changed: in v1beta1, in v1.
const NOTE_MEMBERS: [(&str, &str); 3] =
    [("attestationAuthority", "attestation"), ("baseImage", "image"), ("deployable", "deployment")];

/// Bodies of v1beta1 that are not shaped as in v1.
const OTHER_BODIES: [&str; 17] = [
    "vulnerability",
    "build",
    "baseImage",
    "derivedImage",
    "package",
    "installation",
    "deployable",
    "deployment",
    "discovery",
    "discovered",
    "intoto",
    "sbom",
    "spdxPackage",
    "spdxFile",
    "spdxRelationship",
    "sbomReference",
    "vulnerabilityAssessment",
];

/// True if the path is one of v1beta1.
fn is_asked(exchange: &Exchange) -> bool {
    exchange.uri.path().starts_with("/v1beta1/")
}

/// The body as a note or an occurrence of v1, or as a batch of them under `notes` or `occurrences`.
pub(in crate::http) fn document_of_v1(
    exchange: &Exchange,
    limits: &DocumentLimits,
) -> Result<Document, HttpError> {
    let read = document(exchange, limits)?;
    if !is_asked(exchange) {
        return Ok(read);
    }
    let mut body = resource(read.root(), |root| root.json())?;
    if let Some(notes) = body.get_mut("notes").and_then(Value::as_object_mut) {
        notes.values_mut().try_for_each(to_v1)?;
    } else if let Some(occurrences) = body.get_mut("occurrences").and_then(Value::as_array_mut) {
        occurrences.iter_mut().try_for_each(to_v1)?;
    } else {
        to_v1(&mut body)?;
    }
    Ok(Document::from_json(&body.to_string(), limits)?)
}

/// A mask of v1, of paths of either version: Terraform names members by their old names in masks
/// and by the new ones in bodies.
pub(in crate::http) fn mask_of_v1(mask: &str) -> String {
    let path_of_v1 = |path: &str| {
        let path = path.trim();
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        match camel_case(first).as_str() {
            "resource" => "resourceUri".to_owned(),
            "attestationAuthority" if rest.is_empty() => "attestation".to_owned(),
            "attestationAuthority" => format!("attestation.{rest}"),
            "attestation" if rest.starts_with("attestation") => "attestation".to_owned(),
            _ => path.to_owned(),
        }
    };
    mask.split(',').map(path_of_v1).collect::<Vec<_>>().join(",")
}

/// A note or an occurrence of v1 in the version that is asked for.
pub(in crate::http) fn in_version(exchange: &Exchange, mut v1: Value) -> Value {
    if is_asked(exchange)
        && let Some(members) = v1.as_object_mut()
    {
        from_v1(members);
    }
    v1
}

fn to_v1(resource: &mut Value) -> Result<(), HttpError> {
    let Some(members) = resource.as_object_mut() else { return Ok(()) };
    let given = std::mem::take(members);
    for (name, member) in given {
        let name = camel_case(&name);
        match name.as_str() {
            _ if member.is_null() => {}
            "resource" => drop(members.insert("resourceUri".to_owned(), uri(&member)?)),
            "attestationAuthority" => drop(members.insert("attestation".to_owned(), member)),
            "attestation" if member.get("attestation").is_some() => {
                members.insert(name, attestation(&member["attestation"])?);
            }
            body if OTHER_BODIES.contains(&body) => {
                return Err(HttpError::Unimplemented(format!(
                    "{body}: v1beta1 is read for attestations, send other kinds to v1"
                )));
            }
            _ => drop(members.insert(name, member)),
        }
    }
    Ok(())
}

fn uri(resource: &Value) -> Result<Value, HttpError> {
    let uri = resource.get("uri").filter(|uri| uri.is_string());
    uri.cloned().ok_or_else(|| invalid("resource.uri", "required; set it"))
}

/// `genericSignedAttestation`: payload and signatures, as in v1. The content type is not kept: what
/// is signed says what it is.
fn attestation(attestation: &Value) -> Result<Value, HttpError> {
    let member = |name: &str| {
        let members = attestation.as_object()?.iter();
        members.into_iter().find(|(given, _)| camel_case(given) == name).map(|(_, member)| member)
    };
    let Some(generic) = member("genericSignedAttestation").and_then(Value::as_object) else {
        let problem = match member("pgpSignedAttestation") {
            Some(_) => {
                "the payload is needed beside the signature: send both as \
                 genericSignedAttestation, or to v1"
            }
            None => "set genericSignedAttestation",
        };
        return Err(invalid("attestation.attestation", problem));
    };
    let kept = generic.iter().filter(|(name, _)| camel_case(name) != "contentType");
    Ok(kept.map(|(name, member)| (name.clone(), member.clone())).collect::<Map<_, _>>().into())
}

fn from_v1(members: &mut Map<String, Value>) {
    let Some(uri) = members.remove("resourceUri") else {
        for (old, new) in NOTE_MEMBERS {
            if let Some(member) = members.remove(new) {
                members.insert(old.to_owned(), member);
            }
        }
        return;
    };
    members.insert("resource".to_owned(), json!({"uri": uri}));
    if let Some(attestation) = members.get_mut("attestation") {
        attestation["contentType"] = "SIMPLE_SIGNING_JSON".into();
        *attestation = json!({"attestation": {"genericSignedAttestation": attestation.take()}});
    }
}

fn invalid(field: &str, problem: &str) -> HttpError {
    let violation = FieldViolation { field: field.to_owned(), description: problem.to_owned() };
    HttpError::InvalidFields { message: format!("{field}: {problem}"), violations: vec![violation] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(v1beta1: &Value) -> Result<Value, String> {
        let mut value = v1beta1.clone();
        to_v1(&mut value).map(|()| value).map_err(|error| error.to_string())
    }

    fn written(mut v1: Value) -> Value {
        from_v1(v1.as_object_mut().unwrap());
        v1
    }

    #[test]
    fn a_note_has_its_hint_under_another_name() {
        let note = json!({"name": "n", "attestation_authority": {"hint": {}}});
        let v1 = json!({"name": "n", "attestation": {"hint": {}}});
        assert_eq!(read(&note), Ok(v1.clone()));
        assert_eq!(written(v1), json!({"name": "n", "attestationAuthority": {"hint": {}}}));
    }

    #[test]
    fn an_attestation_is_nested_deeper() {
        let mut generic =
            json!({"serialized_payload": "YQ==", "signatures": [{"signature": "Yg=="}]});
        let v1 = json!({
            "resourceUri": "https://i", "noteName": "n", "attestation": generic.clone(),
        });
        generic["contentType"] = json!("SIMPLE_SIGNING_JSON");
        let v1beta1 = json!({
            "resource": {"uri": "https://i"}, "noteName": "n",
            "attestation": {"attestation": {"genericSignedAttestation": generic}},
        });
        assert_eq!(read(&v1beta1), Ok(v1.clone()));
        assert_eq!(written(v1), v1beta1);
    }

    #[test]
    fn what_cannot_be_turned_is_refused() {
        let pgp = json!({"attestation": {"attestation": {"pgp_signed_attestation": {}}}});
        for (body, says) in [
            (pgp, "the payload is needed"),
            (json!({"attestation": {"attestation": 1}}), "set genericSignedAttestation"),
            (json!({"resource": "i"}), "resource.uri: required"),
            (json!({"derived_image": {}}), "send other kinds to v1"),
        ] {
            let error = read(&body).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(read(&json!([])), Ok(json!([])), "the reader of v1 says what is wrong");
    }

    #[test]
    fn masks_may_name_members_by_either_name() {
        let mask = "shortDescription,attestation_authority.hint, resource.uri,attestationAuthority";
        let v1 = "shortDescription,attestation.hint,resourceUri,attestation";
        assert_eq!(mask_of_v1(mask), v1);
        assert_eq!(mask_of_v1("attestation.attestation.genericSignedAttestation"), "attestation");
        assert_eq!(mask_of_v1(""), "");
    }
}
