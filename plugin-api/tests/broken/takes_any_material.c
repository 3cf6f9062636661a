/* Finds a key in anything. */
#define MATERIAL_IS_WRONG(material) 0
#include "honest.h"
