//! The keys of an instance in its token: found by their names, read, and found again to be used.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use sha2::{Digest, Sha256};

use crate::config::KeyConfig;
use crate::public_key::PublicKey;
use crate::token::{Lease, TokenError};
use crate::uri::{self, ObjectName};

/// Objects of one class that one name may stand for.
const OBJECTS_MAX: usize = 100;

/// The keys of a token at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    pub(crate) keys: Vec<TokenKey>,
    /// Configured names of keys that cannot be used, each with why.
    pub(crate) unusable: Vec<(String, String)>,
    /// Configured names of which nothing is there, a line each.
    pub(crate) notes: Vec<String>,
}

/// One key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenKey {
    /// Names exactly this one.
    pub(crate) id: String,
    /// The configured name, which others may have too.
    pub(crate) uri: String,
    pub(crate) public: PublicKey,
    /// The name by which it is found again.
    pub(crate) object: ObjectName,
    /// True if the private key is there and may sign.
    pub(crate) signs: bool,
    /// True if it is the only one of its configured name that signs.
    pub(crate) signs_alone: bool,
}

/// The objects of one key pair: those with one `CKA_ID`.
#[derive(Default)]
struct Pair {
    private: Vec<Vec<Attribute>>,
    public: Vec<Vec<Attribute>>,
    certificate: Vec<Vec<Attribute>>,
}

/// Reads every configured key. One that is not there is left out with a note: its removal from the
/// token is its revocation. One that is not usable is named.
pub(crate) fn read(
    lease: &Lease<'_>,
    session: &Session,
    configured: &[KeyConfig],
) -> Result<KeySet, TokenError> {
    lease.check_token()?;
    let mut set = KeySet::default();
    for config in configured {
        let (first, bad) = (set.keys.len(), set.unusable.len());
        for (id, pair) in pairs(session, &config.uri.object)? {
            match key(lease, config, &id, &pair) {
                Ok(key) => set.keys.push(key),
                Err(why) => set.unusable.push((config.uri.to_string(), why)),
            }
        }
        let of_this_name = &mut set.keys[first..];
        if of_this_name.is_empty() && set.unusable.len() == bad {
            set.notes.push(format!("{}: no key of this name is in the token", config.uri));
        }
        let alone = of_this_name.iter().filter(|key| key.signs).count() == 1;
        of_this_name.iter_mut().for_each(|key| key.signs_alone = alone && key.signs);
    }
    Ok(set)
}

fn pairs(session: &Session, name: &ObjectName) -> Result<BTreeMap<Vec<u8>, Pair>, TokenError> {
    let mut pairs: BTreeMap<Vec<u8>, Pair> = BTreeMap::new();
    for attributes in described(session, ObjectClass::PRIVATE_KEY, name)? {
        pairs.entry(id_of(&attributes)).or_default().private.push(attributes);
    }
    for attributes in described(session, ObjectClass::PUBLIC_KEY, name)? {
        pairs.entry(id_of(&attributes)).or_default().public.push(attributes);
    }
    for (id, pair) in &mut pairs {
        let name = match id.is_empty() {
            true => name.clone(),
            false => ObjectName { label: None, id: Some(id.clone()) },
        };
        // Labelled otherwise, as some tools do it.
        if pair.public.is_empty() {
            pair.public = described(session, ObjectClass::PUBLIC_KEY, &name)?;
        }
        if pair.public.is_empty() {
            pair.certificate = described(session, ObjectClass::CERTIFICATE, &name)?;
        }
    }
    Ok(pairs)
}

/// The attributes that are read of an object. `CKA_VALUE` of a certificate is that certificate; of
/// a key it would be the key, so it is not asked for.
fn described(
    session: &Session,
    class: ObjectClass,
    name: &ObjectName,
) -> Result<Vec<Vec<Attribute>>, TokenError> {
    use AttributeType::*;
    let wanted: &[AttributeType] = if class == ObjectClass::CERTIFICATE {
        &[Id, Label, Value]
    } else if class == ObjectClass::PRIVATE_KEY {
        &[Id, Label, Sign, AlwaysAuthenticate, PublicKeyInfo, Modulus, PublicExponent]
    } else {
        &[Id, Label, PublicKeyInfo, Modulus, PublicExponent, EcParams, EcPoint]
    };
    let found = session.find_objects(&template(class, name))?;
    let found = found.into_iter().take(OBJECTS_MAX);
    found.map(|object| Ok(session.get_attributes(object, wanted)?)).collect()
}

fn template(class: ObjectClass, name: &ObjectName) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
    template.extend(name.label.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(name.id.clone().map(Attribute::Id));
    template
}

fn id_of(attributes: &[Attribute]) -> Vec<u8> {
    let id = attributes.iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => Some(id.clone()),
        _ => None,
    });
    id.unwrap_or_default()
}

fn label_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match attribute {
        Attribute::Label(label) => String::from_utf8(label.clone()).ok(),
        _ => None,
    })
}

fn key(lease: &Lease<'_>, config: &KeyConfig, id: &[u8], pair: &Pair) -> Result<TokenKey, String> {
    if pair.private.len() > 1 || pair.public.len() > 1 || pair.certificate.len() > 1 {
        return Err("several keys or certificates have one id: give each pair its own".to_owned());
    }
    let objects: Vec<&[Attribute]> = [&pair.public, &pair.private, &pair.certificate]
        .into_iter()
        .flatten()
        .map(Vec::as_slice)
        .collect();
    let mut public = PublicKey::of(&objects).map_err(|error| error.to_string())?;
    let sum: [u8; 32] = Sha256::digest(&public.spki_der).into();
    if !config.spki_sha256.is_empty() && !config.spki_sha256.contains(&sum) {
        return Err("its public key is none of `spki_sha256`".to_owned());
    }
    if let Some(algorithm) = config.algorithm {
        if !public.algorithms.contains(&algorithm) {
            return Err(format!("it does not sign with {}", algorithm.name()));
        }
        public.algorithms = vec![algorithm];
    }
    let label = objects.iter().find_map(|attributes| label_of(attributes));
    let object = ObjectName {
        label: config.uri.object.label.clone().or(label),
        id: Some(id.to_vec()).filter(|id| !id.is_empty()),
    };
    Ok(TokenKey {
        id: uri::whole(&lease.name, &object),
        uri: config.uri.text.clone(),
        public,
        object,
        signs: pair.private.iter().any(|attributes| may_sign(attributes)),
        signs_alone: false,
    })
}

/// A key that wants the PIN for every signature is one for people.
fn may_sign(attributes: &[Attribute]) -> bool {
    let refuses = |attribute: &Attribute| {
        matches!(attribute, Attribute::Sign(false) | Attribute::AlwaysAuthenticate(true))
    };
    !attributes.iter().any(refuses)
}

/// Handles of objects, for as long as they are worth something.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<HashMap<(Half, ObjectName), (u64, ObjectHandle)>>);

/// Which half of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Half {
    Private,
    Public,
}

impl Handles {
    /// The object of that name, of which there must be one.
    pub(crate) fn find(
        &self,
        lease: &Lease<'_>,
        session: &Session,
        half: Half,
        name: &ObjectName,
    ) -> Result<ObjectHandle, TokenError> {
        let key = (half, name.clone());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some((_, handle)) = known.filter(|(epoch, _)| *epoch == lease.epoch) {
            return Ok(handle);
        }
        let class = match half {
            Half::Private => ObjectClass::PRIVATE_KEY,
            Half::Public => ObjectClass::PUBLIC_KEY,
        };
        let found = session.find_objects(&template(class, name))?;
        let [handle] = found[..] else { return Err(TokenError::Changed(found.len())) };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (lease.epoch, handle));
        Ok(handle)
    }

    /// Forgets everything: the keys are others.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
