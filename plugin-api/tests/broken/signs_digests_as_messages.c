/* Takes a digest for the message. */
#define REFUSES_FLAGS (item->flags & ~1u)
#include "honest.h"
