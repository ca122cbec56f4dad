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

static int load(struct span program) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.expected_attach_type = BPF_CGROUP_DEVICE;
  attr.insns = (uint64_t)(uintptr_t)program.data;
  attr.insn_cnt = (uint32_t)(program.len / sizeof(struct bpf_insn));
  attr.license = (uint64_t)(uintptr_t)BPF_LICENSE;
  memcpy(attr.prog_name, PROGRAM_NAME, sizeof PROGRAM_NAME);
  return bpf(BPF_PROG_LOAD, &attr);
}

/* The attached program of this id if it is one of ours, or -1; errno is ENOENT where it is somebody else's or gone. */
static int open_ours(uint32_t id) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.prog_id = id;
  _cleanup_fd_ int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
  if (fd < 0) return -1;
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* the kernel's default already */
  struct bpf_prog_info info = {0};
  bpf_clear(&attr);
  attr.info.bpf_fd = (uint32_t)fd;
  attr.info.info_len = sizeof info;
  attr.info.info = (uint64_t)(uintptr_t)&info;
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) != 0) return -1;
  if (strncmp(info.name, PROGRAM_NAME, sizeof info.name) == 0) return fd_steal(&fd);
  errno = ENOENT;
  return -1;
}

/* What an earlier call attached to this cgroup itself: 0 with *fd, or with -1 in it where there is none. -1 with errno. */
static int find_attached(int dir, int *fd) {
  uint32_t ids[ATTACHED_MAX];
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.query.target_fd = (uint32_t)dir;
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
  attr.query.prog_cnt = ATTACHED_MAX;
  *fd = -1;
  if (bpf(BPF_PROG_QUERY, &attr) != 0) return -1;
  for (uint32_t i = 0; i < attr.query.prog_cnt && *fd < 0; i++) {
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
  _cleanup_fd_ int program = load(op->program);
  if (program < 0) return refused(ex, op->path);
  _cleanup_fd_ int attached = -1;
  if (find_attached(dir, &attached) != 0) return refused(ex, op->path);
  /* In one step, so that there is no moment without a filter. */
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.target_fd = (uint32_t)dir;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI | (attached >= 0 ? BPF_F_REPLACE : 0);
  attr.replace_bpf_fd = attached >= 0 ? (uint32_t)attached : 0;
  return bpf(BPF_PROG_ATTACH, &attr) == 0 ? 0 : refused(ex, op->path);
}
