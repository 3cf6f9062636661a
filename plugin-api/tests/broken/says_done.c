/* Takes the yes of another call for its own. */
#define VERDICT(item, verdict) ((verdict) == HALLMARK_VALID ? HALLMARK_DONE : (verdict))
#include "honest.h"
