/* Refuses a configuration without saying why. */
#define CONFIG_TEXT ""
#include "honest.h"
