/* Goes elsewhere. */
#include <unistd.h>
#define ON_CREATE(host, instance) if (chdir("/") != 0) return HALLMARK_RC_INTERNAL
#include "honest.h"
