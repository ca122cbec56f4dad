/* Changes names while a runtime works on them, until killed.
 *
 *   race swap A B              exchanges two names
 *   race dangle NAME TARGET    NAME is nothing, then a symlink to TARGET, then nothing … */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  puts("racing");
  if (fflush(stdout) != 0) return 1;
  if (!strcmp(argv[1], "swap"))
    for (;;)
      if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE) != 0) return 1;
  for (;;) {
    /* A directory of the runtime's making may be in the way. */
    (void)rmdir(argv[2]);
    if (symlink(argv[3], argv[2]) == 0) (void)unlink(argv[2]);
  }
}
