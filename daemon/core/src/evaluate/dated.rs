//! Signatures in envelopes, held against the keys that they name and against their own dates.
//!
//! Of a raw signature nobody knows when it was made, so its key must be valid at the time of the
//! decision. One in an envelope says when: its key must have been valid then, *too*. That date is
//! the signer's word, and whoever stole a key writes any; a signature from before the key ended
//! therefore counts only where the key's [`Validity`] says so.

use std::sync::Arc;

use super::explain::{DETAIL_BYTES_MAX, beginning};
use super::pair::{Attempt, Attempted, Candidate, Pairs, invalid};
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
                Err(why) => attempts.push(Attempt::with(None, TrialOutcome::Unavailable(why))),
                Ok([]) => attempts.push(Attempt::with(None, TrialOutcome::BadSignature)),
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
                let signer = (!key_id.is_empty()).then(|| Box::new(signer(key_id, None)));
                let state = Attempted::Over(refused(*refusal, error));
                return Attempt { algorithm: None, key: None, signer, state };
            }
        };
        let key = key_of(candidate, signed);
        let outcome = match &key {
            Err(outcome) => Some(outcome.clone()),
            Ok(key) => self.held_against(key, signed, now).or_else(|| {
                let payload = &candidate.attestation.payload;
                let differs = signed.payload.as_ref().is_some_and(|own| own != payload);
                differs.then_some(TrialOutcome::PayloadDiffers)
            }),
        };
        if let (Ok(key), None) = (&key, &outcome) {
            self.checks.push(Check {
                key: Arc::clone(key),
                payload: candidate.attestation.payload.clone(),
                exact: Some(signed.message.clone()),
                signature: signed.signature.clone(),
            });
        }
        let signer = signer(&signed.key_id, signed.signed_at);
        Attempt {
            algorithm: Some(signed.algorithm),
            key: key.ok().cloned(),
            signer: Some(Box::new(signer)),
            state: Attempted::new(outcome),
        }
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

/// The part of a key's validity that still matters at the time of the decision, to a signature of
/// that date.
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

/// Who a signature says made it, and when.
fn signer(key_id: &str, signed_at: Option<UnixTime>) -> Signer {
    Signer { key: beginning(key_id, DETAIL_BYTES_MAX).into(), signed_at }
}

fn refused(refusal: Refusal, error: &str) -> TrialOutcome {
    let error = beginning(error, DETAIL_BYTES_MAX);
    match refusal {
        Refusal::Malformed => TrialOutcome::SignatureMalformed { error },
        Refusal::Weak => TrialOutcome::SignatureRefused { error },
        Refusal::Unsupported => TrialOutcome::AlgorithmUnsupported { error },
        Refusal::Mismatch => TrialOutcome::BadSignature,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::attestor::{KeyType, SignatureAlgorithm, Spki, TrustedAttestor};
    use crate::decision::{AttestorReason, Trial};
    use crate::envelope::{Envelope, Envelopes, Opened, Sealed};
    use crate::evaluate::decide::{Evaluation, conclude};
    use crate::evaluate::pair::{AttestorEvidence, pair, sealed};
    use crate::image::Digest;
    use crate::limits::Limits;
    use crate::occurrence::{Attestation, Evidence, Signature};
    use crate::payload::simple_signing;
    use crate::verdict::{SignedForm, Unavailable, Verdict, Verified};

    const DIGEST: Digest = Digest([0xaa; 32]);
    const NOW: i64 = 10_000;
    const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn payload() -> Bytes {
        simple_signing::payload("r/app", DIGEST).into()
    }

    fn signed(signed_at: i64) -> EnclosedSignature {
        EnclosedSignature {
            key_id: FINGERPRINT.to_owned(),
            algorithm: SignatureAlgorithm::Ed25519,
            message: Bytes::from("what was signed"),
            signature: Bytes::from("raw"),
            payload: Some(payload()),
            signed_at: Some(UnixTime(signed_at)),
            expires_at: None,
        }
    }

    fn attestor(validity: Validity) -> TrustedAttestor {
        let key = VerificationKey {
            plugin: "pkix".into(),
            ids: vec![FINGERPRINT.into()],
            spki: Spki::new(*b"key", KeyType::Ed25519, 0..3),
            fingerprint: [0; 32],
            algorithm: SignatureAlgorithm::Ed25519,
            validity,
            holder: None,
            envelope: Some(Envelope { decoder: "pgp".into(), fingerprint: FINGERPRINT.into() }),
        };
        TrustedAttestor {
            name: "projects/p/attestors/a".parse().unwrap(),
            note: "projects/p/notes/n".parse().unwrap(),
            keys: Ok(vec![Arc::new(key)]),
            missing: None,
        }
    }

    fn evidence() -> Evidence {
        Ok(vec![Attestation {
            occurrence: "projects/p/occurrences/o".parse().unwrap(),
            payload: payload(),
            signatures: vec![Signature { key_id: FINGERPRINT.into(), signature: "blob".into() }],
            first_signature: 0,
        }])
    }

    /// The evaluation of one signature in an envelope, where arithmetic says yes to all.
    fn evaluated(validity: Validity, opened: &Opened) -> Evaluation {
        let (attestor, evidence) = (attestor(validity), evidence());
        let wanted: [Sealed; 1] =
            sealed(attestor.keys.as_deref().unwrap(), &evidence).try_into().unwrap();
        let envelopes: Envelopes = wanted.into_iter().map(|one| (one, opened.clone())).collect();
        let source = AttestorEvidence {
            name: &attestor.name,
            attestor: Some(&attestor),
            evidence: &evidence,
            envelopes: &envelopes,
        };
        let pairing = pair(DIGEST, &[source], UnixTime(NOW), &Limits::DEFAULT);
        for check in pairing.checks() {
            assert_eq!(check.exact.as_deref(), Some(&b"what was signed"[..]));
        }
        let yes = Verdict::Verified(Verified::assertion(SignedForm::Enveloped));
        let verdicts = vec![yes; pairing.checks().len()];
        conclude(pairing, &verdicts)
    }

    fn trial(validity: Validity, opened: &Opened) -> Trial {
        evaluated(validity, opened).attestors[0].trials[0].clone()
    }

    fn code(validity: Validity, signature: EnclosedSignature) -> &'static str {
        trial(validity, &Ok(vec![Enclosed::Signed(signature)])).outcome.code()
    }

    #[test]
    fn a_signature_counts_between_its_dates_and_those_of_its_key() {
        let key = Validity {
            not_before: Some(UnixTime(1_000)),
            not_after: Some(UnixTime(20_000)),
            ..Validity::default()
        };
        let rows = [
            (999, "SIGNED_BEFORE_KEY"),
            (1_000, "VERIFIED"),
            (NOW, "VERIFIED"),
            (NOW + CLOCK_TOLERANCE, "VERIFIED"),
            (NOW + CLOCK_TOLERANCE + 1, "SIGNATURE_NOT_YET_MADE"),
        ];
        for (signed_at, expected) in rows {
            assert_eq!(code(key, signed(signed_at)), expected, "{signed_at}");
        }
        let expiring = |at| EnclosedSignature { expires_at: Some(UnixTime(at)), ..signed(2_000) };
        assert_eq!(code(key, expiring(NOW)), "SIGNATURE_EXPIRED");
        assert_eq!(code(key, expiring(NOW + 1)), "VERIFIED");
        let undated = EnclosedSignature { signed_at: None, ..signed(0) };
        assert_eq!(code(key, undated), "VERIFIED");
    }

    #[test]
    fn an_older_signature_outlives_its_key_only_where_that_is_said() {
        let expired = Validity { not_after: Some(UnixTime(5_000)), ..Validity::default() };
        let revoked = Validity { revoked_at: Some(UnixTime(5_000)), ..Validity::default() };
        let hard = Validity { revoked_at: Some(UnixTime(i64::MIN)), ..Validity::default() };
        let lenient = |key| Validity { outlives_expiry: true, outlives_revocation: true, ..key };
        let rows = [
            (expired, 4_000, "KEY_EXPIRED"),
            (lenient(expired), 5_000, "VERIFIED"),
            (lenient(expired), 5_001, "KEY_EXPIRED"),
            (revoked, 4_000, "KEY_REVOKED"),
            (lenient(revoked), 4_999, "VERIFIED"),
            (lenient(revoked), 5_000, "KEY_REVOKED"),
            (lenient(hard), 4_000, "KEY_REVOKED"),
        ];
        for (key, signed_at, expected) in rows {
            assert_eq!(code(key, signed(signed_at)), expected, "{key:?} {signed_at}");
        }
    }

    #[test]
    fn an_answer_holds_until_the_next_date() {
        let ending = EnclosedSignature { expires_at: Some(UnixTime(11_000)), ..signed(2_000) };
        let evaluation = evaluated(Validity::default(), &Ok(vec![Enclosed::Signed(ending)]));
        assert_eq!(evaluation.valid_until, Some(UnixTime(11_000)));
        let early = Enclosed::Signed(signed(NOW + 1_000));
        let evaluation = evaluated(Validity::default(), &Ok(vec![early]));
        assert_eq!(evaluation.valid_until, Some(UnixTime(NOW + 1_000 - CLOCK_TOLERANCE)));
    }

    #[test]
    fn what_is_signed_must_be_the_payload_by_a_key_of_the_certificate() {
        let key = Validity::default();
        let other = EnclosedSignature { payload: Some("other".into()), ..signed(2_000) };
        assert_eq!(code(key, other), "PAYLOAD_DIFFERS");
        let detached = EnclosedSignature { payload: None, ..signed(2_000) };
        assert_eq!(code(key, detached), "VERIFIED");
        let named = |key_id: &str| EnclosedSignature { key_id: key_id.into(), ..signed(2_000) };
        assert_eq!(code(key, named("89ABCDEF01234567")), "VERIFIED", "the end of the fingerprint");
        assert_eq!(code(key, named("9ABCDEF01234567")), "SIGNING_KEY_UNKNOWN", "too little of it");
        assert_eq!(code(key, named("")), "SIGNING_KEY_UNKNOWN");
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let wrong = EnclosedSignature { algorithm, ..signed(2_000) };
        assert_eq!(code(key, wrong), "ALGORITHM_UNSUPPORTED");
    }

    #[test]
    fn a_refused_signature_takes_nothing_from_a_good_one_beside_it() {
        let refused = |refusal| {
            let (key_id, error) = (FINGERPRINT.to_owned(), "why".to_owned());
            Enclosed::Refused { refusal, key_id, error }
        };
        let rows = [
            (Refusal::Malformed, "SIGNATURE_MALFORMED"),
            (Refusal::Weak, "SIGNATURE_REFUSED"),
            (Refusal::Unsupported, "ALGORITHM_UNSUPPORTED"),
            (Refusal::Mismatch, "BAD_SIGNATURE"),
        ];
        for (refusal, expected) in rows {
            let alone = trial(Validity::default(), &Ok(vec![refused(refusal)]));
            assert_eq!(alone.outcome.code(), expected);
            assert_eq!(alone.signer.map(|signer| signer.key), Some(FINGERPRINT.into()));
            let both = vec![refused(refusal), Enclosed::Signed(signed(2_000))];
            let both = trial(Validity::default(), &Ok(both));
            assert_eq!(both.outcome.code(), "VERIFIED");
            let signed_at = both.signer.and_then(|signer| signer.signed_at);
            assert_eq!(signed_at, Some(UnixTime(2_000)));
        }
    }

    #[test]
    fn an_envelope_that_is_not_opened_is_undetermined() {
        for (why, expected) in [
            (Unavailable::Decoder, "DECODER_UNAVAILABLE"),
            (Unavailable::Deadline, "DEADLINE_EXCEEDED"),
        ] {
            let evaluation = evaluated(Validity::default(), &Err(why));
            assert!(!evaluation.is_settled());
            assert_eq!(evaluation.attestors[0].reason, AttestorReason::VerifierUnavailable(why));
            assert_eq!(evaluation.attestors[0].trials[0].outcome.code(), expected);
        }
        let nothing = trial(Validity::default(), &Ok(Vec::new()));
        assert_eq!(nothing.outcome.code(), "BAD_SIGNATURE");
    }
}
