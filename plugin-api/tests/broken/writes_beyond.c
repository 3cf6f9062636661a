/* Writes one result too many. */
#define ON_CALL(batch) memset((char *)(batch)->results + (size_t)(batch)->n * (batch)->result_stride, 0, 8)
#include "honest.h"
