//! A configured plugin, wherever it runs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::batch::{Answered, Blob};
use super::error::CallError;
use super::image::{Code, PluginImage};
use super::in_process::InProcess;
use super::keys::{KeyRecord, KeySnapshot, OpenSnapshot, Opened};
use super::services::Services;
use super::worker::{Worker, WorkerStatus};
use crate::{Item, Material};

/// The circumstances of a call, told by the host.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time to judge by, Unix seconds.
    pub now: i64,
    /// When the answer is worthless. Also bounds the wait for a free call.
    pub deadline: Option<Instant>,
    /// Non-zero asks a plugin that looks to stop.
    pub cancel: Option<&'a AtomicU32>,
}

impl Circumstances<'_> {
    /// At `now`, with as much time as it takes.
    pub fn at(now: i64) -> Self {
        Self { now, deadline: None, cancel: None }
    }
}

/// A configured plugin. Ends when it and the last of its snapshots are dropped.
///
/// Calls block: a plugin may read files or ask a device.
pub struct Instance {
    image: Arc<PluginImage>,
    place: Place,
}

enum Place {
    InProcess(InProcess),
    Worker(Worker),
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Instance {
    /// Makes an instance of a configuration, a JSON document.
    ///
    /// # Errors
    /// The plugin refuses the configuration, or breaks its contract. A worker process that only
    /// ended is no error here: it is started again, as it is later.
    pub fn create(
        image: &Arc<PluginImage>,
        config_json: &str,
        services: Arc<dyn Services>,
    ) -> Result<Arc<Self>, CallError> {
        let max_concurrency = image.info().max_concurrency;
        let place = match image.code() {
            Code::Mapped(code) => {
                Place::InProcess(InProcess::create(code, max_concurrency, config_json, services)?)
            }
            Code::Worker(blueprint) => {
                Place::Worker(Worker::create(blueprint, max_concurrency, config_json, services)?)
            }
        };
        Ok(Arc::new(Self { image: Arc::clone(image), place }))
    }

    /// The code behind it.
    pub fn image(&self) -> &PluginImage {
        &self.image
    }

    /// The status of its process; `None` if it runs in this one.
    pub fn worker(&self) -> Option<WorkerStatus> {
        match &self.place {
            Place::InProcess(_) => None,
            Place::Worker(worker) => Some(worker.status()),
        }
    }

    /// Can it do its work now? A plugin that does not say is taken to.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self, at: &Circumstances<'_>) -> Result<(), CallError> {
        match &self.place {
            Place::InProcess(place) => place.health(at),
            Place::Worker(place) => place.health(at),
        }
    }

    /// Takes the picture of all keys.
    ///
    /// # Errors
    /// The plugin cannot now, or what it lists cannot be read: then there is no snapshot at all. A key
    /// that breaks the contract is there, and says that it is unusable.
    pub fn snapshot(self: &Arc<Self>, at: &Circumstances<'_>) -> Result<KeySnapshot, CallError> {
        let (opened, generation, ttl_s, keys) = match &self.place {
            Place::InProcess(place) => {
                let (opened, generation, ttl_s, keys) = place.snapshot(at)?;
                (Opened::InProcess(opened), generation, ttl_s, keys)
            }
            Place::Worker(place) => {
                let (opened, generation, ttl_s, keys) = place.snapshot(at)?;
                (Opened::Worker(opened), generation, ttl_s, keys)
            }
        };
        let ttl = Some(Duration::from_secs(u64::from(ttl_s))).filter(|ttl| !ttl.is_zero());
        let open = OpenSnapshot { instance: Arc::clone(self), opened };
        Ok(KeySnapshot { generation, ttl, keys, open })
    }

    /// The keys in inline key material.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] where the material is not of its form; otherwise the plugin
    /// cannot now, or breaks its contract.
    pub fn resolve_keys(
        &self,
        material: &Material<'_>,
        at: &Circumstances<'_>,
    ) -> Result<Vec<KeyRecord>, CallError> {
        match &self.place {
            Place::InProcess(place) => place.resolve_keys(material, at),
            Place::Worker(place) => place.resolve_keys(material, at),
        }
    }

    /// Closes a snapshot of this instance, once.
    pub(super) fn close(&self, opened: &Opened) {
        match (&self.place, opened) {
            (Place::InProcess(place), Opened::InProcess(opened)) => place.close(opened),
            (Place::Worker(place), Opened::Worker(opened)) => place.close(opened),
            (Place::InProcess(_), Opened::Worker(_)) | (Place::Worker(_), Opened::InProcess(_)) => {
            }
        }
    }

    /// Verdicts on a first part of the items, at least one.
    pub(super) fn verify_part(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<()>, CallError> {
        let snapshot = self.own(snapshot)?;
        match &self.place {
            Place::InProcess(place) => {
                place.verify(snapshot.and_then(KeySnapshot::in_process), items, at)
            }
            Place::Worker(place) => place.verify(snapshot, items, at),
        }
    }

    /// The contents of a first part of the items, at least one.
    pub(super) fn decode_part(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<Blob>, CallError> {
        let snapshot = self.own(snapshot)?;
        match &self.place {
            Place::InProcess(place) => {
                place.decode(snapshot.and_then(KeySnapshot::in_process), items, at)
            }
            Place::Worker(place) => place.decode(snapshot, items, at),
        }
    }

    /// Signatures of a first part of the items, at least one. `flags` are `HALLMARK_ITEM_*`.
    pub(super) fn sign_part(
        &self,
        snapshot: &KeySnapshot,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
    ) -> Result<Answered<Vec<u8>>, CallError> {
        let snapshot = self.own(Some(snapshot))?;
        match &self.place {
            Place::InProcess(place) => {
                place.sign(snapshot.and_then(KeySnapshot::in_process), items, flags, at)
            }
            Place::Worker(place) => place.sign(snapshot, items, flags, at),
        }
    }

    /// The snapshot, which must be this instance's.
    fn own<'a>(
        &self,
        snapshot: Option<&'a KeySnapshot>,
    ) -> Result<Option<&'a KeySnapshot>, CallError> {
        match snapshot {
            Some(snapshot) if !std::ptr::eq(&raw const *snapshot.open.instance, self) => {
                Err(CallError::Unsupported("know this snapshot: it is another's"))
            }
            own => Ok(own),
        }
    }
}
