/* Device rules of a cgroup v2: a BPF program that stays attached as long as the cgroup is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "bpf.h"
#include "executor.h"
#include "ops.gen.h"

#define PROGRAM_NAME "berth_devices" /* how an update finds what it replaces; others (systemd) may have attached theirs */

/* The attached program of this id if it is one of ours, or -1; errno is ENOENT where it is somebody else's or gone. */
static int open_ours(uint32_t id) {
  _cleanup_fd_ int fd = bpf_by_id(BPF_PROG_GET_FD_BY_ID, id);
  struct bpf_prog_info info = {0};
  if (fd < 0 || bpf_info(fd, &info, sizeof info) != 0) return -1;
  if (strncmp(info.name, PROGRAM_NAME, sizeof info.name) == 0) return fd_steal(&fd);
  errno = ENOENT;
  return -1;
}

/* What an earlier call attached to this cgroup itself: 0 with *fd, or with -1 in it where there is none. -1 with errno. */
static int find_attached(int dir, int *fd) {
  uint32_t ids[ATTACHED_MAX], count;
  *fd = -1;
  if (bpf_attached(dir, BPF_CGROUP_DEVICE, ids, &count) != 0) return -1;
  for (uint32_t i = 0; i < count && *fd < 0; i++) {
    *fd = open_ours(ids[i]);
    if (*fd < 0 && errno != ENOENT) return -1;
  }
  return 0;
}

static int refused(struct executor *ex, const char *path) {
  switch (errno) {
  case ENOSYS: return fail_msg(&ex->fail, errno, path, "this kernel has no bpf(2)");
  case EPERM: return fail_msg(&ex->fail, errno, path, "a BPF device filter takes CAP_SYS_ADMIN (or CAP_BPF and CAP_NET_ADMIN) outside of user namespaces");
  case EINVAL: return fail_msg(&ex->fail, errno, path, "this kernel has no BPF device filters (CONFIG_CGROUP_BPF)");
  case E2BIG: return fail_msg(&ex->fail, errno, path, "too many device rules, or programs attached to the cgroup");
  default: return fail_sys(&ex->fail, "bpf", path);
  }
}

int run_device_filter(struct executor *ex, const struct op_device_filter *op, struct buf *result) {
  (void)result;
  if (op->program.len == 0 || op->program.len % sizeof(struct bpf_insn) != 0)
    return fail_msg(&ex->fail, EINVAL, op->path, "not a BPF program");
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  _cleanup_fd_ int program =
      bpf_load(&(struct bpf_loading){PROGRAM_NAME, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, op->program.data, op->program.len});
  if (program < 0) return refused(ex, op->path);
  _cleanup_fd_ int attached = -1;
  if (find_attached(dir, &attached) != 0) return refused(ex, op->path);
  /* In one step, so that there is no moment without a filter. */
  return bpf_attach(dir, program, BPF_CGROUP_DEVICE, attached) == 0 ? 0 : refused(ex, op->path);
}
