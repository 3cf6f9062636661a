/* Does not know its own signatures. */
#define VERDICT(item, verdict) ((verdict) == HALLMARK_VALID ? HALLMARK_BAD_SIGNATURE : (verdict))
#include "honest.h"
