//! Which key has to have made which signature.

use std::collections::HashSet;
use std::iter::repeat_n;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::explain::{CAUSE_BYTES_MAX, beginning};
use crate::attestor::{KeyId, SignatureAlgorithm, TrustedAttestor, Validity, VerificationKey};
use crate::decision::{AttestorReason, Signer, TrialOutcome};
use crate::envelope::{Enclosed, Envelope, Envelopes, Sealed};
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::{AttestorName, OccurrenceName};
use crate::occurrence::{Attestation, Evidence, Signature};
use crate::payload::simple_signing::PayloadError;
use crate::time::UnixTime;
use crate::verdict::{Check, Unavailable};

/// The material to hold against one attestor.
#[derive(Clone, Copy, Debug)]
pub struct AttestorEvidence<'a> {
    /// The attestor that the policy names.
    pub name: &'a AttestorName,
    /// The attestor itself, where it exists.
    pub attestor: Option<&'a TrustedAttestor>,
    /// The evidence that is stored under its note for the digest, or a portion of it; not looked at
    /// where `attestor` has no keys.
    pub evidence: &'a Evidence,
    /// The envelopes among it, taken apart: those that [`sealed`] names.
    pub envelopes: &'a Envelopes,
}

/// One digest's evidence, up to the arithmetic.
#[derive(Clone, Debug)]
pub struct Pairing {
    pub(super) digest: Digest,
    pub(super) attestors: Vec<PairedAttestor>,
    pub(super) pairs: Pairs,
}

impl Pairing {
    /// The signatures to verify; [`super::decide::conclude`] wants one verdict for each, in this
    /// order.
    pub fn checks(&self) -> &[Check] {
        &self.pairs.checks
    }

    /// The signatures to verify, each with the occurrence that it is filed in: as
    /// [`Pairing::checks`].
    pub fn awaiting(&self) -> impl Iterator<Item = (&OccurrenceName, &Check)> {
        let trials = self.attestors.iter().flat_map(|attestor| attestor.trials.iter().flatten());
        let occurrences = trials.flat_map(|trial| {
            let awaited = trial.attempts.iter().map(|attempt| match attempt.state {
                Attempted::Over(_) => 0,
                Attempted::Awaits(checks) => checks.get(),
            });
            repeat_n(&trial.occurrence, awaited.sum())
        });
        occurrences.zip(self.checks())
    }

    /// The ids that signatures name and no key of their attestor has.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &KeyId> {
        let trials = self.attestors.iter().flat_map(|attestor| attestor.trials.iter().flatten());
        trials.filter(|trial| trial.is_of_unknown_key()).map(|trial| &trial.key_id)
    }
}

/// One attestor, up to the arithmetic.
#[derive(Clone, Debug)]
pub(super) struct PairedAttestor {
    pub(super) name: AttestorName,
    /// Why some of its keys are unavailable.
    pub(super) missing: Option<String>,
    pub(super) trials: PairedTrials,
}

/// Every signature held against one set of keys, or why nothing was tried.
pub(crate) type PairedTrials = Result<Vec<PairedTrial>, AttestorReason>;

/// One signature, up to the arithmetic: all that was tried of it, never nothing.
#[derive(Clone, Debug)]
pub(crate) struct PairedTrial {
    pub(super) occurrence: OccurrenceName,
    pub(super) signature_index: usize,
    pub(super) key_id: KeyId,
    pub(super) attempts: Vec<Attempt>,
}

impl PairedTrial {
    fn is_of_unknown_key(&self) -> bool {
        let unknown =
            |it: &Attempt| matches!(it.state, Attempted::Over(TrialOutcome::KeyIdUnknown));
        self.attempts.iter().all(unknown)
    }
}

/// One signature with one key and algorithm.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) algorithm: Option<SignatureAlgorithm>,
    pub(super) key: Option<Arc<VerificationKey>>,
    pub(super) signer: Option<Box<Signer>>,
    pub(super) state: Attempted,
}

/// The progress of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Attempted {
    /// No verdict changes it.
    Over(TrialOutcome),
    /// The next verdicts, so many, are those of this attempt: all must be good. One for a plain
    /// signature; a proof of several parts has one for each.
    Awaits(NonZeroUsize),
}

impl Attempted {
    /// One signature to verify, unless the outcome is known.
    pub(super) fn new(outcome: Option<TrialOutcome>) -> Self {
        outcome.map_or(Self::Awaits(NonZeroUsize::MIN), Self::Over)
    }
}

/// The span of time around `now` in which no key that was considered changes its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unchanging {
    /// Its first second.
    pub(crate) from: UnixTime,
    /// The first second after it.
    pub(crate) until: Option<UnixTime>,
}

/// The envelopes to take apart before [`pair`]: every signature whose key id names one of `keys`
/// with signatures that come in one. Each once.
pub fn sealed(keys: &[Arc<VerificationKey>], evidence: &Evidence) -> Vec<Sealed> {
    let (true, Ok(attestations)) = (keys.iter().any(|key| key.envelope.is_some()), evidence) else {
        return Vec::new();
    };
    let keys = KeysById::new(keys);
    let mut sealed = HashSet::new();
    for attestation in attestations {
        for signature in &attestation.signatures {
            let named = keys.named(&signature.key_id);
            let decoders = named.filter_map(|key| key.envelope.as_ref());
            sealed.extend(decoders.map(|envelope| seal(envelope, attestation, signature)));
        }
    }
    sealed.into_iter().collect()
}

fn seal(envelope: &Envelope, attestation: &Attestation, signature: &Signature) -> Sealed {
    Sealed {
        decoder: Arc::clone(&envelope.decoder),
        payload: attestation.payload.clone(),
        signature: signature.signature.clone(),
    }
}

/// Selects for each signature the keys that it names, by exact equality of ids. A signature in an
/// envelope names, by the id of its attestation, whose it is, and in itself which key made it.
///
/// A signature whose key is unknown or not valid at `now` gets no check: its trial is over.
pub fn pair(
    digest: Digest,
    sources: &[AttestorEvidence<'_>],
    now: UnixTime,
    limits: &Limits,
) -> Pairing {
    let mut pairs = Pairs::default();
    let mut attestors = Vec::with_capacity(sources.len());
    for source in sources {
        let trials = match source.attestor {
            Some(attestor) => {
                let evidence = (source.evidence, source.envelopes);
                pairs.trials(&attestor.keys, evidence, now, limits)
            }
            None => Err(AttestorReason::AttestorUnknown),
        };
        let missing = source.attestor.and_then(|attestor| attestor.missing.clone());
        attestors.push(PairedAttestor { name: source.name.clone(), missing, trials });
    }
    Pairing { digest, attestors, pairs }
}

/// The signatures to verify, as they come together from several sets of keys.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// One for each trial that awaits a verdict, in the order of the trials.
    pub(crate) checks: Vec<Check>,
    pub(crate) unchanging: Unchanging,
}

impl Default for Pairs {
    fn default() -> Self {
        let unchanging = Unchanging { from: UnixTime(i64::MIN), until: None };
        Self { checks: Vec::new(), unchanging }
    }
}

/// The keys and the attestations to try, or why there is nothing to try.
fn material<'a>(
    keys: &'a Result<Vec<Arc<VerificationKey>>, String>,
    evidence: &'a Evidence,
) -> Result<(&'a [Arc<VerificationKey>], &'a [Attestation]), AttestorReason> {
    let keys = match keys {
        Ok(keys) if keys.is_empty() => return Err(AttestorReason::NoKeys),
        Ok(keys) => keys,
        Err(error) => return Err(AttestorReason::KeysUnavailable(cause(error))),
    };
    match evidence {
        Ok(attestations) if attestations.is_empty() => Err(AttestorReason::NoAttestations),
        Ok(attestations) => Ok((keys, attestations)),
        Err(error) => Err(AttestorReason::EvidenceUnavailable(cause(&error.to_string()))),
    }
}

/// Why evidence or keys are unavailable, as it is shown.
pub(super) fn cause(text: &str) -> String {
    beginning(text, CAUSE_BYTES_MAX)
}

impl Pairs {
    /// Holds what is stored against one set of keys.
    pub(crate) fn trials(
        &mut self,
        keys: &Result<Vec<Arc<VerificationKey>>, String>,
        (evidence, envelopes): (&Evidence, &Envelopes),
        now: UnixTime,
        limits: &Limits,
    ) -> PairedTrials {
        let (keys, attestations) = material(keys, evidence)?;
        let keys = KeysById::new(keys);
        let mut trials = Vec::new();
        for attestation in attestations {
            for (index, signature) in attestation.signatures.iter().enumerate() {
                let named: Vec<_> = keys.named(&signature.key_id).collect();
                let candidate = Candidate { attestation, signature, named, envelopes };
                trials.push(PairedTrial {
                    occurrence: attestation.occurrence.clone(),
                    signature_index: attestation.first_signature + index,
                    key_id: signature.key_id.clone(),
                    attempts: self.attempts(&candidate, now, limits),
                });
            }
        }
        Ok(trials)
    }

    fn attempts(
        &mut self,
        candidate: &Candidate<'_>,
        now: UnixTime,
        limits: &Limits,
    ) -> Vec<Attempt> {
        if candidate.named.is_empty() {
            return vec![Attempt::with(None, TrialOutcome::KeyIdUnknown)];
        }
        if let Some(outcome) = oversized(candidate.attestation, limits) {
            return vec![Attempt::with(candidate.named.first().copied(), outcome)];
        }
        let mut attempts = Vec::new();
        for key in candidate.named.iter().filter(|key| key.envelope.is_none()) {
            attempts.push(self.raw(candidate, key, now));
        }
        attempts.extend(self.enveloped(candidate, now));
        attempts
    }

    fn raw(
        &mut self,
        candidate: &Candidate<'_>,
        key: &Arc<VerificationKey>,
        now: UnixTime,
    ) -> Attempt {
        self.unchanging.narrow(&key.validity, now);
        let outcome = invalid(&key.validity, now);
        if outcome.is_none() {
            self.checks.push(Check {
                key: Arc::clone(key),
                payload: candidate.attestation.payload.clone(),
                exact: None,
                signature: candidate.signature.signature.clone(),
            });
        }
        let (algorithm, key) = (Some(key.algorithm), Some(Arc::clone(key)));
        Attempt { algorithm, key, signer: None, state: Attempted::new(outcome) }
    }
}

/// One signature as stored, and the keys that its id names.
pub(super) struct Candidate<'a> {
    pub(super) attestation: &'a Attestation,
    signature: &'a Signature,
    pub(super) named: Vec<&'a Arc<VerificationKey>>,
    envelopes: &'a Envelopes,
}

impl<'a> Candidate<'a> {
    /// The contents of the signature, for each way in which it may be in an envelope.
    pub(super) fn opened(&self) -> Vec<Result<&'a [Enclosed], Unavailable>> {
        let mut decoders: Vec<&Arc<str>> = Vec::new();
        let mut opened = Vec::new();
        for envelope in self.named.iter().filter_map(|key| key.envelope.as_ref()) {
            if !decoders.contains(&&envelope.decoder) {
                decoders.push(&envelope.decoder);
                let sealed = seal(envelope, self.attestation, self.signature);
                opened.push(self.envelopes.opened(&sealed));
            }
        }
        opened
    }
}

impl Attempt {
    /// One with this key that needs no verdict.
    pub(super) fn with(key: Option<&Arc<VerificationKey>>, outcome: TrialOutcome) -> Self {
        Self {
            algorithm: key.map(|key| key.algorithm),
            key: key.cloned(),
            signer: None,
            state: Attempted::Over(outcome),
        }
    }
}

/// The keys of one attestor, found by id without comparing every signature with every key.
struct KeysById<'a>(Vec<(&'a KeyId, &'a Arc<VerificationKey>)>);

impl<'a> KeysById<'a> {
    fn new(keys: &'a [Arc<VerificationKey>]) -> Self {
        let mut by_id: Vec<_> =
            keys.iter().flat_map(|key| key.ids.iter().map(move |id| (id, key))).collect();
        by_id.sort_by_key(|&(id, _)| id);
        Self(by_id)
    }

    /// Every key of that id, in the attestor's order: one id may name a whole certificate, or a
    /// key for each algorithm that it may be used with.
    fn named(&self, id: &KeyId) -> impl Iterator<Item = &'a Arc<VerificationKey>> {
        let first = self.0.partition_point(|&(known, _)| known < id);
        let same = self.0[first..].iter().take_while(move |&&(known, _)| known == id);
        same.map(|&(_, key)| key).collect::<Vec<_>>().into_iter()
    }
}

/// Why a key may not be used at `now`.
pub(super) fn invalid(validity: &Validity, now: UnixTime) -> Option<TrialOutcome> {
    let revoked = validity.revoked_at.filter(|&revoked_at| revoked_at <= now);
    let early = validity.not_before.filter(|&not_before| now < not_before);
    let late = validity.not_after.filter(|&not_after| not_after < now);
    revoked
        .map(|revoked_at| TrialOutcome::KeyRevoked { revoked_at })
        .or_else(|| early.map(|not_before| TrialOutcome::KeyNotYetValid { not_before }))
        .or_else(|| late.map(|not_after| TrialOutcome::KeyExpired { not_after }))
}

fn oversized(attestation: &Attestation, limits: &Limits) -> Option<TrialOutcome> {
    let (bytes, max) = (attestation.payload.len(), limits.payload_bytes_max);
    let error = PayloadError::TooLarge { bytes, max };
    (bytes > max).then(|| TrialOutcome::PayloadMalformed { error: error.to_string() })
}

impl Unchanging {
    /// Ends the span where a key of this validity changes.
    pub(super) fn narrow(&mut self, validity: &Validity, now: UnixTime) {
        let expired = validity.not_after.and_then(|last| last.0.checked_add(1)).map(UnixTime);
        for change in [validity.not_before, expired, validity.revoked_at].into_iter().flatten() {
            self.narrow_at(change, now);
        }
    }

    /// Ends the span at a second at which something changes.
    pub(super) fn narrow_at(&mut self, change: UnixTime, now: UnixTime) {
        if change <= now {
            self.from = self.from.max(change);
        } else {
            self.until = Some(self.until.map_or(change, |until| until.min(change)));
        }
    }
}
