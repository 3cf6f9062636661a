/* Pushes without having said that it would. */
#define ON_HEALTH(instance) (instance)->host->keys_changed((instance)->host->ctx, (instance)->id)
#include "honest.h"
