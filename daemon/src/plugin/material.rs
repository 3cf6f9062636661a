//! Reading the keys in an attestor's own text, in a bounded time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hallmark_plugin_api::Material;
use hallmark_plugin_api::host::{Circumstances, Instance, KeyRecord};

use super::error::KeyError;
use super::status::LATE;
use crate::timed::Timed;

/// The time that one piece may take: as long as one call of a worker, unless told otherwise. It is
/// parsing, and done within a millisecond.
const MATERIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// From when on a failure has held up whoever waited.
const MATERIAL_SLOW: Duration = Duration::from_secs(1);
/// The time for which a plugin that held somebody up is not waited for again. Whoever publishes
/// what was written waits for it, and everybody waits for them.
const MATERIAL_REST: Duration = Duration::from_secs(30);

/// Has one instance read inline material. One that does not come back costs a thread, and is waited
/// for once in [`MATERIAL_REST`].
#[derive(Debug, Default)]
pub(super) struct MaterialReader {
    reads: Timed,
    /// Until when nothing is read, and why.
    resting: Mutex<Option<(Instant, String)>>,
}

impl MaterialReader {
    /// The keys in it. `plugin` is the name of the instance.
    pub(super) fn read(
        &self,
        plugin: &str,
        instance: &Arc<Instance>,
        material: &Material<'_>,
        now: i64,
    ) -> Result<Vec<KeyRecord>, KeyError> {
        if let Some(why) = self.rests() {
            return Err(KeyError::Unavailable(why));
        }
        let started = Instant::now();
        let deadline = started + MATERIAL_TIMEOUT;
        let instance = Arc::clone(instance);
        let Material { form, data, algorithm } = *material;
        let (form, data) = (form.to_owned(), data.to_owned());
        let read = self.reads.run(deadline, move || {
            let material = Material { form: &form, data: &data, algorithm };
            let at = Circumstances { deadline: Some(deadline), ..Circumstances::at(now) };
            instance.resolve_keys(&material, &at)
        });
        let error = match read {
            Ok(Ok(records)) => return Ok(records),
            Ok(Err(error)) => KeyError::of_material(plugin, error),
            Err(_) => KeyError::Unavailable(format!("plugin `{plugin}`: {LATE}")),
        };
        // An immediate failure takes nobody's time.
        if let KeyError::Unavailable(why) = &error
            && started.elapsed() >= MATERIAL_SLOW
        {
            *self.lock() = Some((Instant::now() + MATERIAL_REST, why.clone()));
        }
        Err(error)
    }

    /// Why nothing is read just now, if so.
    pub(super) fn rests(&self) -> Option<String> {
        let now = Instant::now();
        self.lock().as_ref().filter(|(until, _)| now < *until).map(|(_, why)| why.clone())
    }

    /// When what could not be read is tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().as_ref().map(|(until, _)| *until)
    }

    /// Ends a rest that is over. Answers whether there was one: whoever has keys that were not read
    /// tries again.
    pub(super) fn end_rest(&self, now: Instant) -> bool {
        self.lock().take_if(|(until, _)| *until <= now).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
