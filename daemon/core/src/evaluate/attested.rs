//! The question of an attestation rule: is this digest attested by all of these attestors?

use std::sync::Arc;

use super::decide::{Evaluation, conclude, join};
use super::pair::{AttestorEvidence, Pairing, pair};
use super::question::{Lookup, Material, Question, Wanted};
use crate::attestor::{KeyId, TrustedAttestor};
use crate::decision::AttestorReason;
use crate::image::Digest;
use crate::names::AttestorName;
use crate::occurrence::Evidence;
use crate::verdict::{Check, Verdict};

/// Evidence of an attestor that looks for none.
static NOTHING: Evidence = Ok(Vec::new());

/// Is this digest attested by all of these attestors?
#[derive(Clone, Debug)]
pub struct Attested<'s> {
    /// The digest.
    pub digest: Digest,
    /// Those who must have attested it, in the order of the rule.
    pub required: Arc<[Required<'s>]>,
}

/// An attestor that a rule requires.
#[derive(Clone, Copy, Debug)]
pub struct Required<'s> {
    /// Its name in the rule.
    pub name: &'s AttestorName,
    /// The attestor itself; `None` if it does not exist.
    pub attestor: Option<&'s TrustedAttestor>,
}

impl Question for Attested<'_> {
    type Pairing = Pairing;
    type Answer = Evaluation;

    fn wanted(&self, found: Option<&Evaluation>) -> Vec<Wanted<'_>> {
        let open = self.required.iter().filter(|required| !is_satisfied(found, required.name));
        let wanted = open.filter_map(|required| {
            let attestor = required.attestor?;
            let keys = attestor.keys.as_deref().ok().filter(|keys| !keys.is_empty())?;
            Some(Wanted { lookup: self.lookup(attestor), keys })
        });
        wanted.collect()
    }

    fn pair(&self, found: Option<&Evaluation>, material: Material<'_>) -> Pairing {
        let Material { evidence, envelopes, now, limits } = material;
        let sources = self.required.iter().map(|&Required { name, attestor }| AttestorEvidence {
            name,
            attestor,
            evidence: match attestor {
                Some(attestor) if !is_satisfied(found, name) => evidence.of(&self.lookup(attestor)),
                _ => &NOTHING,
            },
            envelopes,
        });
        let sources: Vec<_> = sources.collect();
        pair(self.digest, &sources, now, limits)
    }

    fn checks(pairing: &Pairing) -> &[Check] {
        pairing.checks()
    }

    fn unknown_keys(pairing: &Pairing) -> impl Iterator<Item = &KeyId> {
        pairing.unknown_keys()
    }

    fn conclude(pairing: Pairing, verdicts: &[Verdict]) -> Evaluation {
        conclude(pairing, verdicts)
    }

    fn join(earlier: Evaluation, later: Evaluation) -> Evaluation {
        join(&earlier, &later)
    }
}

impl Attested<'_> {
    fn lookup(&self, attestor: &TrustedAttestor) -> Lookup {
        Lookup::UnderNote(attestor.note.clone(), self.digest)
    }
}

fn is_satisfied(found: Option<&Evaluation>, attestor: &AttestorName) -> bool {
    let mut results = found.into_iter().flat_map(|found| found.attestors.iter());
    results.any(|it| it.attestor == *attestor && it.reason == AttestorReason::Verified)
}
