//! A check, and what verification says of it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::attestor::VerificationKey;
use crate::payload::pae;

/// One signature to verify: did `key` sign `payload`?
#[derive(Clone, Debug)]
pub struct Check {
    /// The key that the signature names.
    pub key: Arc<VerificationKey>,
    /// The payload as stored. Where nothing says what exactly was signed, two forms of signed bytes
    /// exist for it, [`SignedForm`].
    pub payload: Bytes,
    /// The exact bytes signed, where the signature came in an envelope.
    pub exact: Option<Bytes>,
    /// The raw signature.
    pub signature: Bytes,
}

impl Check {
    /// The forms of bytes that the signature may be over, in the order in which they are tried.
    pub fn forms(&self) -> &'static [SignedForm] {
        match self.exact {
            Some(_) => &[SignedForm::Enveloped],
            None => &[SignedForm::Raw, SignedForm::Pae],
        }
    }

    /// The bytes of one of these forms.
    pub fn message(&self, form: SignedForm) -> Cow<'_, [u8]> {
        match (form, &self.exact) {
            (SignedForm::Enveloped, Some(exact)) => Cow::Borrowed(exact),
            (SignedForm::Pae, _) => {
                Cow::Owned(pae::encode(pae::COSIGN_SIMPLE_SIGNING_TYPE, &self.payload))
            }
            _ => Cow::Borrowed(&self.payload),
        }
    }
}

/// Which bytes a signature was found to cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedForm {
    /// The payload itself.
    Raw,
    /// `DSSEv1 SP len(type) SP type SP len(payload) SP payload` with the cosign simple-signing
    /// type; see [`crate::payload::pae`].
    Pae,
    /// The payload with what the envelope of the signature adds; see [`crate::envelope`].
    Enveloped,
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
    /// The plugin that takes the envelope of the signature apart did not.
    Decoder,
    /// The plugin that alone verifies with the key did not.
    Holder,
    /// Two verifiers disagreed about a check of the batch: neither is believed.
    Disagreement,
}

/// Proof that a signature was verified. Only the verifier may make one, and where a plugin verifies
/// with keys that it holds, whoever asks it: search for `assertion(`.
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
