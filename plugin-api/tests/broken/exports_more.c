/* Exports a second symbol. */
__attribute__((visibility("default"))) int another_symbol;
#include "honest.h"
