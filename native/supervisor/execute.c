/* What is executed. Nobody can do that in the caller's stead, so it goes on by itself, by names in its own memory; but it is stopped before the new
 * program's first instruction, and ended there unless file and arguments are those that were judged. Whoever else could have changed them, in the
 * container or out of it, by a thread, by shared memory or by I/O that was under way, has changed nothing then. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "walk.h"

#define ARGUMENTS_MAX (96u << 10) /* of which the event has the first */
#define COUNT_MAX 4096u
#define SCRIPTS_MAX 5             /* scripts that are run by scripts; the kernel's own bound */
#define HEAD 256u                 /* as much of a script's first line as the kernel looks at */

struct program {
  struct found file;      /* what was named */
  struct found run;       /* what runs it, where that is something else; -1 */
  bool script;
  struct buf before;      /* what a script's interpreter gets in front of the script's arguments: its own name and argument, and the script's name */
  struct buf arguments;   /* each with its NUL */
  size_t first;           /* bytes of the first of them */
  bool whole;             /* these are all */
};

static void program_cleanup(struct program *p) {
  found_cleanup(&p->file);
  found_cleanup(&p->run);
  buf_free(&p->before);
  buf_free(&p->arguments);
}
#define _cleanup_program_ __attribute__((cleanup(program_cleanup)))

/* As many whole arguments as there is room for. 0, or the errno. */
static int read_arguments(const struct asked *a, uint64_t at, struct program *p) {
  size_t word = tracee_word_size(&a->call);
  for (uint32_t i = 0; at != 0 && i < COUNT_MAX; i++) {
    uint64_t address;
    if (tracee_word(&a->call, at + i * word, &address) != 0) return EFAULT;
    if (address == 0) {
      p->whole = true;
      break;
    }
    size_t before = p->arguments.len;
    if (tracee_text(&a->call, address, ARGUMENTS_MAX - before, &p->arguments) != 0) {
      p->arguments.len = before;
      return errno == ENAMETOOLONG ? 0 : EFAULT;
    }
    if (i == 0) p->first = p->arguments.len;
  }
  if (at == 0) p->whole = true;
  /* Linux gives a program at least an empty name. */
  if (!p->whole || p->arguments.len > 0) return 0;
  p->first = 1;
  return buf_u8(&p->arguments, '\0') != 0 ? ENOMEM : 0;
}

/* What is named in the first line of a script, and the one argument behind that, "" where there is none: as the kernel reads it (fs/binfmt_script.c).
 * False where it is none, and where nobody may execute it: then nothing of it is read. */
static bool interpreter_of(const struct caller *c, const struct found *f, char path[HEAD], char argument[HEAD]) {
  char head[HEAD + 1] = {0};
  _cleanup_fd_ int fd = S_ISREG(f->info.st_mode) && (f->info.st_mode & 0111) != 0 ? found_open(c, f, O_RDONLY | O_NONBLOCK, 0) : -1;
  if (fd < 0 || pread(fd, head, HEAD, 0) < 2 || memcmp(head, "#!", 2) != 0) return false;
  char *line = head + 2 + strspn(head + 2, " \t");
  line[strcspn(line, "\n")] = '\0';
  for (size_t len = strlen(line); len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'); len--) line[len - 1] = '\0';
  size_t name = strcspn(line, " \t");
  (void)snprintf(path, HEAD, "%.*s", (int)name, line);
  (void)snprintf(argument, HEAD, "%s", line + name + strspn(line + name, " \t"));
  return *path != '\0';
}

/* What the interpreter is given comes before what the script was. 0, or the errno. */
static int put_before(struct program *p, const char *path, const char *argument) {
  _cleanup_buf_ struct buf all = {.data = NULL};
  size_t len = strlen(argument);
  if (buf_append(&all, path, strlen(path) + 1) != 0 || (len > 0 && buf_append(&all, argument, len + 1) != 0) ||
      buf_append(&all, p->before.data, p->before.len) != 0)
    return ENOMEM;
  const struct buf was = p->before;
  p->before = all;
  all = was;
  return 0;
}

/* What the kernel will execute in the end. 0, or the errno. */
static int find_runner(struct asked *a, const struct caller *c, struct program *p) {
  char path[HEAD], argument[HEAD];
  const struct found *file = &p->file;
  for (int depth = 0; depth < SCRIPTS_MAX; depth++) {
    if (!interpreter_of(c, file, path, argument)) return 0;
    p->script = true;
    struct found next = NOTHING_FOUND;
    int error = put_before(p, path, argument);
    if (error == 0) error = walk(a, c, c->cwd, path, 0, &next);
    found_cleanup(&p->run);
    p->run = next;
    if (error != 0) return error;
    file = &p->run;
  }
  return ELOOP;
}

/* How a script's interpreter is told of it (fs/exec.c, alloc_bprm()). 0, or the errno. */
static int name_given(struct program *p, int dir, const char *path) {
  char name[PATH_MAX + 32];
  if (dir == AT_FDCWD || *path == '/') (void)snprintf(name, sizeof name, "%s", path);
  else (void)snprintf(name, sizeof name, "/dev/fd/%d%s%s", dir, *path == '\0' ? "" : "/", path);
  return buf_append(&p->before, name, strlen(name) + 1) == 0 ? 0 : ENOMEM;
}

static int find_program(struct asked *a, struct caller *c, int dir, uint64_t address, int flags, struct program *p) {
  char path[PATH_MAX];
  if (tracee_string(&a->call, address, path) != 0) return EFAULT;
  if (name_given(p, dir, path) != 0) return ENOMEM;
  bool empty = *path == '\0' && (flags & AT_EMPTY_PATH) != 0;
  _cleanup_fd_ int base = dir == AT_FDCWD ? fcntl(c->cwd, F_DUPFD_CLOEXEC, 3) : *path == '/' ? fcntl(c->root, F_DUPFD_CLOEXEC, 3) : caller_fd(c, dir);
  if (base < 0) return errno;
  int error = caller_enter(a);
  if (error == 0) error = empty ? found_of(c, base, &p->file) : walk(a, c, base, path, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? WALK_NOFOLLOW : 0, &p->file);
  if (error != 0) return error;
  if (S_ISLNK(p->file.info.st_mode)) return ELOOP;
  return S_ISREG(p->file.info.st_mode) ? find_runner(a, c, p) : EACCES;
}

static int judge(struct asked *a, const struct caller *c, const struct program *p) {
  _cleanup_buf_ struct buf event = {.data = NULL};
  const char *run = p->script ? p->run.path : "";
  if (begin_event(&event, a, c, KIND_EXECVE) != 0 || buf_bytes(&event, p->file.path, strlen(p->file.path)) != 0 ||
      buf_bytes(&event, run, strlen(run)) != 0 || buf_bytes(&event, p->arguments.data, p->arguments.len) != 0 || buf_u32(&event, p->whole) != 0)
    return ENOMEM;
  return ask(a, &event);
}

/* Of a process that is stopped: whether it is the program that was judged. */
static bool is_file(const struct caller *c, const struct program *p) {
  const struct stat *wanted = p->script ? &p->run.info : &p->file.info;
  struct stat now;
  /* Of the whole process: the thread that called has become its first. */
  char path[40];
  (void)snprintf(path, sizeof path, "%d/exe", (int)c->process);
  return fstatat(c->procs, path, &now, 0) == 0 && now.st_dev == wanted->st_dev && now.st_ino == wanted->st_ino;
}

/* Arguments in the memory of the new program. A script's interpreter gets others in place of the first. */
static bool are_arguments(const struct caller *c, const struct program *p) {
  char path[40];
  (void)snprintf(path, sizeof path, "%d/cmdline", (int)c->process);
  _cleanup_fd_ int fd = openat(c->procs, path, O_RDONLY | O_CLOEXEC);
  size_t before = p->script ? p->before.len : 0, skip = p->script ? p->first : 0, rest = p->arguments.len - skip;
  static char seen[ARGUMENTS_MAX + PATH_MAX * 2];
  size_t len = 0;
  for (ssize_t got = 1; fd >= 0 && got > 0 && len < sizeof seen; len += (size_t)got) {
    got = read(fd, seen + len, sizeof seen - len);
    if (got < 0) return false;
  }
  if (fd < 0 || len < before + rest || (p->whole ? len != before + rest : p->script)) return false;
  if (before > 0 && memcmp(seen, p->before.data, before) != 0) return false;
  return rest == 0 || memcmp(seen + before, p->arguments.data + skip, rest) == 0;
}

/* The next stop. 0 once there is nobody any more. */
static pid_t stopped(int *status) {
  for (;;) {
    pid_t pid = waitpid(-1, status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return 0;
    if (WIFSTOPPED(*status)) return pid;
  }
}

/* Lets it execute, and looks at what came of that. */
static void let_execute(struct asked *a, const struct caller *c, const struct program *p) {
  const long options = PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  int status;
  if (!still_waits(a)) return;
  if (ptrace(PTRACE_SEIZE, a->call.pid, NULL, (void *)options) != 0) return answer_error(a, EPERM);
  /* It stops when it comes back from the call, if that fails; the other stop comes first if it does not. */
  if (ptrace(PTRACE_INTERRUPT, a->call.pid, NULL, NULL) != 0) return answer_error(a, EPERM);
  /* If nobody waits any more it may be somebody else who has been seized, by the same number: then that one goes on as if nothing had been. */
  bool goes_on = answer_continue(a) == 0;
  pid_t pid = stopped(&status);
  if (pid == 0) return;
  bool executed = goes_on && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8);
  if (executed && !(is_file(c, p) && are_arguments(c, p))) (void)kill(pid, SIGKILL);
  (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void execute(struct asked *a, int dir, uint64_t path, uint64_t arguments, int flags) {
  struct caller c = NOBODY;
  _cleanup_program_ struct program p = {.file = {.fd = -1, .parent = -1}, .run = {.fd = -1, .parent = -1}};
  int error = caller_open(a, &c);
  if (error == 0) error = read_arguments(a, arguments, &p);
  if (error == 0) error = find_program(a, &c, dir, path, flags, &p);
  if (error == 0 && p.script && !p.whole) error = E2BIG;
  if (error == 0) error = judge(a, &c, &p);
  if (error != 0) answer_error(a, error);
  else let_execute(a, &c, &p);
  caller_cleanup(&c);
}

static void deal_execve(struct asked *a) { execute(a, AT_FDCWD, a->call.args[0], a->call.args[1], 0); }
static void deal_execveat(struct asked *a) {
  execute(a, (int)(uint32_t)a->call.args[0], a->call.args[1], a->call.args[2], (int)a->call.args[4]);
}

const struct deal_entry execute_deals[] = {{"execve", deal_execve}, {"execveat", deal_execveat}, {NULL, NULL}};
