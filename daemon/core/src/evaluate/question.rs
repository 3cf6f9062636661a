//! A question that evidence answers: what it looks for, which signatures may answer it, and what
//! the verdicts come to.
//!
//! Whoever answers questions gathers, opens envelopes, verifies and waits for all of them in the
//! same way, a portion of the evidence at a time, and knows no kind of question. A new kind is one
//! more implementation of [`Question`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::attestor::{KeyId, VerificationKey};
use crate::envelope::Envelopes;
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::{NoteName, ProjectId};
use crate::occurrence::{Evidence, EvidenceError};
use crate::time::UnixTime;
use crate::verdict::{Check, Verdict};

/// Where to look for the attestations of a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// Under a note, in whatever project they live.
    UnderNote(NoteName, Digest),
    /// Among those that live in a project, whatever their note.
    InProject(ProjectId, Digest),
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderNote(note, digest) => write!(f, "{digest} under {note}"),
            Self::InProject(project, digest) => write!(f, "{digest} in projects/{project}"),
        }
    }
}

/// A lookup whose evidence may answer a question.
#[derive(Clone, Debug)]
pub struct Wanted<'q> {
    /// Where the evidence lies.
    pub lookup: Lookup,
    /// The keys that it is held against.
    pub keys: &'q [Arc<VerificationKey>],
}

/// A portion of the evidence, by where it was looked for.
#[derive(Debug)]
pub struct Gathered {
    found: HashMap<Lookup, Evidence>,
    otherwise: Evidence,
}

impl Gathered {
    /// This much was found; nobody looked anywhere else.
    pub fn new(found: HashMap<Lookup, Evidence>) -> Self {
        let otherwise = Err(EvidenceError::Unavailable("it was not asked".to_owned()));
        Self { found, otherwise }
    }

    /// There was no time to look anywhere.
    pub fn late() -> Self {
        Self { found: HashMap::new(), otherwise: Err(EvidenceError::Deadline) }
    }

    /// The evidence of a lookup.
    pub fn of(&self, lookup: &Lookup) -> &Evidence {
        self.found.get(lookup).unwrap_or(&self.otherwise)
    }
}

/// All that questions are held against.
#[derive(Clone, Copy, Debug)]
pub struct Material<'m> {
    /// The evidence that was gathered.
    pub evidence: &'m Gathered,
    /// The envelopes among it, taken apart: those that [`super::pair::sealed`] names.
    pub envelopes: &'m Envelopes,
    /// When keys must be valid.
    pub now: UnixTime,
    /// The limits on the cost of one question.
    pub limits: &'m Limits,
}

/// A question that evidence answers.
///
/// It is answered in rounds, each with one more portion of the evidence. `found` is what the
/// rounds before came to.
pub trait Question {
    /// The question and the signatures that may answer it, up to the arithmetic.
    type Pairing;
    /// The answer, complete or not yet.
    type Answer;

    /// The evidence that may still make a difference. Less with every round; empty: the answer is
    /// complete.
    fn wanted(&self, found: Option<&Self::Answer>) -> Vec<Wanted<'_>>;

    /// Finds the signatures to verify.
    fn pair(&self, found: Option<&Self::Answer>, material: Material<'_>) -> Self::Pairing;

    /// The signatures to verify; [`Question::conclude`] wants one verdict for each, in this order.
    fn checks(pairing: &Self::Pairing) -> &[Check];

    /// Ids that signatures name and nobody knows, if their source should hear of them.
    fn unknown_keys(pairing: &Self::Pairing) -> impl Iterator<Item = &KeyId>;

    /// The answer by this portion. With more or fewer verdicts than checks none is believed.
    fn conclude(pairing: Self::Pairing, verdicts: &[Verdict]) -> Self::Answer;

    /// The answer by two portions.
    fn join(earlier: Self::Answer, later: Self::Answer) -> Self::Answer;

    /// The answer if there is no time to look for another.
    fn out_of_time(&self, now: UnixTime, limits: &Limits) -> Self::Answer {
        let (evidence, envelopes) = (&Gathered::late(), &Envelopes::default());
        Self::conclude(self.pair(None, Material { evidence, envelopes, now, limits }), &[])
    }
}
