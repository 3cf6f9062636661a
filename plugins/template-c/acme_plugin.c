/* A Hallmark plugin to start from: one Ed25519 key whose seed is a secret of the daemon. Copy the folder, replace what
 * is between the lines "your backend" by your own, keep the rest. The contract: docs/plugins.md. */
#include <hallmark_plugin.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

HALLMARK_MANIFEST("{\"hallmark_plugin\":\"acme\",\"version\":\"0.1.0\",\"vendor\":\"Acme\",\"abi\":\"1.0\"}\n");

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}
enum { SEED_BYTES = 32, SIGNATURE_BYTES = 64, SPKI_BYTES = 44, ID_BYTES = 256, KEY_HANDLE = 1 };

/* ---- your backend: a key pair, a signature, an answer ------------------------------------------------------------ */

static hallmark_rc backend_sign(EVP_PKEY *key, hallmark_bytes message, uint8_t *signature) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t len = SIGNATURE_BYTES;
  int done = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestSign(context, signature, &len, message.ptr, message.len) == 1 && len == SIGNATURE_BYTES;
  EVP_MD_CTX_free(context);
  return done ? HALLMARK_RC_OK : HALLMARK_RC_UNAVAILABLE;
}

static hallmark_verdict backend_verify(EVP_PKEY *key, hallmark_bytes message, hallmark_bytes signature) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  hallmark_verdict verdict = HALLMARK_BACKEND_ERROR;
  if (context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1) {
    int valid = signature.len == SIGNATURE_BYTES &&
                EVP_DigestVerify(context, signature.ptr, signature.len, message.ptr, message.len) == 1;
    verdict = valid ? HALLMARK_VALID : HALLMARK_BAD_SIGNATURE;
  }
  EVP_MD_CTX_free(context);
  return verdict;
}

/* ---- the plugin --------------------------------------------------------------------------------------------------- */

struct hallmark_instance {
  EVP_PKEY *key;
  char id[ID_BYTES];
  uint8_t spki[SPKI_BYTES];
};

struct hallmark_snapshot {
  const struct hallmark_instance *of; /* the key never changes: a snapshot has nothing of its own */
};

static hallmark_rc fail(hallmark_error *error, hallmark_rc rc, const char *text) {
  error->len = strlen(text) < error->cap ? strlen(text) : error->cap;
  memcpy(error->buf, text, error->len);
  return rc;
}

static hallmark_rc take_seed(void *seed, uint32_t index, hallmark_bytes secret) {
  (void)index;
  if (secret.len != SEED_BYTES) return HALLMARK_RC_CONFIG;
  memcpy(seed, secret.ptr, SEED_BYTES);
  return HALLMARK_RC_OK;
}

/* Reads {"key_id": "acme:…"} and nothing else; with more options, link a JSON parser. */
static int read_config(hallmark_bytes json, char *id) {
  static const char before[] = "{\"key_id\":\"acme:", after[] = "\"}";
  char text[ID_BYTES + sizeof before + sizeof after];
  size_t len = 0;
  for (size_t i = 0; i < json.len; i++) {
    if (json.ptr[i] <= ' ') continue;
    if (json.ptr[i] == '\\' || len == sizeof text - 1) return 0;
    text[len++] = (char)json.ptr[i];
  }
  size_t head = sizeof before - 1, tail = sizeof after - 1;
  if (len <= head + tail || memcmp(text, before, head) != 0 || memcmp(text + len - tail, after, tail) != 0) return 0;
  size_t begin = head - strlen("acme:"), id_len = len - tail - begin;
  if (id_len >= ID_BYTES || memchr(text + begin, '"', id_len)) return 0;
  memcpy(id, text + begin, id_len);
  id[id_len] = 0;
  return 1;
}

static void destroy(hallmark_instance *instance) {
  EVP_PKEY_free(instance->key);
  free(instance);
}

static hallmark_rc create(const hallmark_host *host, uint64_t instance_id, hallmark_bytes config,
                          hallmark_instance **out, hallmark_error *error) {
  static const hallmark_bytes secret = BYTES("seed");
  uint8_t seed[SEED_BYTES];
  (void)instance_id;
  struct hallmark_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return fail(error, HALLMARK_RC_INTERNAL, "no memory");
  if (!read_config(config, instance->id)) {
    destroy(instance);
    return fail(error, HALLMARK_RC_CONFIG, "write the configuration as {\"key_id\": \"acme:NAME\"}");
  }
  if (host->get_secret(host->ctx, secret, take_seed, seed) != HALLMARK_RC_OK) {
    destroy(instance);
    return fail(error, HALLMARK_RC_CONFIG, "give the plugin a secret `seed` of 32 bytes");
  }
  uint8_t *end = instance->spki;
  instance->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED_BYTES);
  OPENSSL_cleanse(seed, sizeof seed);
  if (!instance->key || i2d_PUBKEY(instance->key, NULL) != SPKI_BYTES || i2d_PUBKEY(instance->key, &end) < 0) {
    destroy(instance);
    return fail(error, HALLMARK_RC_INTERNAL, "OpenSSL makes no Ed25519 key");
  }
  *out = instance;
  return HALLMARK_RC_OK;
}

static hallmark_rc snapshot_open(hallmark_instance *instance, const hallmark_call *call, hallmark_snapshot **out,
                                 uint64_t *generation, uint32_t *ttl_s, hallmark_error *error) {
  (void)call;
  struct hallmark_snapshot *snapshot = malloc(sizeof *snapshot);
  if (!snapshot) return fail(error, HALLMARK_RC_INTERNAL, "no memory");
  snapshot->of = instance;
  *out = snapshot;
  *generation = 1;
  *ttl_s = 0;
  return HALLMARK_RC_OK;
}

static hallmark_rc snapshot_keys(hallmark_instance *instance, hallmark_snapshot *snapshot, hallmark_key_sink sink,
                                 void *sink_ctx, hallmark_error *error) {
  static const uint32_t algs[] = {HALLMARK_ALG_ED25519};
  (void)instance, (void)error;
  hallmark_key key = {.struct_size = sizeof key,
                      .flags = HALLMARK_KEY_VERIFY | HALLMARK_KEY_SIGN | HALLMARK_KEY_HOST_VERIFY,
                      .handle = KEY_HANDLE,
                      .id = {(const uint8_t *)snapshot->of->id, strlen(snapshot->of->id)},
                      .spki_der = {snapshot->of->spki, SPKI_BYTES},
                      .algs = algs,
                      .n_algs = 1,
                      .not_before = HALLMARK_TIME_ABSENT,
                      .not_after = HALLMARK_TIME_ABSENT,
                      .revoked_at = HALLMARK_TIME_ABSENT};
  return sink(sink_ctx, &key);
}

static void snapshot_close(hallmark_instance *instance, hallmark_snapshot *snapshot) {
  (void)instance;
  free(snapshot);
}

/* The fault of an item before its bytes are looked at, or HALLMARK_NOT_PROCESSED. */
static hallmark_verdict refusal(const hallmark_call *call, const hallmark_item *item) {
  if (call->cancel && __atomic_load_n(call->cancel, __ATOMIC_ACQUIRE)) return HALLMARK_ITEM_CANCELLED;
  if (item->flags || (item->alg && item->alg != HALLMARK_ALG_ED25519)) return HALLMARK_ALG_UNSUPPORTED;
  return item->key_handle == KEY_HANDLE ? HALLMARK_NOT_PROCESSED : HALLMARK_KEY_UNKNOWN;
}

static hallmark_rc verify_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_error *error) {
  (void)snapshot, (void)error;
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    hallmark_verdict verdict = refusal(call, item);
    if (!verdict) verdict = backend_verify(instance->key, item->message, item->signature);
    HALLMARK_RESULT(batch, i)->verdict = verdict;
  }
  return HALLMARK_RC_OK;
}

static hallmark_rc sign_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                              const hallmark_batch *batch, hallmark_data_sink sink, void *sink_ctx,
                              hallmark_error *error) {
  (void)snapshot, (void)error;
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    hallmark_verdict verdict = refusal(call, item);
    uint8_t signature[SIGNATURE_BYTES];
    hallmark_bytes out = {signature, sizeof signature};
    if (!verdict) {
      hallmark_rc rc = backend_sign(instance->key, item->message, signature);
      verdict = rc == HALLMARK_RC_OK ? HALLMARK_DONE : HALLMARK_BACKEND_ERROR;
    }
    if (verdict == HALLMARK_DONE && sink(sink_ctx, i, out) != HALLMARK_RC_OK) verdict = HALLMARK_BACKEND_ERROR;
    HALLMARK_RESULT(batch, i)->verdict = verdict;
  }
  return HALLMARK_RC_OK;
}

static const uint32_t ALGS[] = {HALLMARK_ALG_ED25519};
static const hallmark_bytes SCHEMES[] = {BYTES("acme")};

static const hallmark_plugin PLUGIN = {
    .magic = HALLMARK_ABI_MAGIC,
    .struct_size = sizeof(hallmark_plugin),
    .abi_major = HALLMARK_ABI_MAJOR,
    .abi_minor = HALLMARK_ABI_MINOR,
    .caps = HALLMARK_CAP_KEYS | HALLMARK_CAP_VERIFY | HALLMARK_CAP_SIGN | HALLMARK_CAP_CANCELLABLE,
    .name = BYTES("acme"),
    .version = BYTES("0.1.0"),
    .vendor = BYTES("Acme"),
    .config_schema_json = BYTES("{\"type\":\"object\",\"required\":[\"key_id\"],\"additionalProperties\":false,"
                                "\"properties\":{\"key_id\":{\"type\":\"string\",\"pattern\":\"^acme:\"}}}"),
    .algs = ALGS,
    .n_algs = 1,
    .schemes = SCHEMES,
    .n_schemes = 1,
    .create = create,
    .destroy = destroy,
    .snapshot_open = snapshot_open,
    .snapshot_keys = snapshot_keys,
    .snapshot_close = snapshot_close,
    .verify_batch = verify_batch,
    .sign_batch = sign_batch,
};

const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host) {
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN : NULL;
}
