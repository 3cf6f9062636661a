//! What trusted keys have signed among attestations that are to be stored, as a decision would find
//! out: an attestation that is good is stored whatever else is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::attestor::TrustedAttestor;
use hallmark_core::evaluate::pair::{AttestorEvidence, Pairing, pair, sealed};
use hallmark_core::evaluate::portion::enveloped_ids;
use hallmark_core::image::Digest;
use hallmark_core::occurrence::{Attestation, Evidence, Occurrence};
use hallmark_core::payload::simple_signing::signed_digest;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, Verdict};
use sha2::{Digest as _, Sha256};

use super::Gate;
use crate::resources::{BoxFuture, Prove};
use crate::store::Proof;

/// How long it is tried for one write: as long as a decision takes at the most.
const PROVING_TIMEOUT: Duration = Duration::from_secs(10);

impl Prove for Gate {
    fn of(&self, occurrences: Vec<Occurrence>) -> BoxFuture<'_, Vec<Vec<Proof>>> {
        Box::pin(async move {
            let deadline = Instant::now() + PROVING_TIMEOUT;
            let mut proofs = Vec::with_capacity(occurrences.len());
            for occurrence in occurrences {
                proofs.push(self.proofs(occurrence, deadline).await);
            }
            proofs
        })
    }
}

impl Gate {
    async fn proofs(&self, occurrence: Occurrence, deadline: Instant) -> Vec<Proof> {
        let snapshot = self.snapshots.current();
        let attestors = snapshot.projects.values().flat_map(|project| project.attestors.values());
        let attestors: Vec<_> = attestors.filter(|it| it.note == occurrence.note).collect();
        let (Some(digest), Some(body)) = (occurrence.digest, occurrence.attestation) else {
            return Vec::new();
        };
        let attestation = Attestation {
            occurrence: occurrence.name,
            payload: body.payload,
            signatures: body.signatures,
            first_signature: 0,
        };
        let enveloped = enveloped_ids(attestors.iter().map(|attestor| &***attestor));
        let mut gathering = self.evidence.unstored(attestation, &enveloped);
        let only = HashSet::from([0]);
        let mut proofs = HashSet::new();
        while gathering.has_more(0) && Instant::now() < deadline {
            let portion = gathering.next(&only, &enveloped, deadline).await;
            for evidence in portion {
                let pairing = self.paired(digest, &attestors, evidence, deadline).await;
                let verdicts = self.verify(pairing.checks().to_vec(), deadline).await;
                let both = pairing.checks().iter().zip(verdicts);
                proofs.extend(both.filter_map(|(check, verdict)| proof(check, verdict, digest)));
            }
        }
        proofs.into_iter().collect()
    }

    async fn paired(
        &self,
        digest: Digest,
        attestors: &[&Arc<TrustedAttestor>],
        evidence: Evidence,
        deadline: Instant,
    ) -> Pairing {
        let sealed: HashSet<_> =
            attestors.iter().flat_map(|attestor| sealed(attestor, &evidence)).collect();
        let envelopes = self.decoders.open(sealed.into_iter().collect(), deadline).await;
        let sources = attestors.iter().map(|attestor| AttestorEvidence {
            name: &attestor.name,
            attestor: Some(attestor),
            evidence: &evidence,
            envelopes: &envelopes,
        });
        let now = UnixTime(jiff::Timestamp::now().as_second());
        let sources: Vec<_> = sources.collect();
        pair(digest, &sources, now, &self.limits)
    }
}

/// A signature that verified and vouches for the digest.
fn proof(check: &Check, verdict: Verdict, digest: Digest) -> Option<Proof> {
    let Verdict::Verified(verified) = verdict else { return None };
    signed_digest(&check.payload).ok().filter(|signed| *signed == digest)?;
    let message = Sha256::digest(check.message(verified.form())).into();
    Some(Proof { key: check.key.fingerprint, message })
}
