//! The middle of the one path, without its caches: gather → open → pair → verify → conclude, a
//! portion of the evidence at a time.
//!
//! One round reads, opens and verifies for all questions together. It is repeated for what is not
//! answered yet until there is no more evidence, so that nothing that lies beside a good
//! attestation hides it, and no round costs more than its share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::attestor::{KeyId, TrustedAttestor};
use hallmark_core::decision::AttestorReason;
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::decide::{Evaluation, conclude, join};
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair, sealed};
use hallmark_core::evaluate::portion::enveloped_ids;
use hallmark_core::image::Digest;
use hallmark_core::names::{AttestorName, NoteName};
use hallmark_core::occurrence::{Evidence, EvidenceError};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::Verdict;

use super::Gate;
use crate::evidence::Gathering;
use crate::snapshot::Snapshot;
use crate::store::{EvidenceQuery, Lookup};

/// Keys that nobody knows, told to their sources in one round. One is enough for a source to look.
const UNKNOWN_KEYS_TOLD_MAX: usize = 100;

static NOTHING: Evidence = Ok(Vec::new());
static LATE: Evidence = Err(EvidenceError::Deadline);

/// Has this digest been attested by these attestors?
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) digest: Digest,
    pub(super) required: &'a [AttestorName],
}

/// What all questions of a batch share.
pub(super) struct Work<'a> {
    pub(super) gate: &'a Gate,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: UnixTime,
    pub(super) deadline: Instant,
}

/// A question, and what is found of it so far.
struct Inquiry<'a> {
    question: Question<'a>,
    found: Option<Evaluation>,
}

impl<'a> Inquiry<'a> {
    fn is_satisfied(&self, attestor: &AttestorName) -> bool {
        let satisfied = |found: &Evaluation| {
            let mut results = found.attestors.iter();
            results.any(|it| it.attestor == *attestor && it.reason == AttestorReason::Verified)
        };
        self.found.as_ref().is_some_and(satisfied)
    }

    /// The attestors that evidence may satisfy yet.
    fn open(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a TrustedAttestor> {
        let attestors = self.question.required.iter().filter_map(|name| snapshot.attestor(name));
        let has_keys =
            |it: &&Arc<TrustedAttestor>| it.keys.as_ref().is_ok_and(|keys| !keys.is_empty());
        let open = attestors.filter(has_keys).filter(|it| !self.is_satisfied(&it.name));
        open.map(Arc::as_ref)
    }
}

impl<'a> Work<'a> {
    /// One answer for each question, in their order, by the deadline.
    pub(super) async fn answer(&self, questions: &[Question<'a>]) -> Vec<Evaluation> {
        let wanted = Wanted::of(questions, self.snapshot);
        let gathering = self.gate.evidence.gather(wanted.list.clone());
        self.examine(questions, &wanted, gathering).await
    }

    /// As [`Work::answer`] of one question, from evidence that is not stored.
    pub(super) async fn answer_from(
        &self,
        question: Question<'a>,
        gathering: Gathering<'_>,
    ) -> Option<Evaluation> {
        let wanted = Wanted::of(&[question], self.snapshot);
        self.examine(&[question], &wanted, gathering).await.pop()
    }

    async fn examine(
        &self,
        questions: &[Question<'a>],
        wanted: &Wanted<'a>,
        mut gathering: Gathering<'_>,
    ) -> Vec<Evaluation> {
        let inquiry = |&question| Inquiry { question, found: None };
        let mut inquiries: Vec<_> = questions.iter().map(inquiry).collect();
        let enveloped = enveloped_ids(inquiries.iter().flat_map(|one| one.open(self.snapshot)));
        let (mut gathered, mut verified) = (Duration::ZERO, Duration::ZERO);
        for round in 0.. {
            let more = wanted.of_open(&inquiries, self.snapshot, &gathering);
            if round > 0 && more.is_empty() {
                break;
            }
            if round > 0 && self.deadline <= Instant::now() {
                let unfinished = |one: &&mut Inquiry<'a>| {
                    let one = std::slice::from_ref(&**one);
                    !wanted.of_open(one, self.snapshot, &gathering).is_empty()
                };
                inquiries.iter_mut().filter(unfinished).for_each(|one| self.give_up(one));
                break;
            }
            let mut clock = Instant::now();
            let evidence = gathering.next(&more, &enveloped, self.deadline).await;
            gathered += super::lap(&mut clock);
            let found = Found { wanted, evidence: &evidence, more: &more };
            verified += self.round(&mut inquiries, &found).await;
        }
        self.gate.metrics.gathered(gathered);
        self.gate.metrics.verified(verified);
        let answer =
            |one: Inquiry<'_>| one.found.unwrap_or_else(|| self.out_of_time(&one.question));
        inquiries.into_iter().map(answer).collect()
    }

    /// What is not found by now is not determined.
    fn give_up(&self, one: &mut Inquiry<'_>) {
        let late = self.out_of_time(&one.question);
        one.found = Some(match one.found.take() {
            Some(found) => join(&found, &late),
            None => late,
        });
    }

    /// Takes what was found into account. Answers how long its signatures took to verify.
    async fn round(&self, inquiries: &mut [Inquiry<'a>], found: &Found<'_>) -> Duration {
        let concerned = |one: &Inquiry<'_>| {
            one.found.is_none()
                || one.open(self.snapshot).any(|attestor| found.has(attestor, one.question.digest))
        };
        let mut inquiries: Vec<_> = inquiries.iter_mut().filter(|one| concerned(one)).collect();
        let envelopes = self.open(&inquiries, found).await;
        let pairings: Vec<_> =
            inquiries.iter().map(|one| self.pair(one, found, &envelopes)).collect();
        let checks: Vec<_> = pairings.iter().flat_map(Pairing::checks).cloned().collect();
        let mut clock = Instant::now();
        let verdicts = match checks.is_empty() {
            true => Vec::new(),
            false => self.gate.verify(checks, self.deadline).await,
        };
        let verified = super::lap(&mut clock);
        let mut rest = verdicts.as_slice();
        for (one, pairing) in inquiries.iter_mut().zip(pairings) {
            let (own, others) = rest.split_at(pairing.checks().len().min(rest.len()));
            rest = others;
            self.take(one, pairing, own);
        }
        verified
    }

    fn take(&self, one: &mut Inquiry<'_>, pairing: Pairing, verdicts: &[Verdict]) {
        let unknown: HashSet<KeyId> =
            pairing.unknown_keys().take(UNKNOWN_KEYS_TOLD_MAX).cloned().collect();
        let later = conclude(pairing, verdicts);
        let found = match one.found.take() {
            Some(earlier) => join(&earlier, &later),
            None => later,
        };
        // A key that signed and is not known may have come to its source since that was asked.
        if !found.reason.allows() {
            unknown.iter().for_each(|id| self.gate.catalog.unknown_key(id));
        }
        one.found = Some(found);
    }

    /// Takes apart what came in envelopes.
    async fn open(&self, inquiries: &[&mut Inquiry<'a>], found: &Found<'_>) -> Envelopes {
        let sealed: HashSet<_> = inquiries
            .iter()
            .flat_map(|one| {
                let digest = one.question.digest;
                one.open(self.snapshot).map(move |attestor| (attestor, digest))
            })
            .flat_map(|(attestor, digest)| sealed(attestor, found.of(attestor, digest)))
            .collect();
        self.gate.decoders.open(sealed.into_iter().collect(), self.deadline).await
    }

    fn pair(&self, one: &Inquiry<'_>, found: &Found<'_>, envelopes: &Envelopes) -> Pairing {
        let Question { digest, required } = one.question;
        let evidence = |name: &AttestorName| match self.snapshot.attestor(name) {
            Some(attestor) if !one.is_satisfied(name) => found.of(attestor, digest),
            _ => &NOTHING,
        };
        self.pair_with(digest, required, evidence, envelopes)
    }

    fn pair_with<'e>(
        &self,
        digest: Digest,
        required: &[AttestorName],
        evidence: impl Fn(&AttestorName) -> &'e Evidence,
        envelopes: &Envelopes,
    ) -> Pairing {
        let source = |name| AttestorEvidence {
            name,
            attestor: self.snapshot.attestor(name).map(Arc::as_ref),
            evidence: evidence(name),
            envelopes,
        };
        let sources: Vec<_> = required.iter().map(source).collect();
        pair(digest, &sources, self.now, &self.gate.limits)
    }

    /// The answer where there was no time to look for another.
    pub(super) fn out_of_time(&self, question: &Question<'_>) -> Evaluation {
        let Question { digest, required } = *question;
        conclude(self.pair_with(digest, required, |_| &LATE, &Envelopes::default()), &[])
    }
}

/// The notes and digests to read, each once, however many questions need it.
struct Wanted<'a> {
    list: Vec<EvidenceQuery>,
    index: HashMap<(&'a NoteName, Digest), usize>,
}

impl<'a> Wanted<'a> {
    fn of(questions: &[Question<'a>], snapshot: &'a Snapshot) -> Self {
        let mut wanted = Self { list: Vec::new(), index: HashMap::new() };
        for question in questions {
            let attestors = question.required.iter().filter_map(|name| snapshot.attestor(name));
            for attestor in attestors {
                let Self { list, index } = &mut wanted;
                let place = index.entry((&attestor.note, question.digest)).or_insert_with(|| {
                    let lookup = Lookup::UnderNote(attestor.note.clone(), question.digest);
                    list.push(EvidenceQuery::of(lookup));
                    list.len() - 1
                });
                let keys = attestor.keys.iter().flatten().map(|key| key.fingerprint);
                list[*place].keys.extend(keys);
            }
        }
        wanted.list.iter_mut().for_each(|query| {
            query.keys.sort_unstable();
            query.keys.dedup();
        });
        wanted
    }

    /// The lookups, by their place, that have more for an attestor that is not satisfied.
    fn of_open(
        &self,
        inquiries: &[Inquiry<'a>],
        snapshot: &'a Snapshot,
        gathering: &Gathering<'_>,
    ) -> HashSet<usize> {
        let lookups = inquiries.iter().flat_map(|one| {
            one.open(snapshot).filter_map(|it| self.place(&it.note, one.question.digest))
        });
        lookups.filter(|&place| gathering.has_more(place)).collect()
    }

    fn place(&self, note: &NoteName, digest: Digest) -> Option<usize> {
        self.index.get(&(note, digest)).copied()
    }
}

/// What one round found.
struct Found<'f> {
    wanted: &'f Wanted<'f>,
    /// Of each lookup.
    evidence: &'f [Evidence],
    /// The lookups that were asked.
    more: &'f HashSet<usize>,
}

impl<'f> Found<'f> {
    fn has(&self, attestor: &TrustedAttestor, digest: Digest) -> bool {
        self.wanted.place(&attestor.note, digest).is_some_and(|place| self.more.contains(&place))
    }

    fn of(&self, attestor: &TrustedAttestor, digest: Digest) -> &'f Evidence {
        let place = self.wanted.place(&attestor.note, digest);
        place.and_then(|place| self.evidence.get(place)).unwrap_or(&NOTHING)
    }
}
