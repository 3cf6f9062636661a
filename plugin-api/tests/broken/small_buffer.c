/* Has room for 100 items on its stack. */
#define ON_CALL(batch)                                                                                                 \
  volatile uint8_t seen[100];                                                                                          \
  if ((batch)->n > sizeof seen) abort();                                                                               \
  seen[0] = 1
#include "honest.h"
