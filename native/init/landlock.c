/* Landlock domains (landlock(7)): what is in them can only ever be narrowed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "identity.h"
#include "ops.gen.h"
#include "resolve.h"

/* Of <linux/landlock.h>, of which older headers have a part or nothing. */
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2
/* Rights that mean something to a file: execute, write, read, truncate, ioctl of a device. Others the kernel refuses for it. */
#define FILE_RIGHTS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 14 | 1u << 15)

struct ruleset_attr {
  uint64_t fs, net, scoped;
};
struct path_beneath_attr {
  uint64_t access;
  int32_t parent;
} __attribute__((packed));
struct net_port_attr {
  uint64_t access, port;
};

static int add_rule(struct executor *ex, int ruleset, int type, const void *attr, const char *subject) {
  if (syscall(SYS_landlock_add_rule, ruleset, type, attr, 0) == 0) return 0;
  return fail_sys(&ex->fail, "landlock_add_rule", subject);
}

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
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) return fail_path(ex, "openat2", path);
  struct path_beneath_attr rule = {.access = S_ISDIR(info.st_mode) ? rights : rights & FILE_RIGHTS, .parent = fd};
  return rule.access == 0 ? 0 : add_rule(ex, ruleset, RULE_PATH_BENEATH, &rule, path);
}

int run_landlock(struct executor *ex, const struct op_landlock *op, struct buf *result) {
  (void)result;
  if (op->paths.count != op->rights.count || op->ports.count != op->port_rights.count)
    return fail_msg(&ex->fail, EINVAL, "landlock", "not as many rights as paths or ports");
  /* What a kernel does not know it takes as long as it is zero. */
  struct ruleset_attr attr = {.fs = op->fs, .net = op->net, .scoped = op->scoped};
  _cleanup_fd_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
  if (ruleset < 0) return fail_sys(&ex->fail, "landlock_create_ruleset", "policy");
  struct reader paths = op->paths.items, rights = op->rights.items;
  for (uint32_t i = 0; i < op->paths.count; i++) {
    const char *path = reader_str(&paths);
    if (allow_path(ex, ruleset, path, reader_u32(&rights)) != 0) return -1;
  }
  struct reader ports = op->ports.items, port_rights = op->port_rights.items;
  for (uint32_t i = 0; i < op->ports.count; i++) {
    struct net_port_attr rule = {.port = reader_u32(&ports), .access = reader_u32(&port_rights)};
    if (add_rule(ex, ruleset, RULE_NET_PORT, &rule, "policy: tcp") != 0) return -1;
  }
  return slot_put(ex, op->slot, fd_steal(&ruleset));
}

int run_landlock_enter(struct executor *ex, const struct op_landlock_enter *op, struct buf *result) {
  (void)result;
  int ruleset = slot_fd(ex, op->slot);
  if (ruleset < 0) return -1;
  /* Without no_new_privs it takes CAP_SYS_ADMIN in force, as a filter does. */
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && identity_raise(ex) != 0) return -1;
  if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) return fail_sys(&ex->fail, "landlock_restrict_self", "policy");
  ex->confined = true;
  return 0;
}
