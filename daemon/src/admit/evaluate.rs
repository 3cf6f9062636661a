//! The middle of the one path, for the images that the policy alone does not decide: look up, or
//! gather → pair → verify → conclude. Each digest of each rule is worked out by one request at a
//! time, whoever else asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use hallmark_core::decision::TrialOutcome;
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::Request;
use hallmark_core::evaluate::decide::{Evaluation, conclude};
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair, sealed};
use hallmark_core::evaluate::plan::Plan;
use hallmark_core::image::Digest;
use hallmark_core::names::{AttestorName, NoteName};
use hallmark_core::occurrence::{Evidence, EvidenceError};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::Verdict;
use tokio::time::timeout_at;

use super::Gate;
use crate::cache::{Entry, EvaluationKey, EvaluationScope, Flight, Lead};
use crate::snapshot::Snapshot;

/// An evaluation, and whether it was worked out before.
pub(super) type Answer = (Arc<Evaluation>, bool);

/// What all requests of a batch share.
pub(super) struct Batch<'a> {
    pub(super) gate: &'a Gate,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: UnixTime,
    pub(super) deadline: Instant,
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

/// Has this digest been attested by these attestors?
#[derive(Clone, Copy)]
struct Question<'a> {
    key: EvaluationKey,
    required: &'a [AttestorName],
}

impl Question<'_> {
    fn digest(&self) -> Digest {
        self.key.digest
    }
}

impl Batch<'_> {
    /// Answers every digest that the plans need, by the deadline.
    pub(super) async fn run(&self, requests: &[Request], plans: &[Plan]) -> Answers {
        let mut questions = Vec::new();
        let mut counts = Vec::with_capacity(plans.len());
        for (request, plan) in requests.iter().zip(plans) {
            let before = questions.len();
            self.ask(request, plan, &mut questions);
            counts.push(questions.len() - before);
        }
        let answers = self.answer(&questions).await;
        Answers { answers: answers.into_iter(), counts: counts.into_iter() }
    }

    fn ask<'p>(&self, request: &Request, plan: &'p Plan, questions: &mut Vec<Question<'p>>) {
        let Some(rule) = &plan.rule else { return };
        let mut digests = plan.digests().peekable();
        if digests.peek().is_none() {
            return;
        }
        let scope = EvaluationScope::new(self.snapshot.generation, &request.project, rule);
        questions.extend(digests.map(|digest| {
            let epoch = self.gate.epochs.of(&digest);
            Question { key: EvaluationKey { scope, digest, epoch }, required: &plan.required }
        }));
    }

    /// One answer for each question. All that this batch leads is finished before it waits for
    /// anybody else; a flight whose leader gave up is asked for again.
    async fn answer(&self, questions: &[Question<'_>]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
        let mut open: Vec<usize> = (0..questions.len()).collect();
        while !open.is_empty() && Instant::now() < self.deadline {
            let (mut leads, mut flights) = (Vec::new(), Vec::new());
            for index in open.drain(..) {
                match self.gate.evaluations.enter(questions[index].key, self.now) {
                    Entry::Cached(evaluation) => answers[index] = Some((evaluation, true)),
                    Entry::Lead(lead) => leads.push((index, lead)),
                    Entry::Follow(flight) => flights.push((index, flight)),
                }
            }
            self.lead(questions, leads, &mut answers).await;
            open = self.follow(flights, &mut answers).await;
        }
        let late = |(answer, question): (Option<Answer>, _)| {
            answer.unwrap_or_else(|| (Arc::new(self.out_of_time(question)), false))
        };
        answers.into_iter().zip(questions).map(late).collect()
    }

    async fn lead(
        &self,
        questions: &[Question<'_>],
        leads: Vec<(usize, Lead)>,
        answers: &mut [Option<Answer>],
    ) {
        if leads.is_empty() {
            return;
        }
        let led: Vec<_> = leads.iter().map(|&(index, _)| questions[index]).collect();
        let evaluations = self.work_out(&led).await;
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
            match timeout_at(self.deadline.into(), flight.landed()).await {
                Ok(Some(evaluation)) if evaluation.holds_at(self.now) => {
                    answers[index] = Some((evaluation, false));
                }
                Ok(_) => open.push(index),
                Err(_) => {}
            }
        }
        open
    }

    /// Gathers, pairs, verifies and concludes: one read of the store and one batch of checks for
    /// all questions together.
    async fn work_out(&self, questions: &[Question<'_>]) -> Vec<Evaluation> {
        let mut clock = Instant::now();
        let wanted = Wanted::of(questions, self.snapshot);
        let evidence = self.gate.evidence.gather(wanted.list, self.deadline).await;
        self.gate.metrics.gathered(super::lap(&mut clock));
        let find = |note: &NoteName, digest| {
            wanted.index.get(&(note, digest)).and_then(|&at| evidence.get(at)).unwrap_or(&NOTHING)
        };
        let envelopes = self.open(questions, find).await;
        let pair = |question| self.pair(question, find, &envelopes);
        let pairings: Vec<_> = questions.iter().map(pair).collect();
        let checks: Vec<_> = pairings.iter().flat_map(Pairing::checks).cloned().collect();
        clock = Instant::now();
        let verdicts = match checks.is_empty() {
            true => Vec::new(),
            false => self.gate.verify(checks, self.deadline).await,
        };
        self.gate.metrics.verified(super::lap(&mut clock));
        let evaluations = conclude_each(pairings, &verdicts);
        evaluations.iter().for_each(|evaluation| self.tell_unknown_keys(evaluation));
        evaluations
    }

    /// A key that signed and is not known may have come to its source since that was asked.
    fn tell_unknown_keys(&self, evaluation: &Evaluation) {
        if evaluation.reason.allows() {
            return;
        }
        let trials = evaluation.attestors.iter().flat_map(|result| &result.trials);
        for trial in trials.filter(|trial| trial.outcome == TrialOutcome::KeyIdUnknown) {
            self.gate.catalog.unknown_key(&trial.key_id);
        }
    }

    /// Takes apart what came in envelopes.
    async fn open<'e>(
        &self,
        questions: &[Question<'_>],
        evidence: impl Fn(&NoteName, Digest) -> &'e Evidence,
    ) -> Envelopes {
        let required = questions.iter().flat_map(|question| {
            let attestors =
                question.required.iter().filter_map(|name| self.snapshot.attestor(name));
            attestors.map(|attestor| (attestor, question.digest()))
        });
        let sealed: HashSet<_> = required
            .flat_map(|(attestor, digest)| {
                sealed(attestor, evidence(&attestor.note, digest), &self.gate.limits)
            })
            .collect();
        self.gate.decoders.open(sealed.into_iter().collect(), self.deadline).await
    }

    fn pair<'e>(
        &self,
        question: &Question<'_>,
        evidence: impl Fn(&NoteName, Digest) -> &'e Evidence,
        envelopes: &Envelopes,
    ) -> Pairing {
        let digest = question.digest();
        let sources: Vec<_> = question
            .required
            .iter()
            .map(|name| {
                let attestor = self.snapshot.attestor(name).map(Arc::as_ref);
                let evidence = attestor.map_or(&NOTHING, |known| evidence(&known.note, digest));
                AttestorEvidence { name, attestor, evidence, envelopes }
            })
            .collect();
        pair(digest, &sources, self.now, &self.gate.limits)
    }

    fn out_of_time(&self, question: &Question<'_>) -> Evaluation {
        conclude(self.pair(question, |_, _| &LATE, &Envelopes::default()), &[])
    }
}

static NOTHING: Evidence = Ok(Vec::new());
static LATE: Evidence = Err(EvidenceError::Deadline);

/// The notes and digests to read, each once, however many questions need it.
struct Wanted<'a> {
    list: Vec<(NoteName, Digest)>,
    index: HashMap<(&'a NoteName, Digest), usize>,
}

impl<'a> Wanted<'a> {
    fn of(questions: &[Question<'_>], snapshot: &'a Snapshot) -> Self {
        let mut wanted = Self { list: Vec::new(), index: HashMap::new() };
        for question in questions {
            let attestors = question.required.iter().filter_map(|name| snapshot.attestor(name));
            for attestor in attestors {
                let Self { list, index } = &mut wanted;
                index.entry((&attestor.note, question.digest())).or_insert_with(|| {
                    list.push((attestor.note.clone(), question.digest()));
                    list.len() - 1
                });
            }
        }
        wanted
    }
}

fn conclude_each(pairings: Vec<Pairing>, verdicts: &[Verdict]) -> Vec<Evaluation> {
    let mut rest = verdicts;
    let conclude_next = |pairing: Pairing| {
        let count = pairing.checks().len().min(rest.len());
        let (own, others) = rest.split_at(count);
        rest = others;
        conclude(pairing, own)
    };
    pairings.into_iter().map(conclude_next).collect()
}
