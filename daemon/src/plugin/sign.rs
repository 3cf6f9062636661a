//! Signing with a key that a plugin holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_plugin_api::host::{Circumstances, KeyRecord};
use hallmark_plugin_api::{Failure, Item, KeyFlags};

use super::error::SignError;
use super::instance::{Held, PluginInstance};
use super::{Catalog, convert, services};

/// The time that one signature may take. Cloud and network tokens answer within a second or never.
const SIGN_TIMEOUT: Duration = Duration::from_secs(10);

/// A signature and what it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The raw signature, in the form of the algorithm.
    pub signature: Vec<u8>,
    /// The algorithm that it was made with: the key's preferred one.
    pub algorithm: SignatureAlgorithm,
    /// The public half, SubjectPublicKeyInfo in DER, as the plugin gives it.
    pub spki_der: Vec<u8>,
    /// The key's own id, by whichever it was asked for.
    pub key_id: String,
}

/// The input of a signature: a message, or the digest that the key's algorithm makes of it.
#[derive(Clone, Copy)]
enum ToSign<'a> {
    Message(&'a [u8]),
    Digest(&'a [u8]),
}

/// The public half of a key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    /// The algorithm that it signs with: the key's preferred one.
    pub algorithm: SignatureAlgorithm,
    /// SubjectPublicKeyInfo in DER, as the plugin gives it.
    pub spki_der: Vec<u8>,
}

impl Catalog {
    /// Signs `payload` with the key of that id, in its preferred algorithm, with the instance of
    /// that name. Blocks: the key may be in a device.
    ///
    /// # Errors
    /// The instance or key does not exist, or cannot sign this or now.
    pub fn sign(&self, plugin: &str, key_id: &str, payload: &[u8]) -> Result<Signed, SignError> {
        self.sign_what(plugin, key_id, ToSign::Message(payload))
    }

    /// As [`Catalog::sign`], of the payload that has this digest by the hash of the algorithm.
    ///
    /// # Errors
    /// As there; also where the algorithm hashes nothing, or not once.
    pub fn sign_digest(
        &self,
        plugin: &str,
        key_id: &str,
        digest: &[u8],
    ) -> Result<Signed, SignError> {
        self.sign_what(plugin, key_id, ToSign::Digest(digest))
    }

    fn sign_what(&self, plugin: &str, key_id: &str, what: ToSign<'_>) -> Result<Signed, SignError> {
        let (instance, held) = self.signing_instance(plugin)?;
        let unavailable = |text: String| {
            instance.count_call_error();
            SignError::Unavailable { plugin: plugin.to_owned(), text }
        };
        let (key, algorithm) = signing_key(plugin, &held, key_id)?;
        match ask(instance, &held, key, what).map_err(unavailable)? {
            Ok(signature) => Ok(Signed {
                signature,
                algorithm,
                spki_der: key.spki_der.clone(),
                key_id: key.id.clone(),
            }),
            Err(failure @ (Failure::Backend | Failure::Timeout | Failure::Cancelled)) => {
                Err(unavailable(format!("{failure:?}")))
            }
            Err(failure) => Err(SignError::Refused {
                plugin: plugin.to_owned(),
                key: key_id.to_owned(),
                failure,
            }),
        }
    }

    /// The public half of the key of that id. Answers from memory.
    ///
    /// # Errors
    /// The instance or key does not exist, or its keys are not known now.
    pub fn signing_key(&self, plugin: &str, key_id: &str) -> Result<PublicHalf, SignError> {
        let (_, held) = self.signing_instance(plugin)?;
        let (key, algorithm) = signing_key(plugin, &held, key_id)?;
        // Clients trust what they are told here.
        convert::check(&key.spki_der, algorithm).map_err(|wrong| SignError::WrongKey {
            plugin: plugin.to_owned(),
            key: key_id.to_owned(),
            text: wrong.to_string(),
        })?;
        Ok(PublicHalf { algorithm, spki_der: key.spki_der.clone() })
    }

    fn signing_instance(&self, plugin: &str) -> Result<(&PluginInstance, Arc<Held>), SignError> {
        let instance =
            self.instance(plugin).ok_or_else(|| SignError::UnknownPlugin(plugin.to_owned()))?;
        let held = instance.held().ok_or_else(|| {
            instance.count_call_error();
            SignError::Unavailable { plugin: plugin.to_owned(), text: instance.why() }
        })?;
        Ok((instance, held))
    }
}

/// The key of that id that signs, and its preferred algorithm.
fn signing_key<'a>(
    plugin: &str,
    held: &'a Held,
    id: &str,
) -> Result<(&'a KeyRecord, SignatureAlgorithm), SignError> {
    let named = |key: &&KeyRecord| key.id == id || key.other_ids.iter().any(|other| other == id);
    let mut signing = held.snapshot.keys.iter().filter(|key| key.flags.contains(KeyFlags::SIGN));
    let preferred = |key: &'a KeyRecord| Some((key, *key.algorithms.first()?));
    let found = signing.find(named).and_then(preferred);
    let unknown = || SignError::UnknownKey { plugin: plugin.to_owned(), key: id.to_owned() };
    found.ok_or_else(unknown)
}

fn ask(
    instance: &PluginInstance,
    held: &Held,
    key: &KeyRecord,
    what: ToSign<'_>,
) -> Result<Result<Vec<u8>, Failure>, String> {
    let at = Circumstances {
        deadline: Instant::now().checked_add(SIGN_TIMEOUT),
        ..Circumstances::at(services::unix_now())
    };
    let (ToSign::Message(message) | ToSign::Digest(message)) = what;
    let item = Item {
        key_handle: key.handle,
        algorithm: key.algorithms.first().copied(),
        key: &[],
        message,
        signature: &[],
    };
    let instance = instance.instance().ok_or_else(|| instance.why())?;
    let items = [item];
    let answers = match what {
        ToSign::Message(_) => instance.sign_batch(&held.snapshot, &items, &at),
        ToSign::Digest(_) => instance.sign_digests(&held.snapshot, &items, &at),
    };
    let answers = answers.map_err(|error| error.to_string())?;
    Ok(answers.into_iter().next().unwrap_or(Err(Failure::Backend)))
}
