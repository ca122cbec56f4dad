/* Landlock (landlock(7)): of <linux/landlock.h>, of which older headers have a part or nothing. */
#ifndef BERTH_LANDLOCK_H
#define BERTH_LANDLOCK_H

#include <stdint.h>
#include <sys/stat.h>

#include "sys.h"

#define LANDLOCK_PATH_BENEATH 1
#define LANDLOCK_NET_PORT 2
/* Rights that mean something to a file: execute, write, read, truncate, ioctl of a device. Others the kernel refuses for it. */
#define LANDLOCK_FILE_RIGHTS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 14 | 1u << 15)

/* What a kernel does not know of it it takes as long as it is zero. */
struct landlock_ruleset {
  uint64_t fs, net, scoped;
};
struct landlock_path_beneath {
  uint64_t access;
  int32_t parent;
} __attribute__((packed));
struct landlock_net_port {
  uint64_t access, port;
};

/* The functions return what the system calls do. */
static inline int landlock_create(const struct landlock_ruleset *attr) {
  return (int)syscall(SYS_landlock_create_ruleset, attr, sizeof *attr, 0);
}

/* Rights beneath what the descriptor (O_PATH) is of, as far as they mean something there; none is no rule. */
static inline int landlock_allow(int ruleset, int fd, uint64_t rights) {
  struct stat info;
  if (fstat(fd, &info) != 0) return -1;
  struct landlock_path_beneath rule = {.access = S_ISDIR(info.st_mode) ? rights : rights & LANDLOCK_FILE_RIGHTS, .parent = fd};
  return rule.access == 0 ? 0 : (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0);
}

static inline int landlock_allow_port(int ruleset, uint32_t port, uint64_t rights) {
  struct landlock_net_port rule = {.access = rights, .port = port};
  return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_NET_PORT, &rule, 0);
}

static inline int landlock_enter(int ruleset) { return (int)syscall(SYS_landlock_restrict_self, ruleset, 0); }

#endif
