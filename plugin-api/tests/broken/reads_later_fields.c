/* Guesses at what a later minor means. */
#define ON_ITEM(item, result)                                                                                          \
  if (batch->struct_size > sizeof *batch) { result->verdict = HALLMARK_ALG_REJECTED; continue; }
#include "honest.h"
