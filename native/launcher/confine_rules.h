/* What a confined Node may do with what it can reach: a Landlock domain and a filter of its system calls, both decided by who has it started. */
#ifndef BERTH_CONFINE_RULES_H
#define BERTH_CONFINE_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "install.h"

struct confine_rules {
  uint64_t fs, net, scoped; /* what the domain is about (LANDLOCK_*); all 0: there is none on this kernel */
  uint64_t rights;          /* that it has to its own files */
  const uint32_t *ports;    /* that it has `port_rights` to */
  size_t n_ports;
  uint64_t port_rights;
  const void *filter; /* struct sock_filter[], for which execve is a call to be asked about (SECCOMP_RET_USER_NOTIF) */
  size_t filter_len;
};

/* In the process that becomes Node, with no_new_privs. `ask`: a socket to whoever calls confine_answer. 0, or -1 with errno, and what failed. */
int confine_enter(const struct install *, const struct confine_rules *, int ask, const char **what);
/* In its parent: allows one execve. Whatever comes after that is refused (ENOSYS): a filter whose listener is closed has nobody to ask. */
void confine_answer(int ask);

#endif
