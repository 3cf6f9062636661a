//! The middle of the one path, without its caches: gather → open → pair → verify → conclude, a
//! portion of the evidence at a time, for whatever kind of question.
//!
//! One round reads, opens and verifies for all questions together. It is repeated for what is not
//! answered yet until there is no more evidence, so that nothing that lies beside a good
//! attestation hides it, and no round costs more than its share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use hallmark_core::attestor::KeyId;
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::pair::sealed;
use hallmark_core::evaluate::portion::enveloped_ids;
use hallmark_core::evaluate::question::{Gathered, Lookup, Material, Question, Wanted};
use hallmark_core::occurrence::Attestation;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::Verdict;

use super::Gate;
use crate::evidence::Gathering;
use crate::store::{EvidenceQuery, KeyFingerprint};

/// Keys that nobody knows, told to their sources in one round. One is enough for a source to look.
const UNKNOWN_KEYS_TOLD_MAX: usize = 100;

/// The context that all questions of a batch share.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) gate: &'a Gate,
    pub(super) now: UnixTime,
    pub(super) deadline: Instant,
}

/// The times that the steps took.
#[derive(Default)]
struct Times {
    gathering: Duration,
    verifying: Duration,
}

impl Work<'_> {
    /// One answer for each question, in their order, by the deadline.
    pub(super) async fn answer<Q: Question>(&self, questions: &[Q]) -> Vec<Q::Answer> {
        let gathering = self.gate.evidence.gather(queries(questions));
        let (answers, times) = self.examine(questions, gathering).await;
        self.gate.metrics.gathered(times.gathering);
        self.gate.metrics.verified(times.verifying);
        answers
    }

    /// The same from evidence that is not stored.
    pub(super) async fn answer_from<Q: Question>(
        &self,
        questions: &[Q],
        evidence: HashMap<Lookup, Vec<Attestation>>,
    ) -> Vec<Q::Answer> {
        let wanted = wanted(questions);
        let enveloped = enveloped_ids(wanted.iter().flat_map(|one| one.keys));
        let gathering = self.gate.evidence.unstored(evidence, &enveloped);
        self.examine(questions, gathering).await.0
    }

    async fn examine<Q: Question>(
        &self,
        questions: &[Q],
        mut gathering: Gathering<'_>,
    ) -> (Vec<Q::Answer>, Times) {
        let mut times = Times::default();
        let mut inquiries: Vec<_> = questions.iter().map(Inquiry::new).collect();
        let wanted = wanted(questions);
        let enveloped = enveloped_ids(wanted.iter().flat_map(|one| one.keys));
        let mut more: HashSet<Lookup> = wanted.iter().map(|one| one.lookup.clone()).collect();
        loop {
            let mut clock = Instant::now();
            let evidence = gathering.next(&more, &enveloped, self.deadline).await;
            times.gathering += super::lap(&mut clock);
            let concerned = inquiries.iter_mut().filter(|one| one.awaits(&more));
            times.verifying += self.round(concerned.collect(), &evidence).await;
            let open = inquiries.iter().flat_map(|one| &one.wanted).map(|one| &one.lookup);
            more = open.filter(|lookup| gathering.has_more(lookup)).cloned().collect();
            if more.is_empty() || self.deadline <= Instant::now() {
                break;
            }
        }
        let answers = inquiries.into_iter().map(|one| self.complete(one, &more)).collect();
        (answers, times)
    }

    /// Takes what was found into account. Answers how long its signatures took to verify.
    async fn round<Q: Question>(
        &self,
        mut inquiries: Vec<&mut Inquiry<'_, Q>>,
        evidence: &Gathered,
    ) -> Duration {
        let envelopes = self.open(&inquiries, evidence).await;
        let Self { gate: Gate { limits, .. }, now, .. } = *self;
        let material = Material { evidence, envelopes: &envelopes, now, limits };
        let pair = |one: &&mut Inquiry<'_, Q>| one.question.pair(one.found.as_ref(), material);
        let pairings: Vec<_> = inquiries.iter().map(pair).collect();
        let checks: Vec<_> = pairings.iter().flat_map(Q::checks).cloned().collect();
        let mut clock = Instant::now();
        let verdicts = match checks.is_empty() {
            true => Vec::new(),
            false => self.gate.verify(checks, self.deadline).await,
        };
        let verifying = super::lap(&mut clock);
        let mut rest = verdicts.as_slice();
        for (one, pairing) in inquiries.iter_mut().zip(pairings) {
            let (own, others) = rest.split_at(Q::checks(&pairing).len().min(rest.len()));
            rest = others;
            self.take(one, pairing, own);
        }
        verifying
    }

    /// Takes apart what came in envelopes.
    async fn open<Q: Question>(
        &self,
        inquiries: &[&mut Inquiry<'_, Q>],
        evidence: &Gathered,
    ) -> Envelopes {
        let wanted = inquiries.iter().flat_map(|one| &one.wanted);
        let sealed: HashSet<_> =
            wanted.flat_map(|one| sealed(one.keys, evidence.of(&one.lookup))).collect();
        self.gate.decoders.open(sealed.into_iter().collect(), self.deadline).await
    }

    fn take<Q: Question>(
        &self,
        one: &mut Inquiry<'_, Q>,
        pairing: Q::Pairing,
        verdicts: &[Verdict],
    ) {
        let unknown: HashSet<KeyId> =
            Q::unknown_keys(&pairing).take(UNKNOWN_KEYS_TOLD_MAX).cloned().collect();
        one.take(Q::conclude(pairing, verdicts));
        // A key that signed and is not known may have come to its source since that was asked.
        if !one.wanted.is_empty() {
            unknown.iter().for_each(|id| self.gate.catalog.unknown_key(id));
        }
    }

    /// The answer after the last round: if there is `more` for it, the rest is not determined.
    fn complete<Q: Question>(&self, one: Inquiry<'_, Q>, more: &HashSet<Lookup>) -> Q::Answer {
        let is_complete = !one.awaits(more);
        match one.found {
            Some(found) if is_complete => found,
            Some(found) => Q::join(found, self.out_of_time(one.question)),
            None => self.out_of_time(one.question),
        }
    }

    /// The answer if there was no time to look for another.
    pub(super) fn out_of_time<Q: Question>(&self, question: &Q) -> Q::Answer {
        question.out_of_time(self.now, &self.gate.limits)
    }
}

/// A question, and what is found of it so far.
struct Inquiry<'q, Q: Question> {
    question: &'q Q,
    /// The evidence that may still make a difference.
    wanted: Vec<Wanted<'q>>,
    found: Option<Q::Answer>,
}

impl<'q, Q: Question> Inquiry<'q, Q> {
    fn new(question: &'q Q) -> Self {
        Self { question, wanted: question.wanted(None), found: None }
    }

    /// True if it has no answer, or one that more of this evidence may change.
    fn awaits(&self, more: &HashSet<Lookup>) -> bool {
        self.found.is_none() || self.wanted.iter().any(|one| more.contains(&one.lookup))
    }

    fn take(&mut self, later: Q::Answer) {
        let found = match self.found.take() {
            Some(earlier) => Q::join(earlier, later),
            None => later,
        };
        self.wanted = self.question.wanted(Some(&found));
        self.found = Some(found);
    }
}

fn wanted<Q: Question>(questions: &[Q]) -> Vec<Wanted<'_>> {
    questions.iter().flat_map(|question| question.wanted(None)).collect()
}

/// The evidence to read, each lookup once, however many questions need it.
fn queries<Q: Question>(questions: &[Q]) -> impl Iterator<Item = EvidenceQuery> {
    let mut keys: HashMap<Lookup, BTreeSet<KeyFingerprint>> = HashMap::new();
    for one in wanted(questions) {
        keys.entry(one.lookup).or_default().extend(one.keys.iter().map(|key| key.fingerprint));
    }
    keys.into_iter().map(|(lookup, keys)| EvidenceQuery {
        keys: keys.into_iter().collect(),
        ..EvidenceQuery::of(lookup)
    })
}
