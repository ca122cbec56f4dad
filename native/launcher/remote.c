#define _GNU_SOURCE
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/frame.h"
#include "../common/peer.h"
#include "../common/peer_messages.h"
#include "self_exec.h"

#define GIVEN_MAX 16

static unsigned preserve;
static int own = -1; /* the monitor made for this command */
static struct {
  char *name;
  int fd;
} given[GIVEN_MAX];
static size_t n_given;

void remote_preserve(unsigned count) { preserve = count; }

int remote_take(const char *name) {
  for (size_t i = 0; i < n_given; i++)
    if (given[i].fd >= 0 && given[i].name && !strcmp(given[i].name, name)) return fd_steal(&given[i].fd);
  return -1;
}

int remote_connect(const char *path, bool or_root) {
  struct sockaddr_un to;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(path, &to, &dir) < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return -1;
  return peer_check(fd, or_root) < 0 ? -1 : fd_steal(&fd);
}

static int start_own(void) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  _cleanup_fd_ int ours = pair[0], theirs = pair[1];
  /* The child's end goes right behind the container's descriptors. Ours moves out of that range first, so that nothing that the
   * caller left open there is mistaken for it. */
  int connection = 3 + (int)preserve;
  _cleanup_fd_ int high = fcntl(ours, F_DUPFD_CLOEXEC, connection + 1);
  _cleanup_fd_ int place = fcntl(theirs, F_DUPFD_CLOEXEC, connection + 1);
  if (high < 0 || place < 0) return -1;
  fd_close(&ours);
  fd_close(&theirs);
  _cleanup_fd_ int saved = fcntl(connection, F_DUPFD_CLOEXEC, connection + 1); /* what the caller had there, if anything */
  if (dup3(place, connection, O_CLOEXEC) < 0) return -1;
  char at[16], count[16];
  snprintf(at, sizeof at, "%d", connection);
  snprintf(count, sizeof count, "%u", preserve);
  char *argv[] = {"berth-monitor", "cli", at, count, NULL};
  pid_t pid = spawn_monitor(argv, (unsigned)connection + 1, true, false);
  close(connection);
  if (saved >= 0 && dup3(saved, connection, O_CLOEXEC) < 0) return -1;
  if (pid < 0) return -1;
  own = fd_steal(&high);
  return 0;
}

void remote_early(void) {
  if (own < 0) (void)start_own();
}

/* Reads what is there, with the descriptors that ride along. */
static ssize_t receive(int fd, struct buf *in, int *fds, size_t *n_fds) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(GIVEN_MAX * sizeof(int))];
  } control;
  if (buf_reserve(in, 64 << 10) < 0) return -1;
  struct iovec iov = {.iov_base = in->data + in->len, .iov_len = 64 << 10};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control};
  ssize_t n;
  do n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n > 0) in->len += (size_t)n;
  for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int got;
      memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
      if (*n_fds < GIVEN_MAX) fds[(*n_fds)++] = got;
      else close(got);
    }
  }
  return n;
}

/* The first of those that rode along, by its name: kept, or closed. 0 or -1 with errno. */
static int take_given(const char *name, int *fds, size_t *n_fds) {
  _cleanup_fd_ int fd = fds[0];
  memmove(fds, fds + 1, --*n_fds * sizeof *fds);
  char *copy = n_given < GIVEN_MAX ? strdup(name) : (errno = EMFILE, NULL);
  if (copy == NULL) return -1;
  given[n_given].name = copy;
  given[n_given++].fd = fd_steal(&fd);
  return 0;
}

/* Reads until there is an outcome. 0 or -1 with errno; what of `fds` was not taken is left in them. */
static int hear_outcome(int fd, int *fds, size_t *n_fds, struct buf *outcome) {
  _cleanup_buf_ struct buf in = {0};
  for (;;) {
    struct frame f;
    size_t size;
    int got = frame_next(&in, &f, &size);
    if (got < 0) return -1;
    if (got == 0) {
      ssize_t n = receive(fd, &in, fds, n_fds);
      if (n == 0) errno = ECONNRESET; /* it ended before it was done */
      if (n <= 0) return -1;
      continue;
    }
    if (f.type == PEER_OUTCOME) {
      struct span o = reader_bytes(&f.body);
      return f.body.bad ? (errno = EPROTO, -1) : buf_append(outcome, o.data, o.len);
    }
    if (f.type != PEER_DESCRIPTOR || *n_fds == 0) {
      errno = EPROTO;
      return -1;
    }
    if (take_given(reader_str(&f.body), fds, n_fds) < 0) return -1;
    buf_drop(&in, size);
  }
}

int remote_run(const char *path, const uint8_t *plan, size_t len, struct buf *outcome) {
  _cleanup_fd_ int other = -1;
  _cleanup_buf_ struct buf frame = {0};
  if (*path) {
    other = remote_connect(path, true);
    if (other < 0) return -1;
  } else if (own < 0 && start_own() < 0) {
    return -1;
  }
  int fd = *path ? other : own;
  size_t at = frame_begin(&frame, PEER_RUN);
  if (at == (size_t)-1 || buf_u32(&frame, *path ? 0 : RUN_INLINE) < 0 || buf_bytes(&frame, plan, len) < 0 || frame_end(&frame, at) < 0) return -1;
  if (frame_send(fd, &frame) < 0) return -1;
  int fds[GIVEN_MAX];
  size_t n_fds = 0;
  int done = hear_outcome(fd, fds, &n_fds, outcome);
  int error = errno;
  for (size_t i = 0; i < n_fds; i++) close(fds[i]);
  errno = error;
  return done;
}
