/* Lists the keys that its secret "keys" says, a line each: HANDLE FLAGS ALGORITHM ID SPKI, the last in hexadecimal.
 *
 * At compile time: -DLISTER_SCHEME and -DLISTER_FORM are what it claims, -DLISTER_CREATE_S how long it takes to be made
 * (negative: for ever) and -DLISTER_REFUSES whether it refuses its configuration then, -DLISTER_CHATTER how often it
 * logs, pushes and complains inside of every snapshot, -DLISTER_CAPS what it claims beside keys.
 *
 * As long as its secret "stuck" names a call (snapshot, resolve, verify, decode or sign), that call does not return. */
#include "hallmark_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef LISTER_SCHEME
#define LISTER_SCHEME "acme"
#endif
#ifndef LISTER_FORM
#define LISTER_FORM "lister"
#endif
#ifndef LISTER_CREATE_S
#define LISTER_CREATE_S 0
#endif
#ifndef LISTER_REFUSES
#define LISTER_REFUSES 0
#endif
#ifndef LISTER_CAPS
#define LISTER_CAPS 0
#endif
#ifndef LISTER_CONCURRENCY
#define LISTER_CONCURRENCY 1
#endif
#ifndef LISTER_CHATTER
#define LISTER_CHATTER 0
#endif

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}

HALLMARK_MANIFEST("{\"hallmark_plugin\":\"lister\",\"version\":\"1.0\",\"vendor\":\"Hallmark\",\"abi\":\"1.0\"}\n");

struct hallmark_instance {
  const hallmark_host *host;
  uint64_t id;
};

struct hallmark_snapshot {
  char text[65536];
};

static hallmark_rc take(void *ctx, uint32_t index, hallmark_bytes data) {
  struct hallmark_snapshot *snapshot = ctx;
  (void)index;
  if (data.len >= sizeof snapshot->text) return HALLMARK_RC_LIMIT;
  memcpy(snapshot->text, data.ptr, data.len);
  return HALLMARK_RC_OK;
}

static hallmark_rc create(const hallmark_host *host, uint64_t id, hallmark_bytes config, hallmark_instance **out,
                          hallmark_error *error) {
  (void)config;
  for (int slept = 0; LISTER_CREATE_S < 0 || slept < LISTER_CREATE_S; slept++) sleep(1);
  if (LISTER_REFUSES) {
    static const char why[] = "the configuration is refused late";
    error->len = sizeof why - 1 < error->cap ? sizeof why - 1 : error->cap;
    memcpy(error->buf, why, error->len);
    return HALLMARK_RC_CONFIG;
  }
  hallmark_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return HALLMARK_RC_INTERNAL;
  instance->host = host;
  instance->id = id;
  *out = instance;
  return HALLMARK_RC_OK;
}

static void destroy(hallmark_instance *instance) { free(instance); }

/* Returns when the secret "stuck" names another call, or none. */
static void stay_in(hallmark_instance *instance, const char *call) {
  static const hallmark_bytes name = BYTES("stuck");
  struct hallmark_snapshot *now = calloc(1, sizeof *now);
  struct timespec moment = {0, 20 * 1000 * 1000};
  do {
    memset(now, 0, sizeof *now);
    instance->host->get_secret(instance->host->ctx, name, take, now);
  } while (strcmp(now->text, call) == 0 && nanosleep(&moment, NULL) == 0);
  free(now);
}

/* The chatter of a plugin that means well: none of it may make it late. */
static void chatter(hallmark_instance *instance) {
  static const hallmark_bytes target = BYTES("chatter"), hidden = BYTES("a line for whoever debugs the plugin");
  const hallmark_host *host = instance->host;
  char line[512];
  for (int i = 0; i < LISTER_CHATTER; i++) {
    int len = snprintf(line, sizeof line, "line %d \x1b[31mred\nnext %400d", i, i);
    hallmark_bytes text = {(const uint8_t *)line, (size_t)len};
    host->log(host->ctx, HALLMARK_LOG_WARN, target, text);
    host->log(host->ctx, HALLMARK_LOG_DEBUG, target, hidden);
    host->keys_changed(host->ctx, instance->id);
    fprintf(stderr, "complaint %d \x1b[31mred\n", i);
  }
}

static hallmark_rc snapshot_open(hallmark_instance *instance, const hallmark_call *call, hallmark_snapshot **out,
                                 uint64_t *generation, uint32_t *ttl_s, hallmark_error *error) {
  static const hallmark_bytes name = BYTES("keys");
  static uint64_t opened;
  (void)call, (void)error;
  hallmark_snapshot *snapshot = calloc(1, sizeof *snapshot);
  if (!snapshot) return HALLMARK_RC_INTERNAL;
  stay_in(instance, "snapshot");
  instance->host->get_secret(instance->host->ctx, name, take, snapshot); /* no secret: no keys */
  chatter(instance);
  *out = snapshot;
  *generation = ++opened;
  *ttl_s = 1;
  return HALLMARK_RC_OK;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t cap) {
  size_t len = 0;
  unsigned byte;
  while (len < cap && sscanf(hex + 2 * len, "%2x", &byte) == 1) out[len++] = (uint8_t)byte;
  return len;
}

static hallmark_rc snapshot_keys(hallmark_instance *instance, hallmark_snapshot *snapshot, hallmark_key_sink sink,
                                 void *ctx, hallmark_error *error) {
  static uint8_t spki[4096];
  static char id[2048], hex[8192];
  (void)instance, (void)error;
  char *rest = NULL;
  for (char *line = strtok_r(snapshot->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    unsigned long long handle;
    uint32_t flags, alg;
    hex[0] = 0;
    if (sscanf(line, "%llu %u %u %2047s %8191s", &handle, &flags, &alg, id, hex) < 4) return HALLMARK_RC_MALFORMED;
    hallmark_key key;
    memset(&key, 0, sizeof key);
    key.struct_size = sizeof key;
    key.handle = handle;
    key.flags = flags;
    key.id.ptr = (const uint8_t *)id;
    key.id.len = strlen(id);
    key.spki_der.ptr = spki;
    key.spki_der.len = from_hex(hex, spki, sizeof spki);
    key.algs = &alg;
    key.n_algs = 1;
    key.not_before = key.not_after = key.revoked_at = HALLMARK_TIME_ABSENT;
    hallmark_rc rc = sink(ctx, &key);
    if (rc != HALLMARK_RC_OK) return rc;
  }
  return HALLMARK_RC_OK;
}

static void snapshot_close(hallmark_instance *instance, hallmark_snapshot *snapshot) {
  (void)instance;
  free(snapshot);
}

/* Whatever the material says, the key is the first of its own. */
static hallmark_rc resolve_keys(hallmark_instance *instance, const hallmark_call *call,
                                const hallmark_material *material, hallmark_key_sink sink, void *ctx,
                                hallmark_error *error) {
  hallmark_snapshot *snapshot = NULL;
  uint64_t generation;
  uint32_t ttl_s;
  (void)material;
  stay_in(instance, "resolve");
  hallmark_rc rc = snapshot_open(instance, call, &snapshot, &generation, &ttl_s, error);
  if (rc != HALLMARK_RC_OK) return rc;
  rc = snapshot_keys(instance, snapshot, sink, ctx, error);
  snapshot_close(instance, snapshot);
  return rc;
}

static void answer_all(const hallmark_batch *batch, hallmark_verdict verdict) {
  for (uint32_t i = 0; i < batch->n; i++) HALLMARK_RESULT(batch, i)->verdict = verdict;
}

static hallmark_rc verify_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_error *error) {
  (void)snapshot, (void)call, (void)error;
  stay_in(instance, "verify");
  answer_all(batch, HALLMARK_BAD_SIGNATURE);
  return HALLMARK_RC_OK;
}

static hallmark_rc decode_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_decoded_sink sink, void *ctx,
                                hallmark_error *error) {
  (void)snapshot, (void)call, (void)sink, (void)ctx, (void)error;
  stay_in(instance, "decode");
  answer_all(batch, HALLMARK_MALFORMED);
  return HALLMARK_RC_OK;
}

static hallmark_rc sign_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                              const hallmark_batch *batch, hallmark_data_sink sink, void *ctx, hallmark_error *error) {
  (void)snapshot, (void)call, (void)sink, (void)ctx, (void)error;
  stay_in(instance, "sign");
  answer_all(batch, HALLMARK_BACKEND_ERROR);
  return HALLMARK_RC_OK;
}

static const uint32_t ALGS[] = {HALLMARK_ALG_ED25519, HALLMARK_ALG_ECDSA_P256_SHA256,
                                HALLMARK_ALG_RSA_PKCS1_2048_SHA256};
static const hallmark_bytes SCHEMES[] = {BYTES(LISTER_SCHEME)};
static const hallmark_bytes FORMS[] = {BYTES(LISTER_FORM)};

static const hallmark_plugin PLUGIN = {
    .magic = HALLMARK_ABI_MAGIC,
    .struct_size = sizeof(hallmark_plugin),
    .abi_major = HALLMARK_ABI_MAJOR,
    .abi_minor = HALLMARK_ABI_MINOR,
    .max_concurrency = LISTER_CONCURRENCY,
    .caps = HALLMARK_CAP_KEYS | HALLMARK_CAP_PUSH | LISTER_CAPS,
    .name = BYTES("lister"),
    .version = BYTES("1.0"),
    .vendor = BYTES("Hallmark"),
    .config_schema_json = BYTES("{\"type\":\"object\"}"),
    .algs = ALGS,
    .n_algs = 3,
    .schemes = SCHEMES,
    .n_schemes = 1,
    .forms = FORMS,
    .n_forms = 1,
    .create = create,
    .destroy = destroy,
    .snapshot_open = snapshot_open,
    .snapshot_keys = snapshot_keys,
    .snapshot_close = snapshot_close,
    .resolve_keys = resolve_keys,
    .decode_batch = decode_batch,
    .verify_batch = verify_batch,
    .sign_batch = sign_batch,
};

HALLMARK_EXPORT const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host) {
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN : NULL;
}
