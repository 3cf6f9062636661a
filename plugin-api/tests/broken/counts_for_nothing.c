/* Has a new generation for the same keys. */
#include <stdint.h>
static _Atomic uint64_t counted;
#define GENERATION ++counted
#include "honest.h"
