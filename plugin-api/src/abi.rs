//! The plugin ABI, major version 1: `#[repr(C)]` layout and nothing else.
//!
//! `include/hallmark_plugin.h` is generated from this file; the comments here are the contract
//! that a plugin author reads. 64-bit targets only.
//!
//! Growth within a major version is append-only: new trailing fields, new flag bits, new numbers.
//! Every struct that crosses carries its writer's `struct_size`, arrays carry their stride, and a
//! reader never touches a field that lies beyond what the writer compiled.

use core::mem::{offset_of, size_of};

/// First word of the plugin table: "HMK1" in little endian.
pub const HALLMARK_ABI_MAGIC: u32 = 0x314B_4D48;
/// The major version. Another major is another symbol.
pub const HALLMARK_ABI_MAJOR: u16 = 1;
/// The minor version described by this file.
pub const HALLMARK_ABI_MINOR: u16 = 0;

/// Did the call run? `HALLMARK_RC_*`. What it found is said per item, by a verdict.
pub type Rc = i32;
/// The call ran.
pub const HALLMARK_RC_OK: Rc = 0;
/// A NULL, a wrong size or a wrong count.
pub const HALLMARK_RC_INVALID_ARG: Rc = 1;
/// This plugin does not do that.
pub const HALLMARK_RC_UNSUPPORTED: Rc = 2;
/// The configuration is wrong: whoever wrote it must act.
pub const HALLMARK_RC_CONFIG: Rc = 3;
/// The backend (file, token, network) does not answer now.
pub const HALLMARK_RC_UNAVAILABLE: Rc = 4;
/// The deadline of the call passed.
pub const HALLMARK_RC_TIMEOUT: Rc = 5;
/// The cancel flag was seen.
pub const HALLMARK_RC_CANCELLED: Rc = 6;
/// All sessions of the backend are in use.
pub const HALLMARK_RC_BUSY: Rc = 7;
/// The backend refuses the credentials.
pub const HALLMARK_RC_AUTH: Rc = 8;
/// A bug in the plugin.
pub const HALLMARK_RC_INTERNAL: Rc = 9;
/// A panic or exception was caught inside the plugin.
pub const HALLMARK_RC_PANIC: Rc = 10;
/// The snapshot no longer describes the backend: open another.
pub const HALLMARK_RC_STALE_SNAPSHOT: Rc = 11;
/// The input (key material) is not what it claims to be: whoever wrote it must act.
pub const HALLMARK_RC_MALFORMED: Rc = 12;
/// A sink refuses more: a limit of the host is reached. Return it onwards.
pub const HALLMARK_RC_LIMIT: Rc = 13;

/// The answer to one item of a batch. Anything but the constants below reads as a backend error.
pub type Verdict = u32;
/// The verdict that the host writes before the call: never an answer.
pub const HALLMARK_NOT_PROCESSED: Verdict = 0;
/// `verify_batch` only: the signature is this key's, over this message. A high-entropy constant,
/// so that zeroed, short-written or stray memory never reads as valid.
pub const HALLMARK_VALID: Verdict = 0x5AFE_600D;
/// `decode_batch` and `sign_batch` only: the output went through the sink.
pub const HALLMARK_DONE: Verdict = 0x600D_D09E;
/// The arithmetic said no.
pub const HALLMARK_BAD_SIGNATURE: Verdict = 2;
/// Not a signature of this format.
pub const HALLMARK_MALFORMED: Verdict = 3;
/// No such key.
pub const HALLMARK_KEY_UNKNOWN: Verdict = 4;
/// The key's validity has ended.
pub const HALLMARK_KEY_EXPIRED: Verdict = 5;
/// The key's validity has not begun.
pub const HALLMARK_KEY_NOT_YET: Verdict = 6;
/// The key is revoked.
pub const HALLMARK_KEY_REVOKED: Verdict = 7;
/// The signature carries an end of validity that has passed.
pub const HALLMARK_SIG_EXPIRED: Verdict = 8;
/// The key may not be used for this.
pub const HALLMARK_KEY_USAGE: Verdict = 9;
/// The algorithm, or a flag of the item, is not known to the plugin.
pub const HALLMARK_ALG_UNSUPPORTED: Verdict = 10;
/// The algorithm is known and refused: a weak hash, a short key.
pub const HALLMARK_ALG_REJECTED: Verdict = 11;
/// The backend failed: retryable, and not a statement about the signature.
pub const HALLMARK_BACKEND_ERROR: Verdict = 12;
/// The cancel flag was seen before this item.
pub const HALLMARK_ITEM_CANCELLED: Verdict = 13;
/// The deadline passed before this item.
pub const HALLMARK_ITEM_TIMEOUT: Verdict = 14;

/// `caps`: snapshots list keys.
pub const HALLMARK_CAP_KEYS: u64 = 1;
/// `caps`: `decode_batch` is present.
pub const HALLMARK_CAP_DECODE: u64 = 2;
/// `caps`: `verify_batch` is present.
pub const HALLMARK_CAP_VERIFY: u64 = 4;
/// `caps`: `sign_batch` is present.
pub const HALLMARK_CAP_SIGN: u64 = 8;
/// `caps`: calls the host's `keys_changed`.
pub const HALLMARK_CAP_PUSH: u64 = 16;
/// `caps`: may wait for files, devices or the network: never called on a CPU worker.
pub const HALLMARK_CAP_BLOCKING: u64 = 32;
/// `caps`: looks at `call->cancel` at least every 50 ms.
pub const HALLMARK_CAP_CANCELLABLE: u64 = 64;
/// `caps`: must run in a process of its own (a Go runtime, signal handlers, PKCS#11 modules).
pub const HALLMARK_CAP_NEEDS_WORKER: u64 = 128;

/// RSASSA-PSS, 2048-bit key, SHA-256. Algorithm numbers are those of Google's proto.
pub const HALLMARK_ALG_RSA_PSS_2048_SHA256: u32 = 1;
/// RSASSA-PSS, 3072-bit key, SHA-256.
pub const HALLMARK_ALG_RSA_PSS_3072_SHA256: u32 = 2;
/// RSASSA-PSS, 4096-bit key, SHA-256.
pub const HALLMARK_ALG_RSA_PSS_4096_SHA256: u32 = 3;
/// RSASSA-PSS, 4096-bit key, SHA-512.
pub const HALLMARK_ALG_RSA_PSS_4096_SHA512: u32 = 4;
/// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-256.
pub const HALLMARK_ALG_RSA_PKCS1_2048_SHA256: u32 = 5;
/// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-256.
pub const HALLMARK_ALG_RSA_PKCS1_3072_SHA256: u32 = 6;
/// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-256.
pub const HALLMARK_ALG_RSA_PKCS1_4096_SHA256: u32 = 7;
/// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-512.
pub const HALLMARK_ALG_RSA_PKCS1_4096_SHA512: u32 = 8;
/// ECDSA on P-256 with SHA-256, signature in DER.
pub const HALLMARK_ALG_ECDSA_P256_SHA256: u32 = 9;
/// ECDSA on P-384 with SHA-384, signature in DER.
pub const HALLMARK_ALG_ECDSA_P384_SHA384: u32 = 10;
/// ECDSA on P-521 with SHA-512, signature in DER.
pub const HALLMARK_ALG_ECDSA_P521_SHA512: u32 = 11;
/// FIPS 204 ML-DSA-65, pure, empty context.
pub const HALLMARK_ALG_ML_DSA_65: u32 = 12;
/// RFC 8032 Ed25519; an extension, Google's proto has none.
pub const HALLMARK_ALG_ED25519: u32 = 32;
/// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-384; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_RSA_PKCS1_2048_SHA384: u32 = 33;
/// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-512; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_RSA_PKCS1_2048_SHA512: u32 = 34;
/// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-384; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_RSA_PKCS1_3072_SHA384: u32 = 35;
/// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-512; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_RSA_PKCS1_3072_SHA512: u32 = 36;
/// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-384; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_RSA_PKCS1_4096_SHA384: u32 = 37;
/// ECDSA on P-256 with SHA-384, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P256_SHA384: u32 = 38;
/// ECDSA on P-256 with SHA-512, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P256_SHA512: u32 = 39;
/// ECDSA on P-384 with SHA-256, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P384_SHA256: u32 = 40;
/// ECDSA on P-384 with SHA-512, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P384_SHA512: u32 = 41;
/// ECDSA on P-521 with SHA-256, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P521_SHA256: u32 = 42;
/// ECDSA on P-521 with SHA-384, signature in DER; an extension, as met in OpenPGP.
pub const HALLMARK_ALG_ECDSA_P521_SHA384: u32 = 43;

/// Key flag: may verify.
pub const HALLMARK_KEY_VERIFY: u32 = 1;
/// Key flag: `sign_batch` can sign with it.
pub const HALLMARK_KEY_SIGN: u32 = 2;
/// Key flag: `spki_der` is all that verification needs; the host does it without a call.
pub const HALLMARK_KEY_HOST_VERIFY: u32 = 4;
/// Key flag: revoked as compromised: nothing it ever signed counts.
pub const HALLMARK_KEY_HARD_REVOKED: u32 = 8;
/// Key flag: a signature dated until `not_after` counts after it, too. For formats whose
/// signatures carry their date.
pub const HALLMARK_KEY_OUTLIVES_EXPIRY: u32 = 16;
/// Key flag: a signature dated before `revoked_at` counts after it, too.
pub const HALLMARK_KEY_OUTLIVES_REVOCATION: u32 = 32;
/// Key flag: other keys of the snapshot go by one of its ids, too: the keys of a certificate, or
/// those of a rotation. Without it on each of them, the host uses none of the keys of such an id.
pub const HALLMARK_KEY_SHARES_ID: u32 = 64;
/// Key flag: something in the source that gives no key, such as a file that cannot be read as one.
/// `id` names it, `attrs_json` says why; all else is left out but the handle. It costs no other
/// key, and the host shows it to whoever operates it.
pub const HALLMARK_KEY_UNUSABLE: u32 = 128;

/// Item flag, sign: `message` is the digest that the algorithm makes of the message, as long as
/// its hash. For algorithms that hash once: RSA and ECDSA.
pub const HALLMARK_ITEM_PREHASHED: u32 = 1;

/// A time that is not given. Times are seconds since 1970-01-01 UTC.
pub const HALLMARK_TIME_ABSENT: i64 = i64::MIN;

/// Log level: operation is impaired.
pub const HALLMARK_LOG_ERROR: u32 = 1;
/// Log level: look at this some day.
pub const HALLMARK_LOG_WARN: u32 = 2;
/// Log level: worth a line in production.
pub const HALLMARK_LOG_INFO: u32 = 3;
/// Log level: for whoever debugs the plugin.
pub const HALLMARK_LOG_DEBUG: u32 = 4;

/// Borrowed bytes: never owned, valid until the call they are passed to returns. `ptr` may be NULL
/// where `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// First byte.
    pub ptr: *const u8,
    /// Count of bytes.
    pub len: usize,
}

/// Room for an error text, given by the caller of a function.
#[repr(C)]
#[derive(Debug)]
pub struct Error {
    /// Size of this struct as the host compiled it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Where the plugin may write UTF-8, no terminating zero needed.
    pub buf: *mut u8,
    /// Bytes that fit.
    pub cap: usize,
    /// Bytes the plugin wrote, at most `cap`.
    pub len: usize,
}

/// The circumstances of one call.
#[repr(C)]
#[derive(Debug)]
pub struct Call {
    /// Size of this struct as the host compiled it.
    pub struct_size: u32,
    /// Zero in 1.0.
    pub flags: u32,
    /// The time to judge by. A plugin never asks a clock of its own.
    pub now: i64,
    /// CLOCK_MONOTONIC nanoseconds at which the answer is worthless; 0 for never.
    pub deadline_mono_ns: u64,
    /// Read atomically (acquire): non-zero asks to stop. May be NULL.
    pub cancel: *const u32,
    /// For log lines; may be empty.
    pub trace_id: Bytes,
}

/// One public key, given to a key sink; all of it borrowed.
#[repr(C)]
#[derive(Debug)]
pub struct Key {
    /// Size of this struct as the plugin compiled it.
    pub struct_size: u32,
    /// `HALLMARK_KEY_*`.
    pub flags: u32,
    /// Names the key in batches, while the snapshot is open. 0 for a key from `resolve_keys`.
    pub handle: u64,
    /// Stable id shown to users and named by signatures: UTF-8, such as a URI.
    pub id: Bytes,
    /// Other ids that signatures name it by; may be NULL.
    pub other_ids: *const Bytes,
    /// Count of `other_ids`.
    pub n_other_ids: usize,
    /// SubjectPublicKeyInfo in DER. Required with `HALLMARK_KEY_HOST_VERIFY`.
    pub spki_der: Bytes,
    /// The format's own fingerprint (OpenPGP), or empty. The host computes SHA-256(spki_der) itself.
    pub fingerprint: Bytes,
    /// `HALLMARK_ALG_*`, the preferred one first.
    pub algs: *const u32,
    /// Count of `algs`.
    pub n_algs: usize,
    /// First second of validity, or absent.
    pub not_before: i64,
    /// Last second of validity, or absent.
    pub not_after: i64,
    /// Second of revocation, or absent.
    pub revoked_at: i64,
    /// A JSON object with whatever else is worth showing; may be empty. With
    /// `HALLMARK_KEY_UNUSABLE`: why, in UTF-8, for people.
    pub attrs_json: Bytes,
}

/// Key material as an attestor holds it.
#[repr(C)]
#[derive(Debug)]
pub struct Material {
    /// Size of this struct as the host compiled it.
    pub struct_size: u32,
    /// Zero in 1.0.
    pub flags: u32,
    /// One of the plugin's `forms`.
    pub form: Bytes,
    /// The material: a PEM block, an armored certificate.
    pub data: Bytes,
    /// The algorithm declared beside it, or 0.
    pub alg: u32,
    /// Zero.
    pub reserved: u32,
}

/// One signature that `decode_batch` found in a blob; all of it borrowed. A blob that is refused as
/// a whole may say why with one that is refused.
#[repr(C)]
#[derive(Debug)]
pub struct Decoded {
    /// Size of this struct as the plugin compiled it.
    pub struct_size: u32,
    /// Zero in 1.0.
    pub flags: u32,
    /// A key of the snapshot, or 0.
    pub key_handle: u64,
    /// The id by which the signature names its key; required where the handle is 0 and the
    /// signature is not refused.
    pub key_id: Bytes,
    /// `HALLMARK_ALG_*` of the raw signature; 0 where it is refused.
    pub alg: u32,
    /// 0, or why this signature must not be believed, whatever arithmetic would say: a reason, as
    /// in a result.
    pub refusal: Verdict,
    /// The exact bytes signed (OpenPGP: payload and trailer). Where the signature is refused: why,
    /// in UTF-8, for people.
    pub message: Bytes,
    /// The raw signature, in the form that the algorithm defines.
    pub signature: Bytes,
    /// The payload that the blob itself carries; empty for a detached signature.
    pub payload: Bytes,
    /// When the signature says it was made, or absent.
    pub signed_at: i64,
    /// When the signature says it ends, or absent.
    pub expires_at: i64,
}

/// Takes a key. The key is borrowed: the host has copied it when the sink returns. Anything but
/// `HALLMARK_RC_OK` ends the enumeration. Every sink is called on the thread of the call it was
/// given to, before that call returns.
pub type KeySink =
    Option<unsafe extern "C" fn(sink_ctx: *mut core::ffi::c_void, key: *const Key) -> Rc>;
/// Takes the bytes that belong to item `index`. Borrowed, copied when the sink returns.
pub type DataSink =
    Option<unsafe extern "C" fn(sink_ctx: *mut core::ffi::c_void, index: u32, data: Bytes) -> Rc>;
/// Takes one signature found in item `index`; a blob may hold several. Borrowed, copied when the
/// sink returns.
pub type DecodedSink = Option<
    unsafe extern "C" fn(
        sink_ctx: *mut core::ffi::c_void,
        index: u32,
        decoded: *const Decoded,
    ) -> Rc,
>;

/// One item of a batch. Step with `HALLMARK_ITEM`, never with `sizeof`.
#[repr(C)]
#[derive(Debug)]
pub struct Item {
    /// The key, or 0: then `key` names it, or the signature itself does.
    pub key_handle: u64,
    /// `HALLMARK_ALG_*`, or 0 where the plugin finds out.
    pub alg: u32,
    /// `HALLMARK_ITEM_*`. Bits you do not know: `HALLMARK_ALG_UNSUPPORTED`.
    pub flags: u32,
    /// verify: SPKI DER of a key that is in no snapshot, or empty. decode, sign: empty.
    pub key: Bytes,
    /// verify, sign: the message. decode: the detached payload, or empty.
    pub message: Bytes,
    /// verify: the signature. decode: the signature blob. sign: empty.
    pub signature: Bytes,
}

/// The answer to one item. The host hands it over zeroed. Step with `HALLMARK_RESULT`.
#[repr(C)]
#[derive(Debug)]
pub struct ItemResult {
    /// `HALLMARK_VALID`, `HALLMARK_DONE` or a reason.
    pub verdict: Verdict,
    /// A number of the plugin's own, for its log lines.
    pub detail: u32,
}

/// Items and room for their answers, immutable and valid until the call returns.
#[repr(C)]
#[derive(Debug)]
pub struct Batch {
    /// Size of this struct as the host compiled it.
    pub struct_size: u32,
    /// Count of items, never above the plugin's `max_batch`.
    pub n: u32,
    /// Bytes from one item to the next: at least the size of the 1.0 item.
    pub item_stride: u32,
    /// Bytes from one result to the next: at least the size of the 1.0 result.
    pub result_stride: u32,
    /// The items.
    pub items: *const Item,
    /// The answers.
    pub results: *mut ItemResult,
}

/// The services of the host for a plugin. The table outlives every plugin; calls after `destroy`
/// are ignored. Every function: `[thread-safe, never blocks on the plugin]`.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Size of this struct as the host compiled it.
    pub struct_size: u32,
    /// ABI major of the host.
    pub abi_major: u16,
    /// ABI minor of the host.
    pub abi_minor: u16,
    /// Hand it back with every call.
    pub ctx: *mut core::ffi::c_void,
    /// Writes a log line. Text that is not UTF-8 is replaced, long text cut.
    pub log: Option<
        unsafe extern "C" fn(ctx: *mut core::ffi::c_void, level: u32, target: Bytes, msg: Bytes),
    >,
    /// The highest `HALLMARK_LOG_*` that is written.
    pub log_level: Option<unsafe extern "C" fn(ctx: *mut core::ffi::c_void) -> u32>,
    /// Says that the next snapshot will differ. Returns at once and never re-enters the plugin;
    /// the host opens a snapshot later, from a thread of its own.
    pub keys_changed: Option<unsafe extern "C" fn(ctx: *mut core::ffi::c_void, instance_id: u64)>,
    /// Hands the secret of that name to the sink, once, with index 0. Secrets never stand in the
    /// configuration.
    pub get_secret: Option<
        unsafe extern "C" fn(
            ctx: *mut core::ffi::c_void,
            name: Bytes,
            sink: DataSink,
            sink_ctx: *mut core::ffi::c_void,
        ) -> Rc,
    >,
    /// The host's clock, for work between calls; inside a call use `call->now`.
    pub unix_now: Option<unsafe extern "C" fn(ctx: *mut core::ffi::c_void) -> i64>,
}

/// A configured plugin. Owned by the plugin, opaque to the host.
#[repr(C)]
#[derive(Debug)]
pub struct Instance {
    private: [u8; 0],
}

/// An immutable set of keys. Owned by the plugin, opaque to the host.
#[repr(C)]
#[derive(Debug)]
pub struct Snapshot {
    private: [u8; 0],
}

/// The table that the one exported function returns: static, constant data. The host copies it
/// once, at load, and never reads it again.
///
/// Threads: an instance is used from any thread and from many at once, at most `max_concurrency`;
/// threads come and go. No function may fork, exit, change signal masks, the environment, the
/// locale or the working directory, or write to stdout or stderr. Nothing may unwind out of one.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// `HALLMARK_ABI_MAGIC`.
    pub magic: u32,
    /// Size of this struct as the plugin compiled it.
    pub struct_size: u32,
    /// `HALLMARK_ABI_MAJOR`.
    pub abi_major: u16,
    /// `HALLMARK_ABI_MINOR` that the plugin was compiled against.
    pub abi_minor: u16,
    /// The lowest host minor it can live with.
    pub requires_host_minor: u16,
    /// Zero.
    pub reserved: u16,
    /// Calls that may run at once on one instance; 0 for any number. The host keeps it.
    pub max_concurrency: u32,
    /// Items in one batch; 0 for any number. The host keeps it.
    pub max_batch: u32,
    /// `HALLMARK_CAP_*`. Bits unknown to the host are ignored.
    pub caps: u64,
    /// Short name: lower-case letters, digits and `-`.
    pub name: Bytes,
    /// Version of the plugin, for people.
    pub version: Bytes,
    /// Who made it, for people.
    pub vendor: Bytes,
    /// JSON schema of the configuration; may be empty.
    pub config_schema_json: Bytes,
    /// Every `HALLMARK_ALG_*` that its keys may have.
    pub algs: *const u32,
    /// Count of `algs`.
    pub n_algs: usize,
    /// URI schemes of the key ids that its snapshots hold, such as `file`; lower case.
    pub schemes: *const Bytes,
    /// Count of `schemes`.
    pub n_schemes: usize,
    /// Forms of inline key material that `resolve_keys` reads: `pkix` (PEM
    /// SubjectPublicKeyInfo), `pgp` (armored certificate).
    pub forms: *const Bytes,
    /// Count of `forms`.
    pub n_forms: usize,
    /// Makes an instance of a configuration: UTF-8 JSON, borrowed. On OK `*out` is set and
    /// belongs to the plugin until `destroy`. `[any thread]` Required.
    pub create: Option<
        unsafe extern "C" fn(
            host: *const Host,
            instance_id: u64,
            config_json: Bytes,
            out: *mut *mut Instance,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Ends an instance: called once, after its last call returned and its last snapshot closed.
    /// Joins the plugin's threads. `[any thread]` Required.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut Instance)>,
    /// Can it do its work now? `[thread-safe]` Optional.
    pub health: Option<
        unsafe extern "C" fn(instance: *mut Instance, call: *const Call, error: *mut Error) -> Rc,
    >,
    /// Takes the picture of all keys. `generation` differs where the keys differ; `ttl_s` is after
    /// how many seconds to ask again, 0 for never. The snapshot belongs to the plugin and stays
    /// usable until `snapshot_close`. `[thread-safe]` Required with `HALLMARK_CAP_KEYS`.
    pub snapshot_open: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            call: *const Call,
            out: *mut *mut Snapshot,
            generation: *mut u64,
            ttl_s: *mut u32,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Gives every key of the snapshot to the sink. `[thread-safe]` Required with
    /// `HALLMARK_CAP_KEYS`.
    pub snapshot_keys: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            snapshot: *mut Snapshot,
            sink: KeySink,
            sink_ctx: *mut core::ffi::c_void,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Ends a snapshot: called once, after the last call that uses it. `[thread-safe]` Required
    /// with `HALLMARK_CAP_KEYS`.
    pub snapshot_close:
        Option<unsafe extern "C" fn(instance: *mut Instance, snapshot: *mut Snapshot)>,
    /// Reads inline key material and gives its keys to the sink. Material that is not of the form:
    /// `HALLMARK_RC_MALFORMED` with a text for whoever wrote it. `[thread-safe]` Required where
    /// `n_forms` is not 0.
    pub resolve_keys: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            call: *const Call,
            material: *const Material,
            sink: KeySink,
            sink_ctx: *mut core::ffi::c_void,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Takes signature blobs apart: for each item the signatures found go to the sink and
    /// `HALLMARK_DONE` into its result. `snapshot` may be NULL. `[thread-safe]` Required with
    /// `HALLMARK_CAP_DECODE`.
    pub decode_batch: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            snapshot: *mut Snapshot,
            call: *const Call,
            batch: *const Batch,
            sink: DecodedSink,
            sink_ctx: *mut core::ffi::c_void,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Verifies, for keys without `HALLMARK_KEY_HOST_VERIFY`. `snapshot` may be NULL.
    /// `[thread-safe]` Required with `HALLMARK_CAP_VERIFY`.
    pub verify_batch: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            snapshot: *mut Snapshot,
            call: *const Call,
            batch: *const Batch,
            error: *mut Error,
        ) -> Rc,
    >,
    /// Signs each message with its `key_handle`: the signature goes to the sink and
    /// `HALLMARK_DONE` into its result. `[thread-safe]` Required with `HALLMARK_CAP_SIGN`.
    pub sign_batch: Option<
        unsafe extern "C" fn(
            instance: *mut Instance,
            snapshot: *mut Snapshot,
            call: *const Call,
            batch: *const Batch,
            sink: DataSink,
            sink_ctx: *mut core::ffi::c_void,
            error: *mut Error,
        ) -> Rc,
    >,
    /// An optional interface by name (`vendor.interface/1`, zero-terminated), or NULL.
    /// `[any thread]` Optional.
    pub extension:
        Option<unsafe extern "C" fn(name: *const core::ffi::c_char) -> *const core::ffi::c_void>,
}

/// The type of the one exported symbol, [`HALLMARK_PLUGIN_ENTRY_V1`].
pub type Entry = unsafe extern "C" fn(host: *const Host) -> *const Plugin;
/// Its name.
pub const HALLMARK_PLUGIN_ENTRY_V1: &str = "hallmark_plugin_entry_v1";

// The layout of 1.0, written down: a change of any of these is a change of the major version.
const _: () = {
    assert!(size_of::<usize>() == 8, "the plugin ABI is defined for 64-bit targets");
    assert!(size_of::<Bytes>() == 16);
    assert!(size_of::<Error>() == 32 && offset_of!(Error, len) == 24);
    assert!(size_of::<Call>() == 48 && offset_of!(Call, trace_id) == 32);
    assert!(size_of::<Key>() == 136 && offset_of!(Key, attrs_json) == 120);
    assert!(size_of::<Material>() == 48 && offset_of!(Material, alg) == 40);
    assert!(size_of::<Decoded>() == 104 && offset_of!(Decoded, expires_at) == 96);
    assert!(size_of::<Item>() == 64 && offset_of!(Item, signature) == 48);
    assert!(size_of::<ItemResult>() == 8);
    assert!(size_of::<Batch>() == 32 && offset_of!(Batch, results) == 24);
    assert!(size_of::<Host>() == 56 && offset_of!(Host, unix_now) == 48);
    assert!(size_of::<Plugin>() == 232 && offset_of!(Plugin, create) == 144);
    assert!(offset_of!(Plugin, extension) == 224);
};
