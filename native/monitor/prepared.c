#define _GNU_SOURCE
#include "prepared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fail.h"
#include "../common/fd.h"
#include "../common/proc_stat.h"
#include "../executor/vector.h"
#include "held.h"
#include "ops.gen.h"

#define PF_EXITING 4u

struct prepared {
  struct prepared *next;
  char *verb, **words;
  uint32_t situations, guards;
  bool quick, lent;
  size_t plan_len, answer_len;
  uint8_t bytes[]; /* the plan, the answer */
};

static struct prepared *prepared;
static struct {
  char *key, **files, **lines;
  struct process_id process;
} told_by;

int prepared_situation(const struct op_situation *op, pid_t pid, uint64_t start_time) {
  if (told_by.key) {
    errno = EALREADY;
    return -1;
  }
  told_by.files = vector_of(op->files);
  told_by.lines = vector_of(op->lines);
  told_by.process = (struct process_id){pid, start_time};
  told_by.key = strdup(op->key);
  return told_by.files && told_by.lines && told_by.key ? 0 : -1;
}

static struct prepared *add(const char *verb, struct list words, uint32_t situations, struct span plan, struct span answer) {
  struct prepared *p = malloc(sizeof *p + plan.len + answer.len);
  if (!p) return NULL;
  *p = (struct prepared){.next = prepared, .verb = strdup(verb), .words = vector_of(words), .situations = situations,
                         .plan_len = plan.len, .answer_len = answer.len};
  if (!p->verb || !p->words) {
    free(p->verb);
    free(p->words);
    free(p);
    return NULL;
  }
  memcpy(p->bytes, plan.data, plan.len);
  if (answer.len) memcpy(p->bytes + plan.len, answer.data, answer.len);
  prepared = p;
  return p;
}

int prepared_add(const struct op_prepare *op, const struct buf *answer) {
  struct prepared *p = add(op->verb, op->words, op->situations, op->plan, (struct span){answer->data, answer->len});
  if (!p) return -1;
  p->guards = op->guards;
  p->quick = op->quick != 0;
  return 0;
}

int prepared_lend(const struct op_lend *op) {
  struct prepared *p = add(op->verb, op->words, op->situations, op->plan, (struct span){NULL, 0});
  if (!p) return -1;
  p->lent = true;
  return 0;
}

/* What is in a short file of the kernel's, NUL-terminated. False where it can't be read. */
static bool read_text(const char *path, char *text, size_t size) {
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
  if (n < 0) return false;
  text[n] = 0;
  return true;
}

/* As src/container/status.ts has it: a zombie, or on its way, or another process by now. */
static bool gone(void) {
  struct proc_stat stat;
  return proc_stat_read(told_by.process.pid, &stat) < 0 || strchr("ZXx", stat.state) || (stat.flags & PF_EXITING) ||
         stat.start != told_by.process.start_time;
}

static bool has_line(char *text, char *const *lines) {
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));)
    for (char *const *wanted = lines; *wanted; wanted++)
      if (!strcmp(line, *wanted)) return true;
  return false;
}

static bool frozen(void) {
  char text[1024];
  for (char *const *file = told_by.files; *file; file++)
    if (read_text(*file, text, sizeof text) && has_line(text, told_by.lines)) return true;
  return false;
}

static bool speaks_of(const struct prepared *p, const char *verb, const char *word) {
  if (strcmp(p->verb, verb)) return false;
  for (char *const *w = p->words; *w; w++)
    if (!strcmp(*w, word)) return true;
  return false;
}

enum prepared_found prepared_find(const char *verb, const char *word, const struct prepared **found) {
  const struct held_process *h = told_by.key ? held_find(told_by.key) : NULL;
  struct pollfd ended = {.fd = h ? h->pidfd : -1, .events = POLLIN};
  if (!h || poll(&ended, 1, 0) != 0) return told_by.key ? PREPARED_ENDING : PREPARED_NOTHING;
  if (gone()) return PREPARED_NOTHING;
  uint32_t situation = frozen() ? SITUATION_FROZEN : h->released ? SITUATION_RELEASED : SITUATION_PARKED;
  for (const struct prepared *p = prepared; p; p = p->next) {
    if (!(p->situations & situation) || !speaks_of(p, verb, word)) continue;
    *found = p;
    return PREPARED_FOUND;
  }
  return PREPARED_NOTHING;
}

struct span prepared_answer(const struct prepared *p) { return (struct span){p->bytes + p->plan_len, p->answer_len}; }

struct span prepared_lent(const struct prepared *p) { return p->lent ? (struct span){p->bytes, p->plan_len} : (struct span){NULL, 0}; }

int prepared_process(void) {
  const struct held_process *h = told_by.key ? held_find(told_by.key) : NULL;
  return h ? h->pidfd : -1;
}

int prepared_run(const struct prepared *p, struct executor *here, job_done quick, job_done later, void *context) {
  if (!p->quick) return job_start_about(told_by.process, p->bytes, p->plan_len, later, context);
  _cleanup_buf_ struct buf outcome = {0};
  if (executor_run(here, p->bytes, p->plan_len, &outcome) < 0) return -1;
  quick(context, &outcome);
  return 0;
}

bool prepared_untouched(const struct prepared *p, const struct buf *outcome) {
  struct reader r = reader_of(outcome->data, outcome->len);
  struct fail fail;
  /* status 1: failed; without a place it was refused as a whole, or could not be begun */
  return reader_u8(&r) == 1 && fail_decode(&fail, &r) == 0 && fail.depth > 0 && fail.index[0] < p->guards;
}
