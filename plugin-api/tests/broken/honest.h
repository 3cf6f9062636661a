/* An honest plugin, in which each file of this folder breaks one thing: it defines a hook, and includes this.
 * The "signature" is the message XOR the key's byte, and one byte more: worth nothing as cryptography. */
#include "hallmark_plugin.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}
#define KEY 0x21
enum { MESSAGE_MAX = 4096 };

/* The hooks, and what they are in an honest plugin. */
#ifndef MANIFEST
#define MANIFEST                                                                                                       \
  HALLMARK_MANIFEST("{\"hallmark_plugin\":\"broken\",\"version\":\"1\",\"vendor\":\"Nobody\",\"abi\":\"1.0\"}\n")
#endif
#ifndef ON_CREATE
#define ON_CREATE(host, instance) /* when an instance is made */
#endif
#ifndef ON_DESTROY
#define ON_DESTROY(instance) free(instance)
#endif
#ifndef ON_HEALTH
#define ON_HEALTH(instance)
#endif
#ifndef ON_CALL
#define ON_CALL(batch) /* when a batch begins */
#endif
#ifndef ON_ITEM
#define ON_ITEM(item, result) /* when an item begins */
#endif
#ifndef ITEM
#define ITEM HALLMARK_ITEM
#endif
#ifndef RESULT
#define RESULT HALLMARK_RESULT
#endif
#ifndef VERDICT
#define VERDICT(item, verdict) (verdict) /* what is answered where `verdict` is right */
#endif
#ifndef REFUSES_FLAGS
#define REFUSES_FLAGS 1
#endif
#ifndef CANCELS
#define CANCELS(call) ((call)->cancel && __atomic_load_n((call)->cancel, __ATOMIC_ACQUIRE))
#endif
#ifndef CONFIG_IS_WRONG
#define CONFIG_IS_WRONG(config) ((config).len == 0 || memchr((config).ptr, '}', (config).len) == NULL)
#endif
#ifndef CONFIG_TEXT
#define CONFIG_TEXT "the configuration is no object"
#endif
#ifndef GENERATION
#define GENERATION 1
#endif
#ifndef ON_KEY
#define ON_KEY(key) /* before a key is listed */
#endif
#ifndef ON_OPEN
#define ON_OPEN(snapshot)
#endif
#ifndef ON_CLOSE
#define ON_CLOSE(snapshot) free(snapshot)
#endif
#ifndef KNOWS
#define KNOWS(snapshot, item) ((item)->key_handle == 1)
#endif
#ifndef MATERIAL_IS_WRONG
#define MATERIAL_IS_WRONG(material) 1
#endif
#ifndef SIGNS_WITH
#define SIGNS_WITH KEY
#endif
#ifndef EXTENSION
#define EXTENSION NULL
#endif
#ifndef CAPS
#define CAPS (HALLMARK_CAP_KEYS | HALLMARK_CAP_VERIFY | HALLMARK_CAP_SIGN | HALLMARK_CAP_CANCELLABLE)
#endif

MANIFEST;

struct hallmark_instance {
  const hallmark_host *host;
  uint64_t id;
};

struct hallmark_snapshot {
  uint32_t alive;
};

static hallmark_rc fail(hallmark_error *error, hallmark_rc rc, const char *text) {
  error->len = strlen(text) < error->cap ? strlen(text) : error->cap;
  memcpy(error->buf, text, error->len);
  return rc;
}

static hallmark_rc create(const hallmark_host *host, uint64_t id, hallmark_bytes config, hallmark_instance **out,
                          hallmark_error *error) {
  if (CONFIG_IS_WRONG(config)) return fail(error, HALLMARK_RC_CONFIG, CONFIG_TEXT);
  hallmark_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return HALLMARK_RC_INTERNAL;
  instance->host = host;
  instance->id = id;
  ON_CREATE(host, instance);
  *out = instance;
  return HALLMARK_RC_OK;
}

static void destroy(hallmark_instance *instance) { ON_DESTROY(instance); }

static hallmark_rc health(hallmark_instance *instance, const hallmark_call *call, hallmark_error *error) {
  (void)instance, (void)call, (void)error;
  ON_HEALTH(instance);
  return HALLMARK_RC_OK;
}

static hallmark_rc snapshot_open(hallmark_instance *instance, const hallmark_call *call, hallmark_snapshot **out,
                                 uint64_t *generation, uint32_t *ttl_s, hallmark_error *error) {
  (void)instance, (void)call, (void)error;
  hallmark_snapshot *snapshot = calloc(1, sizeof *snapshot);
  if (!snapshot) return HALLMARK_RC_INTERNAL;
  snapshot->alive = 1;
  ON_OPEN(snapshot);
  *out = snapshot;
  *generation = GENERATION;
  *ttl_s = 60;
  return HALLMARK_RC_OK;
}

static hallmark_rc list(hallmark_key_sink sink, void *ctx) {
  static const uint8_t spki[] = {KEY};
  static const uint32_t algs[] = {HALLMARK_ALG_ECDSA_P256_SHA256};
  hallmark_key key = {.struct_size = sizeof key,
                      .flags = HALLMARK_KEY_VERIFY | HALLMARK_KEY_SIGN,
                      .handle = 1,
                      .id = BYTES("broken:one"),
                      .spki_der = {spki, sizeof spki},
                      .algs = algs,
                      .n_algs = 1,
                      .not_before = HALLMARK_TIME_ABSENT,
                      .not_after = HALLMARK_TIME_ABSENT,
                      .revoked_at = HALLMARK_TIME_ABSENT};
  ON_KEY(key);
  return sink(ctx, &key);
}

static hallmark_rc snapshot_keys(hallmark_instance *instance, hallmark_snapshot *snapshot, hallmark_key_sink sink,
                                 void *ctx, hallmark_error *error) {
  (void)instance, (void)snapshot, (void)error;
  return list(sink, ctx);
}

static void snapshot_close(hallmark_instance *instance, hallmark_snapshot *snapshot) {
  (void)instance;
  ON_CLOSE(snapshot);
}

static hallmark_rc resolve_keys(hallmark_instance *instance, const hallmark_call *call,
                                const hallmark_material *material, hallmark_key_sink sink, void *ctx,
                                hallmark_error *error) {
  (void)instance, (void)call, (void)material;
  if (MATERIAL_IS_WRONG(material)) return fail(error, HALLMARK_RC_MALFORMED, "the key is none");
  return list(sink, ctx);
}

/* The fault of an item before its bytes are looked at. */
static hallmark_verdict refusal(const hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_item *item) {
  (void)snapshot;
  if (CANCELS(call)) return HALLMARK_ITEM_CANCELLED;
  if (REFUSES_FLAGS && item->flags) return HALLMARK_ALG_UNSUPPORTED;
  if (item->alg && item->alg != HALLMARK_ALG_ECDSA_P256_SHA256) return HALLMARK_ALG_UNSUPPORTED;
  if (!KNOWS(snapshot, item)) return HALLMARK_KEY_UNKNOWN;
  return item->message.len > MESSAGE_MAX ? HALLMARK_MALFORMED : HALLMARK_NOT_PROCESSED;
}

static hallmark_verdict judge(const hallmark_item *item) {
  int same = item->signature.len == item->message.len + 1 && item->signature.ptr[item->message.len] == (KEY ^ 0x5A);
  for (size_t at = 0; same && at < item->message.len; at++)
    same = (item->message.ptr[at] ^ KEY) == item->signature.ptr[at];
  return same ? HALLMARK_VALID : HALLMARK_BAD_SIGNATURE;
}

static hallmark_rc verify_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_error *error) {
  (void)instance, (void)error;
  ON_CALL(batch);
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = ITEM(batch, i);
    hallmark_result *result = RESULT(batch, i);
    ON_ITEM(item, result);
    hallmark_verdict verdict = refusal(snapshot, call, item);
    if (!verdict) verdict = judge(item);
    result->verdict = VERDICT(item, verdict);
  }
  return HALLMARK_RC_OK;
}

static hallmark_rc sign_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                              const hallmark_batch *batch, hallmark_data_sink sink, void *ctx, hallmark_error *error) {
  (void)instance, (void)error;
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    uint8_t signature[MESSAGE_MAX + 1];
    hallmark_bytes out = {signature, item->message.len + 1};
    hallmark_verdict verdict = refusal(snapshot, call, item);
    if (!verdict) {
      for (size_t at = 0; at < item->message.len; at++) signature[at] = item->message.ptr[at] ^ SIGNS_WITH;
      signature[item->message.len] = SIGNS_WITH ^ 0x5A;
      verdict = sink(ctx, i, out) == HALLMARK_RC_OK ? HALLMARK_DONE : HALLMARK_BACKEND_ERROR;
    }
    HALLMARK_RESULT(batch, i)->verdict = verdict;
  }
  return HALLMARK_RC_OK;
}

#ifndef NO_EXTENSION /* an older minor, in which the table ends before it */
static const void *extension(const char *name) {
  (void)name;
  return EXTENSION;
}
#endif

static const uint32_t ALGS[] = {HALLMARK_ALG_ECDSA_P256_SHA256};
static const hallmark_bytes SCHEMES[] = {BYTES("broken")}, FORMS[] = {BYTES("broken")};

static const hallmark_plugin PLUGIN = {
    .magic = HALLMARK_ABI_MAGIC,
    .struct_size = sizeof(hallmark_plugin),
    .abi_major = HALLMARK_ABI_MAJOR,
    .abi_minor = HALLMARK_ABI_MINOR,
    .caps = CAPS,
    .name = BYTES("broken"),
    .version = BYTES("1"),
    .vendor = BYTES("Nobody"),
    .algs = ALGS,
    .n_algs = 1,
    .schemes = SCHEMES,
    .n_schemes = 1,
    .forms = FORMS,
    .n_forms = 1,
    .create = create,
    .destroy = destroy,
    .health = health,
    .snapshot_open = snapshot_open,
    .snapshot_keys = snapshot_keys,
    .snapshot_close = snapshot_close,
    .resolve_keys = resolve_keys,
    .verify_batch = verify_batch,
    .sign_batch = sign_batch,
#ifndef NO_EXTENSION
    .extension = extension,
#endif
};

const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host) {
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN : NULL;
}
