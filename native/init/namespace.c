/* Namespaces: entering and leaving them, and what a new one has to have set. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../executor/clone.h"
#include "../executor/executor.h"
#include "identity.h"
#include "init.h"
#include "ops.gen.h"

int run_setns(struct executor *ex, const struct op_setns *op, struct buf *result) {
  (void)result;
  int ns = slot_fd(ex, op->slot);
  if (ns < 0) return -1;
  const char *subject = namespace_name((int)op->nstype);
  if (op->nstype == CLONE_NEWUSER && is_own_user_namespace(ns)) return 0;
  if (setns(ns, (int)op->nstype) != 0) return fail_sys(&ex->fail, "setns", subject);
  /* Joining a user namespace changes credentials; a procfs shows the namespaces it was made in. */
  fd_close(&ex->proc);
  if (identity_hide(ex) != 0) return -1;
  int types = op->nstype != 0 ? (int)op->nstype : ioctl(ns, NS_GET_NSTYPE);
  if (types < 0) return fail_sys(&ex->fail, "NS_GET_NSTYPE", subject);
  if ((types & CLONE_NEWUSER) != 0) {
    ex->joined_user = true;
    if (identity_root(ex) != 0) return -1;
  }
  if ((types & CLONE_NEWNS) == 0) return 0;
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail_sys(&ex->fail, "open", "/");
  fd_close(&ex->root);
  ex->root = root;
  return 0;
}

int run_unshare(struct executor *ex, const struct op_unshare *op, struct buf *result) {
  (void)result;
  char subject[40];
  (void)snprintf(subject, sizeof subject, "namespaces 0x%x", op->flags);
  if (unshare((int)op->flags) != 0) return fail_sys(&ex->fail, "unshare", subject);
  return identity_hide(ex);
}

int run_sync(struct executor *ex, const struct op_sync *op, struct buf *result) {
  (void)op, (void)result;
  if (init_report(ex, REPORT_SYNC, -1) != 0) return -1;
  init_wait_go(ex);
  return 0;
}

int run_session(struct executor *ex, const struct op_session *op, struct buf *result) {
  (void)op, (void)result;
  return setsid() >= 0 ? 0 : fail_sys(&ex->fail, "setsid", "session");
}

int run_hostname(struct executor *ex, const struct op_hostname *op, struct buf *result) {
  (void)result;
  return sethostname(op->name, strlen(op->name)) == 0 ? 0 : fail_sys(&ex->fail, "sethostname", op->name);
}

int run_domainname(struct executor *ex, const struct op_domainname *op, struct buf *result) {
  (void)result;
  return setdomainname(op->name, strlen(op->name)) == 0 ? 0 : fail_sys(&ex->fail, "setdomainname", op->name);
}

int run_loopback(struct executor *ex, const struct op_loopback *op, struct buf *result) {
  (void)op, (void)result;
  struct ifreq request = {.ifr_name = "lo"};
  _cleanup_fd_ int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0) return fail_sys(&ex->fail, "socket", "lo");
  if (ioctl(sock, SIOCGIFFLAGS, &request) != 0) return fail_sys(&ex->fail, "SIOCGIFFLAGS", "lo");
  request.ifr_flags |= IFF_UP;
  return ioctl(sock, SIOCSIFFLAGS, &request) == 0 ? 0 : fail_sys(&ex->fail, "SIOCSIFFLAGS", "lo");
}
