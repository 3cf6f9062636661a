/* Says that its key record is smaller than the contract's. */
#define ON_KEY(key) key.struct_size = 16
#include "honest.h"
