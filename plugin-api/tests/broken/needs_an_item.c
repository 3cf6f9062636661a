/* Looks at the first item where there is none. */
#define ON_CALL(batch) RESULT(batch, 0)->verdict = HALLMARK_BAD_SIGNATURE
#include "honest.h"
