/* Claims a capability that it has no function for. */
#define CAPS (HALLMARK_CAP_KEYS | HALLMARK_CAP_VERIFY | HALLMARK_CAP_DECODE)
#include "honest.h"
