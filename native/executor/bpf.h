/* bpf(2). */
#ifndef BERTH_BPF_H
#define BERTH_BPF_H

#include <linux/bpf.h>
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

#define ATTACHED_MAX 64 /* the kernel's own limit of programs on a cgroup */
#define BPF_LICENSE "Apache-2.0"

#endif
