//! The middle of the one path, for the images that the policy alone does not decide.

use std::sync::Arc;

use hallmark_core::evaluate::attested::{Attested, Required};
use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::evaluate::plan::Plan;

use super::shared::{Keyed, Known, Shared};
use super::work::Work;
use crate::cache::{EvaluationKey, EvaluationScope};
use crate::snapshot::Snapshot;

/// Requests that are answered together.
pub(super) struct Batch<'a> {
    pub(super) work: Work<'a>,
    pub(super) snapshot: &'a Snapshot,
}

/// The answers of a batch, request by request.
pub(super) struct Answers {
    answers: std::vec::IntoIter<Known<Evaluation>>,
    counts: std::vec::IntoIter<usize>,
}

impl Answers {
    /// The answers for the next request, in the order of its plan's digests.
    pub(super) fn next_request(&mut self) -> Vec<Known<Evaluation>> {
        let count = self.counts.next().unwrap_or(0);
        self.answers.by_ref().take(count).collect()
    }
}

impl<'a> Batch<'a> {
    /// Answers every digest that the plans need, by the deadline.
    pub(super) async fn run(&self, plans: &'a [Plan]) -> Answers {
        let mut asked = Vec::new();
        let mut counts = Vec::with_capacity(plans.len());
        for plan in plans {
            let before = asked.len();
            self.ask(plan, &mut asked);
            counts.push(asked.len() - before);
        }
        let (work, cache) = (self.work, &self.work.gate.evaluations);
        let answers = Shared { work, cache, asked: &asked }.answer().await;
        Answers { answers: answers.into_iter(), counts: counts.into_iter() }
    }

    fn ask(&self, plan: &'a Plan, asked: &mut Vec<Keyed<Attested<'a>>>) {
        let mut digests = plan.digests().peekable();
        if digests.peek().is_none() {
            return;
        }
        let identity = |name| (name, self.snapshot.identity(name));
        let scope = EvaluationScope::new(plan.required.iter().map(identity));
        let required = |name| {
            let attestor = self.snapshot.attestor(name).map(Arc::as_ref);
            Required { name, attestor }
        };
        let required: Arc<[_]> = plan.required.iter().map(required).collect();
        asked.extend(digests.map(|digest| {
            let epoch = self.work.gate.epochs.of(&digest);
            let question = Attested { digest, required: Arc::clone(&required) };
            Keyed { key: EvaluationKey { scope, digest, epoch }, question }
        }));
    }
}
