//! Verifying with keys that the host does not verify with: their plugin is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use hallmark_core::verdict::{Check, SignedForm, Unavailable, Verdict, Verified};
use hallmark_plugin_api::host::{Circumstances, KeyRecord};
use hallmark_plugin_api::{Algorithm, Failure, Item, KeyFlags};

use super::instance::{Held, PluginInstance};
use super::{Catalog, convert, services};
use crate::bounded::{Bounded, Unfinished};

/// Asks the plugins that verify themselves: on threads that may block, a bounded number at a time,
/// and never beyond a deadline.
#[derive(Debug)]
pub struct KeyHolders {
    catalog: Arc<Catalog>,
    batches: Bounded,
}

impl KeyHolders {
    /// With at most `concurrency` batches at a time.
    pub fn new(catalog: Arc<Catalog>, concurrency: usize) -> Self {
        Self { catalog, batches: Bounded::new(concurrency) }
    }

    /// Answers every check, in order, by `deadline`. Each is of a key that has a holder. A plugin
    /// that does not come back keeps its thread and its place among the batches; no decision waits
    /// for it beyond its deadline.
    pub async fn verify(&self, checks: Vec<Check>, deadline: Instant) -> Vec<Verdict> {
        let count = checks.len();
        let catalog = Arc::clone(&self.catalog);
        let verify = move || catalog.verify(&checks, deadline);
        match self.batches.run(deadline, verify).await {
            Ok(verdicts) => verdicts,
            Err(Unfinished::Panicked) => vec![Verdict::Unavailable(Unavailable::Holder); count],
            Err(Unfinished::Busy | Unfinished::Late) => {
                vec![Verdict::Unavailable(Unavailable::Deadline); count]
            }
        }
    }
}

impl Catalog {
    /// Blocks.
    fn verify(&self, checks: &[Check], deadline: Instant) -> Vec<Verdict> {
        let mut by_holder: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, check) in checks.iter().enumerate() {
            by_holder
                .entry(check.key.holder.as_deref().unwrap_or_default())
                .or_default()
                .push(index);
        }
        let mut verdicts = vec![Verdict::Unavailable(Unavailable::Holder); checks.len()];
        for (holder, indices) in by_holder {
            let Some(instance) = self.instance(holder) else { continue };
            let Some(held) = instance.held() else { continue };
            for form in [SignedForm::Raw, SignedForm::Pae, SignedForm::Enveloped] {
                // The first form of each, then the others of those that were refused.
                let open = |index: &&usize| {
                    let forms = checks[**index].forms();
                    forms.first() == Some(&form)
                        || forms.contains(&form) && verdicts[**index] == Verdict::BadSignature
                };
                let asked: Vec<_> = indices.iter().filter(open).copied().collect();
                let of = asked.iter().map(|&index| &checks[index]).collect::<Vec<_>>();
                let answers = instance.verify(&held, &of, form, deadline);
                asked
                    .into_iter()
                    .zip(answers)
                    .for_each(|(index, verdict)| verdicts[index] = verdict);
            }
        }
        verdicts
    }
}

impl PluginInstance {
    fn verify(
        &self,
        held: &Held,
        checks: &[&Check],
        form: SignedForm,
        deadline: Instant,
    ) -> Vec<Verdict> {
        let unavailable = Verdict::Unavailable(Unavailable::Holder);
        let mut verdicts = vec![unavailable; checks.len()];
        let handles = checks.iter().map(|check| handle(held, check));
        let known: Vec<_> = checks
            .iter()
            .zip(handles)
            .enumerate()
            .filter_map(|(index, (check, handle))| {
                Some((index, check, handle?, check.message(form)))
            })
            .collect();
        let items: Vec<_> = known
            .iter()
            .map(|(_, check, handle, message)| Item {
                key_handle: *handle,
                algorithm: Algorithm::from_number(check.key.algorithm.number()),
                key: &[],
                message,
                signature: &check.signature,
            })
            .collect();
        let Some(instance) = self.instance().filter(|_| !items.is_empty()) else {
            return verdicts;
        };
        let at =
            Circumstances { deadline: Some(deadline), ..Circumstances::at(services::unix_now()) };
        match instance.verify_batch(Some(&held.snapshot), &items, &at) {
            Ok(answers) => {
                for ((index, ..), answer) in known.iter().zip(answers) {
                    verdicts[*index] = verdict(answer, form);
                }
            }
            Err(error) => {
                self.count_call_error();
                tracing::error!(plugin = self.name(), %error, "signatures were not verified");
            }
        }
        verdicts
    }
}

/// The key of a check in the snapshot that the plugin is asked with, if it is there still: the same
/// id and the same key.
fn handle(held: &Held, check: &Check) -> Option<u64> {
    let id = check.key.ids.first()?.as_str();
    let is = |record: &&KeyRecord| {
        let flags = record.flags;
        record.id == id
            && flags.contains(KeyFlags::VERIFY)
            && !flags.contains(KeyFlags::HOST_VERIFY)
            && convert::verification_key(record, Vec::new(), check.key.algorithm, &check.key.plugin)
                .is_ok_and(|key| key.fingerprint == check.key.fingerprint)
    };
    held.snapshot.keys.iter().find(is).map(|record| record.handle)
}

fn verdict(answer: Result<(), Failure>, form: SignedForm) -> Verdict {
    match answer {
        Ok(()) => Verdict::Verified(Verified::assertion(form)),
        Err(Failure::BadSignature | Failure::Malformed) => Verdict::BadSignature,
        Err(_) => Verdict::Unavailable(Unavailable::Holder),
    }
}
