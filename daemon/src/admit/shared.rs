//! Look up, or work out: each question is worked out by one request at a time, whoever else asks.

use std::sync::Arc;
use std::time::Instant;

use hallmark_core::evaluate::question::Question;
use tokio::time::timeout_at;

use super::work::Work;
use crate::cache::{Entry, Evaluated, EvaluationCache, EvaluationKey, Flight, Lead};

/// A question, and what its answer rests on.
pub(super) struct Keyed<Q> {
    pub(super) key: EvaluationKey,
    pub(super) question: Q,
}

/// An answer, and whether it was worked out before.
pub(super) type Known<E> = (Arc<E>, bool);

/// Questions of one kind that are answered together.
pub(super) struct Shared<'a, Q, E: Evaluated> {
    pub(super) work: Work<'a>,
    pub(super) cache: &'a EvaluationCache<E>,
    pub(super) asked: &'a [Keyed<Q>],
}

impl<Q: Question<Answer = E> + Clone, E: Evaluated> Shared<'_, Q, E> {
    /// One answer for each question by the deadline. All that this batch leads is finished before
    /// it waits for anybody else; a flight whose leader gave up is asked for again.
    pub(super) async fn answer(&self) -> Vec<Known<E>> {
        let mut answers: Vec<Option<Known<E>>> = vec![None; self.asked.len()];
        let mut open: Vec<usize> = (0..self.asked.len()).collect();
        while !open.is_empty() && Instant::now() < self.work.deadline {
            let (mut leads, mut flights) = (Vec::new(), Vec::new());
            for index in open.drain(..) {
                match self.cache.enter(self.asked[index].key, self.work.now) {
                    Entry::Cached(evaluation) => answers[index] = Some((evaluation, true)),
                    Entry::Lead(lead) => leads.push((index, lead)),
                    Entry::Follow(flight) => flights.push((index, flight)),
                }
            }
            self.lead(leads, &mut answers).await;
            open = self.follow(flights, &mut answers).await;
        }
        let late = |(answer, asked): (Option<Known<E>>, &Keyed<Q>)| {
            answer.unwrap_or_else(|| (Arc::new(self.work.out_of_time(&asked.question)), false))
        };
        answers.into_iter().zip(self.asked).map(late).collect()
    }

    async fn lead(&self, leads: Vec<(usize, Lead<E>)>, answers: &mut [Option<Known<E>>]) {
        if leads.is_empty() {
            return;
        }
        let led: Vec<_> =
            leads.iter().map(|&(index, _)| self.asked[index].question.clone()).collect();
        let evaluations = self.work.answer(&led).await;
        for ((index, lead), evaluation) in leads.into_iter().zip(evaluations) {
            answers[index] = Some((lead.finish(evaluation), false));
        }
    }

    /// Returns the questions whose flight ended without an answer that holds now.
    async fn follow(
        &self,
        flights: Vec<(usize, Flight<E>)>,
        answers: &mut [Option<Known<E>>],
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
