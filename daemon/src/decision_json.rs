//! The JSON form of a decision: one spelling for answers, streams, audit records and the command
//! line, written from the decision itself with no tree between.

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::decision::{
    AttestorReason, AttestorResult, Decision, ImageDecision, Trial, TrialOutcome,
};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::SignedForm;
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

/// A decision that serialises as `allowed`, `enforced`, `dryRun`, `breakGlass`, `generation` and
/// `images` with their whole explanation.
#[derive(Clone, Copy, Debug)]
pub struct DecisionJson<'a>(pub &'a Decision);

impl DecisionJson<'_> {
    /// Bytes that hold nearly every decision: an image with an attestation or two.
    pub fn capacity(self) -> usize {
        let trials: usize = self
            .0
            .images
            .iter()
            .flat_map(|image| image.attestors.iter())
            .map(|attestor| 1 + attestor.trials.len())
            .sum();
        128 + 512 * self.0.images.len() + 256 * trials
    }
}

impl Serialize for DecisionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire(self.0).serialize(serializer)
    }
}

/// A core type in its wire form.
struct Wire<T>(T);

impl Serialize for Wire<&Decision> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let decision = self.0;
        let mut fields = serializer.serialize_struct("Decision", 6)?;
        fields.serialize_field("allowed", &decision.allowed)?;
        fields.serialize_field("enforced", &decision.enforced())?;
        fields.serialize_field("dryRun", &decision.dry_run)?;
        fields.serialize_field("breakGlass", &decision.break_glass)?;
        fields.serialize_field("generation", &decision.generation)?;
        fields.serialize_field("images", &Wire(decision.images.as_slice()))?;
        fields.end()
    }
}

impl<'a, T> Serialize for Wire<&'a [T]>
where
    Wire<&'a T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for element in self.0 {
            list.serialize_element(&Wire(element))?;
        }
        list.end()
    }
}

impl Serialize for Wire<&ImageDecision> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = self.0;
        let mut fields = serializer.serialize_struct("ImageDecision", 8)?;
        fields.serialize_field("image", &image.image)?;
        fields.serialize_field("digest", &image.digest.as_ref().map(Text))?;
        fields.serialize_field("allowed", &image.allowed)?;
        fields.serialize_field("rule", &image.rule.as_ref().map(Text))?;
        fields.serialize_field("reason", image.reason.code())?;
        fields.serialize_field("message", &image.message)?;
        fields.serialize_field("attestors", &Wire(&*image.attestors))?;
        fields.serialize_field("cached", &image.cached)?;
        fields.end()
    }
}

impl Serialize for Wire<&AttestorResult> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let result = self.0;
        let mut fields = serializer.serialize_struct("AttestorResult", 5)?;
        fields.serialize_field("attestor", &Text(&result.attestor))?;
        fields.serialize_field("satisfied", &(result.reason == AttestorReason::Verified))?;
        fields.serialize_field("reason", result.reason.code())?;
        if let AttestorReason::EvidenceUnavailable(detail)
        | AttestorReason::KeysUnavailable(detail) = &result.reason
        {
            fields.serialize_field("detail", detail)?;
        }
        fields.serialize_field("trials", &Wire(result.trials.as_slice()))?;
        fields.end()
    }
}

impl Serialize for Wire<&Trial> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trial = self.0;
        let mut fields = serializer.serialize_struct("Trial", 6)?;
        fields.serialize_field("occurrence", &Text(&trial.occurrence))?;
        fields.serialize_field("signature", &trial.signature_index)?;
        fields.serialize_field("keyId", trial.key_id.as_str())?;
        fields.serialize_field("algorithm", &trial.algorithm.map(SignatureAlgorithm::name))?;
        fields.serialize_field("outcome", trial.outcome.code())?;
        if let Some(detail) = detail(&trial.outcome) {
            fields.serialize_field("detail", &detail)?;
        }
        fields.end()
    }
}

/// A value by its `Display`.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What the outcome's word leaves open.
fn detail(outcome: &TrialOutcome) -> Option<String> {
    Some(match outcome {
        TrialOutcome::Verified { form: SignedForm::Pae } => "signed in its DSSE form".to_owned(),
        TrialOutcome::KeyNotYetValid { not_before } => {
            format!("valid from {}", rfc3339(*not_before))
        }
        TrialOutcome::KeyExpired { not_after } => format!("valid until {}", rfc3339(*not_after)),
        TrialOutcome::KeyRevoked { revoked_at } => format!("revoked at {}", rfc3339(*revoked_at)),
        TrialOutcome::PayloadMalformed { error } => error.clone(),
        TrialOutcome::DigestMismatch { signed } => format!("signed {signed}"),
        TrialOutcome::Verified { form: SignedForm::Raw }
        | TrialOutcome::KeyIdUnknown
        | TrialOutcome::BadSignature
        | TrialOutcome::Unavailable(_) => return None,
    })
}

fn rfc3339(time: UnixTime) -> String {
    Timestamp::from_second(time.0)
        .map_or_else(|_| format!("second {} since 1970", time.0), |stamp| stamp.to_string())
}
