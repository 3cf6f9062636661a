//! Verifying with keys that the host does not verify with: their plugin is asked.

use std::sync::Arc;
use std::time::Instant;

use hallmark_core::verdict::{Check, SignedForm, Unavailable, Verdict, Verified};
use hallmark_plugin_api::host::Circumstances;
use hallmark_plugin_api::{Failure, Item};

use super::instance::{Held, PluginInstance};
use super::per_plugin::PerPlugin;
use super::{Catalog, services};
use crate::bounded::Unfinished;

/// Asks the plugins that verify themselves: on threads that may block, a bounded number at a time of
/// each plugin, and never beyond a deadline.
#[derive(Debug)]
pub struct KeyHolders {
    catalog: Arc<Catalog>,
    batches: PerPlugin,
}

impl KeyHolders {
    /// With at most `concurrency` batches of each plugin at a time.
    pub fn new(catalog: Arc<Catalog>, concurrency: usize) -> Self {
        let batches = PerPlugin::new(&catalog, concurrency);
        Self { catalog, batches }
    }

    /// Answers every check, in order, by `deadline`. Each is of a key that has a holder. A plugin
    /// that does not come back keeps its thread and one of its own places; no decision waits for it
    /// beyond its deadline, and those that need other plugins do not wait for it at all.
    pub async fn verify(&self, checks: Vec<Check>, deadline: Instant) -> Vec<Verdict> {
        let unavailable = Verdict::Unavailable(Unavailable::Holder);
        let mut verdicts = vec![unavailable; checks.len()];
        let holder =
            |check: &Check| Arc::clone(check.key.holder.as_ref().unwrap_or(&check.key.plugin));
        let catalog = Arc::clone(&self.catalog);
        let verify = move |holder: &str, checks: &[Check]| catalog.verify(holder, checks, deadline);
        for (index, answer) in self.batches.run(checks, holder, deadline, verify).await {
            verdicts[index] = match answer {
                Ok(verdict) => verdict,
                Err(Unfinished::Panicked) => unavailable,
                Err(Unfinished::Busy | Unfinished::Late) => {
                    Verdict::Unavailable(Unavailable::Deadline)
                }
            };
        }
        verdicts
    }
}

impl Catalog {
    /// Answers checks of keys that one plugin holds. Blocks.
    fn verify(&self, holder: &str, checks: &[Check], deadline: Instant) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Unavailable(Unavailable::Holder); checks.len()];
        let Some(instance) = self.instance(holder) else { return verdicts };
        let Some(held) = instance.held() else { return verdicts };
        for form in [SignedForm::Raw, SignedForm::Pae, SignedForm::Enveloped] {
            // The first form of each, then the others of those that were refused.
            let open = |index: &usize| {
                let forms = checks[*index].forms();
                forms.first() == Some(&form)
                    || forms.contains(&form) && verdicts[*index] == Verdict::BadSignature
            };
            let asked: Vec<_> = (0..checks.len()).filter(open).collect();
            let of = asked.iter().map(|&index| &checks[index]).collect::<Vec<_>>();
            let answers = instance.verify(&held, &of, form, deadline);
            asked.into_iter().zip(answers).for_each(|(index, verdict)| verdicts[index] = verdict);
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
        let known: Vec<_> = checks
            .iter()
            .enumerate()
            .filter_map(|(index, check)| {
                Some((index, check, held.of_snapshot.handle(&check.key)?, check.message(form)))
            })
            .collect();
        let items: Vec<_> = known
            .iter()
            .map(|(_, check, handle, message)| Item {
                key_handle: *handle,
                algorithm: Some(check.key.algorithm),
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

fn verdict(answer: Result<(), Failure>, form: SignedForm) -> Verdict {
    match answer {
        Ok(()) => Verdict::Verified(Verified::assertion(form)),
        Err(Failure::BadSignature | Failure::Malformed) => Verdict::BadSignature,
        Err(_) => Verdict::Unavailable(Unavailable::Holder),
    }
}
