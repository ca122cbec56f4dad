#define _GNU_SOURCE
#include "worker.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../launcher/confine.h"
#include "../launcher/install.h"
#include "ops.gen.h"
#include "paths.h"

#define READY 'r'
#define ERROR_MAX 4096

static void *copy(const void *from, size_t size) {
  void *own = malloc(size + 1);
  if (own != NULL && size > 0) memcpy(own, from, size);
  return own;
}

int worker_keep(struct executor *ex, const struct worker_op *op, struct worker *w) {
  *w = (struct worker){.timeout_ms = op->timeout_ms, .rules = op->rules, .channel = -1};
  uint8_t *config = copy(op->config.data, op->config.len);
  void *filter = copy(op->filter.data, op->filter.len);
  uint32_t *ports = calloc(op->ports.count + 1, sizeof *ports);
  w->config = (struct span){config, op->config.len};
  w->rules.filter = filter;
  w->rules.filter_len = op->filter.len;
  w->rules.ports = ports;
  w->dist = strdup(op->dist);
  w->entry = strdup(op->entry);
  w->scratch = strdup(op->scratch);
  w->log = strdup(op->log);
  w->record = op->record == NULL ? NULL : strdup(op->record);
  if (config == NULL || filter == NULL || ports == NULL || w->dist == NULL || w->entry == NULL || w->scratch == NULL || w->log == NULL ||
      (w->record == NULL && op->record != NULL))
    return fail_sys(&ex->fail, "malloc", "worker");
  struct reader allowed = op->ports.items, slots = op->fds.items;
  for (; w->rules.n_ports < op->ports.count; w->rules.n_ports++) ports[w->rules.n_ports] = reader_u32(&allowed);
  if (op->fds.count > WORKER_FDS) return fail_msg(&ex->fail, E2BIG, "worker", "more than %d descriptors", WORKER_FDS);
  for (; w->count < op->fds.count; w->count++)
    if ((w->fds[w->count] = slot_fd(ex, reader_u32(&slots))) < 0) return -1;
  return 0;
}

void worker_free(struct worker *w) {
  const void *own[] = {w->dist, w->entry, w->scratch, w->log, w->record, w->config.data, w->rules.filter, w->rules.ports};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) free((void *)(uintptr_t)own[i]);
  *w = (struct worker){.channel = -1};
}

static int config_file(struct executor *ex, struct span config) {
  _cleanup_fd_ int fd = memfd_create("berth-worker", MFD_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "memfd_create", "worker");
  if (write_whole(fd, config.data, config.len) != 0 || lseek(fd, 0, SEEK_SET) != 0) return fail_sys(&ex->fail, "write", "worker");
  return fd_steal(&fd);
}

#define LOG_END 2048

/* Of what it wrote last, the line that says most: Node ends with where an error was, and its own version. "" where there is none. */
static void last_words(const char *log, char *line, size_t size) {
  char text[LOG_END + 1], *rest;
  _cleanup_fd_ int fd = open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  line[0] = '\0';
  if (fd < 0 || (lseek(fd, -LOG_END, SEEK_END) < 0 && errno != EINVAL)) return;
  ssize_t got = read(fd, text, LOG_END);
  text[got > 0 ? got : 0] = '\0';
  for (char *at = strtok_r(text, "\n", &rest); at != NULL; at = strtok_r(NULL, "\n", &rest))
    if (isalpha((unsigned char)*at) && strncmp(at, "Node.js v", 9) != 0) (void)snprintf(line, size, "%s", at);
}

/* The end of a pipe from which it is heard: READY and its answer, or why it can't go on. -1 with fail set. */
static int start(struct executor *ex, const struct worker *w) {
  struct install in;
  char why[PATH_MAX + 256], entry[PATH_MAX];
  if (install_at(w->dist, &in, why, sizeof why) < 0) return fail_msg(&ex->fail, errno, "worker", "%s", why);
  if (snprintf(entry, sizeof entry, "%s/%s", w->dist, w->entry) >= (int)sizeof entry) return fail_msg(&ex->fail, ENAMETOOLONG, "worker", "path");
  int pipe_ends[2], fds[3 + WORKER_FDS];
  size_t count = 0;
  _cleanup_fd_ int config = config_file(ex, w->config);
  if (config < 0) return -1;
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "worker");
  _cleanup_fd_ int ready = pipe_ends[0], theirs = pipe_ends[1];
  fds[count++] = config;
  fds[count++] = theirs;
  if (w->channel >= 0) fds[count++] = w->channel;
  for (size_t i = 0; i < w->count; i++) fds[count++] = w->fds[i];
  const char *const argv[] = {"berth-worker", "--max-semi-space-size=4", entry, NULL};
  const struct confined confined = {.who = "worker", .argv = argv, .scratch = w->scratch, .log = w->log, .record = w->record, .fds = fds, .count = count,
                                    .of_container = true, .alone = w->bound, .bound = w->bound, .rules = &w->rules};
  if (confine_start(&in, &confined) != 0) {
    char words[sizeof ex->fail.detail];
    int error = errno;
    last_words(w->log, words, sizeof words);
    return fail_msg(&ex->fail, error, "worker", "%s", *words == '\0' ? "can not be started" : words);
  }
  return fd_steal(&ready);
}

/* Appends what it says until EOF, or until it says that it is ready where that is all that is waited for. 0 or -1 (fail set). */
static int hear(struct executor *ex, int ready, bool whole, size_t max, uint32_t timeout_ms, struct buf *said) {
  uint64_t until = now_ms() + timeout_ms;
  for (;;) {
    struct pollfd poller = {.fd = ready, .events = POLLIN};
    int count = poll(&poller, 1, left_ms(until));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_sys(&ex->fail, "poll", "worker");
    if (count == 0) return fail_msg(&ex->fail, ETIMEDOUT, "worker", "said nothing for %u ms", timeout_ms);
    if (said->len > max) return fail_msg(&ex->fail, EFBIG, "worker", "says more than %zu bytes", max);
    char bytes[4096];
    ssize_t got = read(ready, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    if (buf_append(said, bytes, (size_t)got) != 0) return fail_sys(&ex->fail, "mmap", "worker");
    if (!whole && said->data[0] == READY) return 0;
  }
}

/* Appends its answer to `answer`, or waits for it to be ready where that is NULL. */
static int await(struct executor *ex, const struct worker *w, size_t max, struct buf *answer) {
  _cleanup_fd_ int ready = start(ex, w);
  if (ready < 0) return -1;
  struct buf said = {0};
  int done = hear(ex, ready, answer != NULL, max, w->timeout_ms, &said);
  if (done == 0 && (said.len == 0 || said.data[0] != READY)) {
    int len = (int)(said.len < sizeof ex->fail.detail ? said.len : sizeof ex->fail.detail - 1);
    const char *end = said.len > 0 ? memchr(said.data, '\n', (size_t)len) : NULL;
    if (end != NULL) len = (int)(end - (const char *)said.data);
    char words[sizeof ex->fail.detail] = "";
    if (said.len == 0) last_words(w->log, words, sizeof words);
    done = said.len > 0 ? fail_msg(&ex->fail, 0, "worker", "%.*s", len, (const char *)said.data)
                        : fail_msg(&ex->fail, 0, "worker", "ended before it was ready%s%s", *words == '\0' ? "" : ": ", words);
  } else if (done == 0 && answer != NULL && buf_append(answer, said.data + 1, said.len - 1) != 0) {
    done = fail_sys(&ex->fail, "mmap", "worker");
  }
  buf_free(&said);
  return done;
}

int worker_start(struct executor *ex, const struct worker *w) { return await(ex, w, ERROR_MAX, NULL); }
int worker_ask(struct executor *ex, const struct worker *w, size_t max, struct buf *answer) { return await(ex, w, max, answer); }

int run_worker(struct executor *ex, const struct op_worker *op, struct buf *result) {
  (void)result;
  const struct worker_op wanted = WORKER_OP(op, op->log, op->record);
  struct worker w;
  int done = worker_keep(ex, &wanted, &w);
  if (done == 0) done = worker_start(ex, &w);
  worker_free(&w);
  return done;
}

int run_ask_worker(struct executor *ex, const struct op_ask_worker *op, struct buf *result) {
  const struct worker_op wanted = WORKER_OP(op, "/dev/null", NULL);
  struct worker w;
  int done = worker_keep(ex, &wanted, &w);
  if (done == 0) done = worker_ask(ex, &w, op->max, result);
  worker_free(&w);
  return done == 0 ? 1 : -1;
}
