#include "journal.h"

#include <stdlib.h>
#include <string.h>

uint64_t journal_hash(const void *data, size_t len) {
  uint64_t h = len;
  const uint8_t *p = data;
  for (size_t i = 0; i < len; i += sizeof h) {
    uint64_t word = 0;
    memcpy(&word, p + i, len - i < sizeof word ? len - i : sizeof word);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return h;
}

struct step *journal_find(struct request *r, const char *name, uint64_t hash) {
  for (struct step *s = r->steps; s; s = s->next)
    if (s->hash == hash && !strcmp(s->name, name)) return s;
  return NULL;
}

static void step_free(struct step *s) {
  if (!s) return;
  buf_free(&s->plan);
  buf_free(&s->outcome);
  buf_free(&s->when_done);
  free(s->name);
  free(s);
}

struct step *journal_add(struct request *r, const char *name, uint64_t hash, struct span plan, const struct span *answer) {
  struct step *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->plan.secret = s->outcome.secret = s->when_done.secret = true;
  s->hash = hash;
  s->name = strdup(name);
  s->has_answer = answer != NULL;
  if (!s->name || buf_append(&s->plan, plan.data, plan.len) < 0 || (answer && buf_append(&s->when_done, answer->data, answer->len) < 0)) {
    step_free(s);
    return NULL;
  }
  s->next = r->steps;
  r->steps = s;
  return s;
}

void journal_clear(struct request *r) {
  for (struct step **p = &r->steps; *p;) {
    struct step *s = *p;
    if (s->done) {
      *p = s->next;
      step_free(s);
    } else {
      p = &s->next;
    }
  }
}

void request_free(struct request *r) {
  while (r->steps) {
    struct step *s = r->steps;
    r->steps = s->next;
    step_free(s);
  }
  buf_free(&r->body);
  free(r);
}
