#define _GNU_SOURCE
#include "arrange.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

int arrange_fds(int first, const int *from, size_t count, size_t inherited) {
  int moved[ARRANGE_MAX], end = first + (int)count;
  if (count > ARRANGE_MAX) {
    errno = EMFILE;
    return -1;
  }
  /* First out of each other's way, so that none overwrites another. */
  for (size_t i = 0; i < count; i++)
    if ((moved[i] = fcntl(from[i], F_DUPFD_CLOEXEC, end)) < 0) return -1;
  for (size_t i = 0; i < count; i++)
    if (dup3(moved[i], first + (int)i, i < inherited ? 0 : O_CLOEXEC) < 0) return -1;
  return sys_close_range((unsigned)end, ~0u, 0);
}
