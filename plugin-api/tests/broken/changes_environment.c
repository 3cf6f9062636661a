/* Sets a variable of the daemon's environment. */
#define ON_CREATE(host, instance) setenv("HALLMARK_BROKEN", "1", 1)
#include "honest.h"
