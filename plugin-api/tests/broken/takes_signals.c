/* Puts a handler of its own to a signal of the daemon. */
#include <signal.h>
#define ON_CREATE(host, instance) signal(SIGUSR2, SIG_IGN)
#include "honest.h"
