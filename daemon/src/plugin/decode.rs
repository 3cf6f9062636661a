//! Signatures in envelopes, taken apart by the plugins that know their format.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hallmark_core::envelope::{Enclosed, EnclosedSignature, Envelopes, Opened, Refusal, Sealed};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::Unavailable;
use hallmark_plugin_api::host::{Circumstances, KeyRecord};
use hallmark_plugin_api::{Decoded, Failure, Item, Signed};

use super::instance::{Held, PluginInstance};
use super::per_plugin::PerPlugin;
use super::{Catalog, services};
use crate::bounded::Unfinished;

/// Opens envelopes for decisions: on threads that may block, a bounded number at a time of each
/// plugin, and never beyond a deadline.
#[derive(Debug)]
pub struct Decoders {
    catalog: Arc<Catalog>,
    batches: PerPlugin,
}

impl Decoders {
    /// With at most `concurrency` batches of each plugin at a time.
    pub fn new(catalog: Arc<Catalog>, concurrency: usize) -> Self {
        let batches = PerPlugin::new(&catalog, concurrency);
        Self { catalog, batches }
    }

    /// Every one of `sealed` taken apart, or why it could not be by `deadline`. A plugin that does
    /// not come back keeps its thread and one of its own places; no decision waits for it.
    pub async fn open(&self, sealed: Vec<Sealed>, deadline: Instant) -> Envelopes {
        if sealed.is_empty() {
            return Envelopes::default();
        }
        let mut opened: Vec<Opened> = sealed.iter().map(|_| Err(Unavailable::Decoder)).collect();
        let catalog = Arc::clone(&self.catalog);
        let decode =
            move |decoder: &str, sealed: &[Sealed]| catalog.decode(decoder, sealed, deadline);
        let decoder = |sealed: &Sealed| Arc::clone(&sealed.decoder);
        for (index, answer) in self.batches.run(sealed.clone(), decoder, deadline, decode).await {
            opened[index] = answer.unwrap_or_else(|why| match why {
                Unfinished::Panicked => Err(Unavailable::Decoder),
                Unfinished::Busy | Unfinished::Late => Err(Unavailable::Deadline),
            });
        }
        sealed.into_iter().zip(opened).collect()
    }
}

impl Catalog {
    /// Blocks.
    fn decode(&self, decoder: &str, sealed: &[Sealed], deadline: Instant) -> Vec<Opened> {
        match self.instance(decoder) {
            Some(instance) => instance.decode(sealed, deadline),
            None => sealed.iter().map(|_| Err(Unavailable::Decoder)).collect(),
        }
    }
}

impl PluginInstance {
    fn decode(&self, sealed: &[Sealed], deadline: Instant) -> Vec<Opened> {
        let items: Vec<_> = sealed.iter().map(item).collect();
        let at =
            Circumstances { deadline: Some(deadline), ..Circumstances::at(services::unix_now()) };
        let held = self.held();
        let snapshot = held.as_ref().map(|held| &held.snapshot);
        let Some(instance) = self.instance() else {
            return sealed.iter().map(|_| Err(Unavailable::Decoder)).collect();
        };
        match instance.decode_batch(snapshot, &items, &at) {
            Ok(answers) => {
                answers.into_iter().map(|answer| opened(answer, held.as_deref())).collect()
            }
            Err(error) => {
                self.count_call_error();
                tracing::error!(plugin = self.name(), %error, "signatures were not taken apart");
                sealed.iter().map(|_| Err(Unavailable::Decoder)).collect()
            }
        }
    }
}

fn item(sealed: &Sealed) -> Item<'_> {
    let Sealed { payload, signature, .. } = sealed;
    Item { key_handle: 0, algorithm: None, key: &[], message: payload, signature }
}

fn opened(answer: Result<Vec<Decoded>, Failure>, held: Option<&Held>) -> Opened {
    match answer {
        Ok(decoded) => decoded.into_iter().map(|one| enclosed(one, held)).collect(),
        Err(failure) => {
            let error = "the plugin does not say what is wrong with it".to_owned();
            Ok(vec![refused(failure, String::new(), error)?])
        }
    }
}

fn enclosed(decoded: Decoded, held: Option<&Held>) -> Result<Enclosed, Unavailable> {
    let signed = match decoded {
        Decoded::Signed(signed) => signed,
        Decoded::Refused(refusal) => {
            return refused(refusal.failure, refusal.key_id, refusal.text);
        }
    };
    let key_id = maker(&signed, held);
    let Signed { algorithm, message, signature, payload, signed_at, expires_at, .. } = signed;
    Ok(Enclosed::Signed(EnclosedSignature {
        key_id,
        algorithm,
        message: message.into(),
        signature: signature.into(),
        payload: Some(payload).filter(|payload| !payload.is_empty()).map(Bytes::from_owner),
        signed_at: signed_at.map(UnixTime),
        expires_at: expires_at.map(UnixTime),
    }))
}

/// The name that a signature gives its key; where that is a handle, the name of that key.
fn maker(signed: &Signed, held: Option<&Held>) -> String {
    let keys = held.map(|held| held.snapshot.keys.as_slice()).unwrap_or_default();
    let by_handle = |key: &&KeyRecord| signed.key_handle != 0 && key.handle == signed.key_handle;
    match keys.iter().find(by_handle) {
        Some(key) if key.fingerprint.is_empty() => key.id.clone(),
        Some(key) => super::convert::hex(&key.fingerprint),
        None => signed.key_id.clone(),
    }
}

fn refused(failure: Failure, key_id: String, error: String) -> Result<Enclosed, Unavailable> {
    let refusal = match failure {
        Failure::Backend | Failure::Cancelled => return Err(Unavailable::Decoder),
        Failure::Timeout => return Err(Unavailable::Deadline),
        Failure::BadSignature => Refusal::Mismatch,
        Failure::Malformed => Refusal::Malformed,
        Failure::AlgUnsupported => Refusal::Unsupported,
        _ => Refusal::Weak,
    };
    Ok(Enclosed::Refused { refusal, key_id, error })
}
