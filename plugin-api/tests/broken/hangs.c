/* Never comes back from `health`. */
#define ON_HEALTH(instance) for (;;) { __asm__ volatile(""); }
#include "honest.h"
