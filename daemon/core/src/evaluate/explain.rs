//! The extent of a decision's explanation: enough for a person, and never more than it may weigh.
//!
//! The choice of what is shown is made here, once. Answers, audit records and the cache all take
//! the result.

use std::sync::Arc;

use crate::attestor::{KEY_ID_BYTES_MAX, KeyId};
use crate::decision::{AttestorReason, AttestorResult, OtherOutcomes, Trial, TrialOutcome};

/// Signatures shown of one attestor: as many as a person reads. The others are counted.
pub const TRIALS_SHOWN_MAX: usize = 10;

/// Bytes of explanation in one decision, about: 150 images with all that may be shown of one
/// attestor. Images beyond it say what decided and how many signatures came to what.
pub const EXPLANATION_BYTES_MAX: usize = 512 << 10;

/// Bytes shown of a text that somebody else wrote about one signature.
pub(super) const DETAIL_BYTES_MAX: usize = 256;

/// Bytes shown of why evidence or keys are unavailable; there is one such text for each attestor.
pub(super) const CAUSE_BYTES_MAX: usize = 1_024;

/// JSON of a trial beside its texts, rounded up.
const TRIAL_BYTES: usize = 512;

/// JSON of an attestor beside its texts, and Google's sentence about it in the message.
const ATTESTOR_BYTES: usize = 512;

/// The signatures of one attestor that are shown, and the count of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// The first, with the best of all among them, in stored order.
    pub(crate) trials: Vec<Trial>,
    /// The others.
    pub(crate) others: OtherOutcomes,
}

impl Summary {
    /// Adds the next one.
    pub(crate) fn add(&mut self, trial: Trial) {
        if self.trials.len() < TRIALS_SHOWN_MAX {
            return self.trials.push(trial);
        }
        let best = self.trials.iter().map(|shown| rank(&shown.outcome)).min();
        let counted = match self.trials.last_mut() {
            Some(last) if best.is_some_and(|best| rank(&trial.outcome) < best) => {
                std::mem::replace(last, trial)
            }
            _ => trial,
        };
        self.others.add(&counted.outcome);
    }

    /// Adds those of a later portion.
    pub(crate) fn join(mut self, later: Self) -> Self {
        later.trials.into_iter().for_each(|trial| self.add(trial));
        self.others.join(&later.others);
        self
    }

    /// Shows no more than the best `count`.
    fn shortened(&self, count: usize) -> Self {
        let mut order: Vec<_> = self.trials.iter().collect();
        // Stable: the first of the best.
        order.sort_by_key(|trial| rank(&trial.outcome));
        let mut others = self.others.clone();
        order.iter().skip(count).for_each(|trial| others.add(&trial.outcome));
        Self { trials: order.into_iter().take(count).cloned().collect(), others }
    }
}

/// Which of several outcomes speaks for them all: the less, the more it says.
pub(super) fn rank(outcome: &TrialOutcome) -> u8 {
    match outcome {
        TrialOutcome::Verified { .. } => 0,
        TrialOutcome::Unavailable(_) => 1,
        TrialOutcome::DigestMismatch { .. } | TrialOutcome::PayloadMalformed { .. } => 2,
        TrialOutcome::BadSignature | TrialOutcome::SigningKeyUnknown => 4,
        TrialOutcome::KeyIdUnknown => 5,
        _ => 3,
    }
}

/// The results of two portions of evidence of one attestor.
pub(crate) fn joined(earlier: AttestorReason, later: AttestorReason) -> AttestorReason {
    match (earlier, later) {
        (AttestorReason::Verified, _) | (_, AttestorReason::Verified) => AttestorReason::Verified,
        (earlier, _) if earlier.is_undetermined() => earlier,
        (_, later) if later.is_undetermined() => later,
        (AttestorReason::NoAttestations, later) => later,
        (earlier, _) => earlier,
    }
}

/// Takes from `room` what the results of one image weigh. What does not fit is shortened: to the
/// best signature of each attestor, or else to the attestor that decided, without any. Answers how
/// many attestors are left out, too.
pub(super) fn fit(
    image: &str,
    attestors: &Arc<[AttestorResult]>,
    room: &mut usize,
) -> (Arc<[AttestorResult]>, usize) {
    // Stops at the first that does not fit: what is not shown shall not cost a look.
    let take = |attestors: &[AttestorResult], room: &mut usize| {
        let less = |left: usize, result| left.checked_sub(bytes(result) + image.len());
        let left = attestors.iter().try_fold(*room, less);
        *room = left.unwrap_or(*room);
        left.is_some()
    };
    if take(attestors, room) {
        return (Arc::clone(attestors), 0);
    }
    if *room > 0 {
        let shorter: Arc<[_]> = attestors.iter().map(|result| shortened(result, 1)).collect();
        if take(&shorter, room) {
            return (shorter, 0);
        }
        *room = 0;
    }
    let unsatisfied = |result: &&AttestorResult| result.reason != AttestorReason::Verified;
    let decisive = attestors.iter().find(unsatisfied).or_else(|| attestors.first());
    let decisive: Arc<[_]> = decisive.map(|result| shortened(result, 0)).into_iter().collect();
    let left_out = attestors.len() - decisive.len();
    (decisive, left_out)
}

fn shortened(result: &AttestorResult, count: usize) -> AttestorResult {
    let summary = Summary { trials: result.trials.clone(), others: result.others.clone() };
    let Summary { trials, others } = summary.shortened(count);
    AttestorResult {
        attestor: result.attestor.clone(),
        reason: result.reason.clone(),
        trials,
        others,
    }
}

fn bytes(result: &AttestorResult) -> usize {
    let name = result.attestor.project().as_str().len() + result.attestor.id().len();
    let cause = match &result.reason {
        AttestorReason::EvidenceUnavailable(text) | AttestorReason::KeysUnavailable(text) => {
            escaped(text)
        }
        _ => 0,
    };
    ATTESTOR_BYTES + 2 * name + cause + result.trials.iter().map(trial_bytes).sum::<usize>()
}

fn trial_bytes(trial: &Trial) -> usize {
    let name = trial.occurrence.project().as_str().len() + trial.occurrence.id().len();
    let signer = trial.signer.as_ref().map_or(0, |signer| escaped(&signer.key));
    let detail = trial.outcome.detail().map_or(0, escaped);
    TRIAL_BYTES + name + escaped(trial.key_id.as_str()) + signer + detail
}

/// Bytes of a text in JSON, at most.
fn escaped(text: &str) -> usize {
    let longer = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'"' | b'\\');
    text.len() + 5 * text.bytes().filter(|byte| longer(byte)).count()
}

/// A key id as it is shown: all of one that a write accepts.
pub(super) fn shown_id(id: &KeyId) -> KeyId {
    match id.as_str().len() {
        0..=KEY_ID_BYTES_MAX => id.clone(),
        _ => beginning(id.as_str(), KEY_ID_BYTES_MAX).as_str().into(),
    }
}

/// The beginning of a text that somebody else wrote, for what programs read: nothing is escaped.
pub(super) fn beginning(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}
