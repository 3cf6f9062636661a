/* Prints. */
#include <stdio.h>
#define ON_CREATE(host, instance) puts("hello from the plugin")
#include "honest.h"
