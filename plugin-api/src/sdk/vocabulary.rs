//! The words that [`super::Plugin`] speaks in.

use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Algorithm;
use crate::abi;

/// The description of a plugin and of its abilities; becomes the plugin table.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Short name: lower-case letters, digits and `-`.
    pub name: &'static str,
    /// Version, for people.
    pub version: &'static str,
    /// Who made it, for people.
    pub vendor: &'static str,
    /// The parts of the interface that it implements.
    pub caps: Caps,
    /// Every algorithm that its keys may have.
    pub algorithms: &'static [Algorithm],
    /// URI schemes of the key ids in its snapshots, such as `file`; lower case.
    pub schemes: &'static [&'static str],
    /// Forms of inline key material that it resolves: `pkix`, `pgp`.
    pub forms: &'static [&'static str],
    /// JSON schema of its configuration; may be empty.
    pub config_schema: &'static str,
    /// Calls that may run at once on one instance; 0 for any number.
    pub max_concurrency: u32,
    /// Items in one batch; 0 for any number.
    pub max_batch: u32,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps(u64);

impl Caps {
    /// None.
    pub const NONE: Self = Self(0);
    /// Snapshots list keys.
    pub const KEYS: Self = Self(abi::HALLMARK_CAP_KEYS);
    /// Takes signature blobs apart.
    pub const DECODE: Self = Self(abi::HALLMARK_CAP_DECODE);
    /// Verifies what the host cannot.
    pub const VERIFY: Self = Self(abi::HALLMARK_CAP_VERIFY);
    /// Signs.
    pub const SIGN: Self = Self(abi::HALLMARK_CAP_SIGN);
    /// Calls [`super::Host::keys_changed`].
    pub const PUSH: Self = Self(abi::HALLMARK_CAP_PUSH);
    /// May wait for files, devices or the network.
    pub const BLOCKING: Self = Self(abi::HALLMARK_CAP_BLOCKING);
    /// Looks at [`Call::cancelled`] at least every 50 ms.
    pub const CANCELLABLE: Self = Self(abi::HALLMARK_CAP_CANCELLABLE);
    /// Must run in a process of its own.
    pub const NEEDS_WORKER: Self = Self(abi::HALLMARK_CAP_NEEDS_WORKER);

    /// Both sets together, usable in constants.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is all of `other` in it?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits as they cross the boundary.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of these bits; those unknown to this version stay and mean nothing.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The uses that a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyFlags(u32);

impl KeyFlags {
    /// May verify.
    pub const VERIFY: Self = Self(abi::HALLMARK_KEY_VERIFY);
    /// [`super::Plugin::sign`] can sign with it.
    pub const SIGN: Self = Self(abi::HALLMARK_KEY_SIGN);
    /// The SPKI is all that verification needs: the host does it without a call.
    pub const HOST_VERIFY: Self = Self(abi::HALLMARK_KEY_HOST_VERIFY);
    /// Revoked as compromised: nothing it ever signed counts.
    pub const HARD_REVOKED: Self = Self(abi::HALLMARK_KEY_HARD_REVOKED);
    /// A signature dated until [`Key::not_after`] counts after it, too.
    pub const OUTLIVES_EXPIRY: Self = Self(abi::HALLMARK_KEY_OUTLIVES_EXPIRY);
    /// A signature dated before [`Key::revoked_at`] counts after it, too.
    pub const OUTLIVES_REVOCATION: Self = Self(abi::HALLMARK_KEY_OUTLIVES_REVOCATION);
    /// Other keys go by one of its ids, too. Without it on each of them, none of them is used.
    pub const SHARES_ID: Self = Self(abi::HALLMARK_KEY_SHARES_ID);
    /// No key, but why there is none: see [`Key::unusable`].
    pub const UNUSABLE: Self = Self(abi::HALLMARK_KEY_UNUSABLE);

    /// Both sets together, usable in constants.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is all of `other` in it?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits as they cross the boundary.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of these bits; those unknown to this version stay and mean nothing.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl BitOr for KeyFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Names the key in batches, while the snapshot is open; not 0. Ignored where the key comes
    /// from [`super::Plugin::resolve`].
    pub handle: u64,
    /// Stable id shown to users and named by signatures, such as a URI. May be empty where the key
    /// comes from [`super::Plugin::resolve`]: the attestor names it then.
    pub id: String,
    /// Other ids that signatures name it by.
    pub other_ids: Vec<String>,
    /// SubjectPublicKeyInfo in DER; may be empty without [`KeyFlags::HOST_VERIFY`].
    pub spki_der: Vec<u8>,
    /// The format's own fingerprint (OpenPGP); empty for PKIX, the host computes SHA-256 itself.
    pub fingerprint: Vec<u8>,
    /// Algorithms it may be used with, the preferred one first.
    pub algorithms: Vec<Algorithm>,
    /// The uses that it allows.
    pub flags: KeyFlags,
    /// First second of validity, Unix time.
    pub not_before: Option<i64>,
    /// Last second of validity, Unix time.
    pub not_after: Option<i64>,
    /// Second of revocation, Unix time.
    pub revoked_at: Option<i64>,
    /// A JSON object with whatever else is worth showing; may be empty. With
    /// [`KeyFlags::UNUSABLE`]: why, for people.
    pub attrs_json: String,
}

impl Key {
    /// A key that the host verifies with, for ever valid.
    pub fn host_verified(
        handle: u64,
        id: impl Into<String>,
        spki_der: impl Into<Vec<u8>>,
        algorithms: impl Into<Vec<Algorithm>>,
    ) -> Self {
        Self {
            handle,
            id: id.into(),
            other_ids: Vec::new(),
            spki_der: spki_der.into(),
            fingerprint: Vec::new(),
            algorithms: algorithms.into(),
            flags: KeyFlags::VERIFY.with(KeyFlags::HOST_VERIFY),
            not_before: None,
            not_after: None,
            revoked_at: None,
            attrs_json: String::new(),
        }
    }

    /// Something in the source that gives no key, such as a file that cannot be read as one: the
    /// host shows whoever operates it `id`, which need not be its alone, and `why`.
    pub fn unusable(handle: u64, id: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            flags: KeyFlags::UNUSABLE,
            attrs_json: why.into(),
            ..Self::host_verified(handle, id, [], [])
        }
    }
}

/// A snapshot as [`super::Plugin::snapshot`] returns it.
#[derive(Clone, Debug)]
pub struct Snapshot<S> {
    /// Kept until the host closes the snapshot.
    pub keys: S,
    /// Differs where the keys differ.
    pub generation: u64,
    /// After how many seconds the host asks again; 0 for never.
    pub ttl_seconds: u32,
}

/// Key material as an attestor holds it.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// One of [`Info::forms`].
    pub form: &'a str,
    /// A PEM block, an armored certificate.
    pub data: &'a [u8],
    /// The algorithm declared beside it.
    pub algorithm: Option<Algorithm>,
}

/// One item of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// A key of the snapshot, or 0: then `key` names it, or the signature itself does.
    pub key_handle: u64,
    /// `None` where the plugin has to find out.
    pub algorithm: Option<Algorithm>,
    /// verify: SPKI DER of a key that is in no snapshot, or empty.
    pub key: &'a [u8],
    /// verify, sign: the message. decode: the detached payload, or empty.
    pub message: &'a [u8],
    /// verify: the signature. decode: the signature blob.
    pub signature: &'a [u8],
}

/// One signature found in a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// To be verified with the key that it names.
    Signed(Signed),
    /// Not to be believed, whatever arithmetic would say.
    Refused(Refusal),
}

/// Why a signature in a blob, or the blob, is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub failure: Failure,
    /// The id by which the signature names its key, where it does.
    pub key_id: String,
    /// For people: lower case, what is wrong with it.
    pub text: String,
}

impl Refusal {
    /// A blob that is refused as a whole.
    pub fn new(failure: Failure, text: impl Into<String>) -> Self {
        Self { failure, key_id: String::new(), text: text.into() }
    }
}

/// A signature to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// A key of the snapshot, or 0.
    pub key_handle: u64,
    /// The id by which the signature names its key; required where the handle is 0.
    pub key_id: String,
    /// Algorithm of `signature`.
    pub algorithm: Algorithm,
    /// The exact bytes signed.
    pub message: Vec<u8>,
    /// The raw signature, in the form that the algorithm defines.
    pub signature: Vec<u8>,
    /// The payload that the blob itself carries; empty for a detached signature. All signatures of a
    /// blob share one.
    pub payload: Arc<[u8]>,
    /// When the signature says it was made, Unix time.
    pub signed_at: Option<i64>,
    /// When the signature says it ends, Unix time.
    pub expires_at: Option<i64>,
}

/// The circumstances of one call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The time to judge by, Unix seconds. Ask no other clock.
    pub now: i64,
    /// `CLOCK_MONOTONIC` nanoseconds at which the answer is worthless.
    pub deadline_mono_ns: Option<u64>,
    pub(super) cancel: Option<&'a AtomicU32>,
}

impl Call<'_> {
    /// A call at `now` without deadline or cancellation, for the unit tests of a plugin.
    pub fn at(now: i64) -> Self {
        Self { now, deadline_mono_ns: None, cancel: None }
    }

    /// Does the host want the call to stop?
    pub fn cancelled(&self) -> bool {
        self.cancel.is_some_and(|flag| flag.load(Ordering::Acquire) != 0)
    }
}

/// Why a call did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Who has to act.
    pub kind: ErrorKind,
    /// For people: lower case, says what to do. Never a secret.
    pub text: String,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ErrorKind {
    /// The host's arguments make no sense.
    InvalidArgument = abi::HALLMARK_RC_INVALID_ARG,
    /// This plugin does not do that.
    Unsupported = abi::HALLMARK_RC_UNSUPPORTED,
    /// The configuration is wrong.
    Config = abi::HALLMARK_RC_CONFIG,
    /// The backend does not answer now.
    Unavailable = abi::HALLMARK_RC_UNAVAILABLE,
    /// The deadline passed.
    Timeout = abi::HALLMARK_RC_TIMEOUT,
    /// The host asked to stop.
    Cancelled = abi::HALLMARK_RC_CANCELLED,
    /// All sessions are in use.
    Busy = abi::HALLMARK_RC_BUSY,
    /// The backend refuses the credentials.
    Auth = abi::HALLMARK_RC_AUTH,
    /// A bug.
    Internal = abi::HALLMARK_RC_INTERNAL,
    /// The snapshot no longer describes the backend.
    StaleSnapshot = abi::HALLMARK_RC_STALE_SNAPSHOT,
    /// The key material is not what it claims to be.
    Malformed = abi::HALLMARK_RC_MALFORMED,
    /// The host takes no more.
    Limit = abi::HALLMARK_RC_LIMIT,
}

#[cfg(feature = "host")]
impl ErrorKind {
    /// The kind of a code; one of no meaning is a bug of the plugin.
    pub(crate) fn from_rc(rc: abi::Rc) -> Self {
        use ErrorKind::*;
        let kinds = [
            InvalidArgument,
            Unsupported,
            Config,
            Unavailable,
            Timeout,
            Cancelled,
            Busy,
            Auth,
            StaleSnapshot,
            Malformed,
            Limit,
        ];
        kinds.into_iter().find(|&kind| kind as abi::Rc == rc).unwrap_or(Internal)
    }
}

impl Error {
    /// An error with its text.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(super) fn unsupported() -> Self {
        Self::new(ErrorKind::Unsupported, "this plugin does not do that")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Why one item has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Failure {
    /// The arithmetic said no.
    BadSignature = abi::HALLMARK_BAD_SIGNATURE,
    /// Not a signature of this format.
    Malformed = abi::HALLMARK_MALFORMED,
    /// No such key.
    KeyUnknown = abi::HALLMARK_KEY_UNKNOWN,
    /// The key's validity has ended.
    KeyExpired = abi::HALLMARK_KEY_EXPIRED,
    /// The key's validity has not begun.
    KeyNotYet = abi::HALLMARK_KEY_NOT_YET,
    /// The key is revoked.
    KeyRevoked = abi::HALLMARK_KEY_REVOKED,
    /// The signature's own validity has ended.
    SignatureExpired = abi::HALLMARK_SIG_EXPIRED,
    /// The key may not be used for this.
    KeyUsage = abi::HALLMARK_KEY_USAGE,
    /// The algorithm is not known.
    AlgUnsupported = abi::HALLMARK_ALG_UNSUPPORTED,
    /// The algorithm is refused.
    AlgRejected = abi::HALLMARK_ALG_REJECTED,
    /// The backend failed: not a statement about the signature.
    Backend = abi::HALLMARK_BACKEND_ERROR,
    /// The host asked to stop.
    Cancelled = abi::HALLMARK_ITEM_CANCELLED,
    /// The deadline passed.
    Timeout = abi::HALLMARK_ITEM_TIMEOUT,
}

#[cfg(feature = "host")]
impl Failure {
    /// The failure of a verdict; one of no meaning, [`abi::HALLMARK_NOT_PROCESSED`] among them, is
    /// the backend's.
    pub(crate) fn from_verdict(verdict: abi::Verdict) -> Self {
        use Failure::*;
        let failures = [
            BadSignature,
            Malformed,
            KeyUnknown,
            KeyExpired,
            KeyNotYet,
            KeyRevoked,
            SignatureExpired,
            KeyUsage,
            AlgUnsupported,
            AlgRejected,
            Cancelled,
            Timeout,
        ];
        failures.into_iter().find(|&it| it as abi::Verdict == verdict).unwrap_or(Backend)
    }
}
