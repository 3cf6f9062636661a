/* Ends in `abort` where the configuration is wrong, as an exception or a panic does at the boundary. */
#define CONFIG_IS_WRONG(config) ((config).len < 2 || (config).ptr[0] != '{' ? (abort(), 1) : 0)
#include "honest.h"
