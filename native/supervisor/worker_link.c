/* The worker that says what may be done: started, asked, and started again where the policy wants that. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/frame.h"
#include "supervisor.h"

enum { EVENT = 1, VERDICT = 2 };
#define BACKLOG_MAX (8u << 20) /* of questions that it does not take */

int link_start(struct supervisor *s) {
  size_t at = s->starts % (sizeof s->began / sizeof *s->began);
  /* One that dies as often as it is started is not worth starting. */
  if (s->starts >= sizeof s->began / sizeof *s->began && now_ms() - s->began[at] < 60000) return -1;
  s->began[at] = now_ms();
  s->starts++;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_sys(&s->ex->fail, "socketpair", "worker");
  _cleanup_fd_ int own = ends[0], theirs = ends[1];
  if (fcntl(own, F_SETFL, O_NONBLOCK) != 0) return fail_sys(&s->ex->fail, "fcntl", "worker");
  buf_free(&s->in);
  buf_free(&s->out);
  s->worker.channel = theirs;
  int started = worker_start(s->ex, &s->worker);
  s->worker.channel = -1;
  if (started != 0) return -1;
  fd_close(&s->channel);
  s->channel = fd_steal(&own);
  return 0;
}

int link_ask(struct supervisor *s, uint64_t question, const void *event, size_t len) {
  if (s->channel < 0 || s->out.len + len > BACKLOG_MAX) return -1;
  size_t frame = frame_begin(&s->out, EVENT);
  if (frame == (size_t)-1) return -1;
  if (buf_u64(&s->out, question) == 0 && buf_append(&s->out, event, len) == 0) return frame_end(&s->out, frame);
  s->out.len = frame;
  return -1;
}

int link_flush(struct supervisor *s) { return s->out.len == 0 ? 0 : frame_flush(s->channel, &s->out); }

int link_hear(struct supervisor *s, void (*answer)(struct supervisor *, uint64_t, uint32_t, uint32_t)) {
  ssize_t got = frame_fill(s->channel, &s->in, 1 << 16);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return -1;
  struct frame frame;
  size_t size;
  int whole;
  while ((whole = frame_next(&s->in, &frame, &size)) > 0) {
    uint64_t question = reader_u64(&frame.body);
    uint32_t error = reader_u32(&frame.body), module = reader_u32(&frame.body);
    if (frame.type != VERDICT || frame.body.bad) return -1;
    answer(s, question, error, module);
    buf_drop(&s->in, size);
  }
  return whole < 0 ? -1 : 0;
}

/* The file has a u64 for each kind of call of each judge, and one for what nobody has judged (src/policy/judge-counters.ts). */
void count_refusal(struct supervisor *s, uint32_t module, uint32_t kind) {
  off_t at = (off_t)(sizeof(uint64_t) * (module < s->modules ? (size_t)module * KINDS + kind : (size_t)s->modules * KINDS));
  uint64_t count = 0;
  if (pread(s->counters, &count, sizeof count, at) < 0) return;
  count++;
  (void)!pwrite(s->counters, &count, sizeof count, at);
}
