/* Does not work without a variable that a worker is not given unless it is named. */
#include <stdlib.h>
#define ON_CREATE(host, instance)                                                                                      \
  if (!getenv("PATH")) {                                                                                               \
    free(instance);                                                                                                    \
    return fail(error, HALLMARK_RC_UNAVAILABLE, "there is no PATH");                                                   \
  }
#include "honest.h"
