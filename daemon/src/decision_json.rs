//! The JSON form of a decision: one spelling for answers, streams, audit records and the command
//! line.

use hallmark_core::decision::{
    AttestorReason, AttestorResult, Decision, ImageDecision, Trial, TrialOutcome,
};
use hallmark_core::verdict::SignedForm;
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

/// A whole decision: `allowed`, `enforced`, `dryRun`, `breakGlass`, `generation`, `images`.
#[derive(Debug)]
pub struct DecisionJson<'a>(pub &'a Decision);

impl Serialize for DecisionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decision = self.0;
        let mut out = serializer.serialize_struct("Decision", 6)?;
        out.serialize_field("allowed", &decision.allowed)?;
        out.serialize_field("enforced", &decision.enforced())?;
        out.serialize_field("dryRun", &decision.dry_run)?;
        out.serialize_field("breakGlass", &decision.break_glass)?;
        out.serialize_field("generation", &decision.generation)?;
        out.serialize_field("images", &List(&decision.images, ImageJson))?;
        out.end()
    }
}

/// A list whose items are serialised through a wrapper.
struct List<'a, T, F>(&'a [T], F);

impl<'a, T, W: Serialize, F: Fn(&'a T) -> W> Serialize for List<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            out.serialize_element(&self.1(item))?;
        }
        out.end()
    }
}

struct ImageJson<'a>(&'a ImageDecision);

impl Serialize for ImageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = self.0;
        let mut out = serializer.serialize_struct("ImageDecision", 8)?;
        out.serialize_field("image", &image.image)?;
        out.serialize_field("digest", &image.digest.as_ref().map(Text))?;
        out.serialize_field("allowed", &image.allowed)?;
        out.serialize_field("rule", &image.rule.as_ref().map(Text))?;
        out.serialize_field("reason", image.reason.code())?;
        out.serialize_field("message", &image.message)?;
        out.serialize_field("attestors", &List(&image.attestors, AttestorJson))?;
        out.serialize_field("cached", &image.cached)?;
        out.end()
    }
}

struct AttestorJson<'a>(&'a AttestorResult);

impl Serialize for AttestorJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let result = self.0;
        let mut out = serializer.serialize_struct("Attestor", 5)?;
        out.serialize_field("attestor", &Text(&result.attestor))?;
        out.serialize_field("satisfied", &(result.reason == AttestorReason::Verified))?;
        out.serialize_field("reason", result.reason.code())?;
        if let AttestorReason::EvidenceUnavailable(detail)
        | AttestorReason::KeysUnavailable(detail) = &result.reason
        {
            out.serialize_field("detail", detail)?;
        }
        out.serialize_field("trials", &List(&result.trials, TrialJson))?;
        out.end()
    }
}

struct TrialJson<'a>(&'a Trial);

impl Serialize for TrialJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trial = self.0;
        let mut out = serializer.serialize_struct("Trial", 6)?;
        out.serialize_field("occurrence", &Text(&trial.occurrence))?;
        out.serialize_field("signature", &trial.signature_index)?;
        out.serialize_field("keyId", trial.key_id.as_str())?;
        out.serialize_field("algorithm", &trial.algorithm.map(|algorithm| algorithm.name()))?;
        out.serialize_field("outcome", trial.outcome.code())?;
        if let Some(detail) = detail(&trial.outcome) {
            out.serialize_field("detail", &detail)?;
        }
        out.end()
    }
}

fn detail(outcome: &TrialOutcome) -> Option<String> {
    match outcome {
        TrialOutcome::Verified { form: SignedForm::Raw }
        | TrialOutcome::KeyIdUnknown
        | TrialOutcome::BadSignature
        | TrialOutcome::Unavailable(_) => None,
        TrialOutcome::Verified { form: SignedForm::Pae } => {
            Some("signed as DSSE pre-authentication encoding".to_owned())
        }
        TrialOutcome::KeyNotYetValid { not_before } => Some(at("valid from", not_before.0)),
        TrialOutcome::KeyExpired { not_after } => Some(at("valid until", not_after.0)),
        TrialOutcome::KeyRevoked { revoked_at } => Some(at("revoked at", revoked_at.0)),
        TrialOutcome::PayloadMalformed { error } => Some(error.clone()),
        TrialOutcome::DigestMismatch { signed } => Some(format!("signed for {signed}")),
    }
}

fn at(what: &str, seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => format!("{what} {time}"),
        Err(_) => format!("{what} {seconds} s after 1970"),
    }
}

/// Serialised by its `Display`, without a string in between.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
