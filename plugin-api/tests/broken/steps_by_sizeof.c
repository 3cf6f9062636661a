/* Steps through the arrays by its own sizes. */
#define ITEM(batch, i) (&(batch)->items[i])
#define RESULT(batch, i) (&(batch)->results[i])
#include "honest.h"
