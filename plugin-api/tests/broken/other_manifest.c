/* Says another version in its manifest than in its table. */
#define MANIFEST                                                                                                       \
  HALLMARK_MANIFEST("{\"hallmark_plugin\":\"broken\",\"version\":\"2\",\"vendor\":\"Nobody\",\"abi\":\"1.0\"}\n")
#include "honest.h"
