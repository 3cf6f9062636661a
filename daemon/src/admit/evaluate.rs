//! The middle of the one path, for the images that the policy alone does not decide: look up, or
//! work out. Each digest under the same attestors is worked out by one request at a time, whoever
//! else asks.

use std::sync::Arc;
use std::time::Instant;

use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::evaluate::plan::Plan;
use tokio::time::timeout_at;

use super::work::{Question, Work};
use crate::cache::{Entry, EvaluationKey, EvaluationScope, Flight, Lead};

/// An evaluation, and whether it was worked out before.
pub(super) type Answer = (Arc<Evaluation>, bool);

/// Requests that are answered together.
pub(super) struct Batch<'a> {
    pub(super) work: Work<'a>,
}

/// The answers of a batch, request by request.
pub(super) struct Answers {
    answers: std::vec::IntoIter<Answer>,
    counts: std::vec::IntoIter<usize>,
}

impl Answers {
    /// The answers for the next request, in the order of its plan's digests.
    pub(super) fn next_request(&mut self) -> Vec<Answer> {
        let count = self.counts.next().unwrap_or(0);
        self.answers.by_ref().take(count).collect()
    }
}

/// A question, and what its answer rests on.
#[derive(Clone, Copy)]
struct Keyed<'a> {
    key: EvaluationKey,
    asked: Question<'a>,
}

impl<'a> Batch<'a> {
    /// Answers every digest that the plans need, by the deadline.
    pub(super) async fn run(&self, plans: &'a [Plan]) -> Answers {
        let mut questions = Vec::new();
        let mut counts = Vec::with_capacity(plans.len());
        for plan in plans {
            let before = questions.len();
            self.ask(plan, &mut questions);
            counts.push(questions.len() - before);
        }
        let answers = self.answer(&questions).await;
        Answers { answers: answers.into_iter(), counts: counts.into_iter() }
    }

    fn ask(&self, plan: &'a Plan, questions: &mut Vec<Keyed<'a>>) {
        let mut digests = plan.digests().peekable();
        if digests.peek().is_none() {
            return;
        }
        let identity = |name| (name, self.work.snapshot.identity(name));
        let scope = EvaluationScope::new(plan.required.iter().map(identity));
        questions.extend(digests.map(|digest| {
            let epoch = self.work.gate.epochs.of(&digest);
            let asked = Question { digest, required: &plan.required };
            Keyed { key: EvaluationKey { scope, digest, epoch }, asked }
        }));
    }

    /// One answer for each question. All that this batch leads is finished before it waits for
    /// anybody else; a flight whose leader gave up is asked for again.
    async fn answer(&self, questions: &[Keyed<'a>]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
        let mut open: Vec<usize> = (0..questions.len()).collect();
        while !open.is_empty() && Instant::now() < self.work.deadline {
            let (mut leads, mut flights) = (Vec::new(), Vec::new());
            for index in open.drain(..) {
                match self.work.gate.evaluations.enter(questions[index].key, self.work.now) {
                    Entry::Cached(evaluation) => answers[index] = Some((evaluation, true)),
                    Entry::Lead(lead) => leads.push((index, lead)),
                    Entry::Follow(flight) => flights.push((index, flight)),
                }
            }
            self.lead(questions, leads, &mut answers).await;
            open = self.follow(flights, &mut answers).await;
        }
        let late = |(answer, question): (Option<Answer>, &Keyed<'_>)| {
            answer.unwrap_or_else(|| (Arc::new(self.work.out_of_time(&question.asked)), false))
        };
        answers.into_iter().zip(questions).map(late).collect()
    }

    async fn lead(
        &self,
        questions: &[Keyed<'a>],
        leads: Vec<(usize, Lead)>,
        answers: &mut [Option<Answer>],
    ) {
        if leads.is_empty() {
            return;
        }
        let led: Vec<_> = leads.iter().map(|&(index, _)| questions[index].asked).collect();
        let evaluations = self.work.answer(&led).await;
        for ((index, lead), evaluation) in leads.into_iter().zip(evaluations) {
            answers[index] = Some((lead.finish(evaluation), false));
        }
    }

    /// Returns the questions whose flight ended without an answer that holds now.
    async fn follow(
        &self,
        flights: Vec<(usize, Flight)>,
        answers: &mut [Option<Answer>],
    ) -> Vec<usize> {
        let mut open = Vec::new();
        for (index, flight) in flights {
            match timeout_at(self.work.deadline.into(), flight.landed()).await {
                Ok(Some(evaluation)) if evaluation.holds_at(self.work.now) => {
                    answers[index] = Some((evaluation, false));
                }
                Ok(_) => open.push(index),
                Err(_) => {}
            }
        }
        open
    }
}
