/* Dies of an item that names no key. */
static volatile int *volatile nowhere;
#define ON_ITEM(item, result) if ((item)->key_handle > 1) *nowhere = 1
#include "honest.h"
