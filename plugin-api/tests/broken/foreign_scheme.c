/* Lists a key that no attestor could name. */
#define ON_KEY(key) key.id = (hallmark_bytes)BYTES("other:one")
#include "honest.h"
