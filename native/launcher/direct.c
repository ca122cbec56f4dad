#define _GNU_SOURCE
#include "direct.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/frame.h"
#include "../common/peer_messages.h"
#include "../executor/paths.h"
#include "exec.h"
#include "ops.gen.h"
#include "remote.h"


/* The plain form of a command line: [--root R] [--log F] [--log-format F] [--systemd-cgroup] and VERB ID [WORD] or exec ID COMMAND [ARGUMENT...].
 * Whatever is not exactly that is for TypeScript to read, and to object to. */
struct plain {
  const char *root, *log, *format; /* NULL: not given */
  bool systemd;
  const char *verb, *id, *word;
  char *const *given; /* of exec: the command */
};

static const char *const verbs[] = {"start", "state", "kill", "delete", "pause", "resume", NULL};

static bool one_of(const char *name, const char *const *names) {
  while (*names && strcmp(name, *names)) names++;
  return *names;
}

/* --NAME VALUE or --NAME=VALUE, once. How many arguments it takes; 0: it is not that. */
static int valued(char *const *argv, const char *name, const char **value) {
  size_t len = strlen(name);
  if (*value || strncmp(argv[0], name, len)) return 0;
  const char *given = argv[0][len] == '=' ? argv[0] + len + 1 : argv[0][len] ? NULL : argv[1];
  if (!given || !*given || *given == '-') return 0;
  *value = given;
  return argv[0][len] == '=' ? 1 : 2;
}

static bool read_globals(char *const **argv, struct plain *p) {
  for (; **argv && ***argv == '-';) {
    int used = valued(*argv, "--root", &p->root);
    if (!used) used = valued(*argv, "--log", &p->log);
    if (!used) used = valued(*argv, "--log-format", &p->format);
    if (!used && !p->systemd && !strcmp(**argv, "--systemd-cgroup")) used = p->systemd = true;
    if (!used) return false;
    *argv += used;
  }
  static const char *const formats[] = {"text", "json", NULL};
  return !p->format || one_of(p->format, formats);
}

/* A path that means the same to the kernel as written. */
static bool plain_path(const char *path) { return *path == '/' && !strstr(path, "/."); }

/* A name that can be one below the directory of the containers. */
static bool plain_id(const char *id) { return *id && *id != '-' && *id != '.' && !strchr(id, '/'); }

static bool is_plain(char *const *argv, struct plain *p) {
  *p = (struct plain){.word = ""};
  if (!read_globals(&argv, p) || !argv[0] || !argv[1] || (p->root && !plain_path(p->root))) return false;
  p->verb = argv[0];
  if (!strcmp(p->verb, "exec")) {
    p->id = argv[1];
    p->given = argv + 2;
    return *p->given && plain_id(p->id);
  }
  if (!one_of(p->verb, verbs) || (argv[2] && argv[3])) return false;
  static const char *const forces[] = {"--force", "-f", NULL};
  bool first = one_of(argv[1], forces), second = argv[2] && one_of(argv[2], forces);
  p->id = argv[first ? 2 : 1];
  if (first || second) p->word = "--force";
  else if (argv[2]) p->word = argv[2];
  return p->id && plain_id(p->id) && (first || second || *p->word != '-');
}

char *const *direct_given(char *const *argv) {
  struct plain p;
  return is_plain(argv, &p) ? p.given : NULL;
}

int direct_ask(const char *socket, const char *verb, const char *word) {
  _cleanup_fd_ int fd = remote_connect(socket, false);
  _cleanup_buf_ struct buf frame = {0};
  if (fd < 0) return -1;
  size_t at = frame_begin(&frame, PEER_VERB);
  if (at == (size_t)-1 || buf_str(&frame, verb) < 0 || buf_str(&frame, word) < 0 || frame_end(&frame, at) < 0) return -1;
  return frame_send(fd, &frame) < 0 ? -1 : fd_steal(&fd);
}

enum told { TOLD_DONE, TOLD_NOTHING, TOLD_FAILED, TOLD_GONE };

/* What the monitor says; TOLD_GONE where there is none, or it ended instead. */
static enum told ask_monitor(const char *socket, const struct plain *p, struct buf *text) {
  _cleanup_fd_ int fd = direct_ask(socket, p->verb, p->word);
  _cleanup_buf_ struct buf in = {0};
  /* It has ended, or ends; with a plan at work only a monitor that was killed does, and then TypeScript looks at what is left. */
  if (fd < 0) return errno == ENOENT || errno == ECONNREFUSED || errno == EPIPE || errno == ECONNRESET ? TOLD_GONE : TOLD_NOTHING;
  for (;;) {
    struct frame f;
    size_t size;
    int got = frame_next(&in, &f, &size);
    if (got < 0) return TOLD_NOTHING;
    if (got == 0) {
      if (frame_fill(fd, &in, 64 << 10) <= 0) return TOLD_GONE;
      continue;
    }
    uint32_t verdict = reader_u32(&f.body);
    struct span body = reader_bytes(&f.body);
    if (f.type != PEER_ANSWER || f.body.bad || buf_append(text, body.data, body.len) < 0) return TOLD_NOTHING;
    return verdict == PEER_DONE ? TOLD_DONE : verdict == PEER_FAILED ? TOLD_FAILED : TOLD_NOTHING;
  }
}

/* A container that has ended is removed by the plan that was left for that. It looks whether it has ended, and is safe to repeat. */
static bool delete_ended(const char *dir, const struct plain *p, struct executor *ex) {
  static const char *const forms[] = {"", "--force", NULL};
  char path[PATH_MAX];
  if (strcmp(p->verb, "delete") || !one_of(p->word, forms)) return false;
  if (snprintf(path, sizeof path, "%s/delete", dir) >= (int)sizeof path) return false;
  _cleanup_buf_ struct buf result = {0};
  return run_stored(ex, &(struct op_stored){.path = path}, &result) == 0;
}

bool direct_verb(char *const *argv, const char *run, struct executor *ex, struct buf *attempt) {
  struct plain p;
  char dir[PATH_MAX], socket[PATH_MAX];
  const char *notify = getenv("NOTIFY_SOCKET"); /* to be told when the container is ready */
  if (!is_plain(argv, &p) || (notify && *notify)) return false;
  if (snprintf(dir, sizeof dir, "%s/%s", p.root ? p.root : run, p.id) >= (int)sizeof dir ||
      snprintf(socket, sizeof socket, "%s/monitor.sock", dir) >= (int)sizeof socket)
    return false;
  if (p.given) {
    exec_borrow(socket, argv);
    return false;
  }
  _cleanup_buf_ struct buf text = {0};
  switch (ask_monitor(socket, &p, &text)) {
    case TOLD_DONE: (void)(text.len > 0 && write_whole(1, text.data, text.len)); return true; /* nobody reads it: as with a controller */
    case TOLD_FAILED: (void)buf_append(attempt, text.data, text.len); return false;
    case TOLD_GONE: return delete_ended(dir, &p, ex);
    default: return false;
  }
}
