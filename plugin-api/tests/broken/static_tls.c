/* Takes thread-local space that only programs have. */
static __attribute__((tls_model("initial-exec"))) _Thread_local int mine;
#define ON_CALL(batch) mine++
#include "honest.h"
