/* Uses one buffer for all threads. */
#include <sched.h>
#include "hallmark_plugin.h"
static hallmark_item shared;
#define ON_ITEM(it, result)                                                                                            \
  shared = *(it);                                                                                                      \
  sched_yield();                                                                                                       \
  item = &shared
#include "honest.h"
