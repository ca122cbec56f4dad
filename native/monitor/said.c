#include "said.h"

#include "../common/fd.h"
#include "messages.h"

bool said_step(struct link *l, struct reader *body) {
  struct agent *a = l->agent;
  uint64_t id = reader_u64(body);
  const char *name = reader_str(body);
  struct span plan = reader_bytes(body), answer = {0};
  bool has_answer = body->left > 0;
  if (has_answer) answer = reader_bytes(body);
  if (body->bad || body->left > 0) return false;
  struct request *r = request_find(a, id);
  if (!r || r->link != l) return true; /* answered meanwhile by another controller's commit */
  uint64_t hash = journal_hash(plan.data, plan.len);
  struct step *s = journal_find(r, name, hash);
  if (s) { /* a replay: answered from the journal, or joined while it runs */
    s->asked = true;
    if (s->done) link_send_outcome(r, s);
    return true;
  }
  s = journal_add(r, name, hash, plan, has_answer ? &answer : NULL);
  if (!s) return false;
  s->asked = true;
  a->owner.run_step(a->owner.owner, id, s->name, s->plan.data, s->plan.len);
  return true;
}

static bool outcome_done(const struct buf *outcome) { return outcome->len > 0 && outcome->data[0] == 0; }

/* The controller has said beforehand what is answered then. False where the request is gone with that: a launcher has nothing more to do. Else its
 * commit is to come, whoever makes it, and says what else has changed. */
static bool answer_when_done(struct agent *a, struct request *r, struct step *s) {
  _cleanup_buf_ struct buf answer = s->when_done;
  s->when_done = (struct buf){.secret = true};
  s->has_answer = false;
  uint64_t id = r->id;
  if (a->role == ROLE_LAUNCHER) request_remove(a, r);
  else request_answered(a, r);
  a->owner.answer(a->owner.owner, id, answer.data, answer.len);
  return a->role != ROLE_LAUNCHER;
}

void agent_outcome(struct agent *a, uint64_t request, const char *step, const uint8_t *plan, size_t plan_len,
                   const uint8_t *outcome, size_t len) {
  struct request *r = request_find(a, request);
  struct step *s = r ? journal_find(r, step, journal_hash(plan, plan_len)) : NULL;
  if (!s) return; /* its request was answered while it ran */
  s->done = true;
  r->strikes = 0; /* what ended those controllers was not this request's doing, or is behind it */
  if (buf_append(&s->outcome, outcome, len) < 0) s->outcome.len = 0; /* no memory for it: an empty one is malformed, and its request fails */
  buf_free(&s->plan);
  bool told = s->has_answer && outcome_done(&s->outcome) && !answer_when_done(a, r, s);
  if (!told && s->asked) link_send_outcome(r, s);
  links_dispatch(a);
}

/* The controller may have more commits under way that count on the one refused: the sequence leaves the range they could name, so that
 * none of them is taken for one that knows the record. */
static void refuse(struct link *l, uint64_t id) {
  struct agent *a = l->agent;
  a->seq += (uint64_t)1 << 32;
  if (message_refused(&l->out, id, a->seq, &a->record) < 0) link_break(l);
  else link_send(l);
}

/* Applied whole or not at all. */
bool said_commit(struct link *l, struct reader *body) {
  struct agent *a = l->agent;
  struct commit c;
  if (!commit_read(*body, &c)) return false;
  struct request *r = request_find(a, c.id);
  if (!r || r->link != l) return true;
  if (c.flags & COMMIT_RECORD) {
    if (c.base != a->seq) {
      refuse(l, c.id);
      return true;
    }
    struct buf next = {.secret = true};
    if (buf_append(&next, c.record.data, c.record.len) < 0) return false;
    buf_free(&a->record);
    a->record = next;
    a->seq++;
  }
  r->link = NULL;
  r->parked = true;
  request_settled(a, r);
  journal_clear(r);
  buf_free(&r->body); /* never sent again */
  if (request_is_report(r)) request_remove(a, r);
  for (uint32_t i = 0; i < c.drops.count; i++) {
    const char *name = reader_str(&c.drops.items);
    if (a->owner.drop) a->owner.drop(a->owner.owner, name);
  }
  for (uint32_t i = 0; i < c.serials; i++) {
    uint64_t serial = reader_u64(&c.serial);
    if (a->owner.acknowledged) a->owner.acknowledged(a->owner.owner, serial);
  }
  for (uint32_t i = 0; i < c.answers; i++) {
    uint64_t to = reader_u64(&c.answer);
    struct span payload = reader_bytes(&c.answer);
    struct request *answered = request_find(a, to);
    if (!answered) continue;
    request_remove(a, answered);
    a->owner.answer(a->owner.owner, to, payload.data, payload.len);
  }
  if ((c.flags & COMMIT_RECORD) && a->owner.recorded) a->owner.recorded(a->owner.owner);
  /* Not before the answers: nobody waits for an event, and who takes one may take the processor, too. */
  for (uint32_t i = 0; i < c.events; i++) {
    struct span e = reader_bytes(&c.event);
    if (a->owner.event) a->owner.event(a->owner.owner, e.data, e.len);
  }
  r = request_find(a, c.id);
  if (r && a->owner.parked) a->owner.parked(a->owner.owner, c.id);
  if (r && r->forgotten) request_remove(a, r);
  if ((c.flags & COMMIT_LEAVE) && a->owner.leave) a->owner.leave(a->owner.owner);
  return true;
}
