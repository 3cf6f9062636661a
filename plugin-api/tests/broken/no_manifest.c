/* Says nothing of itself to whoever does not run it. */
#define MANIFEST typedef int no_manifest
#include "honest.h"
