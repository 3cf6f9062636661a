//! From verdicts to a decision.

use std::iter::Zip;
use std::num::NonZeroUsize;
use std::slice::Iter;
use std::sync::Arc;

use super::explain::{
    DETAIL_BYTES_MAX, EXPLANATION_BYTES_MAX, Summary, beginning, fit, joined, rank, shown_id,
};
use super::pair::{Attempted, PairedAttestor, PairedTrial, PairedTrials, Pairing, cause};
use super::plan::{ImagePlan, Plan};
use super::{Request, message};
use crate::decision::{
    AttestorReason, AttestorResult, Decision, ImageDecision, OtherOutcomes, Reason, Trial,
    TrialOutcome,
};
use crate::image::Digest;
use crate::names::AttestorName;
use crate::payload::simple_signing::signed_digest;
use crate::policy::EnforcementMode;
use crate::time::UnixTime;
use crate::verdict::{Check, Unavailable, Verdict};

/// The answer about the attestation of one digest, and what was tried: as much as a cache may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Of which digest this speaks.
    pub digest: Digest,
    /// The answer of each attestor.
    pub attestors: Arc<[AttestorResult]>,
    /// [`Reason::Attested`], [`Reason::NotAttested`] or [`Reason::Undetermined`].
    pub reason: Reason,
    /// The first second at which it holds.
    pub valid_from: UnixTime,
    /// The first second at which it no longer holds, because a key begins or ceases to be valid.
    pub valid_until: Option<UnixTime>,
}

impl Evaluation {
    /// True if the keys it rests on are at `now` what they were.
    pub fn holds_at(&self, now: UnixTime) -> bool {
        self.valid_from <= now && self.valid_until.is_none_or(|until| now < until)
    }

    /// True if the same question would get the same answer: nothing in it is a passing failure.
    pub fn is_settled(&self) -> bool {
        let mut results = self.attestors.iter();
        !self.reason.is_undetermined()
            && !results.any(|it| is_passing(&it.reason, &it.trials, &it.others))
    }

    /// True if it answers this question and no other.
    fn answers(&self, digest: Digest, required: &[AttestorName]) -> bool {
        let asked = self.attestors.iter().map(|attestor| &attestor.attestor);
        self.digest == digest && asked.eq(required)
    }
}

/// Concludes from one verdict for each of [`Pairing::checks`].
///
/// The signature comes first: no payload is read before it is verified. With more or fewer
/// verdicts than checks none is believed.
pub fn conclude(pairing: Pairing, verdicts: &[Verdict]) -> Evaluation {
    let Pairing { digest, attestors, pairs } = pairing;
    let mut answers = answers(&pairs.checks, verdicts);
    let result = |paired: PairedAttestor| {
        let (reason, Summary { trials, others }) = tried(paired.trials, digest, &mut answers);
        let reason = match (reason, paired.missing) {
            (AttestorReason::NoneVerified, Some(why)) => {
                AttestorReason::KeysUnavailable(cause(&why))
            }
            (reason, _) => reason,
        };
        AttestorResult { attestor: paired.name, reason, trials, others }
    };
    let attestors: Arc<[AttestorResult]> = attestors.into_iter().map(result).collect();
    Evaluation {
        digest,
        reason: standing(&attestors),
        attestors,
        valid_from: pairs.unchanging.from,
        valid_until: pairs.unchanging.until,
    }
}

/// The evaluation of two portions of evidence, from those of each. One of another digest or of
/// other attestors joins to nothing that is determined.
pub fn join(earlier: &Evaluation, later: &Evaluation) -> Evaluation {
    let names = |of: &Evaluation| -> Vec<_> {
        of.attestors.iter().map(|result| result.attestor.clone()).collect()
    };
    let alike = earlier.digest == later.digest && names(earlier) == names(later);
    let both = earlier.attestors.iter().zip(&*later.attestors);
    let attestors: Arc<[_]> = both.map(|(earlier, later)| join_results(earlier, later)).collect();
    let ends = [earlier.valid_until, later.valid_until];
    Evaluation {
        digest: earlier.digest,
        reason: if alike { standing(&attestors) } else { Reason::Undetermined },
        attestors,
        valid_from: earlier.valid_from.max(later.valid_from),
        valid_until: ends.into_iter().flatten().min(),
    }
}

fn join_results(earlier: &AttestorResult, later: &AttestorResult) -> AttestorResult {
    let summary =
        |of: &AttestorResult| Summary { trials: of.trials.clone(), others: of.others.clone() };
    let Summary { trials, others } = summary(earlier).join(summary(later));
    let reason = joined(earlier.reason.clone(), later.reason.clone());
    AttestorResult { attestor: earlier.attestor.clone(), reason, trials, others }
}

/// Answers a request: AND over its images, then dry run and break-glass.
///
/// `evaluations` are those of [`Plan::digests`], in that order, each with whether it came from a
/// cache. An image whose evaluation is missing, or is one of another digest or of other attestors,
/// is denied as undetermined.
pub fn decide(
    request: &Request,
    plan: Plan,
    evaluations: Vec<(Arc<Evaluation>, bool)>,
    generation: u64,
) -> Decision {
    let Plan { rule, enforcement, required, images } = plan;
    let mut evaluations = evaluations.into_iter();
    let mut room = EXPLANATION_BYTES_MAX;
    let mut attested = |image: Box<str>, digest: Digest| {
        let evaluation = evaluations.next().filter(|(known, _)| known.answers(digest, &required));
        let (reason, attestors, cached) = match evaluation {
            Some((known, cached)) => (known.reason.clone(), Arc::clone(&known.attestors), cached),
            None => (Reason::Undetermined, [].into(), false),
        };
        let (attestors, attestors_left_out) = fit(&image, &attestors, &mut room);
        ImageDecision {
            digest: Some(digest),
            allowed: reason.allows(),
            rule: rule.clone(),
            image,
            enforcement,
            reason,
            attestors,
            attestors_left_out,
            cached,
        }
    };
    let images: Vec<_> = images
        .into_iter()
        .map(|image| match image {
            ImagePlan::Decided(decision) => decision,
            ImagePlan::NeedsAttestation { image, digest } => attested(image.into_text(), digest),
        })
        .collect();
    let dry_run = enforcement == Some(EnforcementMode::DryrunAuditLogOnly);
    let break_glass = request.break_glass;
    let mut decision = Decision { allowed: false, dry_run, break_glass, generation, images };
    decision.allowed =
        !request.images.is_empty() && (decision.conforms() || dry_run || break_glass);
    decision
}

/// Why a decision has no audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// The log took none.
    Unavailable,
    /// Whoever asks had too much recorded already.
    LimitExceeded,
    /// No line of the log holds it.
    TooLong,
}

impl Unrecorded {
    fn reason(self) -> Reason {
        match self {
            Self::Unavailable => Reason::AuditUnavailable,
            Self::LimitExceeded => Reason::AuditLimitExceeded,
            Self::TooLong => Reason::AuditRecordTooLong,
        }
    }
}

/// The decision without its audit record: denied, whatever dry run and break-glass say, because
/// nothing may pass unrecorded. It keeps its explanation unless that is what is too long.
pub fn unrecorded(mut decision: Decision, why: Unrecorded) -> Decision {
    decision.allowed = false;
    for image in &mut decision.images {
        image.allowed = false;
        image.reason = why.reason();
        if why == Unrecorded::TooLong {
            image.attestors = [].into();
        }
    }
    decision
}

/// Why an attestor is not satisfied, in the words of Google's service followed by what was tried.
/// Empty where it is satisfied.
pub fn denial_reason(attestor: &AttestorResult) -> String {
    message::unattested(attestor)
}

/// True if a result says of anything that it could not be determined now.
pub(crate) fn is_passing(
    reason: &AttestorReason,
    trials: &[Trial],
    others: &OtherOutcomes,
) -> bool {
    let unavailable = |trial: &Trial| matches!(trial.outcome, TrialOutcome::Unavailable(_));
    reason.is_undetermined() || others.has_unavailable() || trials.iter().any(unavailable)
}

/// Checks with their verdicts, handed out in order.
pub(crate) type Answers<'a> = Zip<Iter<'a, Check>, Iter<'a, Verdict>>;

/// With more or fewer verdicts than checks none is believed.
pub(crate) fn answers<'a>(checks: &'a [Check], verdicts: &'a [Verdict]) -> Answers<'a> {
    let verdicts = if verdicts.len() == checks.len() { verdicts } else { &[] };
    checks.iter().zip(verdicts)
}

/// One set of keys after its verdicts: OR over its trials.
pub(crate) fn tried(
    trials: PairedTrials,
    digest: Digest,
    answers: &mut Answers<'_>,
) -> (AttestorReason, Summary) {
    let mut summary = Summary::default();
    match trials {
        Ok(trials) => {
            let concluded = trials.into_iter().map(|paired| concluded(paired, digest, answers));
            concluded.for_each(|trial| summary.add(trial));
            (found(&summary.trials), summary)
        }
        Err(reason) => (reason, summary),
    }
}

/// The trial by its best attempt.
fn concluded(paired: PairedTrial, digest: Digest, answers: &mut Answers<'_>) -> Trial {
    let PairedTrial { occurrence, signature_index, key_id, attempts } = paired;
    let mut trial = Trial {
        occurrence,
        signature_index,
        key_id: shown_id(&key_id),
        algorithm: None,
        key: None,
        outcome: TrialOutcome::Unavailable(Unavailable::Panicked),
        signer: None,
    };
    let mut best = u8::MAX;
    for attempt in attempts {
        let outcome = match attempt.state {
            Attempted::Over(outcome) => outcome,
            Attempted::Awaits(checks) => awaited(checks, digest, answers),
        };
        let rank = rank(&outcome);
        if rank < best {
            best = rank;
            trial.algorithm = attempt.algorithm;
            trial.key = attempt.key;
            trial.signer = attempt.signer;
            trial.outcome = outcome;
        }
    }
    trial
}

/// The outcome of the next checks, all of which must be good: the first that is not decides.
fn awaited(checks: NonZeroUsize, digest: Digest, answers: &mut Answers<'_>) -> TrialOutcome {
    let mut all = TrialOutcome::Unavailable(Unavailable::Panicked);
    let mut is_good = true;
    for _ in 0..checks.get() {
        let one = match answers.next() {
            Some((check, verdict)) => outcome(check, *verdict, digest),
            None => TrialOutcome::Unavailable(Unavailable::Panicked),
        };
        if is_good {
            is_good = matches!(one, TrialOutcome::Verified { .. });
            all = one;
        }
    }
    all
}

fn outcome(check: &Check, verdict: Verdict, digest: Digest) -> TrialOutcome {
    let verified = match verdict {
        Verdict::Verified(verified) => verified,
        Verdict::BadSignature => return TrialOutcome::BadSignature,
        Verdict::Unavailable(why) => return TrialOutcome::Unavailable(why),
    };
    match signed_digest(&check.payload) {
        Ok(signed) if signed == digest => TrialOutcome::Verified { form: verified.form() },
        Ok(signed) => TrialOutcome::DigestMismatch { signed: signed.to_string() },
        // The first words are Google's.
        Err(error) => TrialOutcome::PayloadMalformed {
            error: beginning(
                &format!("Signature verified, but unexpected message was signed: {error}"),
                DETAIL_BYTES_MAX,
            ),
        },
    }
}

/// The result of all trials of one attestor: the best is among those that are shown.
fn found(trials: &[Trial]) -> AttestorReason {
    let unavailable = |trial: &Trial| match trial.outcome {
        TrialOutcome::Unavailable(why) => Some(AttestorReason::VerifierUnavailable(why)),
        _ => None,
    };
    if trials.iter().any(|trial| matches!(trial.outcome, TrialOutcome::Verified { .. })) {
        return AttestorReason::Verified;
    }
    trials.iter().find_map(unavailable).unwrap_or(AttestorReason::NoneVerified)
}

/// The result of all attestors of one digest: AND. The worst decides, and the order of these is
/// that of how much a denial states; no attestors at all attest nothing.
fn standing(attestors: &[AttestorResult]) -> Reason {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Standing {
        Attested,
        Undetermined,
        NotAttested,
    }
    let each = attestors.iter().map(|attestor| match attestor.reason {
        AttestorReason::Verified => Standing::Attested,
        AttestorReason::EvidenceUnavailable(_)
        | AttestorReason::KeysUnavailable(_)
        | AttestorReason::VerifierUnavailable(_) => Standing::Undetermined,
        AttestorReason::AttestorUnknown
        | AttestorReason::NoKeys
        | AttestorReason::NoAttestations
        | AttestorReason::NoneVerified => Standing::NotAttested,
    });
    match each.max() {
        Some(Standing::Attested) => Reason::Attested,
        Some(Standing::NotAttested) => Reason::NotAttested,
        Some(Standing::Undetermined) | None => Reason::Undetermined,
    }
}
