//! Writing attestors as Google's API does: camelCase, empty fields left out.

use serde_json::{Map, Value, json};

use super::{Attestor, KeyMaterial, PublicKey};

/// The version of the API that an attestor is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// `v1`: the note is `userOwnedGrafeasNote`.
    V1,
    /// `v1beta1`: the note is `userOwnedDrydockNote`.
    V1Beta1,
}

/// The resource in JSON.
pub fn attestor_to_json(attestor: &Attestor, version: ApiVersion) -> Value {
    let note = match version {
        ApiVersion::V1 => "userOwnedGrafeasNote",
        ApiVersion::V1Beta1 => "userOwnedDrydockNote",
    };
    let mut user_owned_note = Map::new();
    user_owned_note.insert("noteReference".to_owned(), attestor.note.to_string().into());
    if !attestor.public_keys.is_empty() {
        let keys: Vec<_> = attestor.public_keys.iter().map(public_key_to_json).collect();
        user_owned_note.insert("publicKeys".to_owned(), keys.into());
    }
    let mut object = Map::new();
    object.insert("name".to_owned(), attestor.name.to_string().into());
    insert_text(&mut object, "description", &attestor.description);
    object.insert(note.to_owned(), user_owned_note.into());
    insert_text(&mut object, "etag", &attestor.etag);
    insert_text(&mut object, "updateTime", &attestor.update_time);
    object.into()
}

/// One public key in JSON.
pub fn public_key_to_json(key: &PublicKey) -> Value {
    let mut object = Map::new();
    insert_text(&mut object, "comment", &key.comment);
    insert_text(&mut object, "id", key.id.as_ref().map_or("", |id| id.as_str()));
    match &key.material {
        KeyMaterial::Pkix { public_key_pem, signature_algorithm } => {
            let pkix = json!({
                "publicKeyPem": public_key_pem,
                "signatureAlgorithm": signature_algorithm.name(),
            });
            object.insert("pkixPublicKey".to_owned(), pkix);
        }
        KeyMaterial::Pgp { ascii_armored } => {
            insert_text(&mut object, "asciiArmoredPgpPublicKey", ascii_armored);
        }
        KeyMaterial::Reference => {}
    }
    object.into()
}

/// Sets a text unless it is empty.
pub(crate) fn insert_text(object: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.to_owned(), text.into());
    }
}
