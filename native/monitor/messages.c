#include "messages.h"

#include "../common/frame.h"

#ifndef BUILD_ID
#error "BUILD_ID comes from the Makefile"
#endif

enum to_controller { MSG_HELLO = 1, MSG_REQUEST = 2, MSG_OUTCOME = 3, MSG_REFUSED = 4 };

int message_hello(struct buf *out, enum agent_role role, uint64_t seq, const struct buf *record, const char *const *context) {
  uint32_t n = 0;
  while (context && context[n]) n++;
  size_t at = frame_begin(out, MSG_HELLO);
  bool ok = at != (size_t)-1 && buf_u32(out, PROTOCOL) == 0 && buf_str(out, BUILD_ID) == 0 && buf_u32(out, role) == 0 &&
            buf_u64(out, seq) == 0 && buf_bytes(out, record->data, record->len) == 0 && buf_u32(out, n) == 0;
  for (uint32_t i = 0; ok && i < n; i++) ok = buf_str(out, context[i]) == 0;
  return ok ? frame_end(out, at) : -1;
}

int message_request(struct buf *out, const struct request *r) {
  size_t at = frame_begin(out, MSG_REQUEST);
  bool ok = at != (size_t)-1 && buf_u64(out, r->id) == 0 && buf_u32(out, r->kind) == 0 && buf_u32(out, r->strikes) == 0 &&
            buf_bytes(out, r->body.data, r->body.len) == 0;
  return ok ? frame_end(out, at) : -1;
}

int message_outcome(struct buf *out, const struct request *r, const struct step *s) {
  size_t at = frame_begin(out, MSG_OUTCOME);
  bool ok = at != (size_t)-1 && buf_u64(out, r->id) == 0 && buf_str(out, s->name) == 0 &&
            buf_bytes(out, s->outcome.data, s->outcome.len) == 0;
  return ok ? frame_end(out, at) : -1;
}

int message_refused(struct buf *out, uint64_t id, uint64_t seq, const struct buf *record) {
  size_t at = frame_begin(out, MSG_REFUSED);
  bool ok = at != (size_t)-1 && buf_u64(out, id) == 0 && buf_u64(out, seq) == 0 && buf_bytes(out, record->data, record->len) == 0;
  return ok ? frame_end(out, at) : -1;
}

bool commit_read(struct reader body, struct commit *c) {
  c->id = reader_u64(&body);
  c->base = reader_u64(&body);
  c->flags = reader_u32(&body);
  c->record = reader_bytes(&body);
  c->answers = reader_u32(&body);
  c->answer = body;
  for (uint32_t i = 0; i < c->answers && !body.bad; i++) {
    (void)reader_u64(&body);
    (void)reader_bytes(&body);
  }
  c->serials = reader_u32(&body);
  c->serial = body;
  for (uint32_t i = 0; i < c->serials && !body.bad; i++) (void)reader_u64(&body);
  c->events = reader_u32(&body);
  c->event = body;
  for (uint32_t i = 0; i < c->events && !body.bad; i++) (void)reader_bytes(&body);
  c->drops = reader_strs(&body);
  return !body.bad && body.left == 0;
}
