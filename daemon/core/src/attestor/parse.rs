//! Reading attestors.

use std::collections::HashSet;

use super::{Attestor, KEY_ID_BYTES_MAX, KeyId, KeyMaterial, PublicKey, SignatureAlgorithm};
use crate::document::read::{Field, FieldErrors, Object, resource};
use crate::document::{Document, DocumentError, DocumentLimits};
use crate::names::{AttestorName, NoteName};

/// Keys of one attestor, as in Google's quota.
pub const KEYS_MAX: usize = 1000;

/// Reads an attestor in JSON, v1 or v1beta1. `name` is the one of the URL; the document may leave
/// its own out, and may not say another. `etag` and `updateTime` are kept as given: a write
/// replaces them.
pub fn attestor_from_json(
    text: &str,
    name: Option<&AttestorName>,
) -> Result<Attestor, DocumentError> {
    let document = Document::from_json(text, &DocumentLimits::DEFAULT)?;
    Ok(attestor_from_document(&document, name)?)
}

/// Reads an attestor from a document of either format; `name` as in [`attestor_from_json`].
pub fn attestor_from_document(
    document: &Document,
    name: Option<&AttestorName>,
) -> Result<Attestor, FieldErrors> {
    resource(document.root(), |root| attestor(root, name))
}

fn attestor(root: &Field<'_>, name: Option<&AttestorName>) -> Option<Attestor> {
    let object = root.object(&[
        "name",
        "description",
        "userOwnedGrafeasNote",
        "userOwnedDrydockNote",
        "etag",
        "updateTime",
    ])?;
    let name = object.own_name(name, str::parse);
    let description = object.text("description");
    let note = user_owned_note(&object);
    let (etag, update_time) = (object.text("etag"), object.text("updateTime"));
    let (note, public_keys) = note?;
    Some(Attestor { name: name?, description, note, public_keys, etag, update_time })
}

/// v1 says Grafeas, v1beta1 says Drydock.
fn user_owned_note(object: &Object<'_>) -> Option<(NoteName, Vec<PublicKey>)> {
    let drydock = object.get("userOwnedDrydockNote");
    let field = match (object.get("userOwnedGrafeasNote"), drydock) {
        (Some(_), Some(drydock)) => {
            drydock.fail("the same as userOwnedGrafeasNote in v1beta1; set one of the two");
            return None;
        }
        (None, Some(drydock)) => drydock,
        (Some(grafeas), None) => grafeas,
        (None, None) => object.required("userOwnedGrafeasNote")?,
    };
    let note = field.object(&["noteReference", "publicKeys", "delegationServiceAccountEmail"])?;
    let reference =
        note.required("noteReference").and_then(|field| field.parsed(NoteName::from_reference));
    let keys = public_keys(&note);
    Some((reference?, keys?))
}

/// The `publicKeys` of an attestor, wherever it stands.
pub(crate) fn public_keys(note: &Object<'_>) -> Option<Vec<PublicKey>> {
    let elements = note.list("publicKeys");
    if elements.len() > KEYS_MAX {
        let given = elements.len();
        note.field().fail(format!("{given} publicKeys; an attestor has at most {KEYS_MAX}"));
        return None;
    }
    let mut ids = HashSet::new();
    let mut bodies = HashSet::new();
    let keys: Vec<_> =
        elements.iter().filter_map(|field| Some((field, public_key(field)?))).collect();
    for (field, key) in &keys {
        let id = key.id.as_ref();
        if id.is_some_and(|id| !ids.insert(id)) {
            field.fail("a key with this id is here already; remove one of the two");
        }
        if let KeyMaterial::Pgp { ascii_armored } = &key.material
            && !bodies.insert(ascii_armored)
        {
            field.fail("this OpenPGP key is here already; remove one of the two");
        }
    }
    Some(keys.into_iter().map(|(_, key)| key).collect())
}

fn public_key(field: &Field<'_>) -> Option<PublicKey> {
    let object = field.object(&["comment", "id", "asciiArmoredPgpPublicKey", "pkixPublicKey"])?;
    object.refuse_null(&["asciiArmoredPgpPublicKey", "pkixPublicKey"]);
    let comment = object.text("comment");
    let id = match object.get("id") {
        Some(id) => Some(key_id(&id)?).filter(|id| !id.as_str().is_empty()),
        None => None,
    };
    match (object.get("asciiArmoredPgpPublicKey"), object.get("pkixPublicKey")) {
        (Some(_), Some(pkix)) => {
            pkix.fail("a key has pkixPublicKey or asciiArmoredPgpPublicKey; remove one of the two");
            None
        }
        (Some(pgp), None) => {
            let material = KeyMaterial::Pgp { ascii_armored: filled(&pgp)? };
            Some(PublicKey { comment, id, material })
        }
        (None, Some(pkix)) => {
            let (id, material) = pkix_public_key(&object, &pkix, id)?;
            Some(PublicKey { comment, id, material })
        }
        (None, None) => {
            let id = id.filter(|id| id.scheme().is_some());
            if id.is_none() {
                field.fail(
                    "no key in it: set pkixPublicKey or asciiArmoredPgpPublicKey, or an id that is \
                     a URI with the scheme of a key source",
                );
            }
            Some(PublicKey { comment, id: Some(id?), material: KeyMaterial::Reference })
        }
    }
}

fn pkix_public_key(
    key: &Object<'_>,
    field: &Field<'_>,
    id: Option<KeyId>,
) -> Option<(Option<KeyId>, KeyMaterial)> {
    let object = field.object(&["publicKeyPem", "signatureAlgorithm", "keyId"])?;
    if id.as_ref().is_some_and(|id| !id.is_uri()) {
        let message = "the id of a PKIX key must be a URI (RFC 3986), or empty for the default";
        key.get("id").unwrap_or_else(|| field.clone()).fail(message);
    }
    let key_id = object.text("keyId");
    if !key_id.is_empty() && id.as_ref().map(KeyId::as_str) != Some(&*key_id) {
        object.get("keyId")?.fail("must equal the id of the key, or be empty");
    }
    Some((id, pkix_material(&object)?))
}

/// The key of a `PkixPublicKey`, without its id.
pub(crate) fn pkix_material(object: &Object<'_>) -> Option<KeyMaterial> {
    let public_key_pem = object.required("publicKeyPem").and_then(|field| filled(&field));
    let algorithm = object.required("signatureAlgorithm").and_then(|field| algorithm(&field));
    Some(KeyMaterial::Pkix { public_key_pem: public_key_pem?, signature_algorithm: algorithm? })
}

/// The id of a key, of an attestor's or of the one that made a signature.
pub(crate) fn key_id(field: &Field<'_>) -> Option<KeyId> {
    let id = field.string()?;
    if id.len() > KEY_ID_BYTES_MAX {
        field.fail(format!("{} bytes; a key id has at most {KEY_ID_BYTES_MAX}", id.len()));
        return None;
    }
    Some(id.into())
}

fn algorithm(field: &Field<'_>) -> Option<SignatureAlgorithm> {
    let spelled = |algorithm: SignatureAlgorithm| {
        let values = algorithm.spellings().iter();
        values.map(move |name| (*name, algorithm.number(), Some(algorithm)))
    };
    let mut values: Vec<_> = SignatureAlgorithm::all()
        .filter(|algorithm| algorithm.is_declarable())
        .flat_map(spelled)
        .collect();
    values.push(("SIGNATURE_ALGORITHM_UNSPECIFIED", 0, None));
    let found = field.enumeration(&values)?;
    if found.is_none() {
        field.fail("required; name the algorithm that the key signs with");
    }
    found
}

/// A string that says something.
pub(crate) fn filled(field: &Field<'_>) -> Option<String> {
    let text = field.string()?;
    if text.trim().is_empty() {
        field.fail("required; it is empty");
        return None;
    }
    Some(text.to_owned())
}
