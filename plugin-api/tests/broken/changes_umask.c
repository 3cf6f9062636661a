/* Makes the files of the daemon readable to everyone. */
#include <sys/stat.h>
#define ON_CREATE(host, instance) umask(0)
#include "honest.h"
