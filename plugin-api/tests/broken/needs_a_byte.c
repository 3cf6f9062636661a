/* Looks at the first byte where there is none. */
#define ON_ITEM(item, result) if (*(const volatile uint8_t *)(item)->message.ptr == 0) continue
#include "honest.h"
