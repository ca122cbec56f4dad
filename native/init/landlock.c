/* Landlock domains (landlock(7)): what is in them can only ever be narrowed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>

#include "../common/fd.h"
#include "../common/landlock.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "identity.h"
#include "ops.gen.h"
#include "resolve.h"

/* The image decides what its symlinks point to: none is followed, as it could lead a right to anywhere. An exec has no descriptor of the
 * container's root, but is in it. */
static int open_rule(const struct executor *ex, const char *path) {
  if (ex->root >= 0) return root_open(ex, path, O_PATH, RESOLVE_NO_SYMLINKS);
  return sys_openat2(AT_FDCWD, path, O_PATH, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* A path that is not there, or only by a symlink, gives no right: that is narrower than what was asked for, never wider. */
static int allow_path(struct executor *ex, int ruleset, const char *path, uint32_t rights) {
  _cleanup_fd_ int fd = open_rule(ex, path);
  if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR)) return 0;
  if (fd < 0) return fail_path(ex, "openat2", path);
  return landlock_allow(ruleset, fd, rights) == 0 ? 0 : fail_sys(&ex->fail, "landlock_add_rule", path);
}

int run_landlock(struct executor *ex, const struct op_landlock *op, struct buf *result) {
  (void)result;
  if (op->paths.count != op->rights.count || op->ports.count != op->port_rights.count)
    return fail_msg(&ex->fail, EINVAL, "landlock", "not as many rights as paths or ports");
  _cleanup_fd_ int ruleset = landlock_create(&(struct landlock_ruleset){.fs = op->fs, .net = op->net, .scoped = op->scoped});
  if (ruleset < 0) return fail_sys(&ex->fail, "landlock_create_ruleset", "policy");
  struct reader paths = op->paths.items, rights = op->rights.items;
  for (uint32_t i = 0; i < op->paths.count; i++) {
    const char *path = reader_str(&paths);
    if (allow_path(ex, ruleset, path, reader_u32(&rights)) != 0) return -1;
  }
  struct reader ports = op->ports.items, port_rights = op->port_rights.items;
  for (uint32_t i = 0; i < op->ports.count; i++) {
    uint32_t port = reader_u32(&ports), allowed = reader_u32(&port_rights);
    if (landlock_allow_port(ruleset, port, allowed) != 0) return fail_sys(&ex->fail, "landlock_add_rule", "policy: tcp");
  }
  return slot_put(ex, op->slot, fd_steal(&ruleset));
}

int run_landlock_enter(struct executor *ex, const struct op_landlock_enter *op, struct buf *result) {
  (void)result;
  int ruleset = slot_fd(ex, op->slot);
  if (ruleset < 0) return -1;
  /* Without no_new_privs it takes CAP_SYS_ADMIN in force, as a filter does. */
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && identity_raise(ex) != 0) return -1;
  if (landlock_enter(ruleset) != 0) return fail_sys(&ex->fail, "landlock_restrict_self", "policy");
  ex->confined = true;
  return 0;
}
