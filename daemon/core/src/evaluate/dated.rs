//! Signatures in envelopes, held against the keys that they name and against their own dates.
//!
//! Of a raw signature nobody knows when it was made, so its key must be valid at the time of the
//! decision. One in an envelope says when: its key must have been valid then, *too*. That date is
//! the signer's word, and whoever stole a key writes any; a signature from before the key ended
//! therefore counts only where the key's [`Validity`] says so.

use std::sync::Arc;

use super::pair::{Attempt, Candidate, Pairs, invalid};
use crate::attestor::{Validity, VerificationKey};
use crate::decision::{Signer, TrialOutcome};
use crate::envelope::{Enclosed, EnclosedSignature, Refusal};
use crate::time::UnixTime;
use crate::verdict::Check;

/// Seconds that a signer's clock may be ahead of this machine's.
const CLOCK_TOLERANCE: i64 = 300;

impl Pairs {
    /// The attempts of a signature that comes in an envelope.
    pub(super) fn enveloped(&mut self, candidate: &Candidate<'_>, now: UnixTime) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for opened in candidate.opened() {
            match opened {
                Err(why) => attempts.push(Attempt::over(None, TrialOutcome::Unavailable(why))),
                Ok([]) => attempts.push(Attempt::over(None, TrialOutcome::BadSignature)),
                Ok(enclosed) => {
                    attempts.extend(enclosed.iter().map(|one| self.enclosed(candidate, one, now)));
                }
            }
        }
        attempts
    }

    fn enclosed(
        &mut self,
        candidate: &Candidate<'_>,
        enclosed: &Enclosed,
        now: UnixTime,
    ) -> Attempt {
        let signed = match enclosed {
            Enclosed::Signed(signed) => signed,
            Enclosed::Refused { refusal, key_id, error } => {
                let signer = (!key_id.is_empty())
                    .then(|| Box::new(Signer { key: key_id.as_str().into(), signed_at: None }));
                let outcome = Some(refused(*refusal, error));
                return Attempt { algorithm: None, signer, outcome };
            }
        };
        let outcome = match key_of(candidate, signed) {
            Err(outcome) => Some(outcome),
            Ok(key) => self.held_against(key, signed, now).or_else(|| {
                let payload = &candidate.attestation.payload;
                let differs = signed.payload.as_ref().is_some_and(|own| own != payload);
                differs.then_some(TrialOutcome::PayloadDiffers)
            }),
        };
        if let (Ok(key), None) = (key_of(candidate, signed), &outcome) {
            self.checks.push(Check {
                key: Arc::clone(key),
                payload: candidate.attestation.payload.clone(),
                exact: Some(signed.message.clone()),
                signature: signed.signature.clone(),
            });
        }
        let signer = Signer { key: signed.key_id.as_str().into(), signed_at: signed.signed_at };
        Attempt { algorithm: Some(signed.algorithm), signer: Some(Box::new(signer)), outcome }
    }

    /// Why the signature does not count, whatever arithmetic says.
    fn held_against(
        &mut self,
        key: &VerificationKey,
        signed: &EnclosedSignature,
        now: UnixTime,
    ) -> Option<TrialOutcome> {
        self.unchanging.narrow(&key.validity, now);
        if let Some(expires_at) = signed.expires_at {
            self.unchanging.narrow_at(expires_at, now);
            if expires_at <= now {
                return Some(TrialOutcome::SignatureExpired { expires_at });
            }
        }
        let Some(signed_at) = signed.signed_at else { return invalid(&key.validity, now) };
        let credible = UnixTime(signed_at.0.saturating_sub(CLOCK_TOLERANCE));
        self.unchanging.narrow_at(credible, now);
        if now < credible {
            return Some(TrialOutcome::SignatureNotYetMade { signed_at });
        }
        invalid(&remaining(&key.validity, signed_at), now)
            .or_else(|| invalid_when_made(&key.validity, signed_at))
    }
}

/// The key that made a signature, of those that its attestation names.
fn key_of<'a>(
    candidate: &Candidate<'a>,
    signed: &EnclosedSignature,
) -> Result<&'a Arc<VerificationKey>, TrialOutcome> {
    let made_it = |key: &&&Arc<VerificationKey>| {
        let by_id = || key.ids.iter().any(|id| id.as_str() == signed.key_id);
        key.envelope.as_ref().is_some_and(|envelope| {
            envelope.is_named(&signed.key_id) || (envelope.fingerprint.is_empty() && by_id())
        })
    };
    let mut makers = candidate.named.iter().filter(made_it).peekable();
    if makers.peek().is_none() {
        return Err(TrialOutcome::SigningKeyUnknown);
    }
    makers.find(|key| key.algorithm == signed.algorithm).copied().ok_or_else(|| {
        let error = format!("its key does not sign with {}", signed.algorithm);
        TrialOutcome::AlgorithmUnsupported { error }
    })
}

/// What of a key's validity still matters at the time of the decision, to a signature of that
/// date.
fn remaining(validity: &Validity, signed_at: UnixTime) -> Validity {
    let in_time = |end: Option<UnixTime>| end.is_some_and(|end| signed_at <= end);
    let mut remaining = *validity;
    if validity.outlives_expiry && in_time(validity.not_after) {
        remaining.not_after = None;
    }
    if validity.outlives_revocation && validity.revoked_at.is_some_and(|at| signed_at < at) {
        remaining.revoked_at = None;
    }
    remaining
}

/// Why a key was not valid when the signature says it was made.
fn invalid_when_made(validity: &Validity, signed_at: UnixTime) -> Option<TrialOutcome> {
    let early = validity.not_before.filter(|&not_before| signed_at < not_before);
    let late = validity.not_after.filter(|&not_after| not_after < signed_at);
    early
        .map(|not_before| TrialOutcome::SignedBeforeKey { not_before })
        .or_else(|| late.map(|not_after| TrialOutcome::KeyExpired { not_after }))
}

fn refused(refusal: Refusal, error: &str) -> TrialOutcome {
    let error = error.to_owned();
    match refusal {
        Refusal::Malformed => TrialOutcome::SignatureMalformed { error },
        Refusal::Weak => TrialOutcome::SignatureRefused { error },
        Refusal::Unsupported => TrialOutcome::AlgorithmUnsupported { error },
        Refusal::Mismatch => TrialOutcome::BadSignature,
    }
}
