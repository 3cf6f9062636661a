/* Allocates with every instance what nobody frees. */
#include <stdlib.h>
static void *volatile last;
#define ON_CREATE(host, instance) last = malloc(1024)
#include "honest.h"
