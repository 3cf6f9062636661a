//! One attestation held against one attestor, as a decision would, without storing it.

use std::time::Instant;

use hallmark_core::decision::AttestorReason;
use hallmark_core::evaluate::attested::{Attested, Required};
use hallmark_core::evaluate::decide::denial_reason;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::names::{AttestorName, NameError, OccurrenceName};
use hallmark_core::occurrence::{Attestation, UnstoredAttestation};
use hallmark_core::time::UnixTime;

use super::Gate;
use super::work::Work;

/// The answer of an attestor about an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validation {
    /// It would accept it.
    Verified,
    /// It would not, for this reason.
    NotVerifiable(String),
    /// It could not be found out, for this reason.
    Undetermined(String),
}

/// Finds out if `attestor` would accept `candidate` as an attestation of the digest that its
/// resource names.
pub async fn validate(
    gate: &Gate,
    attestor: &AttestorName,
    candidate: UnstoredAttestation,
    deadline: Instant,
) -> Validation {
    let snapshot = gate.snapshots.current();
    let trusted = snapshot.attestor(attestor).map(AsRef::as_ref);
    if let Some(trusted) = trusted.filter(|trusted| trusted.note != candidate.note) {
        return Validation::NotVerifiable(format!(
            "The attestation is filed under {}, but {attestor} looks under {}",
            candidate.note, trusted.note
        ));
    }
    let Some(digest) = candidate.digest else {
        let text = "Expected digest with sha256 scheme, but got tag or malformed digest";
        return Validation::NotVerifiable(text.to_owned());
    };
    let note = candidate.note.clone();
    let attestation = match unstored(attestor, candidate) {
        Ok(attestation) => attestation,
        Err(error) => return Validation::Undetermined(error.to_string()),
    };
    let question =
        Attested { digest, required: [Required { name: attestor, attestor: trusted }].into() };
    let evidence = [(Lookup::UnderNote(note, digest), vec![attestation])].into();
    let now = UnixTime(jiff::Timestamp::now().as_second());
    let work = Work { gate, now, deadline };
    let evaluation = work.answer_from(&[question], evidence).await.pop();
    match evaluation.as_ref().and_then(|evaluation| evaluation.attestors.first()) {
        Some(result) if result.reason == AttestorReason::Verified => Validation::Verified,
        Some(result) if !result.reason.is_undetermined() => {
            Validation::NotVerifiable(denial_reason(result))
        }
        Some(result) => Validation::Undetermined(denial_reason(result)),
        None => Validation::Undetermined("nothing was evaluated".to_owned()),
    }
}

/// The attestation under a name that no explanation shows.
fn unstored(
    attestor: &AttestorName,
    candidate: UnstoredAttestation,
) -> Result<Attestation, NameError> {
    Ok(Attestation {
        occurrence: OccurrenceName::new(attestor.project().clone(), "unstored")?,
        payload: candidate.attestation.payload,
        signatures: candidate.attestation.signatures,
        first_signature: 0,
    })
}
