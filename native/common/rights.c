#define _GNU_SOURCE
#include "rights.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union control {
  struct cmsghdr align;
  char space[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
};

ssize_t rights_send(int to, const void *data, size_t len, const int *fds, size_t count, int flags) {
  union control control = {.space = {0}};
  struct iovec bytes = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
  if (count > RIGHTS_MAX) {
    errno = EINVAL;
    return -1;
  }
  if (count > 0) {
    message.msg_control = control.space;
    message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof *fds)};
    memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
  }
  ssize_t sent;
  do sent = sendmsg(to, &message, flags | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

ssize_t rights_receive(int from, void *data, size_t len, int *fd, int flags) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec bytes = {.iov_base = data, .iov_len = len};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t got;
  *fd = -1;
  do got = recvmsg(from, &message, flags | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof *fd))
    memcpy(fd, CMSG_DATA(header), sizeof *fd);
  return got;
}
