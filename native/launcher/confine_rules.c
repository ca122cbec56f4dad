#define _GNU_SOURCE
#include "confine_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../common/fd.h"
#include "../common/landlock.h"
#include "../common/rights.h"
#include "confine_root.h"

struct allowing {
  int ruleset;
  uint64_t rights;
};

static int allow(const char *path, bool optional, void *context) {
  const struct allowing *a = context;
  _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return optional && errno == ENOENT ? 0 : -1;
  return landlock_allow(a->ruleset, fd, a->rights);
}

static int enter_domain(const struct install *in, const struct confine_rules *rules) {
  if (rules->fs == 0 && rules->net == 0 && rules->scoped == 0) return 0;
  _cleanup_fd_ int ruleset = landlock_create(&(struct landlock_ruleset){rules->fs, rules->net, rules->scoped});
  struct allowing a = {ruleset, rules->rights};
  if (ruleset < 0 || (rules->fs != 0 && confine_files(in, allow, &a) < 0)) return -1;
  for (size_t i = 0; i < rules->n_ports && rules->net != 0; i++)
    if (landlock_allow_port(ruleset, rules->ports[i], rules->port_rights) < 0) return -1;
  return landlock_enter(ruleset);
}

static int enter_filter(const struct confine_rules *rules, int ask) {
  const struct sock_fprog program = {.len = (unsigned short)(rules->filter_len / sizeof(struct sock_filter)),
                                     .filter = (struct sock_filter *)(uintptr_t)rules->filter};
  _cleanup_fd_ int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  return listener >= 0 && rights_send(ask, "l", 1, &listener, 1, 0) == 1 ? 0 : -1;
}

int confine_enter(const struct install *in, const struct confine_rules *rules, int ask, const char **what) {
  *what = "Landlock";
  if (enter_domain(in, rules) != 0) return -1;
  *what = "seccomp";
  return enter_filter(rules, ask);
}

void confine_answer(int ask) {
  char byte;
  _cleanup_fd_ int listener = -1;
  struct seccomp_notif asked = {0};
  if (rights_receive(ask, &byte, 1, &listener, 0) != 1 || listener < 0) return; /* it has failed, and said why */
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return;
  struct seccomp_notif_resp answer = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* it is gone */
}
