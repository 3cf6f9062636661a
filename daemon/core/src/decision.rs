//! Decisions, and everything there is to say about why.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attestor::{KeyId, SignatureAlgorithm, VerificationKey};
use crate::image::Digest;
use crate::names::{AttestorName, OccurrenceName, ProjectId};
use crate::policy::{EnforcementMode, RuleMatch};
use crate::time::UnixTime;
use crate::verdict::{SignedForm, Unavailable};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// True if the request goes ahead: every image conforms, or enforcement was lifted.
    pub allowed: bool,
    /// The rule of the request is a dry-run rule: a denial is recorded, not enforced.
    pub dry_run: bool,
    /// The request asked for break-glass: a denial is recorded, not enforced.
    pub break_glass: bool,
    /// The snapshot that decided.
    pub generation: u64,
    /// One for each image, in the order of the request.
    pub images: Vec<ImageDecision>,
}

impl Decision {
    /// True if a denial of this request blocks it: neither dry run nor break-glass lifts it, or it
    /// is one that they cannot lift.
    pub fn enforced(&self) -> bool {
        !self.allowed || !(self.dry_run || self.break_glass)
    }

    /// True if there are images and every one conforms, before dry run and break-glass.
    pub fn conforms(&self) -> bool {
        !self.images.is_empty() && self.images.iter().all(|image| image.allowed)
    }
}

/// The answer for one image, before dry run and break-glass.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageDecision {
    /// The image exactly as the request names it.
    pub image: Box<str>,
    /// Its digest, where it names one.
    pub digest: Option<Digest>,
    /// True if the image conforms to the policy.
    pub allowed: bool,
    /// The admission rule that governs the request; `None` where an allowlist or a failure
    /// decided before any rule was chosen.
    pub rule: Option<RuleMatch>,
    /// The enforcement mode of `rule`.
    pub enforcement: Option<EnforcementMode>,
    /// Why.
    pub reason: Reason,
    /// The attestors asked, each with what was tried.
    pub attestors: Arc<[AttestorResult]>,
    /// The number of further attestors that were asked, and are left out because the decision says
    /// enough.
    pub attestors_left_out: usize,
    /// True if the evaluation came from the decision cache.
    pub cached: bool,
}

/// Why an image is allowed or denied, with what there is to say of it. Closed: a new reason must be
/// handled where it is rendered, as [`ImageDecision::message`] and [`ImageDecision::cause`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Allowed by a pattern of the system policy.
    SystemPolicyAllowlisted {
        /// The pattern.
        pattern: String,
    },
    /// Allowed by a pattern of the project's policy.
    Allowlisted {
        /// The pattern.
        pattern: String,
    },
    /// Allowed by an ALWAYS_ALLOW rule.
    AlwaysAllow,
    /// Allowed: every attestor that the rule names has attested the digest.
    Attested,
    /// Denied by an ALWAYS_DENY rule.
    AlwaysDeny,
    /// Denied: at least one attestor has not attested the digest.
    NotAttested,
    /// Denied: attestations are needed and the image names no sha256 digest.
    DigestRequired {
        /// Who would have to attest it.
        attestors: Arc<[AttestorName]>,
    },
    /// Denied: the image reference cannot be one.
    ImageMalformed,
    /// Denied: the project holds nothing, not even a policy.
    ProjectUnknown {
        /// The project.
        project: ProjectId,
    },
    /// Denied: the project holds resources, but nobody has written its policy.
    PolicyNotWritten {
        /// The project.
        project: ProjectId,
    },
    /// Denied: a limit of [`crate::limits::Limits`] was reached.
    LimitExceeded(Exceeded),
    /// Denied: the audit record could not be written, so the decision does not stand.
    AuditUnavailable,
    /// Denied: whoever asks had so much recorded that no more is for now, so the decision does not
    /// stand.
    AuditLimitExceeded,
    /// Denied: the audit record would be longer than a line of the log may be. The record of this
    /// denial has no explanation.
    AuditRecordTooLong,
    /// Could not be determined: an attestor's evidence or keys were unavailable, or a check could
    /// not be carried out. Denied.
    Undetermined,
}

/// A limit that a request does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// The number of its images.
    Images {
        /// The number that it names, which may be none.
        named: usize,
        /// The number that it may name.
        max: usize,
    },
    /// The bytes of one image reference.
    ImageBytes {
        /// The number that it has.
        bytes: usize,
        /// The number that it may have.
        max: usize,
    },
}

impl Reason {
    /// The word in answers, audit records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SystemPolicyAllowlisted { .. } => "SYSTEM_POLICY_ALLOWLISTED",
            Self::Allowlisted { .. } => "ALLOWLISTED",
            Self::AlwaysAllow => "ALWAYS_ALLOW",
            Self::Attested => "ATTESTED",
            Self::AlwaysDeny => "ALWAYS_DENY",
            Self::NotAttested => "NOT_ATTESTED",
            Self::DigestRequired { .. } => "DIGEST_REQUIRED",
            Self::ImageMalformed => "IMAGE_MALFORMED",
            Self::ProjectUnknown { .. } => "PROJECT_UNKNOWN",
            Self::PolicyNotWritten { .. } => "POLICY_NOT_WRITTEN",
            Self::LimitExceeded(_) => "LIMIT_EXCEEDED",
            Self::AuditUnavailable => "AUDIT_UNAVAILABLE",
            Self::AuditLimitExceeded => "AUDIT_LIMIT_EXCEEDED",
            Self::AuditRecordTooLong => "AUDIT_RECORD_TOO_LONG",
            Self::Undetermined => "UNDETERMINED",
        }
    }

    /// True if an image with this reason is allowed.
    pub fn allows(&self) -> bool {
        matches!(
            self,
            Self::SystemPolicyAllowlisted { .. }
                | Self::Allowlisted { .. }
                | Self::AlwaysAllow
                | Self::Attested
        )
    }

    /// True if the denial says only that the answer could not be determined.
    pub fn is_undetermined(&self) -> bool {
        matches!(self, Self::Undetermined | Self::AuditUnavailable | Self::AuditLimitExceeded)
    }
}

/// The answer of one attestor about one digest, and everything that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestorResult {
    /// Which attestor.
    pub attestor: AttestorName,
    /// Why it is satisfied or not.
    pub reason: AttestorReason,
    /// The first signatures of its occurrences, with the best of all among them, in stored order;
    /// at most [`crate::evaluate::explain::TRIALS_SHOWN_MAX`].
    pub trials: Vec<Trial>,
    /// The outcomes of the others.
    pub others: OtherOutcomes,
}

/// The outcomes of signatures that are not shown: the number of each, by its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherOutcomes {
    counts: BTreeMap<&'static str, usize>,
    unavailable: bool,
}

impl OtherOutcomes {
    /// Counts one more.
    pub fn add(&mut self, outcome: &TrialOutcome) {
        *self.counts.entry(outcome.code()).or_default() += 1;
        self.unavailable |= matches!(outcome, TrialOutcome::Unavailable(_));
    }

    /// Counts what another has counted.
    pub fn join(&mut self, other: &Self) {
        for (code, count) in other.iter() {
            *self.counts.entry(code).or_default() += count;
        }
        self.unavailable |= other.unavailable;
    }

    /// Each outcome and how many there are, in the order of the words.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.counts.iter().map(|(code, count)| (*code, *count))
    }

    /// The number of all of them.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// True if a check of one of them was not carried out.
    pub fn has_unavailable(&self) -> bool {
        self.unavailable
    }
}

/// Why an attestor is satisfied or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttestorReason {
    /// At least one trial is [`TrialOutcome::Verified`].
    Verified,
    /// The policy names an attestor that does not exist.
    AttestorUnknown,
    /// It trusts no key, so nothing can satisfy it.
    NoKeys,
    /// No attestation of this digest is stored under its note.
    NoAttestations,
    /// Attestations there are; none is valid and by a trusted key.
    NoneVerified,
    /// Its evidence could not be read.
    EvidenceUnavailable(String),
    /// Its keys were unavailable.
    KeysUnavailable(String),
    /// At least one check could not be carried out, and none verified.
    VerifierUnavailable(Unavailable),
}

impl AttestorReason {
    /// The word in answers and audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::AttestorUnknown => "ATTESTOR_UNKNOWN",
            Self::NoKeys => "NO_KEYS",
            Self::NoAttestations => "NO_ATTESTATIONS",
            Self::NoneVerified => "NONE_VERIFIED",
            Self::EvidenceUnavailable(_) => "EVIDENCE_UNAVAILABLE",
            Self::KeysUnavailable(_) => "KEYS_UNAVAILABLE",
            Self::VerifierUnavailable(Unavailable::Overloaded) => "VERIFIER_OVERLOADED",
            Self::VerifierUnavailable(Unavailable::Deadline) => "DEADLINE_EXCEEDED",
            Self::VerifierUnavailable(Unavailable::Panicked) => "VERIFIER_FAILED",
            Self::VerifierUnavailable(Unavailable::Decoder) => "DECODER_UNAVAILABLE",
            Self::VerifierUnavailable(Unavailable::Holder) => "KEY_HOLDER_UNAVAILABLE",
            Self::VerifierUnavailable(Unavailable::Disagreement) => "VERIFIERS_DISAGREE",
        }
    }

    /// True if the failure says only that the answer could not be determined.
    pub fn is_undetermined(&self) -> bool {
        matches!(
            self,
            Self::EvidenceUnavailable(_) | Self::KeysUnavailable(_) | Self::VerifierUnavailable(_)
        )
    }
}

/// One signature held against one attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The occurrence that carries it.
    pub occurrence: OccurrenceName,
    /// Which signature of that occurrence, from 0.
    pub signature_index: usize,
    /// The key that it names.
    pub key_id: KeyId,
    /// The algorithm of that key, where the attestor has it.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The key that was tried, where the attestor has it. An id says which key is meant; this says
    /// which one it was, and whose.
    pub key: Option<Arc<VerificationKey>>,
    /// The result of the trial.
    pub outcome: TrialOutcome,
    /// The signature's own claims, where it came in an envelope.
    pub signer: Option<Box<Signer>>,
}

/// The claims of a signature in an envelope about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name that it gives its key: a fingerprint or a part of one. May be empty.
    pub key: Box<str>,
    /// When it says it was made.
    pub signed_at: Option<UnixTime>,
}

/// The result of holding one signature against an attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// Verified, and the payload names the digest.
    Verified {
        /// Which bytes the signature covers.
        form: SignedForm,
    },
    /// The attestor trusts no key of this id.
    KeyIdUnknown,
    /// The key is not valid yet.
    KeyNotYetValid {
        /// When it will be.
        not_before: UnixTime,
    },
    /// The key's validity has ended.
    KeyExpired {
        /// When it did.
        not_after: UnixTime,
    },
    /// The key is revoked.
    KeyRevoked {
        /// Since when.
        revoked_at: UnixTime,
    },
    /// The key did not make this signature over this payload.
    BadSignature,
    /// Not a signature of the format of its key, or not in a form that is accepted.
    SignatureMalformed {
        /// The fault in it.
        error: String,
    },
    /// It rests on what is too weak.
    SignatureRefused {
        /// On what.
        error: String,
    },
    /// Nobody here verifies it.
    AlgorithmUnsupported {
        /// The reason, for a person.
        error: String,
    },
    /// Made by a key that is no signing key of the certificate that its key id names.
    SigningKeyUnknown,
    /// The signature says that it no longer counts.
    SignatureExpired {
        /// Since when.
        expires_at: UnixTime,
    },
    /// The signature says that it is yet to be made.
    SignatureNotYetMade {
        /// When.
        signed_at: UnixTime,
    },
    /// The signature says that it was made before its key was valid.
    SignedBeforeKey {
        /// When the key began to be.
        not_before: UnixTime,
    },
    /// The payload in the envelope is not the one of the attestation.
    PayloadDiffers,
    /// Signature verified, but the payload is not one; or it is too large to be looked at.
    PayloadMalformed {
        /// The fault in it.
        error: String,
    },
    /// Signature verified, but the payload vouches for another digest.
    DigestMismatch {
        /// The digest that was signed.
        signed: String,
    },
    /// The check was not carried out.
    Unavailable(Unavailable),
}

impl TrialOutcome {
    /// The text in it that somebody else wrote.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::PayloadMalformed { error: text }
            | Self::SignatureMalformed { error: text }
            | Self::SignatureRefused { error: text }
            | Self::AlgorithmUnsupported { error: text }
            | Self::DigestMismatch { signed: text } => Some(text),
            _ => None,
        }
    }

    /// The word in answers and audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Verified { .. } => "VERIFIED",
            Self::KeyIdUnknown => "KEY_ID_UNKNOWN",
            Self::KeyNotYetValid { .. } => "KEY_NOT_YET_VALID",
            Self::KeyExpired { .. } => "KEY_EXPIRED",
            Self::KeyRevoked { .. } => "KEY_REVOKED",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::SignatureMalformed { .. } => "SIGNATURE_MALFORMED",
            Self::SignatureRefused { .. } => "SIGNATURE_REFUSED",
            Self::AlgorithmUnsupported { .. } => "ALGORITHM_UNSUPPORTED",
            Self::SigningKeyUnknown => "SIGNING_KEY_UNKNOWN",
            Self::SignatureExpired { .. } => "SIGNATURE_EXPIRED",
            Self::SignatureNotYetMade { .. } => "SIGNATURE_NOT_YET_MADE",
            Self::SignedBeforeKey { .. } => "SIGNED_BEFORE_KEY",
            Self::PayloadDiffers => "PAYLOAD_DIFFERS",
            Self::PayloadMalformed { .. } => "PAYLOAD_MALFORMED",
            Self::DigestMismatch { .. } => "DIGEST_MISMATCH",
            Self::Unavailable(Unavailable::Overloaded) => "VERIFIER_OVERLOADED",
            Self::Unavailable(Unavailable::Deadline) => "DEADLINE_EXCEEDED",
            Self::Unavailable(Unavailable::Panicked) => "VERIFIER_FAILED",
            Self::Unavailable(Unavailable::Decoder) => "DECODER_UNAVAILABLE",
            Self::Unavailable(Unavailable::Holder) => "KEY_HOLDER_UNAVAILABLE",
            Self::Unavailable(Unavailable::Disagreement) => "VERIFIERS_DISAGREE",
        }
    }
}
