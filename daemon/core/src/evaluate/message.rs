//! The texts of Google's service, which alerts and log queries look for, and after them what
//! Hallmark knows beyond. A cause never displaces Google's sentence.

use std::fmt::{self, Write};

use crate::decision::{
    AttestorReason, AttestorResult, Exceeded, ImageDecision, OtherOutcomes, Reason, Trial,
    TrialOutcome,
};
use crate::excerpt::Excerpt;
use crate::names::AttestorName;
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
pub(crate) const SHOWN_CHARS_MAX: usize = 128;

impl ImageDecision {
    /// The decision for a person, in the texts of Google's service.
    pub fn message(&self) -> String {
        let verb = if self.reason.allows() { "allowed" } else { "denied" };
        let cause = match self.reason {
            Reason::AlwaysDeny => "Denied by always_deny admission rule".to_owned(),
            _ => self.cause(),
        };
        match self.decided_by() {
            // Before any rule was chosen the image may be anything.
            None => format!(
                "Image {} {verb} by Binary Authorization: {cause}",
                Excerpt::<SHOWN_CHARS_MAX>(&self.image)
            ),
            Some(by) => {
                let between = if cause.is_empty() { "" } else { ". " };
                format!("Image {} {verb} by Binary Authorization {by}{between}{cause}", self.image)
            }
        }
    }

    /// The part of [`Self::message`] after the image and the rule, for whoever has told of these.
    pub fn cause(&self) -> String {
        match &self.reason {
            Reason::SystemPolicyAllowlisted { pattern } | Reason::Allowlisted { pattern } => {
                format!("Matches pattern {pattern}")
            }
            Reason::AlwaysAllow => "Allowed by always_allow admission rule".to_owned(),
            Reason::AlwaysDeny => "Denied by an ALWAYS_DENY admission rule".to_owned(),
            Reason::Attested => self.attested(),
            Reason::NotAttested | Reason::Undetermined => self.not_attested(),
            Reason::DigestRequired { attestors } => {
                let denied = attestors.iter().map(|one| self.denied_by(one, DIGEST_REQUIRED));
                denied.collect::<Vec<_>>().join(". ")
            }
            Reason::PolicyNotWritten { project } => format!(
                "project {project} has no policy: write one with `hallmark policy import FILE --project \
                 {project}`, or as projects/{project}/policy.yaml under --config-dir"
            ),
            Reason::ProjectUnknown { project } => {
                format!("project {project} holds no policy and no attestor: is its name right?")
            }
            Reason::LimitExceeded(Exceeded::Images { named, max }) => {
                format!("the request names {named} images, not 1 to {max}")
            }
            Reason::LimitExceeded(Exceeded::ImageBytes { bytes, max }) => {
                format!("the image reference has {bytes} bytes, more than {max}")
            }
            Reason::ImageMalformed => "this is not an image reference".to_owned(),
            Reason::AuditUnavailable => {
                "the audit record of this decision could not be written".to_owned()
            }
            Reason::AuditLimitExceeded => {
                "the caller has used up what it may write to the audit log; try again later".to_owned()
            }
            Reason::AuditRecordTooLong => {
                "the audit record of this decision would be too long; ask for fewer images, or remove \
                 attestations of them that prove nothing"
                    .to_owned()
            }
        }
    }

    /// The list or the rule that decided; `None` if that was before any.
    fn decided_by(&self) -> Option<&dyn fmt::Display> {
        match self.reason {
            Reason::SystemPolicyAllowlisted { .. } => Some(&"system policy"),
            Reason::Allowlisted { .. } => Some(&"admission allowlist"),
            Reason::AlwaysAllow
            | Reason::AlwaysDeny
            | Reason::Attested
            | Reason::NotAttested
            | Reason::Undetermined
            | Reason::DigestRequired { .. } => {
                Some(self.rule.as_ref().unwrap_or(&RuleMatch::Default))
            }
            Reason::ImageMalformed
            | Reason::ProjectUnknown { .. }
            | Reason::PolicyNotWritten { .. }
            | Reason::LimitExceeded(_)
            | Reason::AuditUnavailable
            | Reason::AuditLimitExceeded
            | Reason::AuditRecordTooLong => None,
        }
    }

    fn attested(&self) -> String {
        let names: Vec<_> = self.attestors.iter().map(|one| one.attestor.to_string()).collect();
        let mut text = format!("Attested by {}", names.join(", "));
        if self.attestors_left_out > 0 {
            push(&mut text, format_args!(" and {} more", self.attestors_left_out));
        }
        text
    }

    fn not_attested(&self) -> String {
        let mut sentences = Vec::new();
        if self.attestors.is_empty() {
            sentences.push("Could not be determined: the digest was not evaluated".to_owned());
        }
        let mut room = CAUSES_BYTES_MAX;
        for one in self.attestors.iter().filter(|one| one.reason != AttestorReason::Verified) {
            let (sentence, cause) = denial(&one.reason, (&one.trials, &one.others), room);
            let mut text = self.denied_by(&one.attestor, sentence);
            if cause.len() <= room {
                room -= cause.len();
                text.push_str(&cause);
            }
            sentences.push(text);
        }
        if self.attestors_left_out > 0 {
            sentences.push(format!("{} more attestors are not shown", self.attestors_left_out));
        }
        sentences.join(". ")
    }

    fn denied_by(&self, attestor: &AttestorName, sentence: &str) -> String {
        format!("Image {} denied by attestor {attestor}: {sentence}", self.image)
    }
}

/// Why one attestor is not satisfied, without naming image or attestor. Empty where it is.
pub(super) fn unattested(attestor: &AttestorResult) -> String {
    let tried = (attestor.trials.as_slice(), &attestor.others);
    let (sentence, cause) = denial(&attestor.reason, tried, CAUSES_BYTES_MAX);
    format!("{sentence}{cause}")
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
        AttestorReason::EvidenceUnavailable(error) => {
            (UNDETERMINED, format!(": {}", Excerpt::<SHOWN_CHARS_MAX>(error)))
        }
        AttestorReason::KeysUnavailable(error) => (
            UNDETERMINED,
            format!(": its keys are unavailable: {}", Excerpt::<SHOWN_CHARS_MAX>(error)),
        ),
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
        let key = Excerpt::<SHOWN_CHARS_MAX>(trial.key_id.as_str());
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
            | TrialOutcome::AlgorithmUnsupported { error } => {
                Excerpt::<SHOWN_CHARS_MAX>(error).fmt(f)
            }
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

fn push(text: &mut String, more: fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::names::ProjectId;

    fn decided(image: &str, reason: Reason) -> ImageDecision {
        ImageDecision {
            image: image.into(),
            digest: None,
            allowed: reason.allows(),
            rule: Some(RuleMatch::Cluster("l.c".to_owned())),
            enforcement: None,
            reason,
            attestors: [].into(),
            attestors_left_out: 0,
            cached: false,
        }
    }

    fn named(id: &str) -> AttestorName {
        format!("projects/p/attestors/{id}").parse().expect("a name")
    }

    fn asked(id: &str, reason: AttestorReason) -> AttestorResult {
        let (trials, others) = (Vec::new(), OtherOutcomes::default());
        AttestorResult { attestor: named(id), reason, trials, others }
    }

    const BY_RULE: &str = "denied by Binary Authorization cluster admission rule for l.c. ";

    /// With every reason what follows `Image r/a:1 ` in the message, and the cause, which is the end
    /// of it.
    fn told() -> [(Reason, &'static str, &'static str); 7] {
        let pattern = || "r/**".to_owned();
        [
            (
                Reason::SystemPolicyAllowlisted { pattern: pattern() },
                "allowed by Binary Authorization system policy. ",
                "Matches pattern r/**",
            ),
            (
                Reason::Allowlisted { pattern: pattern() },
                "allowed by Binary Authorization admission allowlist. ",
                "Matches pattern r/**",
            ),
            (
                Reason::AlwaysAllow,
                "allowed by Binary Authorization cluster admission rule for l.c. ",
                "Allowed by always_allow admission rule",
            ),
            (
                Reason::DigestRequired { attestors: [named("a"), named("b")].into() },
                BY_RULE,
                "Image r/a:1 denied by attestor projects/p/attestors/a: Expected digest with sha256 \
                 scheme, but got tag or malformed digest. Image r/a:1 denied by attestor \
                 projects/p/attestors/b: Expected digest with sha256 scheme, but got tag or malformed \
                 digest",
            ),
            (Reason::NotAttested, BY_RULE, "Could not be determined: the digest was not evaluated"),
            (
                Reason::Undetermined,
                BY_RULE,
                "Could not be determined: the digest was not evaluated",
            ),
            (
                Reason::ImageMalformed,
                "denied by Binary Authorization: ",
                "this is not an image reference",
            ),
        ]
    }

    /// As [`told`], of what is refused whatever the policy says.
    fn refused() -> [(Reason, &'static str); 7] {
        let project = || "p".parse::<ProjectId>().expect("a project");
        [
            (
                Reason::ProjectUnknown { project: project() },
                "project p holds no policy and no attestor: is its name right?",
            ),
            (
                Reason::PolicyNotWritten { project: project() },
                "project p has no policy: write one with `hallmark policy import FILE --project p`, \
                 or as projects/p/policy.yaml under --config-dir",
            ),
            (
                Reason::LimitExceeded(Exceeded::Images { named: 0, max: 1000 }),
                "the request names 0 images, not 1 to 1000",
            ),
            (
                Reason::LimitExceeded(Exceeded::ImageBytes { bytes: 513, max: 512 }),
                "the image reference has 513 bytes, more than 512",
            ),
            (Reason::AuditUnavailable, "the audit record of this decision could not be written"),
            (
                Reason::AuditLimitExceeded,
                "the caller has used up what it may write to the audit log; try again later",
            ),
            (
                Reason::AuditRecordTooLong,
                "the audit record of this decision would be too long; ask for fewer images, or \
                 remove attestations of them that prove nothing",
            ),
        ]
    }

    #[test]
    fn a_message_names_image_and_rule_and_a_cause_does_not() {
        let refused =
            refused().map(|(why, cause)| (why, "denied by Binary Authorization: ", cause));
        for (reason, by, cause) in told().into_iter().chain(refused) {
            let image = decided("r/a:1", reason);
            assert_eq!(image.message(), format!("Image r/a:1 {by}{cause}"));
            assert_eq!(image.cause(), cause);
        }
        // Google's service words this one in two ways.
        let denied = decided("r/a:1", Reason::AlwaysDeny);
        let words = "Denied by always_deny admission rule";
        assert_eq!(denied.message(), format!("Image r/a:1 {BY_RULE}{words}"));
        assert_eq!(denied.cause(), "Denied by an ALWAYS_DENY admission rule");
    }

    #[test]
    fn attestors_that_are_not_satisfied_are_told_of_and_those_left_out_counted() {
        let attestors: Arc<[_]> = [
            asked("good", AttestorReason::Verified),
            asked("bad", AttestorReason::NoAttestations),
            asked("down", AttestorReason::KeysUnavailable("no\nanswer".to_owned())),
        ]
        .into();
        let image = ImageDecision {
            attestors: Arc::clone(&attestors),
            attestors_left_out: 3,
            ..decided("r/a:1", Reason::NotAttested)
        };
        let cause = "Image r/a:1 denied by attestor projects/p/attestors/bad: No attestations found \
                     that were valid and signed by a key trusted by the attestor (its note has no \
                     attestation of this digest). Image r/a:1 denied by attestor \
                     projects/p/attestors/down: Could not be determined: its keys are unavailable: \
                     no\\nanswer. 3 more attestors are not shown";
        assert_eq!(image.cause(), cause);
        let by = "denied by Binary Authorization cluster admission rule for l.c";
        assert_eq!(image.message(), format!("Image r/a:1 {by}. {cause}"));

        let allowed = ImageDecision { rule: None, ..decided("r/a:1", Reason::Attested) };
        let by = "allowed by Binary Authorization default admission rule";
        let good =
            [asked("good", AttestorReason::Verified), asked("too", AttestorReason::Verified)];
        let allowed = ImageDecision { attestors: good.into(), attestors_left_out: 1, ..allowed };
        let cause = "Attested by projects/p/attestors/good, projects/p/attestors/too and 1 more";
        assert_eq!(allowed.message(), format!("Image r/a:1 {by}. {cause}"));
    }

    /// It may be anything then.
    #[test]
    fn an_image_that_was_refused_before_any_rule_is_shown_in_part() {
        let image = decided(&"x\n".repeat(100), Reason::ImageMalformed);
        let shown = "x\\n".repeat(64);
        let by = "denied by Binary Authorization";
        let cause = "this is not an image reference";
        assert_eq!(image.message(), format!("Image {shown}… {by}: {cause}"));
        assert_eq!(image.cause(), cause);
    }
}
