/* A plugin that does one thing wrong, which -DBROKEN_* says. What it does right is the least there is: one key, and a
 * "signature" that is the message itself.
 *
 * Wrong at load:    BROKEN_LOAD_CRASH, BROKEN_LOAD_EXIT, BROKEN_LOAD_HANG
 * Wrong in create:  BROKEN_CREATE_CRASH, BROKEN_CREATE_HANG
 * Wrong in a batch, where the message of the first item is "now": HANG, CRASH, EXIT, ABORT, EAT (memory), SCRIBBLE
 * (over the memory that it shares with the host), LIE (through every descriptor that it can find), FLOOD (of log
 * lines), CLOSE (every descriptor), STACK (overflow), as BROKEN_HANG and so on. */
#define _GNU_SOURCE
#include "hallmark_plugin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}

HALLMARK_MANIFEST("{\"hallmark_plugin\":\"broken\",\"version\":\"1.0\",\"vendor\":\"Hallmark\",\"abi\":\"1.0\"}\n");

struct hallmark_instance {
  const hallmark_host *host;
};

struct hallmark_snapshot {
  int unused;
};

static inline void hang(void) {
  for (;;) pause();
}

static inline void crash(void) {
  *(volatile char *)(uintptr_t)64 = 1;
}

#if defined(BROKEN_LOAD_CRASH) || defined(BROKEN_LOAD_EXIT) || defined(BROKEN_LOAD_HANG)
__attribute__((constructor)) static void constructor(void) {
#if defined(BROKEN_LOAD_CRASH)
  crash();
#elif defined(BROKEN_LOAD_EXIT)
  exit(0);
#else
  hang();
#endif
}
#endif

#ifdef BROKEN_SCRIBBLE
/* Fills every shared mapping that can be written. */
static void scribble(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512], access[5];
  unsigned long from, to;
  while (maps && fgets(line, sizeof line, maps))
    if (sscanf(line, "%lx-%lx %4s", &from, &to, access) == 3 && strcmp(access, "rw-s") == 0)
      for (unsigned long at = from; at < to; at += 4096) memset((void *)at, 0xff, 4096);
  if (maps) fclose(maps);
}
#endif

#ifdef BROKEN_LIE
/* Sends nonsense through every socket: huge lengths, unknown words. */
static void lie(void) {
  static const uint64_t lies[] = {0xffffffff00000000u, 0x0000001000000000u, 0x00000000ffffffffu, 0, 1};
  for (int fd = 3; fd < 64; fd++)
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) send(fd, &lies[i], sizeof lies[i], MSG_NOSIGNAL | MSG_DONTWAIT);
}
#endif

#ifdef BROKEN_EAT
static void eat(void) {
  for (;;) {
    char *page = malloc(1 << 20);
    if (!page) abort(); /* as allocators do */
    memset(page, 1, 1 << 20);
  }
}
#endif

#ifdef BROKEN_STACK
static int overflow(volatile char *above) {
  volatile char here[4096];
  here[0] = above[0];
  if (here[0] != 0) return 0; /* never */
  return overflow(here) + here[0];
}
#endif

static void break_now(hallmark_instance *instance) {
  (void)instance;
#if defined(BROKEN_HANG)
  hang();
#elif defined(BROKEN_CRASH)
  crash();
#elif defined(BROKEN_EXIT)
  exit(0);
#elif defined(BROKEN_ABORT)
  abort();
#elif defined(BROKEN_EAT)
  eat();
#elif defined(BROKEN_SCRIBBLE)
  scribble();
#elif defined(BROKEN_LIE)
  lie();
#elif defined(BROKEN_FLOOD)
  static const hallmark_bytes target = BYTES("flood"), line = BYTES("and another thing");
  for (;;) instance->host->log(instance->host->ctx, HALLMARK_LOG_ERROR, target, line);
#elif defined(BROKEN_CLOSE)
  for (int fd = 0; fd < 1024; fd++) close(fd);
  hang();
#elif defined(BROKEN_STACK)
  volatile char top = 0;
  overflow(&top);
#endif
}

static hallmark_rc create(const hallmark_host *host, uint64_t id, hallmark_bytes config, hallmark_instance **out,
                          hallmark_error *error) {
  (void)id, (void)config, (void)error;
#if defined(BROKEN_CREATE_CRASH)
  crash();
#elif defined(BROKEN_CREATE_HANG)
  hang();
#endif
  hallmark_instance *instance = calloc(1, sizeof *instance);
  if (!instance) return HALLMARK_RC_INTERNAL;
  instance->host = host;
  *out = instance;
  return HALLMARK_RC_OK;
}

static void destroy(hallmark_instance *instance) {
  free(instance);
}

static hallmark_rc snapshot_open(hallmark_instance *instance, const hallmark_call *call, hallmark_snapshot **out,
                                 uint64_t *generation, uint32_t *ttl_s, hallmark_error *error) {
  (void)instance, (void)call, (void)error;
  *out = calloc(1, sizeof **out);
  *generation = 1;
  *ttl_s = 0;
  return *out ? HALLMARK_RC_OK : HALLMARK_RC_INTERNAL;
}

static hallmark_rc snapshot_keys(hallmark_instance *instance, hallmark_snapshot *snapshot, hallmark_key_sink sink,
                                 void *ctx, hallmark_error *error) {
  static const hallmark_bytes id = BYTES("broken:one");
  static const uint32_t ed25519[] = {HALLMARK_ALG_ED25519};
  (void)instance, (void)snapshot, (void)error;
  hallmark_key key;
  memset(&key, 0, sizeof key);
  key.struct_size = sizeof key;
  key.flags = HALLMARK_KEY_VERIFY | HALLMARK_KEY_SIGN;
  key.handle = 1;
  key.id = id;
  key.spki_der = id;
  key.algs = ed25519;
  key.n_algs = 1;
  key.not_before = key.not_after = key.revoked_at = HALLMARK_TIME_ABSENT;
  return sink(ctx, &key);
}

static void snapshot_close(hallmark_instance *instance, hallmark_snapshot *snapshot) {
  (void)instance;
  free(snapshot);
}

static int is_now(const hallmark_batch *batch) {
  const hallmark_item *item = HALLMARK_ITEM(batch, 0);
  return batch->n > 0 && item->message.len == 3 && memcmp(item->message.ptr, "now", 3) == 0;
}

static hallmark_rc verify_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                                const hallmark_batch *batch, hallmark_error *error) {
  (void)snapshot, (void)call, (void)error;
  if (is_now(batch)) break_now(instance);
  for (uint32_t i = 0; i < batch->n; i++) {
    const hallmark_item *item = HALLMARK_ITEM(batch, i);
    int same = item->message.len == item->signature.len &&
               (item->message.len == 0 || memcmp(item->message.ptr, item->signature.ptr, item->message.len) == 0);
    HALLMARK_RESULT(batch, i)->verdict = same ? HALLMARK_VALID : HALLMARK_BAD_SIGNATURE;
  }
  return HALLMARK_RC_OK;
}

static hallmark_rc sign_batch(hallmark_instance *instance, hallmark_snapshot *snapshot, const hallmark_call *call,
                              const hallmark_batch *batch, hallmark_data_sink sink, void *ctx, hallmark_error *error) {
  (void)call, (void)error;
  if (!snapshot) return HALLMARK_RC_INVALID_ARG;
  if (is_now(batch)) break_now(instance);
  for (uint32_t i = 0; i < batch->n; i++) {
    hallmark_rc rc = sink(ctx, i, HALLMARK_ITEM(batch, i)->message);
    if (rc != HALLMARK_RC_OK) return rc;
    HALLMARK_RESULT(batch, i)->verdict = HALLMARK_DONE;
  }
  return HALLMARK_RC_OK;
}

static const uint32_t ALGS[] = {HALLMARK_ALG_ED25519};
static const hallmark_bytes SCHEMES[] = {BYTES("broken")};

static const hallmark_plugin PLUGIN = {
    .magic = HALLMARK_ABI_MAGIC,
    .struct_size = sizeof(hallmark_plugin),
    .abi_major = HALLMARK_ABI_MAJOR,
    .abi_minor = HALLMARK_ABI_MINOR,
    .caps = HALLMARK_CAP_KEYS | HALLMARK_CAP_VERIFY | HALLMARK_CAP_SIGN | HALLMARK_CAP_NEEDS_WORKER,
    .name = BYTES("broken"),
    .version = BYTES("1.0"),
    .vendor = BYTES("Hallmark"),
    .config_schema_json = BYTES("{}"),
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

HALLMARK_EXPORT const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host) {
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN : NULL;
}
