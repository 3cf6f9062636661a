/* After one bad item all are bad. */
#define ON_CALL(batch) int bad = 0
#define VERDICT(item, verdict) (bad |= (item)->key_handle > 1, bad ? HALLMARK_BAD_SIGNATURE : (verdict))
#include "honest.h"
