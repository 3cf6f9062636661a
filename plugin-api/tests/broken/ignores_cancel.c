/* Claims to stop when asked, and does not. */
#include <time.h>
#define CANCELS(call) ((void)(call), 0)
#define ON_ITEM(item, result) nanosleep(&(struct timespec){0, 300000}, NULL)
#include "honest.h"
