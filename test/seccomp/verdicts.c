/*
 * For the differential test: builds a filter with libseccomp from a profile in lines, as runc does, and writes its program to
 * standard output (struct sock_filter[]). Links libseccomp, and is no part of what is installed.
 *
 *   default ACTION DATA        first line
 *   arch NAME                  x86, x32 …; the native one is always there
 *   rule ACTION DATA NAME [INDEX OP VALUE VALUE2]...
 *
 * Numbers are decimal. Names that libseccomp does not know go to standard error, a line each. Exit code 3: libseccomp refuses a rule.
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSED 3

static const struct {
  const char *name;
  uint32_t value;
} actions[] = {
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD}, {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS}, {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG}, {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
};

static const struct {
  const char *name;
  enum scmp_compare op;
} operators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE}, {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT}, {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

static _Noreturn void die(int code, const char *what, int error) {
  (void)fprintf(stderr, "! %s: %s\n", what, strerror(error));
  exit(code);
}

static char *word(void) {
  char *found = strtok(NULL, " \n");
  if (found == NULL) die(2, "line ends too early", EINVAL);
  return found;
}

static uint32_t action_of(void) {
  const char *name = word();
  uint32_t data = (uint32_t)strtoul(word(), NULL, 10);
  if (strcmp(name, "SCMP_ACT_ERRNO") == 0) return SCMP_ACT_ERRNO(data);
  if (strcmp(name, "SCMP_ACT_TRACE") == 0) return SCMP_ACT_TRACE(data);
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
    if (strcmp(name, actions[i].name) == 0) return actions[i].value;
  die(2, name, EINVAL);
}

static enum scmp_compare operator_of(void) {
  const char *name = word();
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
    if (strcmp(name, operators[i].name) == 0) return operators[i].op;
  die(2, name, EINVAL);
}

static void add(scmp_filter_ctx filter, uint32_t action, int number, const char *name, unsigned count, const struct scmp_arg_cmp *args) {
  int result = seccomp_rule_add_array(filter, action, number, count, args);
  if (result < 0) die(REFUSED, name, -result);
}

static void add_rule(scmp_filter_ctx filter, uint32_t otherwise) {
  uint32_t action = action_of();
  const char *name = word();
  struct scmp_arg_cmp args[16];
  unsigned count = 0;
  int seen[6] = {0}, twice = 0;
  for (char *index; count < 16 && (index = strtok(NULL, " \n")) != NULL; count++) {
    args[count].arg = (unsigned)strtoul(index, NULL, 10);
    if (args[count].arg > 5) die(2, "argument", EINVAL);
    twice |= seen[args[count].arg]++;
    args[count].op = operator_of();
    args[count].datum_a = strtoull(word(), NULL, 10);
    args[count].datum_b = strtoull(word(), NULL, 10);
  }
  if (action == otherwise) return;
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) {
    (void)fprintf(stderr, "%s\n", name);
    return;
  }
  if (!twice) {
    add(filter, action, number, name, count, args);
    return;
  }
  for (unsigned i = 0; i < count; i++) add(filter, action, number, name, 1, &args[i]);
}

int main(void) {
  char line[4096];
  scmp_filter_ctx filter = NULL;
  uint32_t otherwise = 0;
  unsigned rules = 0;
  while (fgets(line, sizeof line, stdin) != NULL) {
    const char *kind = strtok(line, " \n");
    if (kind == NULL) continue;
    if (strcmp(kind, "default") == 0) {
      otherwise = action_of();
      filter = seccomp_init(otherwise);
      if (filter == NULL) die(2, "seccomp_init", EINVAL);
    } else if (filter == NULL) {
      die(2, "default has to come first", EINVAL);
    } else if (strcmp(kind, "arch") == 0) {
      uint32_t arch = seccomp_arch_resolve_name(word());
      int result = arch == 0 ? -EINVAL : seccomp_arch_add(filter, arch);
      if (result < 0 && result != -EEXIST) die(2, "arch", -result);
    } else if (strcmp(kind, "rule") == 0) {
      add_rule(filter, otherwise);
      rules++;
    } else {
      die(2, kind, EINVAL);
    }
  }
  if (filter == NULL) die(2, "no profile", EINVAL);
  if (rules > 32) (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  int result = seccomp_export_bpf(filter, STDOUT_FILENO);
  if (result < 0) die(2, "seccomp_export_bpf", -result);
  seccomp_release(filter);
  return 0;
}
