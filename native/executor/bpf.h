/* bpf(2). */
#ifndef BERTH_BPF_H
#define BERTH_BPF_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int bpf(enum bpf_cmd command, union bpf_attr *attr) {
  return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* All of it: the kernel refuses what is set behind the fields of a command, and an initializer of one member of a union need not clear
 * the rest. */
static inline void bpf_clear(union bpf_attr *attr) {
  memset(attr, 0, sizeof *attr);
}

struct bpf_loading {
  const char *name; /* at most BPF_OBJ_NAME_LEN - 1 bytes */
  uint32_t type, attach;
  const void *program; /* struct bpf_insn[] */
  size_t len;
};

/* What follows returns as the system call does; descriptors are close-on-exec, as all that bpf(2) gives. */
int bpf_load(const struct bpf_loading *);
/* Attaches a program to a cgroup directory beside others, or in one step in the place of the one in `replaced` (-1: none). */
int bpf_attach(int dir, int program, uint32_t attach, int replaced);
/* The ids of those that are attached to it: at most ATTACHED_MAX, `*count` of them. */
int bpf_attached(int dir, uint32_t attach, uint32_t *ids, uint32_t *count);
/* BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID. */
int bpf_by_id(enum bpf_cmd command, uint32_t id);
int bpf_info(int fd, void *info, uint32_t size);

#define ATTACHED_MAX 64 /* the kernel's own limit of programs on a cgroup */
#define BPF_LICENSE "Apache-2.0"

#endif
