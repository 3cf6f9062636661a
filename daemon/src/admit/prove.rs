//! Proofs of what trusted keys have signed among attestations that are to be stored, as a decision
//! would find out: an attestation that is good is stored, and found first, whatever else is. All
//! that is written together is verified together, a portion of each at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::attestor::{KeyId, TrustedAttestor};
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair};
use hallmark_core::evaluate::question::{Lookup, Material, Question, Wanted};
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName};
use hallmark_core::occurrence::{Attestation, Occurrence};
use hallmark_core::payload::simple_signing::signed_digest;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, Verdict};
use sha2::{Digest as _, Sha256};

use super::Gate;
use super::work::Work;
use crate::resources::{BoxFuture, Prove};
use crate::snapshot::Snapshot;
use crate::store::Proof;

/// The time that is spent on the proofs of one write: half of what a request has, so that there is
/// time to store what could not be proven.
const PROVING_TIMEOUT: Duration = Duration::from_secs(5);

impl Prove for Gate {
    fn of<'a>(&'a self, occurrences: &'a [Occurrence]) -> BoxFuture<'a, Vec<Vec<Proof>>> {
        Box::pin(async move {
            let deadline = Instant::now() + PROVING_TIMEOUT;
            let now = UnixTime(jiff::Timestamp::now().as_second());
            let snapshot = self.snapshots.current();
            let (questions, evidence) = asked(occurrences, &snapshot);
            let work = Work { gate: self, now, deadline };
            let answers = work.answer_from(&questions, evidence).await;
            let mut proven: HashMap<_, Vec<_>> = HashMap::new();
            for (occurrence, proof) in answers.into_iter().flatten() {
                proven.entry(occurrence).or_default().push(proof);
            }
            let of = |occurrence: &Occurrence| proven.remove(&occurrence.name).unwrap_or_default();
            occurrences.iter().map(of).collect()
        })
    }
}

/// A question: what have the keys of these attestors signed of what is to be stored under their
/// note?
struct Proven<'s> {
    note: &'s NoteName,
    digest: Digest,
    attestors: Arc<[&'s TrustedAttestor]>,
}

/// A question for each note and digest that an attestor might look under, and what there is of each.
fn asked<'s>(
    occurrences: &'s [Occurrence],
    snapshot: &'s Snapshot,
) -> (Vec<Proven<'s>>, HashMap<Lookup, Vec<Attestation>>) {
    let mut by_note: HashMap<&NoteName, Arc<[&TrustedAttestor]>> = HashMap::new();
    let (mut questions, mut evidence) = (Vec::new(), HashMap::<_, Vec<_>>::new());
    for occurrence in occurrences {
        let note = &occurrence.note;
        let (Some(digest), Some(body)) = (occurrence.digest, &occurrence.attestation) else {
            continue;
        };
        let attestors = by_note.entry(note).or_insert_with(|| of_note(snapshot, note));
        if attestors.is_empty() {
            continue;
        }
        let known = evidence.entry(Lookup::UnderNote(note.clone(), digest)).or_default();
        if known.is_empty() {
            questions.push(Proven { note, digest, attestors: Arc::clone(attestors) });
        }
        known.push(Attestation {
            occurrence: occurrence.name.clone(),
            payload: body.payload.clone(),
            signatures: body.signatures.clone(),
            first_signature: 0,
        });
    }
    (questions, evidence)
}

fn of_note<'a>(snapshot: &'a Snapshot, note: &NoteName) -> Arc<[&'a TrustedAttestor]> {
    let attestors = snapshot.projects.values().flat_map(|project| project.attestors.values());
    attestors.map(|known| &*known.trusted).filter(|attestor| attestor.note == *note).collect()
}

impl Question for Proven<'_> {
    type Pairing = (Digest, Pairing);
    type Answer = HashSet<(OccurrenceName, Proof)>;

    fn wanted(&self, _: Option<&Self::Answer>) -> Vec<Wanted<'_>> {
        let lookup = || Lookup::UnderNote(self.note.clone(), self.digest);
        let keys = self.attestors.iter().filter_map(|it| it.keys.as_deref().ok());
        keys.map(|keys| Wanted { lookup: lookup(), keys }).collect()
    }

    fn pair(&self, _: Option<&Self::Answer>, material: Material<'_>) -> Self::Pairing {
        let Material { evidence, envelopes, now, limits } = material;
        let evidence = evidence.of(&Lookup::UnderNote(self.note.clone(), self.digest));
        let sources = self.attestors.iter().map(|&attestor| AttestorEvidence {
            name: &attestor.name,
            attestor: Some(attestor),
            evidence,
            envelopes,
        });
        let sources: Vec<_> = sources.collect();
        (self.digest, pair(self.digest, &sources, now, limits))
    }

    fn checks((_, pairing): &Self::Pairing) -> &[Check] {
        pairing.checks()
    }

    fn unknown_keys(_: &Self::Pairing) -> impl Iterator<Item = &KeyId> {
        std::iter::empty()
    }

    fn conclude((digest, pairing): Self::Pairing, verdicts: &[Verdict]) -> Self::Answer {
        let verdicts = if verdicts.len() == pairing.checks().len() { verdicts } else { &[] };
        let both = pairing.awaiting().zip(verdicts);
        both.filter_map(|((occurrence, check), verdict)| {
            Some((occurrence.clone(), proof(check, *verdict, digest)?))
        })
        .collect()
    }

    fn join(mut earlier: Self::Answer, later: Self::Answer) -> Self::Answer {
        earlier.extend(later);
        earlier
    }
}

/// A signature that verified and vouches for the digest.
fn proof(check: &Check, verdict: Verdict, digest: Digest) -> Option<Proof> {
    let Verdict::Verified(verified) = verdict else { return None };
    signed_digest(&check.payload).ok().filter(|signed| *signed == digest)?;
    let message = Sha256::digest(check.message(verified.form())).into();
    Some(Proof { key: check.key.fingerprint, message })
}
