//! The texts of Google's service, which alerts and log queries look for, and after them what
//! Hallmark knows beyond. A cause never displaces Google's sentence.

use std::fmt::{self, Write};

use crate::decision::{AttestorReason, AttestorResult, OtherOutcomes, Reason, Trial, TrialOutcome};
use crate::excerpt::Excerpt;
use crate::names::{AttestorName, ProjectId};
use crate::policy::RuleMatch;
use crate::verdict::{SignedForm, Unavailable};

pub(crate) const NOT_ATTESTED: &str =
    "No attestations found that were valid and signed by a key trusted by the attestor";
pub(crate) const DIGEST_REQUIRED: &str =
    "Expected digest with sha256 scheme, but got tag or malformed digest";
pub(crate) const UNDETERMINED: &str = "Could not be determined";

/// Most bytes of causes in one message, Google's sentences aside. Kubernetes cuts the message of an
/// event, where a denial surfaces, at as many; the whole explanation is in the decision.
pub(crate) const CAUSES_BYTES_MAX: usize = 1_024;

/// Most characters shown of a text that may be of any length and hold anything.
const SHOWN_CHARS_MAX: usize = 128;

/// Denied before any rule was chosen. The image may be anything.
pub(super) fn refused(image: &str, why: &str) -> String {
    format!("Image {} denied by Binary Authorization: {why}", shown(image))
}

/// The cause of a denial for `reason`: no policy governs `project`.
pub(super) fn ungoverned(reason: &Reason, project: &ProjectId) -> String {
    if *reason == Reason::PolicyNotWritten {
        return format!(
            "project {project} has no policy: write one with `hallmark policy import FILE --project \
             {project}`, or as projects/{project}/policy.yaml under --config-dir"
        );
    }
    format!("project {project} holds no policy and no attestor: is its name right?")
}

/// Allowed by a pattern of `list`.
pub(super) fn allowlisted(image: &str, list: &str, pattern: &str) -> String {
    format!("Image {image} allowed by Binary Authorization {list}. Matches pattern {pattern}")
}

/// Allowed by an ALWAYS_ALLOW rule.
pub(super) fn always_allow(image: &str, rule: &RuleMatch) -> String {
    format!(
        "Image {image} allowed by Binary Authorization {rule}. \
         Allowed by always_allow admission rule"
    )
}

/// Denied by an ALWAYS_DENY rule.
pub(super) fn always_deny(image: &str, rule: &RuleMatch) -> String {
    format!(
        "Image {image} denied by Binary Authorization {rule}. \
         Denied by always_deny admission rule"
    )
}

/// Denied because attestations are of digests, and the image names none.
pub(super) fn digest_required(image: &str, rule: &RuleMatch, required: &[AttestorName]) -> String {
    let mut text = format!("Image {image} denied by Binary Authorization {rule}");
    for attestor in required {
        denied_by_attestor(&mut text, image, attestor, DIGEST_REQUIRED);
    }
    text
}

/// Allowed or denied by what the attestors say.
pub(super) fn evaluated(
    image: &str,
    rule: &RuleMatch,
    reason: &Reason,
    attestors: &[AttestorResult],
    left_out: usize,
) -> String {
    if reason.allows() {
        let mut text = format!("Image {image} allowed by Binary Authorization {rule}. Attested by");
        for (index, attestor) in attestors.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            push(&mut text, format_args!("{comma} {}", attestor.attestor));
        }
        if left_out > 0 {
            push(&mut text, format_args!(" and {left_out} more"));
        }
        return text;
    }
    let mut text = format!("Image {image} denied by Binary Authorization {rule}");
    if attestors.is_empty() {
        text.push_str(". Could not be determined: the digest was not evaluated");
    }
    let mut room = CAUSES_BYTES_MAX;
    for attestor in attestors.iter().filter(|each| each.reason != AttestorReason::Verified) {
        let (sentence, cause) =
            denial(&attestor.reason, (&attestor.trials, &attestor.others), room);
        denied_by_attestor(&mut text, image, &attestor.attestor, sentence);
        if cause.len() <= room {
            room -= cause.len();
            text.push_str(&cause);
        }
    }
    if left_out > 0 {
        push(&mut text, format_args!(". {left_out} more attestors are not shown"));
    }
    text
}

/// Why one attestor is not satisfied, without naming image or attestor. Empty where it is.
pub(super) fn unattested(attestor: &AttestorResult) -> String {
    let tried = (attestor.trials.as_slice(), &attestor.others);
    let (sentence, cause) = denial(&attestor.reason, tried, CAUSES_BYTES_MAX);
    format!("{sentence}{cause}")
}

fn denied_by_attestor(text: &mut String, image: &str, attestor: &AttestorName, sentence: &str) {
    push(text, format_args!(". Image {image} denied by attestor {attestor}: {sentence}"));
}

/// Google's sentence, or ours where Google has none, and the cause in at most about `room` bytes.
pub(crate) fn denial(
    reason: &AttestorReason,
    (trials, others): (&[Trial], &OtherOutcomes),
    room: usize,
) -> (&'static str, String) {
    match reason {
        AttestorReason::Verified => ("", String::new()),
        AttestorReason::AttestorUnknown => (NOT_ATTESTED, " (there is no such attestor)".into()),
        AttestorReason::NoKeys => (NOT_ATTESTED, " (the attestor trusts no key)".into()),
        AttestorReason::NoAttestations => {
            (NOT_ATTESTED, " (its note has no attestation of this digest)".into())
        }
        AttestorReason::NoneVerified => (NOT_ATTESTED, tried(trials, others, room)),
        AttestorReason::EvidenceUnavailable(error) => (UNDETERMINED, format!(": {}", shown(error))),
        AttestorReason::KeysUnavailable(error) => {
            (UNDETERMINED, format!(": its keys are unavailable: {}", shown(error)))
        }
        AttestorReason::VerifierUnavailable(why) => (UNDETERMINED, format!(": {}", passing(*why))),
    }
}

/// ` (2 signatures tried: key "a": bad signature; key "b": unknown key)`.
fn tried(trials: &[Trial], others: &OtherOutcomes, room: usize) -> String {
    // 40: ` (`, the count, ` signatures tried: `, `; and N more`, `)`.
    let room = room.saturating_sub(40);
    let count = trials.len() + others.total();
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!(" ({count} signature{plural} tried");
    let mut named = 0;
    for (index, trial) in trials.iter().enumerate() {
        let separator = if index == 0 { ":" } else { ";" };
        let key = shown(trial.key_id.as_str());
        let one = format!("{separator} key \"{key}\": {}", Outcome(&trial.outcome));
        if text.len() + one.len() > room {
            break;
        }
        text.push_str(&one);
        named += 1;
    }
    if named < count {
        let separator = if named == 0 { ":" } else { ";" };
        push(&mut text, format_args!("{separator} {} more", count - named));
    }
    text.push(')');
    text
}

/// The outcome of a trial in words.
struct Outcome<'a>(&'a TrialOutcome);

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TrialOutcome::Verified { form: SignedForm::Raw | SignedForm::Enveloped } => {
                f.write_str("verified")
            }
            TrialOutcome::Verified { form: SignedForm::Pae } => f.write_str("verified as DSSE"),
            TrialOutcome::KeyIdUnknown => f.write_str("not a key of the attestor"),
            TrialOutcome::KeyNotYetValid { not_before } => {
                write!(f, "the key is not valid before {not_before}")
            }
            TrialOutcome::KeyExpired { not_after } => {
                write!(f, "the key expired after {not_after}")
            }
            TrialOutcome::KeyRevoked { revoked_at } => {
                write!(f, "the key is revoked since {revoked_at}")
            }
            TrialOutcome::BadSignature => f.write_str("bad signature"),
            TrialOutcome::PayloadMalformed { error } => f.write_str(error),
            TrialOutcome::SignatureMalformed { error }
            | TrialOutcome::SignatureRefused { error }
            | TrialOutcome::AlgorithmUnsupported { error } => shown(error).fmt(f),
            TrialOutcome::SigningKeyUnknown => {
                f.write_str("it was made by a key that does not sign for the certificate")
            }
            TrialOutcome::SignatureExpired { expires_at } => {
                write!(f, "the signature expired at {expires_at}")
            }
            TrialOutcome::SignatureNotYetMade { signed_at } => {
                write!(f, "the signature is dated in the future, {signed_at}")
            }
            TrialOutcome::SignedBeforeKey { not_before } => {
                write!(f, "the signature is dated before its key, which is valid from {not_before}")
            }
            TrialOutcome::PayloadDiffers => f.write_str("another payload was signed"),
            TrialOutcome::DigestMismatch { signed } => {
                write!(f, "signature verified, but {signed} was signed")
            }
            TrialOutcome::Unavailable(why) => f.write_str(passing(*why)),
        }
    }
}

fn passing(why: Unavailable) -> &'static str {
    match why {
        Unavailable::Overloaded => "the verifier is overloaded",
        Unavailable::Deadline => "the deadline passed before the signatures were verified",
        Unavailable::Panicked => "the verifier failed",
        Unavailable::Decoder => "the plugin that reads the signature does not answer",
        Unavailable::Holder => "the plugin that verifies with the key does not answer",
        Unavailable::Disagreement => "two verifiers disagree about a signature",
    }
}

/// A text from outside.
pub(crate) fn shown(text: &str) -> Excerpt<'_, SHOWN_CHARS_MAX> {
    Excerpt(text)
}

fn push(text: &mut String, more: fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes every write");
}
