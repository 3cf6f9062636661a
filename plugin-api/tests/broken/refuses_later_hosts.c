/* Wants a host of exactly its own minor. */
#define ON_CREATE(host, instance)                                                                                      \
  if (host->struct_size != sizeof *host) { free(instance); return HALLMARK_RC_UNSUPPORTED; }
#include "honest.h"
