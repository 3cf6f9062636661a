/* Calls a missing secret a bug of its own. */
#include "hallmark_plugin.h"
static hallmark_rc look(void *ctx, uint32_t index, hallmark_bytes data) {
  (void)ctx, (void)index, (void)data;
  return HALLMARK_RC_OK;
}
#define ON_CREATE(host, instance)                                                                                      \
  static const hallmark_bytes pin = BYTES("pin");                                                                      \
  if ((host)->get_secret((host)->ctx, pin, look, NULL) != HALLMARK_RC_OK) {                                            \
    free(instance);                                                                                                    \
    return fail(error, HALLMARK_RC_INTERNAL, "no pin");                                                                \
  }
#include "honest.h"
