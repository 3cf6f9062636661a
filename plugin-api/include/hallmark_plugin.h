/* hallmark_plugin.h - the plugin ABI of Hallmark, major version 1.   SPDX-License-Identifier: Apache-2.0
 *
 * Generated from plugin-api/src/abi.rs; do not edit. Update: UPDATE_HEADER=1 cargo test -p hallmark-plugin-api --test contract header
 *
 * Export hallmark_plugin_entry_v1 from a shared object and nothing else (-fvisibility=hidden). Rules that hold for
 * every function:
 *   - Ownership: nothing changes owner. Pointers into the other side are borrowed for the call; variable output goes
 *     through a sink, which copies before it returns. There is no free function because there is nothing to free.
 *   - Versions: append-only within a major. Check struct_size with HALLMARK_HAS before reading beyond the 1.0 fields,
 *     step through arrays with HALLMARK_ITEM and HALLMARK_RESULT.
 *   - Time comes from the host, in call->now.
 *   - Nothing may unwind or longjmp out of a function. */
#ifndef HALLMARK_PLUGIN_H
#define HALLMARK_PLUGIN_H


#include <stddef.h>
#include <stdint.h>
#if defined(_WIN32)
#define HALLMARK_EXPORT __declspec(dllexport)
#else
#define HALLMARK_EXPORT __attribute__((visibility("default")))
#endif

/* Owned by the plugin, opaque to the host. */
typedef struct hallmark_instance hallmark_instance; /* a configured plugin */
typedef struct hallmark_snapshot hallmark_snapshot; /* an immutable set of keys */

// First word of the plugin table: "HMK1" in little endian.
#define HALLMARK_ABI_MAGIC 827018568

// The major version. Another major is another symbol.
#define HALLMARK_ABI_MAJOR 1

// The minor version described by this file.
#define HALLMARK_ABI_MINOR 0

// `caps`: snapshots list keys.
#define HALLMARK_CAP_KEYS 1

// `caps`: `decode_batch` is present.
#define HALLMARK_CAP_DECODE 2

// `caps`: `verify_batch` is present.
#define HALLMARK_CAP_VERIFY 4

// `caps`: `sign_batch` is present.
#define HALLMARK_CAP_SIGN 8

// `caps`: calls the host's `keys_changed`.
#define HALLMARK_CAP_PUSH 16

// `caps`: may wait for files, devices or the network: never called on a CPU worker.
#define HALLMARK_CAP_BLOCKING 32

// `caps`: looks at `call->cancel` at least every 50 ms.
#define HALLMARK_CAP_CANCELLABLE 64

// `caps`: must run in a process of its own (a Go runtime, signal handlers, PKCS#11 modules).
#define HALLMARK_CAP_NEEDS_WORKER 128

// RSASSA-PSS, 2048-bit key, SHA-256. Algorithm numbers are those of Google's proto.
#define HALLMARK_ALG_RSA_PSS_2048_SHA256 1

// RSASSA-PSS, 3072-bit key, SHA-256.
#define HALLMARK_ALG_RSA_PSS_3072_SHA256 2

// RSASSA-PSS, 4096-bit key, SHA-256.
#define HALLMARK_ALG_RSA_PSS_4096_SHA256 3

// RSASSA-PSS, 4096-bit key, SHA-512.
#define HALLMARK_ALG_RSA_PSS_4096_SHA512 4

// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-256.
#define HALLMARK_ALG_RSA_PKCS1_2048_SHA256 5

// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-256.
#define HALLMARK_ALG_RSA_PKCS1_3072_SHA256 6

// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-256.
#define HALLMARK_ALG_RSA_PKCS1_4096_SHA256 7

// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-512.
#define HALLMARK_ALG_RSA_PKCS1_4096_SHA512 8

// ECDSA on P-256 with SHA-256, signature in DER.
#define HALLMARK_ALG_ECDSA_P256_SHA256 9

// ECDSA on P-384 with SHA-384, signature in DER.
#define HALLMARK_ALG_ECDSA_P384_SHA384 10

// ECDSA on P-521 with SHA-512, signature in DER.
#define HALLMARK_ALG_ECDSA_P521_SHA512 11

// FIPS 204 ML-DSA-65, pure, empty context.
#define HALLMARK_ALG_ML_DSA_65 12

// RFC 8032 Ed25519; an extension, Google's proto has none.
#define HALLMARK_ALG_ED25519 32

// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-384; an extension, as met in OpenPGP.
#define HALLMARK_ALG_RSA_PKCS1_2048_SHA384 33

// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-512; an extension, as met in OpenPGP.
#define HALLMARK_ALG_RSA_PKCS1_2048_SHA512 34

// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-384; an extension, as met in OpenPGP.
#define HALLMARK_ALG_RSA_PKCS1_3072_SHA384 35

// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-512; an extension, as met in OpenPGP.
#define HALLMARK_ALG_RSA_PKCS1_3072_SHA512 36

// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-384; an extension, as met in OpenPGP.
#define HALLMARK_ALG_RSA_PKCS1_4096_SHA384 37

// ECDSA on P-256 with SHA-384, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P256_SHA384 38

// ECDSA on P-256 with SHA-512, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P256_SHA512 39

// ECDSA on P-384 with SHA-256, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P384_SHA256 40

// ECDSA on P-384 with SHA-512, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P384_SHA512 41

// ECDSA on P-521 with SHA-256, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P521_SHA256 42

// ECDSA on P-521 with SHA-384, signature in DER; an extension, as met in OpenPGP.
#define HALLMARK_ALG_ECDSA_P521_SHA384 43

// Key flag: may verify.
#define HALLMARK_KEY_VERIFY 1

// Key flag: `sign_batch` can sign with it.
#define HALLMARK_KEY_SIGN 2

// Key flag: `spki_der` is all that verification needs; the host does it without a call.
#define HALLMARK_KEY_HOST_VERIFY 4

// Key flag: revoked as compromised: nothing it ever signed counts.
#define HALLMARK_KEY_HARD_REVOKED 8

// Key flag: a signature dated until `not_after` counts after it, too. For formats whose
// signatures carry their date.
#define HALLMARK_KEY_OUTLIVES_EXPIRY 16

// Key flag: a signature dated before `revoked_at` counts after it, too.
#define HALLMARK_KEY_OUTLIVES_REVOCATION 32

// Key flag: other keys of the snapshot go by one of its ids, too: the keys of a certificate, or
// those of a rotation. Without it on each of them, the host uses none of the keys of such an id.
#define HALLMARK_KEY_SHARES_ID 64

// Key flag: something in the source that gives no key, such as a file that cannot be read as one.
// `id` names it, `attrs_json` says why; all else is left out but the handle. It costs no other
// key, and the host shows it to whoever operates it.
#define HALLMARK_KEY_UNUSABLE 128

// Item flag, sign: `message` is the digest that the algorithm makes of the message, as long as
// its hash. For algorithms that hash once: RSA and ECDSA.
#define HALLMARK_ITEM_PREHASHED 1

// A time that is not given. Times are seconds since 1970-01-01 UTC.
#define HALLMARK_TIME_ABSENT INT64_MIN

// Log level: operation is impaired.
#define HALLMARK_LOG_ERROR 1

// Log level: look at this some day.
#define HALLMARK_LOG_WARN 2

// Log level: worth a line in production.
#define HALLMARK_LOG_INFO 3

// Log level: for whoever debugs the plugin.
#define HALLMARK_LOG_DEBUG 4

// Did the call run? `HALLMARK_RC_*`. What it found is said per item, by a verdict.
typedef int32_t hallmark_rc;

// The answer to one item of a batch. Anything but the constants below reads as a backend error.
typedef uint32_t hallmark_verdict;

// Borrowed bytes: never owned, valid until the call they are passed to returns. `ptr` may be NULL
// where `len` is 0.
typedef struct hallmark_bytes {
  // First byte.
  const uint8_t *ptr;
  // Count of bytes.
  size_t len;
} hallmark_bytes;

// Takes the bytes that belong to item `index`. Borrowed, copied when the sink returns.
typedef hallmark_rc (*hallmark_data_sink)(void *sink_ctx, uint32_t index, struct hallmark_bytes data);

// The services of the host for a plugin. The table outlives every plugin; calls after `destroy`
// are ignored. Every function: `[thread-safe, never blocks on the plugin]`.
typedef struct hallmark_host {
  // Size of this struct as the host compiled it.
  uint32_t struct_size;
  // ABI major of the host.
  uint16_t abi_major;
  // ABI minor of the host.
  uint16_t abi_minor;
  // Hand it back with every call.
  void *ctx;
  // Writes a log line. Text that is not UTF-8 is replaced, long text cut.
  void (*log)(void *ctx, uint32_t level, struct hallmark_bytes target, struct hallmark_bytes msg);
  // The highest `HALLMARK_LOG_*` that is written.
  uint32_t (*log_level)(void *ctx);
  // Says that the next snapshot will differ. Returns at once and never re-enters the plugin;
  // the host opens a snapshot later, from a thread of its own.
  void (*keys_changed)(void *ctx, uint64_t instance_id);
  // Hands the secret of that name to the sink, once, with index 0. Secrets never stand in the
  // configuration.
  hallmark_rc (*get_secret)(void *ctx, struct hallmark_bytes name, hallmark_data_sink sink, void *sink_ctx);
  // The host's clock, for work between calls; inside a call use `call->now`.
  int64_t (*unix_now)(void *ctx);
} hallmark_host;

// Room for an error text, given by the caller of a function.
typedef struct hallmark_error {
  // Size of this struct as the host compiled it.
  uint32_t struct_size;
  // Zero.
  uint32_t reserved;
  // Where the plugin may write UTF-8, no terminating zero needed.
  uint8_t *buf;
  // Bytes that fit.
  size_t cap;
  // Bytes the plugin wrote, at most `cap`.
  size_t len;
} hallmark_error;

// The circumstances of one call.
typedef struct hallmark_call {
  // Size of this struct as the host compiled it.
  uint32_t struct_size;
  // Zero in 1.0.
  uint32_t flags;
  // The time to judge by. A plugin never asks a clock of its own.
  int64_t now;
  // CLOCK_MONOTONIC nanoseconds at which the answer is worthless; 0 for never.
  uint64_t deadline_mono_ns;
  // Read atomically (acquire): non-zero asks to stop. May be NULL.
  const uint32_t *cancel;
  // For log lines; may be empty.
  struct hallmark_bytes trace_id;
} hallmark_call;

// One public key, given to a key sink; all of it borrowed.
typedef struct hallmark_key {
  // Size of this struct as the plugin compiled it.
  uint32_t struct_size;
  // `HALLMARK_KEY_*`.
  uint32_t flags;
  // Names the key in batches, while the snapshot is open. 0 for a key from `resolve_keys`.
  uint64_t handle;
  // Stable id shown to users and named by signatures: UTF-8, such as a URI.
  struct hallmark_bytes id;
  // Other ids that signatures name it by; may be NULL.
  const struct hallmark_bytes *other_ids;
  // Count of `other_ids`.
  size_t n_other_ids;
  // SubjectPublicKeyInfo in DER. Required with `HALLMARK_KEY_HOST_VERIFY`.
  struct hallmark_bytes spki_der;
  // The format's own fingerprint (OpenPGP), or empty. The host computes SHA-256(spki_der) itself.
  struct hallmark_bytes fingerprint;
  // `HALLMARK_ALG_*`, the preferred one first.
  const uint32_t *algs;
  // Count of `algs`.
  size_t n_algs;
  // First second of validity, or absent.
  int64_t not_before;
  // Last second of validity, or absent.
  int64_t not_after;
  // Second of revocation, or absent.
  int64_t revoked_at;
  // A JSON object with whatever else is worth showing; may be empty. With
  // `HALLMARK_KEY_UNUSABLE`: why, in UTF-8, for people.
  struct hallmark_bytes attrs_json;
} hallmark_key;

// Takes a key. The key is borrowed: the host has copied it when the sink returns. Anything but
// `HALLMARK_RC_OK` ends the enumeration. Every sink is called on the thread of the call it was
// given to, before that call returns.
typedef hallmark_rc (*hallmark_key_sink)(void *sink_ctx, const struct hallmark_key *key);

// Key material as an attestor holds it.
typedef struct hallmark_material {
  // Size of this struct as the host compiled it.
  uint32_t struct_size;
  // Zero in 1.0.
  uint32_t flags;
  // One of the plugin's `forms`.
  struct hallmark_bytes form;
  // The material: a PEM block, an armored certificate.
  struct hallmark_bytes data;
  // The algorithm declared beside it, or 0.
  uint32_t alg;
  // Zero.
  uint32_t reserved;
} hallmark_material;

// One item of a batch. Step with `HALLMARK_ITEM`, never with `sizeof`.
typedef struct hallmark_item {
  // The key, or 0: then `key` names it, or the signature itself does.
  uint64_t key_handle;
  // `HALLMARK_ALG_*`, or 0 where the plugin finds out.
  uint32_t alg;
  // `HALLMARK_ITEM_*`. Bits you do not know: `HALLMARK_ALG_UNSUPPORTED`.
  uint32_t flags;
  // verify: SPKI DER of a key that is in no snapshot, or empty. decode, sign: empty.
  struct hallmark_bytes key;
  // verify, sign: the message. decode: the detached payload, or empty.
  struct hallmark_bytes message;
  // verify: the signature. decode: the signature blob. sign: empty.
  struct hallmark_bytes signature;
} hallmark_item;

// The answer to one item. The host hands it over zeroed. Step with `HALLMARK_RESULT`.
typedef struct hallmark_result {
  // `HALLMARK_VALID`, `HALLMARK_DONE` or a reason.
  hallmark_verdict verdict;
  // A number of the plugin's own, for its log lines.
  uint32_t detail;
} hallmark_result;

// Items and room for their answers, immutable and valid until the call returns.
typedef struct hallmark_batch {
  // Size of this struct as the host compiled it.
  uint32_t struct_size;
  // Count of items, never above the plugin's `max_batch`.
  uint32_t n;
  // Bytes from one item to the next: at least the size of the 1.0 item.
  uint32_t item_stride;
  // Bytes from one result to the next: at least the size of the 1.0 result.
  uint32_t result_stride;
  // The items.
  const struct hallmark_item *items;
  // The answers.
  struct hallmark_result *results;
} hallmark_batch;

// One signature that `decode_batch` found in a blob; all of it borrowed. A blob that is refused as
// a whole may say why with one that is refused.
typedef struct hallmark_decoded {
  // Size of this struct as the plugin compiled it.
  uint32_t struct_size;
  // Zero in 1.0.
  uint32_t flags;
  // A key of the snapshot, or 0.
  uint64_t key_handle;
  // The id by which the signature names its key; required where the handle is 0 and the
  // signature is not refused.
  struct hallmark_bytes key_id;
  // `HALLMARK_ALG_*` of the raw signature; 0 where it is refused.
  uint32_t alg;
  // 0, or why this signature must not be believed, whatever arithmetic would say: a reason, as
  // in a result.
  hallmark_verdict refusal;
  // The exact bytes signed (OpenPGP: payload and trailer). Where the signature is refused: why,
  // in UTF-8, for people.
  struct hallmark_bytes message;
  // The raw signature, in the form that the algorithm defines.
  struct hallmark_bytes signature;
  // The payload that the blob itself carries; empty for a detached signature.
  struct hallmark_bytes payload;
  // When the signature says it was made, or absent.
  int64_t signed_at;
  // When the signature says it ends, or absent.
  int64_t expires_at;
} hallmark_decoded;

// Takes one signature found in item `index`; a blob may hold several. Borrowed, copied when the
// sink returns.
typedef hallmark_rc (*hallmark_decoded_sink)(void *sink_ctx, uint32_t index, const struct hallmark_decoded *decoded);

// The table that the one exported function returns: static, constant data. The host copies it
// once, at load, and never reads it again.
//
// Threads: an instance is used from any thread and from many at once, at most `max_concurrency`;
// threads come and go. No function may fork, exit, change signal masks, the environment, the
// locale or the working directory, or write to stdout or stderr. Nothing may unwind out of one.
typedef struct hallmark_plugin {
  // `HALLMARK_ABI_MAGIC`.
  uint32_t magic;
  // Size of this struct as the plugin compiled it.
  uint32_t struct_size;
  // `HALLMARK_ABI_MAJOR`.
  uint16_t abi_major;
  // `HALLMARK_ABI_MINOR` that the plugin was compiled against.
  uint16_t abi_minor;
  // The lowest host minor it can live with.
  uint16_t requires_host_minor;
  // Zero.
  uint16_t reserved;
  // Calls that may run at once on one instance; 0 for any number. The host keeps it.
  uint32_t max_concurrency;
  // Items in one batch; 0 for any number. The host keeps it.
  uint32_t max_batch;
  // `HALLMARK_CAP_*`. Bits unknown to the host are ignored.
  uint64_t caps;
  // Short name: lower-case letters, digits and `-`.
  struct hallmark_bytes name;
  // Version of the plugin, for people.
  struct hallmark_bytes version;
  // Who made it, for people.
  struct hallmark_bytes vendor;
  // JSON schema of the configuration; may be empty.
  struct hallmark_bytes config_schema_json;
  // Every `HALLMARK_ALG_*` that its keys may have.
  const uint32_t *algs;
  // Count of `algs`.
  size_t n_algs;
  // URI schemes of the key ids that its snapshots hold, such as `file`; lower case.
  const struct hallmark_bytes *schemes;
  // Count of `schemes`.
  size_t n_schemes;
  // Forms of inline key material that `resolve_keys` reads: `pkix` (PEM
  // SubjectPublicKeyInfo), `pgp` (armored certificate).
  const struct hallmark_bytes *forms;
  // Count of `forms`.
  size_t n_forms;
  // Makes an instance of a configuration: UTF-8 JSON, borrowed. On OK `*out` is set and
  // belongs to the plugin until `destroy`. `[any thread]` Required.
  hallmark_rc (*create)(const struct hallmark_host *host,
                        uint64_t instance_id,
                        struct hallmark_bytes config_json,
                        hallmark_instance **out,
                        struct hallmark_error *error);
  // Ends an instance: called once, after its last call returned and its last snapshot closed.
  // Joins the plugin's threads. `[any thread]` Required.
  void (*destroy)(hallmark_instance *instance);
  // Can it do its work now? `[thread-safe]` Optional.
  hallmark_rc (*health)(hallmark_instance *instance, const struct hallmark_call *call, struct hallmark_error *error);
  // Takes the picture of all keys. `generation` differs where the keys differ; `ttl_s` is after
  // how many seconds to ask again, 0 for never. The snapshot belongs to the plugin and stays
  // usable until `snapshot_close`. `[thread-safe]` Required with `HALLMARK_CAP_KEYS`.
  hallmark_rc (*snapshot_open)(hallmark_instance *instance,
                               const struct hallmark_call *call,
                               hallmark_snapshot **out,
                               uint64_t *generation,
                               uint32_t *ttl_s,
                               struct hallmark_error *error);
  // Gives every key of the snapshot to the sink. `[thread-safe]` Required with
  // `HALLMARK_CAP_KEYS`.
  hallmark_rc (*snapshot_keys)(hallmark_instance *instance,
                               hallmark_snapshot *snapshot,
                               hallmark_key_sink sink,
                               void *sink_ctx,
                               struct hallmark_error *error);
  // Ends a snapshot: called once, after the last call that uses it. `[thread-safe]` Required
  // with `HALLMARK_CAP_KEYS`.
  void (*snapshot_close)(hallmark_instance *instance, hallmark_snapshot *snapshot);
  // Reads inline key material and gives its keys to the sink. Material that is not of the form:
  // `HALLMARK_RC_MALFORMED` with a text for whoever wrote it. `[thread-safe]` Required where
  // `n_forms` is not 0.
  hallmark_rc (*resolve_keys)(hallmark_instance *instance,
                              const struct hallmark_call *call,
                              const struct hallmark_material *material,
                              hallmark_key_sink sink,
                              void *sink_ctx,
                              struct hallmark_error *error);
  // Takes signature blobs apart: for each item the signatures found go to the sink and
  // `HALLMARK_DONE` into its result. `snapshot` may be NULL. `[thread-safe]` Required with
  // `HALLMARK_CAP_DECODE`.
  hallmark_rc (*decode_batch)(hallmark_instance *instance,
                              hallmark_snapshot *snapshot,
                              const struct hallmark_call *call,
                              const struct hallmark_batch *batch,
                              hallmark_decoded_sink sink,
                              void *sink_ctx,
                              struct hallmark_error *error);
  // Verifies, for keys without `HALLMARK_KEY_HOST_VERIFY`. `snapshot` may be NULL.
  // `[thread-safe]` Required with `HALLMARK_CAP_VERIFY`.
  hallmark_rc (*verify_batch)(hallmark_instance *instance,
                              hallmark_snapshot *snapshot,
                              const struct hallmark_call *call,
                              const struct hallmark_batch *batch,
                              struct hallmark_error *error);
  // Signs each message with its `key_handle`: the signature goes to the sink and
  // `HALLMARK_DONE` into its result. `[thread-safe]` Required with `HALLMARK_CAP_SIGN`.
  hallmark_rc (*sign_batch)(hallmark_instance *instance,
                            hallmark_snapshot *snapshot,
                            const struct hallmark_call *call,
                            const struct hallmark_batch *batch,
                            hallmark_data_sink sink,
                            void *sink_ctx,
                            struct hallmark_error *error);
  // An optional interface by name (`vendor.interface/1`, zero-terminated), or NULL.
  // `[any thread]` Optional.
  const void *(*extension)(const char *name);
} hallmark_plugin;

// The call ran.
#define HALLMARK_RC_OK 0

// A NULL, a wrong size or a wrong count.
#define HALLMARK_RC_INVALID_ARG 1

// This plugin does not do that.
#define HALLMARK_RC_UNSUPPORTED 2

// The configuration is wrong: whoever wrote it must act.
#define HALLMARK_RC_CONFIG 3

// The backend (file, token, network) does not answer now.
#define HALLMARK_RC_UNAVAILABLE 4

// The deadline of the call passed.
#define HALLMARK_RC_TIMEOUT 5

// The cancel flag was seen.
#define HALLMARK_RC_CANCELLED 6

// All sessions of the backend are in use.
#define HALLMARK_RC_BUSY 7

// The backend refuses the credentials.
#define HALLMARK_RC_AUTH 8

// A bug in the plugin.
#define HALLMARK_RC_INTERNAL 9

// A panic or exception was caught inside the plugin.
#define HALLMARK_RC_PANIC 10

// The snapshot no longer describes the backend: open another.
#define HALLMARK_RC_STALE_SNAPSHOT 11

// The input (key material) is not what it claims to be: whoever wrote it must act.
#define HALLMARK_RC_MALFORMED 12

// A sink refuses more: a limit of the host is reached. Return it onwards.
#define HALLMARK_RC_LIMIT 13

// The verdict that the host writes before the call: never an answer.
#define HALLMARK_NOT_PROCESSED 0

// `verify_batch` only: the signature is this key's, over this message. A high-entropy constant,
// so that zeroed, short-written or stray memory never reads as valid.
#define HALLMARK_VALID 1526620173

// `decode_batch` and `sign_batch` only: the output went through the sink.
#define HALLMARK_DONE 1611518110

// The arithmetic said no.
#define HALLMARK_BAD_SIGNATURE 2

// Not a signature of this format.
#define HALLMARK_MALFORMED 3

// No such key.
#define HALLMARK_KEY_UNKNOWN 4

// The key's validity has ended.
#define HALLMARK_KEY_EXPIRED 5

// The key's validity has not begun.
#define HALLMARK_KEY_NOT_YET 6

// The key is revoked.
#define HALLMARK_KEY_REVOKED 7

// The signature carries an end of validity that has passed.
#define HALLMARK_SIG_EXPIRED 8

// The key may not be used for this.
#define HALLMARK_KEY_USAGE 9

// The algorithm, or a flag of the item, is not known to the plugin.
#define HALLMARK_ALG_UNSUPPORTED 10

// The algorithm is known and refused: a weak hash, a short key.
#define HALLMARK_ALG_REJECTED 11

// The backend failed: retryable, and not a statement about the signature.
#define HALLMARK_BACKEND_ERROR 12

// The cancel flag was seen before this item.
#define HALLMARK_ITEM_CANCELLED 13

// The deadline passed before this item.
#define HALLMARK_ITEM_TIMEOUT 14

/* Item and result i of a batch: the stride is the host's, and may be larger than the struct you compiled. */
#define HALLMARK_ITEM(b, i) ((const hallmark_item *)((const char *)(b)->items + (size_t)(i) * (b)->item_stride))
#define HALLMARK_RESULT(b, i) ((hallmark_result *)((char *)(b)->results + (size_t)(i) * (b)->result_stride))
/* Did the writer of *p compile field F of type T? */
#define HALLMARK_HAS(p, T, F) ((p)->struct_size >= offsetof(T, F) + sizeof(((T *)0)->F))

/* A passive manifest, one line of JSON, that tools read from the file without running it:
 * HALLMARK_MANIFEST("{\"hallmark_plugin\":\"name\",\"version\":\"1.2.3\",\"vendor\":\"who\",\"abi\":\"1.0\"}\n"); */
#define HALLMARK_MANIFEST(json) \
  __attribute__((used, section("hallmark_manifest"))) static const char hallmark_manifest_json[] = json

#ifdef __cplusplus
extern "C" {
#endif
/* The one exported symbol. Returns the plugin's constant table, or NULL where it refuses this host. Cheap: starts no
 * threads, opens nothing. [loader thread, once] */
HALLMARK_EXPORT const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host);
#ifdef __cplusplus
}
#endif

#endif /* HALLMARK_PLUGIN_H */
