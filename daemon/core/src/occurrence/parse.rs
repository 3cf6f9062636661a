//! Reading notes and occurrences, v1.
//!
//! The part of an occurrence that a decision needs is decoded; the rest of the resource is kept as
//! it came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::{AttestationBody, Note, Occurrence, Signature, UnstoredAttestation};
use crate::attestor::parse::key_id;
use crate::document::read::{Field, FieldErrors, Object, camel_case, resource};
use crate::document::{Document, DocumentError, DocumentLimits};
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::{AttestorName, NoteName, OccurrenceName, ProjectId, is_project};

/// Bytes of a `resourceUri`. An image reference ends at 1024; twice that for a scheme and for the
/// URIs of other kinds.
pub const RESOURCE_URI_BYTES_MAX: usize = 2048;

/// The kinds of notes and occurrences, each with its number in the proto and the member that
/// holds its body.
pub const KINDS: [(&str, u32, &str); 14] = [
    ("VULNERABILITY", 1, "vulnerability"),
    ("BUILD", 2, "build"),
    ("IMAGE", 3, "image"),
    ("PACKAGE", 4, "package"),
    ("DEPLOYMENT", 5, "deployment"),
    ("DISCOVERY", 6, "discovery"),
    ("ATTESTATION", 7, "attestation"),
    ("UPGRADE", 8, "upgrade"),
    ("COMPLIANCE", 9, "compliance"),
    ("DSSE_ATTESTATION", 10, "dsseAttestation"),
    ("VULNERABILITY_ASSESSMENT", 11, "vulnerabilityAssessment"),
    ("SBOM_REFERENCE", 12, "sbomReference"),
    ("SECRET", 13, "secret"),
    ("AI_SKILL_ANALYSIS", 14, "aiSkillAnalysis"),
];

/// Members of a resource: its own and, after them, its body, which is one of those of [`KINDS`].
macro_rules! members {
    ($($own:literal),+ $(,)?) => {
        &[
            $($own,)+
            "vulnerability",
            "build",
            "image",
            "package",
            "deployment",
            "discovery",
            "attestation",
            "upgrade",
            "compliance",
            "dsseAttestation",
            "vulnerabilityAssessment",
            "sbomReference",
            "secret",
            "aiSkillAnalysis",
        ]
    };
}

/// Reads an occurrence in JSON. `name` is the one the daemon gave: of the document's own only the
/// project counts, which must be the same. With it, what only the daemon may set (`createTime`,
/// `updateTime`) is not taken from the text.
pub fn occurrence_from_json(
    text: &str,
    name: Option<&OccurrenceName>,
    limits: &Limits,
) -> Result<Occurrence, DocumentError> {
    let document = Document::from_json(text, &DocumentLimits::OCCURRENCE)?;
    Ok(occurrence_from_document(&document, name, limits)?)
}

/// Reads an occurrence from a document of either format; `name` as in [`occurrence_from_json`].
pub fn occurrence_from_document(
    document: &Document,
    name: Option<&OccurrenceName>,
    limits: &Limits,
) -> Result<Occurrence, FieldErrors> {
    resource(document.root(), |root| occurrence(root, name, limits))
}

/// Reads the `occurrences` of a `batchCreate` body, all of them under `name`, as in
/// [`occurrence_from_json`].
pub fn occurrences_from_batch(
    document: &Document,
    name: &OccurrenceName,
    limits: &Limits,
) -> Result<Vec<Occurrence>, FieldErrors> {
    let project = name.project();
    resource(document.root(), |root| {
        let object = root.object(&["parent", "occurrences"])?;
        object.repeats("parent", &format!("projects/{project}"), |text| is_project(text, project));
        let elements = object.list("occurrences");
        let read: Vec<_> =
            elements.iter().map(|field| occurrence(field, Some(name), limits)).collect();
        read.into_iter().collect()
    })
}

/// Reads a note in JSON. `name` is the one of the URL; the document may leave its own out, and may
/// not say another. With it, what only the daemon may set is not taken from the text.
pub fn note_from_json(text: &str, name: Option<&NoteName>) -> Result<Note, DocumentError> {
    let document = Document::from_json(text, &DocumentLimits::OCCURRENCE)?;
    Ok(note_from_document(&document, name)?)
}

/// Reads a note from a document of either format; `name` as in [`note_from_json`].
pub fn note_from_document(
    document: &Document,
    name: Option<&NoteName>,
) -> Result<Note, FieldErrors> {
    resource(document.root(), |root| note(root, name))
}

/// Reads the `notes` of a `batchCreate` body: a map from ids to notes, all of them of `project`.
pub fn notes_from_batch(
    document: &Document,
    project: &ProjectId,
) -> Result<Vec<Note>, FieldErrors> {
    resource(document.root(), |root| {
        let object = root.object(&["parent", "notes"])?;
        object.repeats("parent", &format!("projects/{project}"), |text| is_project(text, project));
        let notes = object.required("notes")?;
        let read = notes.entries().into_iter().map(|(id, field)| {
            let name = NoteName::new(project.clone(), id);
            let name = name.map_err(|error| field.fail(error.to_string())).ok()?;
            note(&field, Some(&name))
        });
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    })
}

/// Reads the body of `validateAttestationOccurrence`, which is sent to `attestor`.
pub fn unstored_attestation_from_document(
    document: &Document,
    attestor: &AttestorName,
    limits: &Limits,
) -> Result<UnstoredAttestation, FieldErrors> {
    resource(document.root(), |root| {
        let object =
            root.object(&["attestor", "attestation", "occurrenceNote", "occurrenceResourceUri"])?;
        object.repeats("attestor", &attestor.to_string(), |text| {
            text.parse().is_ok_and(|name: AttestorName| name == *attestor)
        });
        let note = object
            .required("occurrenceNote")
            .and_then(|field| field.parsed(NoteName::from_reference));
        let uri = object.required("occurrenceResourceUri").and_then(|field| resource_uri(&field));
        let attestation = object.required("attestation");
        let attestation = attestation.and_then(|field| read_attestation(&field, limits));
        let (note, resource_uri, (attestation, _)) = (note?, uri?, attestation?);
        let digest = digest_of(&resource_uri);
        Some(UnstoredAttestation { note, resource_uri, digest, attestation })
    })
}

fn occurrence(
    root: &Field<'_>,
    given: Option<&OccurrenceName>,
    limits: &Limits,
) -> Option<Occurrence> {
    let object = root.object(members![
        "name",
        "resourceUri",
        "noteName",
        "kind",
        "remediation",
        "createTime",
        "updateTime",
        "envelope",
    ])?;
    let name = occurrence_name(&object, given);
    let note = object.required("noteName").and_then(|field| field.parsed(NoteName::from_reference));
    let resource_uri = object.required("resourceUri").and_then(|field| resource_uri(&field));
    let kind = kind(&object);
    let mut json = kept(&object, given.is_some());
    let attestation = match object.get("attestation") {
        Some(field) => {
            let (body, rendered) = read_attestation(&field, limits)?;
            json.as_mut()?.insert("attestation".to_owned(), rendered);
            Some(body)
        }
        None => None,
    };
    let (name, note, resource_uri, kind, mut json) = (name?, note?, resource_uri?, kind?, json?);
    if kind == "ATTESTATION" && attestation.is_none() {
        object.required("attestation")?;
    }
    json.insert("name".to_owned(), name.to_string().into());
    json.insert("kind".to_owned(), kind.into());
    let digest = digest_of(&resource_uri);
    Some(Occurrence { name, note, resource_uri, digest, kind: kind.to_owned(), attestation, json })
}

fn note(root: &Field<'_>, given: Option<&NoteName>) -> Option<Note> {
    let object = root.object(members![
        "name",
        "shortDescription",
        "longDescription",
        "kind",
        "relatedUrl",
        "expirationTime",
        "createTime",
        "updateTime",
        "relatedNoteNames",
    ])?;
    let name = object.own_name(given, NoteName::from_reference);
    let kind = kind(&object);
    let json = kept(&object, given.is_some());
    let (name, kind, mut json) = (name?, kind?, json?);
    if let Some(attestation) = json.get_mut("attestation") {
        camel_cased(attestation);
    }
    json.insert("name".to_owned(), name.to_string().into());
    json.insert("kind".to_owned(), kind.into());
    Some(Note { name, json })
}

/// The id of an occurrence is the daemon's to give, so a document that comes from elsewhere may have
/// another; its project is the author's to say.
fn occurrence_name(object: &Object<'_>, given: Option<&OccurrenceName>) -> Option<OccurrenceName> {
    let Some(given) = given else {
        return object.required("name")?.parsed(OccurrenceName::from_reference);
    };
    let project = given.project();
    object.repeats("name", &format!("an occurrence of projects/{project}"), |text| {
        OccurrenceName::from_reference(text).is_ok_and(|name| name.project() == project)
    });
    Some(given.clone())
}

/// The kind that is written, or else the kind of the member that is set: in Google's API `kind`
/// is an output of the service.
fn kind(object: &Object<'_>) -> Option<&'static str> {
    let mut values = KINDS.map(|(kind, number, _)| (kind, number, Some(kind))).to_vec();
    values.push(("NOTE_KIND_UNSPECIFIED", 0, None));
    let written = match object.get("kind") {
        Some(field) => field.enumeration(&values)?.map(|kind| (kind, field)),
        None => None,
    };
    let set = KINDS.iter().filter_map(|(kind, _, member)| Some((*kind, object.get(member)?)));
    let set: Vec<_> = set.collect();
    match (written, set.as_slice()) {
        (None, [(kind, _)]) => Some(kind),
        (Some((kind, _)), []) => Some(kind),
        (Some((kind, _)), [(member, _)]) if kind == *member => Some(kind),
        (Some((kind, field)), [(member, _)]) => {
            field.fail(format!("{kind}, but the body is one of {member}; leave kind out"));
            None
        }
        (None, []) => {
            object.field().fail("no body: set one member, such as `attestation`");
            None
        }
        (_, [(first, _), (second, field), ..]) => {
            field.fail(format!("{second} beside {first}; set one body only"));
            None
        }
    }
}

/// The members that are set, under the names of the API.
fn kept(object: &Object<'_>, by_daemon: bool) -> Option<Map<String, Json>> {
    let output_only = |name: &str| by_daemon && matches!(name, "createTime" | "updateTime");
    let members = object.all().into_iter().filter(|(name, _)| !output_only(name));
    let members: Vec<_> = members.map(|(name, field)| (name, field.json())).collect();
    members.into_iter().map(|(name, json)| Some((name.to_owned(), json?))).collect()
}

/// Gives every member the name that the API gives it back under. For bodies without maps, whose
/// keys are the author's own.
fn camel_cased(value: &mut Json) {
    match value {
        Json::Array(elements) => elements.iter_mut().for_each(camel_cased),
        Json::Object(members) => {
            let given = std::mem::take(members);
            members.extend(given.into_iter().map(|(name, mut member)| {
                camel_cased(&mut member);
                (camel_case(&name), member)
            }));
        }
        _ => {}
    }
}

fn resource_uri(field: &Field<'_>) -> Option<String> {
    let uri = field.string()?;
    if uri.is_empty() || uri.contains(|c: char| c.is_whitespace() || c.is_control()) {
        field.fail("not a URI: it is empty or holds blanks");
        return None;
    }
    if uri.len() > RESOURCE_URI_BYTES_MAX {
        field.fail(format!("{} bytes; at most {RESOURCE_URI_BYTES_MAX}", uri.len()));
        return None;
    }
    Some(uri.to_owned())
}

fn digest_of(resource_uri: &str) -> Option<Digest> {
    resource_uri.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok())
}

/// The decoded body, and the member as Google's API gives it back: bytes in standard base64.
fn read_attestation(field: &Field<'_>, limits: &Limits) -> Option<(AttestationBody, Json)> {
    let object = field.object(&["serializedPayload", "signatures", "jwts"])?;
    let payload = object.required("serializedPayload").and_then(|field| payload(&field, limits));
    let signatures = signatures(&object, limits);
    let (payload, signatures) = (payload?, signatures?);
    let rendered: Vec<_> = signatures.iter().map(signature_to_json).collect();
    let mut json = json!({
        "serializedPayload": STANDARD.encode(&payload),
        "signatures": rendered,
    });
    if let Some(jwts) = object.get("jwts") {
        json["jwts"] = jwts.json()?;
    }
    Some((AttestationBody { payload, signatures }, json))
}

fn payload(field: &Field<'_>, limits: &Limits) -> Option<Bytes> {
    let payload = field.bytes()?;
    if payload.is_empty() {
        field.fail("required; it is empty");
        return None;
    }
    if payload.len() > limits.payload_bytes_max {
        let (given, max) = (payload.len(), limits.payload_bytes_max);
        field.fail(format!("{given} bytes; at most {max}"));
        return None;
    }
    Some(payload.into())
}

fn signatures(object: &Object<'_>, limits: &Limits) -> Option<Vec<Signature>> {
    let elements = object.list("signatures");
    let (given, max) = (elements.len(), limits.signatures_max);
    if given == 0 {
        object.field().fail("no signatures; set at least one");
        return None;
    }
    if given > max {
        object.field().fail(format!("{given} signatures; at most {max}"));
        return None;
    }
    let signatures: Vec<_> = elements.iter().map(signature).collect();
    signatures.into_iter().collect()
}

fn signature(field: &Field<'_>) -> Option<Signature> {
    let object = field.object(&["publicKeyId", "signature"])?;
    let key_id = object.required("publicKeyId").and_then(|field| key_id(&field));
    let signature = object.required("signature").and_then(|field| field.bytes());
    Some(Signature { key_id: key_id?, signature: signature?.into() })
}

fn signature_to_json(signature: &Signature) -> Json {
    json!({
        "publicKeyId": signature.key_id.as_str(),
        "signature": STANDARD.encode(&signature.signature),
    })
}
