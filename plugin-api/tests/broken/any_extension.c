/* Has an extension of every name. */
static const int something[1] = {1};
#define EXTENSION something
#include "honest.h"
