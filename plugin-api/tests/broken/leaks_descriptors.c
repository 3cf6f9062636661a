/* Closes no file. */
#include <fcntl.h>
#define ON_CREATE(host, instance) if (open("/dev/null", O_RDONLY) < 0) return HALLMARK_RC_INTERNAL
#include "honest.h"
