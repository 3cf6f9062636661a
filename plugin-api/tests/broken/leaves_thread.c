/* Leaves a thread running when its instance ends. */
#include <pthread.h>
#include <unistd.h>
static void *idle(void *nothing) {
  for (;;) pause();
  return nothing;
}
#define ON_CREATE(host, instance)                                                                                      \
  pthread_t thread;                                                                                                    \
  if (pthread_create(&thread, NULL, idle, NULL) != 0) return HALLMARK_RC_INTERNAL
#include "honest.h"
