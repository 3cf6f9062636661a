/* Ends the process where an item is wrong. */
#define ON_ITEM(item, result) if ((item)->key_handle > 1) exit(3)
#include "honest.h"
