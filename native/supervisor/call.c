#define _GNU_SOURCE
#include "call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/reader.h"
#include "../common/rights.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

const struct deal_entry *deal_of(const char *name) {
  const struct deal_entry *const tables[] = {execute_deals, open_deals, socket_deals};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    for (const struct deal_entry *entry = tables[i]; entry->name != NULL; entry++)
      if (strcmp(name, entry->name) == 0) return entry;
  return NULL;
}

/* One datagram there, one back: u32 errno, perhaps with a descriptor. The errno; EPERM where nobody answers (S16). */
static int exchange(struct asked *a, const void *data, size_t len, int *fd) {
  uint32_t error;
  *fd = -1;
  if (rights_send(a->supervisor, data, len, NULL, 0, 0) != (ssize_t)len) return EPERM;
  if (rights_receive(a->supervisor, &error, sizeof error, fd, 0) != (ssize_t)sizeof error) return EPERM;
  return (int)error;
}

int ask(struct asked *a, const struct buf *event) {
  _cleanup_fd_ int fd = -1;
  if (event->len > QUESTION_MAX) return E2BIG;
  int error = exchange(a, event->data, event->len, &fd);
  return error < 0 ? EPERM : error;
}

int ask_own_link(struct asked *a, const char *link) {
  char question[64] = {SAY_OWN_LINK};
  size_t len = strlen(link);
  if (len >= sizeof question - 1) {
    errno = EACCES;
    return -1;
  }
  memcpy(question + 1, link, len + 1);
  int fd, error = exchange(a, question, len + 2, &fd);
  if (error == 0 && fd >= 0) return fd;
  fd_close(&fd);
  errno = error == 0 ? EACCES : error;
  return -1;
}

/* From here on that it takes long, or that its caller is gone, is no reason to end us. */
static void answering(const struct asked *a) {
  static const char say = SAY_ANSWERING;
  (void)rights_send(a->supervisor, &say, 1, NULL, 0, 0);
}

static int respond(const struct asked *a, int64_t value, int error, uint32_t flags) {
  struct seccomp_notif_resp response = {.id = a->id, .val = value, .error = -error, .flags = flags};
  answering(a);
  return ioctl(a->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void answer_error(const struct asked *a, int error) { (void)respond(a, 0, error, 0); }
void answer_value(const struct asked *a, int64_t value) { (void)respond(a, value, 0, 0); }
int answer_continue(const struct asked *a) { return respond(a, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE); }

void answer_fd(const struct asked *a, int fd, bool close_on_exec) {
  struct seccomp_notif_addfd add = {
      .id = a->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)fd, .newfd_flags = close_on_exec ? O_CLOEXEC : 0};
  answering(a);
  if (ioctl(a->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0 || errno == ENOENT) return;
  answer_error(a, errno == EMFILE || errno == ENFILE ? errno : EACCES);
}

bool still_waits(const struct asked *a) {
  uint64_t id = a->id;
  return ioctl(a->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}
