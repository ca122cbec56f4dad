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

#define MAPS_MAX 8 /* of a program that may be asked for its counts */

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
  if (strlen(op->name) >= BPF_OBJ_NAME_LEN) return fail_msg(&ex->fail, ENAMETOOLONG, op->name, "the name of a program");
  _cleanup_fd_ int program = bpf_load(&(struct bpf_loading){op->name, op->type, op->attach, linked, op->program.len});
  return program < 0 || bpf_attach(dir, program, op->attach, -1) != 0 ? refused(ex, op->path) : 0;
}

/* Appends the values of an array: their number, and each. 0 or -1 with errno. */
static int read_counts(int map, uint32_t count, struct buf *result) {
  if (buf_u32(result, count) != 0) return -1;
  for (uint32_t key = 0; key < count; key++) {
    uint64_t value = 0;
    union bpf_attr attr;
    bpf_clear(&attr);
    attr.map_fd = (uint32_t)map;
    attr.key = (uint64_t)(uintptr_t)&key;
    attr.value = (uint64_t)(uintptr_t)&value;
    if (bpf(BPF_MAP_LOOKUP_ELEM, &attr) != 0 || buf_u64(result, value) != 0) return -1;
  }
  return 0;
}

/* The counts of one program that is attached, if it is one that has them. 0 or -1 with errno. */
static int counts_of(uint32_t id, const char *name, struct buf *result) {
  _cleanup_fd_ int program = bpf_by_id(BPF_PROG_GET_FD_BY_ID, id);
  if (program < 0) return errno == ENOENT ? 0 : -1; /* just taken away */
  uint32_t maps[MAPS_MAX];
  struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uint64_t)(uintptr_t)maps};
  if (bpf_info(program, &info, sizeof info) != 0) return -1;
  for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++) {
    _cleanup_fd_ int map = bpf_by_id(BPF_MAP_GET_FD_BY_ID, maps[i]);
    struct bpf_map_info about = {0};
    if (map < 0 || bpf_info(map, &about, sizeof about) != 0) return -1;
    if (strncmp(about.name, name, sizeof about.name) != 0 || about.type != BPF_MAP_TYPE_ARRAY || about.value_size != sizeof(uint64_t)) continue;
    return read_counts(map, about.max_entries, result);
  }
  return 0;
}

int run_bpf_counts(struct executor *ex, const struct op_bpf_counts *op, struct buf *result) {
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  uint32_t ids[ATTACHED_MAX], count;
  if (bpf_attached(dir, op->attach, ids, &count) != 0) return refused(ex, op->path);
  for (uint32_t i = 0; i < count; i++)
    if (counts_of(ids[i], op->map, result) != 0) return refused(ex, op->path);
  return 1;
}
