/* Takes 1 for yes. */
#define VERDICT(item, verdict) ((verdict) == HALLMARK_VALID ? 1 : (verdict))
#include "honest.h"
