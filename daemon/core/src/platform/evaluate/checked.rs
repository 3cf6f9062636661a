//! The question of an attestation check: is this digest attested by any of its authenticators?

use std::sync::Arc;

use crate::attestor::KeyId;
use crate::decision::AttestorReason;
use crate::evaluate::decide::{answers, is_passing, tried};
use crate::evaluate::explain::{Summary, joined};
use crate::evaluate::pair::{PairedTrials, Pairs};
use crate::evaluate::question::{Lookup, Material, Question, Wanted};
use crate::image::Digest;
use crate::names::ProjectId;
use crate::platform::result::AuthenticatorResult;
use crate::platform::{AuthenticatorKeys, SimpleSigningAttestationCheck};
use crate::time::UnixTime;
use crate::verdict::{Check, Verdict};

/// Is this digest attested as a check asks?
#[derive(Clone, Copy, Debug)]
pub struct Checked<'p> {
    /// The place of the check set in its policy.
    pub check_set: usize,
    /// The place of the check in its check set.
    pub check: usize,
    /// The digest.
    pub digest: Digest,
    pub(super) written: &'p SimpleSigningAttestationCheck,
    /// The keys of each authenticator.
    pub(super) keys: &'p [AuthenticatorKeys],
}

/// The answers of a check's authenticators for one digest: as much as a cache may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckEvaluation {
    /// Of which digest this speaks.
    pub digest: Digest,
    /// The answer of each authenticator for each project.
    pub authenticators: Arc<[AuthenticatorResult]>,
    /// The first second at which it holds.
    pub valid_from: UnixTime,
    /// The first second at which it no longer holds, because a key begins or ceases to be valid.
    pub valid_until: Option<UnixTime>,
}

impl CheckEvaluation {
    /// True if the keys it rests on are at `now` what they were.
    pub fn holds_at(&self, now: UnixTime) -> bool {
        self.valid_from <= now && self.valid_until.is_none_or(|until| now < until)
    }

    /// True if the same question would get the same answer: nothing in it is a passing failure.
    pub fn is_settled(&self) -> bool {
        let mut results = self.authenticators.iter();
        !results.any(|it| is_passing(&it.reason, &it.trials, &it.others))
    }

    fn is_attested(&self) -> bool {
        self.authenticators.iter().any(|result| result.reason == AttestorReason::Verified)
    }
}

/// A check's evidence, up to the arithmetic.
#[derive(Clone, Debug)]
pub struct Pairing {
    digest: Digest,
    authenticators: Vec<PairedAuthenticator>,
    pairs: Pairs,
}

/// One authenticator and the attestations of one project, up to the arithmetic.
#[derive(Clone, Debug)]
struct PairedAuthenticator {
    index: usize,
    display_name: String,
    project: ProjectId,
    trials: PairedTrials,
}

impl<'p> Checked<'p> {
    /// The sources that may answer it: each authenticator, by its place and name, with its keys,
    /// and each project.
    pub(super) fn sources(
        &self,
    ) -> impl Iterator<Item = (usize, &'p str, &'p AuthenticatorKeys, &'p ProjectId)> + use<'p>
    {
        let SimpleSigningAttestationCheck { projects, authenticators } = self.written;
        authenticators.iter().zip(self.keys).enumerate().flat_map(
            move |(index, (authenticator, keys))| {
                let name = authenticator.display_name.as_str();
                projects.iter().map(move |project| (index, name, keys, project))
            },
        )
    }
}

impl Question for Checked<'_> {
    type Pairing = Pairing;
    type Answer = CheckEvaluation;

    fn wanted(&self, found: Option<&CheckEvaluation>) -> Vec<Wanted<'_>> {
        if found.is_some_and(CheckEvaluation::is_attested) {
            return Vec::new();
        }
        let wanted = self.sources().filter_map(|(_, _, keys, project)| {
            let keys = keys.as_deref().ok().filter(|keys| !keys.is_empty())?;
            Some(Wanted { lookup: Lookup::InProject(project.clone(), self.digest), keys })
        });
        wanted.collect()
    }

    fn pair(&self, _: Option<&CheckEvaluation>, material: Material<'_>) -> Pairing {
        let Material { evidence, envelopes, now, limits } = material;
        let mut pairs = Pairs::default();
        let paired = self.sources().map(|(index, name, keys, project)| {
            let evidence = evidence.of(&Lookup::InProject(project.clone(), self.digest));
            PairedAuthenticator {
                index,
                display_name: name.to_owned(),
                project: project.clone(),
                trials: pairs.trials(keys, (evidence, envelopes), now, limits),
            }
        });
        let authenticators = paired.collect();
        Pairing { digest: self.digest, authenticators, pairs }
    }

    fn checks(pairing: &Pairing) -> &[Check] {
        &pairing.pairs.checks
    }

    /// Authenticators have keys of their own text only: no source has others.
    fn unknown_keys(_: &Pairing) -> impl Iterator<Item = &KeyId> {
        std::iter::empty()
    }

    /// The signature comes first: no payload is read before it is verified.
    fn conclude(pairing: Pairing, verdicts: &[Verdict]) -> CheckEvaluation {
        let Pairing { digest, authenticators, pairs } = pairing;
        let mut answers = answers(&pairs.checks, verdicts);
        let result = |paired: PairedAuthenticator| {
            let (reason, Summary { trials, others }) = tried(paired.trials, digest, &mut answers);
            let PairedAuthenticator { index, display_name, project, .. } = paired;
            AuthenticatorResult { index, display_name, project, reason, trials, others }
        };
        CheckEvaluation {
            digest,
            authenticators: authenticators.into_iter().map(result).collect(),
            valid_from: pairs.unchanging.from,
            valid_until: pairs.unchanging.until,
        }
    }

    fn join(earlier: CheckEvaluation, later: CheckEvaluation) -> CheckEvaluation {
        let both = earlier.authenticators.iter().zip(&*later.authenticators);
        let ends = [earlier.valid_until, later.valid_until];
        CheckEvaluation {
            digest: earlier.digest,
            authenticators: both.map(|(one, other)| join_results(one, other)).collect(),
            valid_from: earlier.valid_from.max(later.valid_from),
            valid_until: ends.into_iter().flatten().min(),
        }
    }
}

fn join_results(earlier: &AuthenticatorResult, later: &AuthenticatorResult) -> AuthenticatorResult {
    let summary =
        |of: &AuthenticatorResult| Summary { trials: of.trials.clone(), others: of.others.clone() };
    let Summary { trials, others } = summary(earlier).join(summary(later));
    let reason = joined(earlier.reason.clone(), later.reason.clone());
    AuthenticatorResult { reason, trials, others, ..earlier.clone() }
}
