/* Takes anything for a configuration. */
#define CONFIG_IS_WRONG(config) ((void)(config), 0)
#include "honest.h"
