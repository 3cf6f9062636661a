//! A check, and what verification says of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::attestor::VerificationKey;

/// One signature to verify: did `key` sign `payload`?
#[derive(Clone, Debug)]
pub struct Check {
    /// The key that the signature names.
    pub key: Arc<VerificationKey>,
    /// The payload as stored. Two forms of signed bytes exist for it, [`SignedForm`].
    pub payload: Bytes,
    /// The raw signature.
    pub signature: Bytes,
}

/// Which bytes a signature was found to cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedForm {
    /// The payload itself.
    Raw,
    /// `DSSEv1 SP len(type) SP type SP len(payload) SP payload` with the cosign simple-signing
    /// type; see [`crate::payload::pae`].
    Pae,
}

/// The answer to a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is this key's, over these bytes.
    Verified(Verified),
    /// The arithmetic was done and said no, or the signature cannot be one of this algorithm.
    BadSignature,
    /// The arithmetic was not done: a statement about the daemon, not about the signature.
    Unavailable(Unavailable),
}

/// Why a check was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The verification queue is full.
    Overloaded,
    /// The deadline of the request passed first.
    Deadline,
    /// The batch that held the check panicked.
    Panicked,
    /// Two verifiers disagreed about a check of the batch: neither is believed.
    Disagreement,
}

/// Proof that a signature was verified. Only the verifier may make one: search for `assertion(`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    form: SignedForm,
}

impl Verified {
    /// States that the arithmetic was done, over the bytes of `form`, and said yes.
    pub const fn assertion(form: SignedForm) -> Self {
        Self { form }
    }

    /// The bytes that the signature covers.
    pub fn form(self) -> SignedForm {
        self.form
    }
}
