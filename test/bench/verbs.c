/* verbs: what each verb of OCI runtimes takes on the command line, side by side.
 *
 *   gcc -O2 -static -o verbs verbs.c && ./verbs life|run BUNDLE DIR N NAME=PATH[,FLAG]...   (root; DIR for pid files)
 *
 * N rounds; in each of them every runtime has a container's life, one verb after the other (`life`: the bundle's process has to live on), or runs one
 * to its end (`run`). Their order is drawn for each round: nobody always
 * comes after the one that leaves most in the caches, or whose end still goes on. A line `NAME VERB MILLISECONDS` for each call: from before the
 * runtime is started to after it was reaped, by vfork and execve, as an engine's shim in C does it. Like such a shim this program is the subreaper
 * that gets the container's init, so that its end is an event and no question. The name `floor` is no runtime but floor.c, which has a life of
 * its own in the bundle's root and prints a line of JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *runtime;
static char *flag; /* before each verb; NULL: none */

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "verbs: %s: %s: %s\n", runtime ? runtime : "", what, strerror(errno));
  exit(1);
}

static double timed(int null, int out, char *const words[]) {
  char *argv[16] = {words[0], flag};
  int status;
  for (int i = 1, at = flag ? 2 : 1; words[i]; i++) argv[at++] = words[i];
  double begin = now_ms();
  pid_t pid = vfork();
  if (pid == 0) {
    if (dup2(null, 0) < 0 || dup2(out, 1) < 0) _exit(126);
    execve(argv[0], argv, environ);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) die("waitpid");
  double took = now_ms() - begin;
  if (status == 0) return took;
  fprintf(stderr, "verbs: %s %s: wait status %#x\n", runtime, words[1], (unsigned)status);
  exit(1);
}

static pid_t pid_in(const char *path) {
  char text[16] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) die(path);
  close(fd);
  return atoi(text);
}

static void life(const char *name, char *path, char *bundle, const char *dir, int null, int print) {
  char id[64], pid_file[512];
  snprintf(id, sizeof id, "verbs-%d-%.32s", getpid(), name);
  snprintf(pid_file, sizeof pid_file, "%s/%s.pid", dir, id);
  char *create[] = {path, "create", "--bundle", bundle, "--pid-file", pid_file, id, NULL};
  char *state[] = {path, "state", id, NULL}, *start[] = {path, "start", id, NULL};
  char *exec[] = {path, "exec", id, "/bin/true", NULL}, *end[] = {path, "kill", id, "KILL", NULL}, *delete[] = {path, "delete", id, NULL};
  enum { CREATE, STATE, START, EXEC, KILL, DELETE, VERBS };
  char **const argv[VERBS] = {create, state, start, exec, end, delete};
  double took[VERBS];
  pid_t init = 0;
  for (int verb = 0; verb < VERBS; verb++) {
    took[verb] = timed(null, null, argv[verb]);
    if (verb == CREATE) init = pid_in(pid_file);
    if (verb == KILL && waitpid(init, NULL, 0) != init) die("waitpid of init");
  }
  while (waitpid(-1, NULL, WNOHANG) > 0) {} /* what else a runtime left behind */
  for (int verb = 0; print && verb < VERBS; verb++) printf("%s %s %.4f\n", name, argv[verb][1], took[verb]);
}

static void whole_run(const char *name, char *path, char *bundle, int null, int print) {
  char id[64];
  snprintf(id, sizeof id, "verbs-%d-%.32s", getpid(), name);
  char *argv[] = {path, "run", "--bundle", bundle, id, NULL};
  double took = timed(null, null, argv);
  while (waitpid(-1, NULL, WNOHANG) > 0) {}
  if (print) printf("%s %s %.4f\n", name, argv[1], took);
}

static void floor_life(char *path, const char *bundle, int null, int print) {
  char rootfs[512];
  snprintf(rootfs, sizeof rootfs, "%s/rootfs", bundle);
  char *argv[] = {path, rootfs, "1", NULL};
  if (fflush(stdout) != 0) die("stdout");
  (void)timed(null, print ? STDOUT_FILENO : null, argv);
}

static void turn(const char *mode, const char *subject, char *bundle, const char *dir, int null, int print) {
  char *name = strdup(subject), *path = name ? strchr(name, '=') : NULL;
  if (!path) die(subject);
  *path++ = 0;
  flag = strchr(path, ',');
  if (flag) *flag++ = 0;
  runtime = name;
  if (strcmp(name, "floor") == 0) floor_life(path, bundle, null, print);
  else if (strcmp(mode, "run") == 0) whole_run(name, path, bundle, null, print);
  else life(name, path, bundle, dir, null, print);
  free(name);
}

static void shuffle(char **subjects, int count) {
  for (int last = count - 1; last > 0; last--) {
    int other = (int)(random() % (last + 1));
    char *kept = subjects[last];
    subjects[last] = subjects[other];
    subjects[other] = kept;
  }
}

int main(int argc, char **argv) {
  enum { MODE = 1, BUNDLE, DIR, N, SUBJECTS, WARM = 3 };
  int n = argc > SUBJECTS ? atoi(argv[N]) : 0, null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (n < 1) {
    fprintf(stderr, "usage: verbs life|run BUNDLE DIR N NAME=PATH...\n");
    return 2;
  }
  if (null < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) die("prctl");
  srandom((unsigned)getpid());
  for (int round = -WARM; round < n; round++) {
    shuffle(argv + SUBJECTS, argc - SUBJECTS);
    for (int i = SUBJECTS; i < argc; i++) turn(argv[MODE], argv[i], argv[BUNDLE], argv[DIR], null, round >= 0);
  }
  return 0;
}
