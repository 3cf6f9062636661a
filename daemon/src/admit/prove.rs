//! What trusted keys have signed among attestations that are to be stored, as a decision would find
//! out: an attestation that is good is stored, and found first, whatever else is. All that is
//! written together is verified together, a portion of each at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::attestor::TrustedAttestor;
use hallmark_core::envelope::Envelopes;
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair, sealed};
use hallmark_core::evaluate::portion::enveloped_ids;
use hallmark_core::image::Digest;
use hallmark_core::names::NoteName;
use hallmark_core::occurrence::{Attestation, Evidence, Occurrence};
use hallmark_core::payload::simple_signing::signed_digest;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, Verdict};
use sha2::{Digest as _, Sha256};

use super::Gate;
use crate::resources::{BoxFuture, Prove};
use crate::snapshot::Snapshot;
use crate::store::Proof;

/// How long it is tried for one write: half of what a request has, so that there is time to store
/// what could not be proven.
const PROVING_TIMEOUT: Duration = Duration::from_secs(5);

impl Prove for Gate {
    fn of<'a>(&'a self, occurrences: &'a [Occurrence]) -> BoxFuture<'a, Vec<Vec<Proof>>> {
        Box::pin(async move {
            let deadline = Instant::now() + PROVING_TIMEOUT;
            let snapshot = self.snapshots.current();
            let mut proofs = vec![Vec::new(); occurrences.len()];
            let candidates = candidates(occurrences, &snapshot);
            let found = self.prove(&candidates, deadline).await;
            for (candidate, found) in candidates.iter().zip(found) {
                proofs[candidate.index] = found.into_iter().collect();
            }
            proofs
        })
    }
}

/// An attestation that an attestor might trust.
struct Candidate<'a> {
    /// Among what is written together.
    index: usize,
    digest: Digest,
    attestation: Attestation,
    attestors: Arc<[&'a TrustedAttestor]>,
}

fn candidates<'a>(occurrences: &'a [Occurrence], snapshot: &'a Snapshot) -> Vec<Candidate<'a>> {
    let mut by_note: HashMap<&NoteName, Arc<[&TrustedAttestor]>> = HashMap::new();
    let candidate = |(index, occurrence): (usize, &'a Occurrence)| {
        let (digest, body) = (occurrence.digest?, occurrence.attestation.as_ref()?);
        let attestors =
            by_note.entry(&occurrence.note).or_insert_with(|| of_note(snapshot, &occurrence.note));
        let attestation = Attestation {
            occurrence: occurrence.name.clone(),
            payload: body.payload.clone(),
            signatures: body.signatures.clone(),
            first_signature: 0,
        };
        let attestors = Arc::clone(attestors);
        (!attestors.is_empty()).then_some(Candidate { index, digest, attestation, attestors })
    };
    occurrences.iter().enumerate().filter_map(candidate).collect()
}

fn of_note<'a>(snapshot: &'a Snapshot, note: &NoteName) -> Arc<[&'a TrustedAttestor]> {
    let attestors = snapshot.projects.values().flat_map(|project| project.attestors.values());
    attestors.map(|known| &*known.trusted).filter(|attestor| attestor.note == *note).collect()
}

impl Gate {
    /// What was proven of each candidate by the deadline.
    async fn prove(&self, candidates: &[Candidate<'_>], deadline: Instant) -> Vec<HashSet<Proof>> {
        let attestors = candidates.iter().flat_map(|one| one.attestors.iter().copied());
        let enveloped = enveloped_ids(attestors);
        let attestations = candidates.iter().map(|one| one.attestation.clone()).collect();
        let mut gathering = self.evidence.unstored(attestations, &enveloped);
        let mut proofs = vec![HashSet::new(); candidates.len()];
        loop {
            let more: HashSet<_> =
                (0..candidates.len()).filter(|&index| gathering.has_more(index)).collect();
            if more.is_empty() || deadline <= Instant::now() {
                return proofs;
            }
            let evidence = gathering.next(&more, &enveloped, deadline).await;
            let pairings = self.paired(candidates, &evidence, deadline).await;
            let checks = pairings.iter().flat_map(Pairing::checks).cloned().collect();
            let mut verdicts = self.verify(checks, deadline).await.into_iter();
            for ((one, pairing), proofs) in candidates.iter().zip(&pairings).zip(&mut proofs) {
                let both = pairing.checks().iter().zip(verdicts.by_ref());
                proofs
                    .extend(both.filter_map(|(check, verdict)| proof(check, verdict, one.digest)));
            }
        }
    }

    async fn paired(
        &self,
        candidates: &[Candidate<'_>],
        evidence: &[Evidence],
        deadline: Instant,
    ) -> Vec<Pairing> {
        let both = || candidates.iter().zip(evidence);
        let sealed: HashSet<_> = both()
            .flat_map(|(one, evidence)| one.attestors.iter().map(move |it| sealed(it, evidence)))
            .flatten()
            .collect();
        let envelopes = self.decoders.open(sealed.into_iter().collect(), deadline).await;
        let now = UnixTime(jiff::Timestamp::now().as_second());
        both().map(|(one, evidence)| self.pair(one, evidence, &envelopes, now)).collect()
    }

    fn pair<'a>(
        &self,
        one: &Candidate<'a>,
        evidence: &'a Evidence,
        envelopes: &'a Envelopes,
        now: UnixTime,
    ) -> Pairing {
        let source = |&attestor: &&'a TrustedAttestor| AttestorEvidence {
            name: &attestor.name,
            attestor: Some(attestor),
            evidence,
            envelopes,
        };
        let sources: Vec<_> = one.attestors.iter().map(source).collect();
        pair(one.digest, &sources, now, &self.limits)
    }
}

/// A signature that verified and vouches for the digest.
fn proof(check: &Check, verdict: Verdict, digest: Digest) -> Option<Proof> {
    let Verdict::Verified(verified) = verdict else { return None };
    signed_digest(&check.payload).ok().filter(|signed| *signed == digest)?;
    let message = Sha256::digest(check.message(verified.form())).into();
    Some(Proof { key: check.key.fingerprint, message })
}
