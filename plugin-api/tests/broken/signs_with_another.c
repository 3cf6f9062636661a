/* Signs with another key than the one it lists. */
#define SIGNS_WITH (KEY + 1)
#include "honest.h"
