/* Breaks nothing: what the others are without their hook. */
#include "honest.h"
