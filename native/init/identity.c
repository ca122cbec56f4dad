/* Who the process is: user, groups, capabilities, no_new_privs, session keyring, umask. */
#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../executor/executor.h"
#include "home.h"
#include "ops.gen.h"

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

int identity_hide(struct executor *ex) {
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
}

int identity_root(struct executor *ex) {
  if (geteuid() == 0 && getegid() == 0) return 0;
  (void)(syscall(SYS_setresgid, 0, 0, 0) == 0 && syscall(SYS_setresuid, 0, 0, 0) == 0);
  return identity_hide(ex);
}

static int set_groups(struct executor *ex, const struct list *groups) {
  _cleanup_free_ gid_t *ids = calloc(groups->count + 1u, sizeof *ids);
  if (ids == NULL) return fail_sys(&ex->fail, "setgroups", "memory");
  struct reader items = groups->items;
  for (uint32_t i = 0; i < groups->count; i++) ids[i] = reader_u32(&items);
  return syscall(SYS_setgroups, (size_t)groups->count, ids) == 0 ? 0 : fail_sys(&ex->fail, "setgroups", "additional groups");
}

/* While every file can be read, and no filter is in force (trap 21). */
static int find_home(struct executor *ex, uint32_t uid) {
  char variable[HOME_SIZE];
  home_find(ex, uid, variable);
  free(ex->home);
  ex->home = strdup(variable);
  return ex->home != NULL ? 0 : fail_sys(&ex->fail, "strdup", "HOME");
}

/* System calls themselves, here and below: the C library's functions would look for other threads to change. */
int run_user(struct executor *ex, const struct op_user *op, struct buf *result) {
  (void)result;
  char subject[48];
  (void)snprintf(subject, sizeof subject, "user %u:%u", op->uid, op->gid);
  if (op->home != 0 && find_home(ex, op->uid) != 0) return -1;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_KEEPCAPS");
  if (op->setgroups != 0 && set_groups(ex, &op->groups) != 0) return -1;
  if (syscall(SYS_setresgid, op->gid, op->gid, op->gid) != 0) return fail_sys(&ex->fail, "setresgid", subject);
  if (syscall(SYS_setresuid, op->uid, op->uid, op->uid) != 0) return fail_sys(&ex->fail, "setresuid", subject);
  return identity_hide(ex);
}

struct sets {
  uint64_t effective, permitted, inheritable;
};

static int get_sets(struct executor *ex, struct sets *sets) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return fail_sys(&ex->fail, "capget", "capabilities");
  sets->effective = data[0].effective | (uint64_t)data[1].effective << 32;
  sets->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  sets->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
  return 0;
}

static int put_sets(struct executor *ex, const struct sets *sets) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i].effective = (uint32_t)(sets->effective >> (32 * i));
    data[i].permitted = (uint32_t)(sets->permitted >> (32 * i));
    data[i].inheritable = (uint32_t)(sets->inheritable >> (32 * i));
  }
  return syscall(SYS_capset, &header, data) == 0 ? 0 : fail_sys(&ex->fail, "capset", "capabilities");
}

/* Drops what is not in `keep`; *left is what remains. The kernel says where its capabilities end. */
static int limit_bounding(struct executor *ex, uint64_t keep, uint64_t *left) {
  *left = 0;
  for (unsigned cap = 0; cap < 64; cap++) {
    int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (has < 0) break;
    if (has == 0) continue;
    if ((keep & CAP_BIT(cap)) != 0)
      *left |= CAP_BIT(cap);
    else if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
      return fail_sys(&ex->fail, "prctl", "PR_CAPBSET_DROP");
  }
  return 0;
}

int run_caps_bounding(struct executor *ex, const struct op_caps_bounding *op, struct buf *result) {
  (void)result;
  uint64_t left;
  return limit_bounding(ex, op->bounding, &left);
}

static int set_ambient(struct executor *ex, uint64_t ambient) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_CAP_AMBIENT_CLEAR_ALL");
  for (unsigned cap = 0; cap < 64; cap++)
    if ((ambient & CAP_BIT(cap)) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
      return fail_sys(&ex->fail, "prctl", "PR_CAP_AMBIENT_RAISE");
  return 0;
}

/* All that is permitted comes into force, and is what `has` says. */
static int raise_all(struct executor *ex, struct sets *has) {
  if (get_sets(ex, has) != 0) return -1;
  if (has->effective == has->permitted) return 0;
  has->effective = has->permitted;
  return put_sets(ex, has);
}

int identity_raise(struct executor *ex) {
  struct sets has = {0};
  return raise_all(ex, &has);
}

/* All five sets exactly as asked, less what this process does not have to give (S11). */
int run_caps(struct executor *ex, const struct op_caps *op, struct buf *result) {
  (void)result;
  struct sets has = {0};
  /* A user other than root has kept them as permitted only; dropping from the bounding set takes CAP_SETPCAP in force. */
  if (raise_all(ex, &has) != 0) return -1;
  uint64_t bounding;
  if (limit_bounding(ex, op->bounding, &bounding) != 0) return -1;
  struct sets wants = {.permitted = op->permitted & has.permitted};
  wants.effective = op->effective & wants.permitted;
  wants.inheritable = op->inheritable & (has.inheritable | (has.permitted & bounding));
  if (put_sets(ex, &wants) != 0 || set_ambient(ex, op->ambient & wants.permitted & wants.inheritable) != 0) return -1;
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_KEEPCAPS");
  return identity_hide(ex);
}

int run_no_new_privs(struct executor *ex, const struct op_no_new_privs *op, struct buf *result) {
  (void)op, (void)result;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : fail_sys(&ex->fail, "prctl", "PR_SET_NO_NEW_PRIVS");
}

int run_umask(struct executor *ex, const struct op_umask *op, struct buf *result) {
  (void)ex, (void)result;
  (void)umask(op->mask & 0777);
  return 0;
}

int run_keyring(struct executor *ex, const struct op_keyring *op, struct buf *result) {
  (void)result;
  /* A kernel without keyrings has none that could leak either. */
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, op->name) >= 0 || errno == ENOSYS) return 0;
  return fail_sys(&ex->fail, "keyctl", op->name);
}
