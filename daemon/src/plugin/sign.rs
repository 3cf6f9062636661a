//! Signing with a key that a plugin holds.

use std::time::{Duration, Instant};

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_plugin_api::host::{Circumstances, KeyRecord};
use hallmark_plugin_api::{Failure, Item, KeyFlags};

use super::error::SignError;
use super::instance::{Held, PluginInstance};
use super::{Catalog, services};

/// How long one signature may take. Cloud and network tokens answer within a second or never.
const SIGN_TIMEOUT: Duration = Duration::from_secs(10);

/// A signature and what it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The raw signature, in the form of the algorithm.
    pub signature: Vec<u8>,
    /// What it was made with; the key's preferred algorithm.
    pub algorithm: SignatureAlgorithm,
    /// The public half, SubjectPublicKeyInfo in DER, as the plugin gives it.
    pub spki_der: Vec<u8>,
}

impl Catalog {
    /// Signs `payload` with the key of that id, in its preferred algorithm, with the instance of
    /// that name. Blocks: the key may be in a device.
    ///
    /// # Errors
    /// The instance or key does not exist, or cannot sign this or now.
    pub fn sign(&self, plugin: &str, key_id: &str, payload: &[u8]) -> Result<Signed, SignError> {
        let instance =
            self.instance(plugin).ok_or_else(|| SignError::UnknownPlugin(plugin.to_owned()))?;
        let unavailable = |text: String| {
            instance.count_call_error();
            SignError::Unavailable { plugin: plugin.to_owned(), text }
        };
        let held = instance.held().ok_or_else(|| {
            let error = instance.status().last_error;
            unavailable(error.unwrap_or_else(|| "it lists no keys".to_owned()))
        })?;
        let (key, algorithm) = signing_key(&held, key_id).ok_or_else(|| SignError::UnknownKey {
            plugin: plugin.to_owned(),
            key: key_id.to_owned(),
        })?;
        match ask(instance, &held, key, payload).map_err(unavailable)? {
            Ok(signature) => Ok(Signed { signature, algorithm, spki_der: key.spki_der.clone() }),
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
}

fn signing_key<'a>(held: &'a Held, id: &str) -> Option<(&'a KeyRecord, SignatureAlgorithm)> {
    let named = |key: &&KeyRecord| key.id == id || key.other_ids.iter().any(|other| other == id);
    let key =
        held.snapshot.keys.iter().filter(|key| key.flags.contains(KeyFlags::SIGN)).find(named)?;
    let algorithm = SignatureAlgorithm::from_number(key.algorithms.first()?.number())?;
    Some((key, algorithm))
}

fn ask(
    instance: &PluginInstance,
    held: &Held,
    key: &KeyRecord,
    payload: &[u8],
) -> Result<Result<Vec<u8>, Failure>, String> {
    let at = Circumstances {
        deadline: Instant::now().checked_add(SIGN_TIMEOUT),
        ..Circumstances::at(services::unix_now())
    };
    let item = Item {
        key_handle: key.handle,
        algorithm: key.algorithms.first().copied(),
        key: &[],
        message: payload,
        signature: &[],
    };
    let answers = instance
        .instance()
        .sign_batch(&held.snapshot, &[item], &at)
        .map_err(|error| error.to_string())?;
    Ok(answers.into_iter().next().unwrap_or(Err(Failure::Backend)))
}
