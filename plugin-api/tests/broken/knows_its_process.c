/* Answers by the process that it is in: one that was told to be a worker, or another. */
#include <stdio.h>
#include <string.h>
static int in_worker(void) {
  char line[4096];
  FILE *arguments = fopen("/proc/self/cmdline", "r");
  size_t len = arguments ? fread(line, 1, sizeof line, arguments) : 0;
  if (arguments) fclose(arguments);
  return len > 7 && memcmp(line + len - 7, "worker", 7) == 0;
}
#define VERDICT(item, verdict) (in_worker() ? HALLMARK_BAD_SIGNATURE : (verdict))
#include "honest.h"
