/* Writes to what it was lent to read. */
#define ON_ITEM(item, result) *(volatile uint32_t *)&((hallmark_item *)(item))->flags = (item)->flags
#include "honest.h"
