/* Knows its keys by the newest snapshot only. */
#include "hallmark_plugin.h"
static hallmark_snapshot *_Atomic newest;
#define ON_OPEN(snapshot) newest = (snapshot)
#define KNOWS(snapshot, item) ((item)->key_handle == 1 && (snapshot) == newest)
#include "honest.h"
