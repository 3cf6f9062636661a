/* A whole plugin in C, and the conscience of the loader's tests. Its "signature" is the message XOR the key's byte:
 * worth nothing as cryptography, but every function of the ABI is there.
 *
 * At compile time -DDEMO_* makes it wrong in one way; at run time the secret "mode" makes its snapshots wrong, and the
 * first byte of a message makes one answer wrong. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "hallmark_plugin.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef DEMO_MAGIC
#define DEMO_MAGIC HALLMARK_ABI_MAGIC
#endif
#ifndef DEMO_MAJOR
#define DEMO_MAJOR HALLMARK_ABI_MAJOR
#endif
#ifndef DEMO_HOST_MINOR
#define DEMO_HOST_MINOR 0
#endif
#ifndef DEMO_NAME
#define DEMO_NAME "demo"
#endif
#ifndef DEMO_CAPS
#define DEMO_CAPS                                                                                                      \
  (HALLMARK_CAP_KEYS | HALLMARK_CAP_DECODE | HALLMARK_CAP_VERIFY | HALLMARK_CAP_SIGN | HALLMARK_CAP_PUSH)
#endif
#ifndef DEMO_VERIFY
#define DEMO_VERIFY verify_batch
#endif
#ifndef DEMO_ENTRY
#define DEMO_ENTRY hallmark_plugin_entry_v1
#endif

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}

HALLMARK_MANIFEST("{\"hallmark_plugin\":\"demo\",\"version\":\"1.0\",\"vendor\":\"Hallmark\",\"abi\":\"1.0\"}\n");

/* The P-256 key of Google's documentation, to be verified by the host. */
static const uint8_t P256[91] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x5e, 0x7a, 0x6e, 0x60, 0x47, 0xef, 0x2e, 0x5d, 0x64, 0x8f, 0x87,
    0xe3, 0xc5, 0x58, 0x85, 0x47, 0x06, 0x35, 0x6b, 0xec, 0xc2, 0xe6, 0xac, 0xe5, 0x7f, 0xd2, 0xc9, 0x20, 0xaf, 0xab,
    0x9e, 0x3a, 0xb8, 0xda, 0xd8, 0x8a, 0x1b, 0x2c, 0x97, 0x31, 0xb9, 0xd9, 0x28, 0x98, 0x98, 0x3c, 0xf7, 0x4c, 0x0c,
    0x6c, 0xa5, 0xb6, 0x79, 0x2b, 0x00, 0x19, 0xf3, 0xb6, 0x0d, 0xa3, 0x27, 0x8f, 0x1a, 0x61};

struct hallmark_instance {
  const hallmark_host *host;
  uint64_t id;
  uint8_t byte;                 /* the key */
  atomic_uint snapshots;        /* open now */
  atomic_uint calls, calls_max; /* at once, and the most ever */
};

struct hallmark_snapshot {
  char mode[16];
};

static hallmark_rc fail(hallmark_error *error, hallmark_rc rc, const char *text) {
  size_t len = strlen(text);
  if (error && error->buf) {
    error->len = len < error->cap ? len : error->cap;
    memcpy(error->buf, text, error->len);
  }
  return rc;
}

static int is(hallmark_bytes bytes, const char *text) {
  return bytes.len == strlen(text) && memcmp(bytes.ptr, text, bytes.len) == 0;
}

static hallmark_rc take_mode(void *ctx, uint32_t index, hallmark_bytes data) {
  struct hallmark_snapshot *snapshot = ctx;
  (void)index;
  if (data.len >= sizeof snapshot->mode) return HALLMARK_RC_LIMIT;
  memcpy(snapshot->mode, data.ptr, data.len);
  snapshot->mode[data.len] = 0;
  return HALLMARK_RC_OK;
}

static hallmark_rc create(const hallmark_host *host, uint64_t id, hallmark_bytes config, hallmark_instance **out,
                          hallmark_error *error) {
  static const hallmark_bytes target = BYTES("demo"), made = BYTES("made in C");
  if (config.len == 0 || config.ptr[0] != '{') return fail(error, HALLMARK_RC_CONFIG, "the configuration is no object");
  hallmark_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return HALLMARK_RC_INTERNAL;
  instance->host = host;
  instance->id = id;
  instance->byte = 0x21;
  if (host->log_level(host->ctx) >= HALLMARK_LOG_INFO) host->log(host->ctx, HALLMARK_LOG_INFO, target, made);
  *out = instance;
  return HALLMARK_RC_OK;
}

static void destroy(hallmark_instance *instance) {
  static const hallmark_bytes target = BYTES("demo"), open = BYTES("snapshots left open"), ended = BYTES("ended in C");
  hallmark_bytes text = atomic_load(&instance->snapshots) ? open : ended;
  instance->host->log(instance->host->ctx, HALLMARK_LOG_INFO, target, text);
  free(instance);
}

/* Also the way to make the demo push. */
static hallmark_rc health(hallmark_instance *instance, const hallmark_call *call, hallmark_error *error) {
  instance->host->keys_changed(instance->host->ctx, instance->id);
  if (call->now == 0) return fail(error, HALLMARK_RC_UNAVAILABLE, "the clock is not set");
  return HALLMARK_RC_OK;
}

static hallmark_rc snapshot_open(hallmark_instance *instance, const hallmark_call *call, hallmark_snapshot **out,
                                 uint64_t *generation, uint32_t *ttl_s, hallmark_error *error) {
  static const hallmark_bytes name = BYTES("mode");
  (void)call;
  hallmark_snapshot *snapshot = calloc(1, sizeof *snapshot);
  if (!snapshot) return HALLMARK_RC_INTERNAL;
  instance->host->get_secret(instance->host->ctx, name, take_mode, snapshot); /* no secret: no mode */
  if (strcmp(snapshot->mode, "fail") == 0) {
    free(snapshot);
    return fail(error, HALLMARK_RC_UNAVAILABLE, "the token is gone");
  }
  atomic_fetch_add(&instance->snapshots, 1);
  *out = snapshot;
  *generation = strcmp(snapshot->mode, "more") == 0 ? 2 : 1;
  *ttl_s = 60;
  return HALLMARK_RC_OK;
}

static hallmark_key key_record(uint64_t handle, hallmark_bytes id, uint32_t flags) {
  static const uint32_t ed25519[] = {HALLMARK_ALG_ED25519, 4711 /* unknown: to be ignored */};
  hallmark_key key;
  memset(&key, 0, sizeof key);
  key.struct_size = sizeof key;
  key.flags = flags;
  key.handle = handle;
  key.id = id;
  key.algs = ed25519;
  key.n_algs = 2;
  key.not_before = key.not_after = key.revoked_at = HALLMARK_TIME_ABSENT;
  return key;
}

static hallmark_rc snapshot_keys(hallmark_instance *instance, hallmark_snapshot *snapshot, hallmark_key_sink sink,
                                 void *ctx, hallmark_error *error) {
  static const hallmark_bytes one = BYTES("demo:one"), two = BYTES("demo:keys/p256"), control = BYTES("demo:\n"),
                              three = BYTES("demo:keys/other"), uno = BYTES("demo:uno"),
                              damaged = BYTES("the file is damaged");
  static const uint32_t p256[] = {HALLMARK_ALG_ECDSA_P256_SHA256};
  static uint8_t long_id[4096];
  const char *mode = snapshot->mode;
  if (strcmp(mode, "none") == 0) return HALLMARK_RC_OK;
  hallmark_rc rc;
  (void)error;

  hallmark_key key = key_record(1, one, HALLMARK_KEY_VERIFY | HALLMARK_KEY_SIGN);
  key.other_ids = &uno;
  key.n_other_ids = 1;
  key.spki_der.ptr = &instance->byte;
  key.spki_der.len = 1;
  if (strcmp(mode, "zero") == 0) key.handle = 0;
  if (strcmp(mode, "small") == 0) key.struct_size = 16;
  if (strcmp(mode, "empty") == 0) key.id.len = 0;
  if (strcmp(mode, "algs") == 0) key.n_algs = SIZE_MAX;
  if (strcmp(mode, "unusable") == 0) key.flags = HALLMARK_KEY_UNUSABLE, key.attrs_json = damaged;
  if (strcmp(mode, "control") == 0) key.id = control;
  if (strcmp(mode, "no-spki") == 0) key.flags |= HALLMARK_KEY_HOST_VERIFY, key.spki_der.len = 0;
  if (strcmp(mode, "long-id") == 0) {
    memset(long_id, 'x', sizeof long_id);
    key.id.ptr = long_id;
    key.id.len = sizeof long_id;
  }
  if ((rc = sink(ctx, &key)) != HALLMARK_RC_OK) return rc;

#ifdef DEMO_MANY
  static uint8_t attributes[1024];
  memset(attributes, ' ', sizeof attributes);
  key.attrs_json.ptr = attributes;
  key.attrs_json.len = sizeof attributes;
  for (uint64_t i = 100; strcmp(mode, "many") == 0 && i < 100 + DEMO_MANY; i++) {
    key.handle = i;
    if ((rc = sink(ctx, &key)) != HALLMARK_RC_OK) return rc;
  }
#endif
  for (uint64_t i = 100; strcmp(mode, "flood") == 0; i++) {
    key.handle = i;
    if ((rc = sink(ctx, &key)) != HALLMARK_RC_OK) return HALLMARK_RC_OK; /* and lies about it */
  }

  key = key_record(strcmp(mode, "twice") == 0 ? 1 : 2, two, HALLMARK_KEY_VERIFY | HALLMARK_KEY_HOST_VERIFY);
  key.spki_der.ptr = P256;
  key.spki_der.len = sizeof P256;
  key.algs = p256;
  key.n_algs = 1;
  key.not_before = 1000;
  key.not_after = 4000000000;
  if ((rc = sink(ctx, &key)) != HALLMARK_RC_OK || strcmp(mode, "more") != 0) return rc;
  key.handle = 3;
  key.id = three;
  return sink(ctx, &key);
}

static void snapshot_close(hallmark_instance *instance, hallmark_snapshot *snapshot) {
  atomic_fetch_sub(&instance->snapshots, 1);
  free(snapshot);
}

static int base64(uint8_t c) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(alphabet, c) : NULL;
  return at ? (int)(at - alphabet) : -1;
}

/* The bytes between the BEGIN and END lines of a PEM block, loosely. */
static size_t pem(hallmark_bytes text, uint8_t *out, size_t cap) {
  uint32_t bits = 0, have = 0;
  size_t len = 0, i = 0;
  while (i < text.len && text.ptr[i] != '\n') i++;
  for (; i < text.len && text.ptr[i] != '-' && len < cap; i++) {
    int value = base64(text.ptr[i]);
    if (value < 0) continue;
    bits = bits << 6 | (uint32_t)value;
    if ((have += 6) >= 8) out[len++] = (uint8_t)(bits >> (have -= 8));
  }
  return len;
}

static hallmark_rc resolve_keys(hallmark_instance *instance, const hallmark_call *call,
                                const hallmark_material *material, hallmark_key_sink sink, void *ctx,
                                hallmark_error *error) {
  static const hallmark_bytes none = {NULL, 0};
  uint8_t der[8000];
  (void)instance, (void)call;
  if (material->data.len == 0) return fail(error, HALLMARK_RC_MALFORMED, "the key is empty");
  hallmark_key key = key_record(0, none, HALLMARK_KEY_VERIFY | HALLMARK_KEY_HOST_VERIFY);
  key.spki_der = material->data;
  if (is(material->form, "pkix")) {
    key.spki_der.ptr = der;
    key.spki_der.len = pem(material->data, der, sizeof der);
  }
  key.algs = &material->alg;
  key.n_algs = material->alg != 0;
  return sink(ctx, &key);
}

static hallmark_rc decode_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_decoded_sink sink, void *ctx,
                                hallmark_error *error) {
  static const hallmark_bytes one = BYTES("demo:one");
  static const uint8_t large[1 << 20];
  (void)instance, (void)snapshot, (void)call, (void)error;
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    uint32_t count = item->signature.len > 4 && item->signature.ptr[3] == '*' ? 100 : 1;
    if (item->signature.len < 4 || memcmp(item->signature.ptr, "SIG", 3) != 0) {
      HALLMARK_RESULT(batch, i)->verdict = HALLMARK_MALFORMED;
      continue;
    }
    hallmark_decoded decoded;
    memset(&decoded, 0, sizeof decoded);
    decoded.struct_size = sizeof decoded;
    decoded.key_id = one;
    decoded.alg = HALLMARK_ALG_ED25519;
    decoded.message = item->message;
    decoded.signature.ptr = item->signature.ptr + 3;
    decoded.signature.len = item->signature.len - 3;
    if (item->signature.ptr[3] == '+') { /* comes to more than a blob may */
      decoded.message.ptr = large, decoded.message.len = sizeof large;
      count = 3;
    }
    decoded.signed_at = 1700000000;
    decoded.expires_at = HALLMARK_TIME_ABSENT;
    while (count--) sink(ctx, i, &decoded);
    HALLMARK_RESULT(batch, i)->verdict = HALLMARK_DONE;
  }
  return HALLMARK_RC_OK;
}

static uint8_t key_byte(const hallmark_instance *instance, const hallmark_item *item) {
  return item->key_handle == 0 && item->key.len == 1 ? item->key.ptr[0] : instance->byte;
}

static hallmark_rc verify_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_error *error) {
  (void)snapshot, (void)call;
  unsigned now = atomic_fetch_add(&instance->calls, 1) + 1, max = atomic_load(&instance->calls_max);
  while (now > max && !atomic_compare_exchange_weak(&instance->calls_max, &max, now)) {}
  if (atomic_load(&instance->calls_max) > 2) return fail(error, HALLMARK_RC_INTERNAL, "more than two calls at once");
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    hallmark_result *result = HALLMARK_RESULT(batch, i);
    int same = item->message.len == item->signature.len;
    for (size_t at = 0; same && at < item->message.len; at++)
      same = (item->message.ptr[at] ^ key_byte(instance, item)) == item->signature.ptr[at];
    result->verdict = same ? HALLMARK_VALID : HALLMARK_BAD_SIGNATURE;
    if (item->message.len == 0) continue;
    if (item->message.ptr[0] == '0') result->verdict = HALLMARK_NOT_PROCESSED; /* forgets to answer */
    if (item->message.ptr[0] == '1') result->verdict = 1;                      /* "true" */
    if (item->message.ptr[0] == 'D') result->verdict = HALLMARK_DONE;          /* the wrong yes */
  }
  atomic_fetch_sub(&instance->calls, 1);
  return HALLMARK_RC_OK;
}

/* As long as the secret "mode" says so, signing does not come back. */
static int is_stuck(hallmark_instance *instance) {
  static const hallmark_bytes name = BYTES("mode");
  hallmark_snapshot now;
  memset(&now, 0, sizeof now);
  instance->host->get_secret(instance->host->ctx, name, take_mode, &now);
  return strcmp(now.mode, "stuck") == 0;
}

static hallmark_rc sign_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                              const hallmark_batch *batch, hallmark_data_sink sink, void *ctx, hallmark_error *error) {
  (void)call, (void)error;
  if (!snapshot) return HALLMARK_RC_INVALID_ARG;
  while (is_stuck(instance)) nanosleep(&(struct timespec){0, 1000000}, NULL);
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    hallmark_result *result = HALLMARK_RESULT(batch, i);
    uint8_t signature[4096];
    hallmark_bytes out = {signature, item->message.len};
    if (item->key_handle != 1 || out.len > sizeof signature) {
      result->verdict = item->key_handle == 1 ? HALLMARK_MALFORMED : HALLMARK_KEY_UNKNOWN;
      continue;
    }
    for (size_t at = 0; at < out.len; at++) signature[at] = item->message.ptr[at] ^ instance->byte;
    if (out.len == 0 || out.ptr[0] != ('0' ^ instance->byte)) sink(ctx, i, out); /* '0' forgets to */
    result->verdict = HALLMARK_DONE;
  }
  return HALLMARK_RC_OK;
}

static const uint32_t ALGS[] = {HALLMARK_ALG_ED25519, HALLMARK_ALG_ECDSA_P256_SHA256};
static const hallmark_bytes SCHEMES[] = {BYTES("demo")};
static const hallmark_bytes FORMS[] = {BYTES("pkix"), BYTES("demo")};

static const struct {
  hallmark_plugin table;
  const void *fields_of_1_9[3]; /* as a plugin of a later minor would have */
} PLUGIN = {
    {
        DEMO_MAGIC,
#if defined(DEMO_STRUCT_SIZE)
        DEMO_STRUCT_SIZE,
#elif defined(DEMO_GROWN)
        sizeof(hallmark_plugin) + 3 * sizeof(void *),
#else
        sizeof(hallmark_plugin),
#endif
        DEMO_MAJOR,
        HALLMARK_ABI_MINOR,
        DEMO_HOST_MINOR,
        0,
        2,
        8,
        DEMO_CAPS,
        BYTES(DEMO_NAME),
        BYTES("1.0"),
        BYTES("Hallmark"),
        BYTES("{\"type\":\"object\"}"),
        ALGS,
        2,
        SCHEMES,
        1,
        FORMS,
        2,
        create,
        destroy,
        health,
        snapshot_open,
        snapshot_keys,
        snapshot_close,
        resolve_keys,
        decode_batch,
        DEMO_VERIFY,
        sign_batch,
        NULL,
    },
    {PLUGIN.fields_of_1_9, NULL, NULL},
};

HALLMARK_EXPORT const hallmark_plugin *DEMO_ENTRY(const hallmark_host *host) {
#ifdef DEMO_REFUSES
  (void)host;
  return NULL;
#else
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN.table : NULL;
#endif
}
