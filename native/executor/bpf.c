#define _GNU_SOURCE
#include "bpf.h"

#include <stdint.h>

int bpf_load(const struct bpf_loading *l) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.prog_type = l->type;
  attr.expected_attach_type = l->attach;
  attr.insns = (uint64_t)(uintptr_t)l->program;
  attr.insn_cnt = (uint32_t)(l->len / sizeof(struct bpf_insn));
  attr.license = (uint64_t)(uintptr_t)BPF_LICENSE;
  memcpy(attr.prog_name, l->name, strnlen(l->name, sizeof attr.prog_name - 1));
  return bpf(BPF_PROG_LOAD, &attr);
}

int bpf_attach(int dir, int program, uint32_t attach, int replaced) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.target_fd = (uint32_t)dir;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = attach;
  attr.attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0);
  attr.replace_bpf_fd = replaced >= 0 ? (uint32_t)replaced : 0;
  return bpf(BPF_PROG_ATTACH, &attr);
}

int bpf_attached(int dir, uint32_t attach, uint32_t *ids, uint32_t *count) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.query.target_fd = (uint32_t)dir;
  attr.query.attach_type = attach;
  attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
  attr.query.prog_cnt = ATTACHED_MAX;
  if (bpf(BPF_PROG_QUERY, &attr) != 0) return -1;
  *count = attr.query.prog_cnt < ATTACHED_MAX ? attr.query.prog_cnt : ATTACHED_MAX;
  return 0;
}

int bpf_by_id(enum bpf_cmd command, uint32_t id) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.prog_id = id; /* at the same place as the other ids */
  return bpf(command, &attr);
}

int bpf_info(int fd, void *info, uint32_t size) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.info.bpf_fd = (uint32_t)fd;
  attr.info.info_len = size;
  attr.info.info = (uint64_t)(uintptr_t)info;
  return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}
