/* Leaves items without an answer. */
#define ON_ITEM(item, result) if ((item)->key_handle > 1) continue
#include "honest.h"
