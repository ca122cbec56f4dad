#define _GNU_SOURCE
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"

int unix_address(const char *path, struct sockaddr_un *address, int *dir) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  *dir = -1;
  if (strlen(path) < sizeof address->sun_path) {
    (void)memccpy(address->sun_path, path, '\0', sizeof address->sun_path);
    return 0;
  }
  const char *slash = strrchr(path, '/');
  if (slash == NULL) {
    errno = ENAMETOOLONG;
    return -1;
  }
  _cleanup_free_ char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
  _cleanup_fd_ int opened = parent == NULL ? -1 : open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return -1;
  int len = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", opened, slash + 1);
  if (len < 0 || (size_t)len >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  *dir = fd_steal(&opened);
  return 0;
}
