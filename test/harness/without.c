/* without RULE... -- PROGRAM [ARGUMENT...]: runs the program on a kernel that lacks some system calls, as far as it can tell.
 *
 * RULE is NUMBER:ERRNO, or NUMBER:ERRNO:ARGUMENT:MASK:VALUE for those calls only whose argument has that value under the mask (its
 * lower 32 bits). A call that meets a rule is not made; it gives the errno. Needs CAP_SYS_ADMIN: no_new_privs is left as it was. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULES_MAX 32

static struct sock_filter program[7 * RULES_MAX + 2];
static unsigned short length;

static void add(unsigned short code, unsigned char yes, unsigned char no, unsigned value) {
  program[length++] = (struct sock_filter){code, yes, no, value};
}

static void refuse(unsigned error) {
  add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error);
}

static int add_rule(const char *text) {
  unsigned number, error, argument, mask, value;
  int n = sscanf(text, "%u:%u:%u:%i:%i", &number, &error, &argument, (int *)&mask, (int *)&value);
  if ((n != 2 && n != 5) || length + 7u > sizeof program / sizeof *program - 1) return -1;
  add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
  add(BPF_JMP | BPF_JEQ | BPF_K, 0, n == 2 ? 1 : 4, number);
  if (n == 5) {
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned)offsetof(struct seccomp_data, args) + 8 * argument);
    add(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
  }
  refuse(error);
  return 0;
}

int main(int argc, char **argv) {
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--"); i++)
    if (add_rule(argv[i]) < 0) {
      fprintf(stderr, "without: %s: not a rule, or one too many\n", argv[i]);
      return 2;
    }
  if (i + 1 >= argc) {
    fprintf(stderr, "without: usage: without RULE... -- PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {.len = length, .filter = program};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0) {
    fprintf(stderr, "without: seccomp: %s\n", strerror(errno));
    return 2;
  }
  execv(argv[i + 1], argv + i + 1);
  fprintf(stderr, "without: %s: %s\n", argv[i + 1], strerror(errno));
  return 2;
}
