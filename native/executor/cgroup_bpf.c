/* BPF programs on a cgroup v2, and the maps that they read. Attached without a link, they stay as long as the cgroup (trap 23). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../common/fd.h"
#include "bpf.h"
#include "executor.h"
#include "ops.gen.h"

/* What errno says of bpf(2), to a person. */
static int refused(struct executor *ex, const char *subject) {
  switch (errno) {
  case ENOSYS: return fail_msg(&ex->fail, errno, subject, "this kernel has no bpf(2)");
  case EPERM: return fail_msg(&ex->fail, errno, subject, "BPF programs take CAP_BPF and CAP_NET_ADMIN outside of user namespaces");
  default: return fail_sys(&ex->fail, "bpf", subject);
  }
}

static int fill(int map, const struct op_bpf_map *op, uint32_t count) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.batch.map_fd = (uint32_t)map;
  attr.batch.keys = (uint64_t)(uintptr_t)op->keys.data;
  attr.batch.values = (uint64_t)(uintptr_t)op->values.data;
  attr.batch.count = count;
  return bpf(BPF_MAP_UPDATE_BATCH, &attr);
}

int run_bpf_map(struct executor *ex, const struct op_bpf_map *op, struct buf *result) {
  (void)result;
  union bpf_attr attr;
  size_t count = op->key_size ? op->keys.len / op->key_size : 0;
  if (op->key_size == 0 || op->keys.len % op->key_size != 0 || count > op->room || op->values.len != count * op->value_size)
    return fail_msg(&ex->fail, EINVAL, op->name, "keys and values that are not the map's");
  bpf_clear(&attr);
  if (strlen(op->name) >= sizeof attr.map_name) return fail_msg(&ex->fail, ENAMETOOLONG, op->name, "the name of a map");
  attr.map_type = op->type;
  attr.key_size = op->key_size;
  attr.value_size = op->value_size;
  attr.max_entries = op->room;
  attr.map_flags = op->flags;
  memcpy(attr.map_name, op->name, strlen(op->name));
  _cleanup_fd_ int map = bpf(BPF_MAP_CREATE, &attr); /* close-on-exec, as all that bpf(2) gives */
  if (map < 0 || (count > 0 && fill(map, op, (uint32_t)count) != 0)) return refused(ex, op->name);
  return slot_put(ex, op->slot, fd_steal(&map));
}

/* The descriptor of the map with this number, or -1 with fail set. */
static int map_fd(struct executor *ex, const struct op_bpf_attach *op, int32_t number) {
  if (number < 0 || (uint32_t)number >= op->maps.count)
    return fail_msg(&ex->fail, EINVAL, op->path, "the program reads a map that is not given");
  struct reader slots = op->maps.items;
  for (int32_t i = 0; i < number; i++) (void)reader_u32(&slots);
  return slot_fd(ex, reader_u32(&slots));
}

/* A copy of the program in which each map's number has become its descriptor. NULL with fail set. */
static struct bpf_insn *link_maps(struct executor *ex, const struct op_bpf_attach *op) {
  _cleanup_free_ struct bpf_insn *program = malloc(op->program.len);
  if (!program) {
    (void)fail_sys(&ex->fail, "malloc", op->path);
    return NULL;
  }
  memcpy(program, op->program.data, op->program.len);
  for (size_t i = 0; i < op->program.len / sizeof *program; i++) {
    if (program[i].code != (BPF_LD | BPF_DW | BPF_IMM) || program[i].src_reg != BPF_PSEUDO_MAP_FD) continue;
    program[i].imm = map_fd(ex, op, program[i].imm);
    if (program[i].imm < 0) return NULL;
  }
  struct bpf_insn *linked = program;
  program = NULL;
  return linked;
}

int run_bpf_attach(struct executor *ex, const struct op_bpf_attach *op, struct buf *result) {
  (void)result;
  if (op->program.len == 0 || op->program.len % sizeof(struct bpf_insn) != 0)
    return fail_msg(&ex->fail, EINVAL, op->path, "not a BPF program");
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  _cleanup_free_ struct bpf_insn *linked = link_maps(ex, op);
  if (!linked) return -1;
  union bpf_attr attr;
  bpf_clear(&attr);
  if (strlen(op->name) >= sizeof attr.prog_name) return fail_msg(&ex->fail, ENAMETOOLONG, op->name, "the name of a program");
  attr.prog_type = op->type;
  attr.expected_attach_type = op->attach;
  attr.insns = (uint64_t)(uintptr_t)linked;
  attr.insn_cnt = (uint32_t)(op->program.len / sizeof(struct bpf_insn));
  attr.license = (uint64_t)(uintptr_t)BPF_LICENSE;
  memcpy(attr.prog_name, op->name, strlen(op->name));
  _cleanup_fd_ int program = bpf(BPF_PROG_LOAD, &attr);
  if (program < 0) return refused(ex, op->path);
  bpf_clear(&attr);
  attr.target_fd = (uint32_t)dir;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = op->attach;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  return bpf(BPF_PROG_ATTACH, &attr) == 0 ? 0 : refused(ex, op->path);
}
