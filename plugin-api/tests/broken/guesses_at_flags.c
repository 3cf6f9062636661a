/* Ignores a flag that it does not know. */
#define REFUSES_FLAGS 0
#include "honest.h"
