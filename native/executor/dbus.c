/* A call over D-Bus, with what comes of it: dbus. What the messages mean is TypeScript's; here they are sent and waited for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "dbus_message.h"
#include "paths.h"

#define LINE_MAX_AUTH 256

struct bus {
  struct executor *ex;
  const struct op_dbus *op;
  int fd;
  const char *socket;
  uint64_t until;
  struct buf in; /* received, not looked at yet */
};

static int late(struct bus *bus) {
  return fail_msg(&bus->ex->fail, ETIMEDOUT, bus->op->subject, "no answer on %s within %u ms", bus->socket, bus->op->timeout_ms);
}

static int broken(struct bus *bus, const char *what) {
  return fail_msg(&bus->ex->fail, EPROTO, bus->op->subject, "%s: %s", bus->socket, what);
}

/* What follows blocks no longer than there is time left: a peer that is stopped takes connections and bytes only until its queues are full. */
static int limit_send(struct bus *bus) {
  int ms = left_ms(bus->until);
  if (ms == 0) return late(bus);
  struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 + 1};
  if (setsockopt(bus->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0) return 0;
  return fail_sys(&bus->ex->fail, "setsockopt", bus->op->subject);
}

static int send_all(struct bus *bus, const void *data, size_t len) {
  for (size_t at = 0; at < len;) {
    if (limit_send(bus) != 0) return -1;
    ssize_t put = send(bus->fd, (const uint8_t *)data + at, len - at, MSG_NOSIGNAL);
    if (put > 0)
      at += (size_t)put;
    else if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return late(bus);
    else if (put < 0 && errno != EINTR)
      return fail_sys(&bus->ex->fail, "send", bus->op->subject);
  }
  return 0;
}

/* Waits for more to read and appends it. */
static int receive(struct bus *bus) {
  uint8_t chunk[4096];
  for (;;) {
    int ms = left_ms(bus->until);
    if (ms == 0) return late(bus);
    struct pollfd poller = {.fd = bus->fd, .events = POLLIN};
    int ready = poll(&poller, 1, ms);
    if (ready < 0 && errno != EINTR) return fail_sys(&bus->ex->fail, "poll", bus->op->subject);
    if (ready <= 0) continue;
    ssize_t got = recv(bus->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got == 0) return fail_msg(&bus->ex->fail, ECONNRESET, bus->op->subject, "%s was closed by its other end", bus->socket);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return fail_sys(&bus->ex->fail, "recv", bus->op->subject);
    return buf_append(&bus->in, chunk, (size_t)got) == 0 ? 0 : fail_sys(&bus->ex->fail, "mmap", bus->op->subject);
  }
}

/* A line of the authentication has to start so. */
static int expect_line(struct bus *bus, const char *word) {
  const uint8_t *end;
  while ((end = bus->in.len == 0 ? NULL : memchr(bus->in.data, '\n', bus->in.len)) == NULL) {
    if (bus->in.len >= LINE_MAX_AUTH) return broken(bus, "it does not speak D-Bus");
    if (receive(bus) != 0) return -1;
  }
  size_t len = (size_t)(end - bus->in.data) + 1;
  bool as_expected = len > strlen(word) && memcmp(bus->in.data, word, strlen(word)) == 0;
  buf_drop(&bus->in, len);
  return as_expected ? 0 : fail_msg(&bus->ex->fail, EACCES, bus->op->subject, "%s does not let this user in", bus->socket);
}

/* As who the socket says that we are: our own idea of our id would be wrong in a user namespace. */
static int authenticate(struct bus *bus) {
  static const char hello[] = "\0AUTH EXTERNAL\r\n", data[] = "DATA\r\n", begin[] = "BEGIN\r\n";
  return send_all(bus, hello, sizeof hello - 1) != 0 || expect_line(bus, "DATA") != 0 || send_all(bus, data, sizeof data - 1) != 0 ||
                 expect_line(bus, "OK ") != 0 || send_all(bus, begin, sizeof begin - 1) != 0
             ? -1
             : 0;
}

/* 0 connected and let in; -1 (fail set). */
static int open_one(struct bus *bus, const char *path) {
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  bus->socket = path;
  bus->in.len = 0;
  fd_close(&bus->fd);
  if (unix_address(path, &address, &dir) != 0) return fail_msg(&bus->ex->fail, errno, bus->op->subject, "connecting to %s", path);
  bus->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bus->fd < 0) return fail_sys(&bus->ex->fail, "socket", bus->op->subject);
  if (limit_send(bus) != 0) return -1;
  if (connect(bus->fd, (const struct sockaddr *)&address, sizeof address) == 0) return authenticate(bus);
  if (errno == EAGAIN) return late(bus);
  return fail_msg(&bus->ex->fail, errno, bus->op->subject, "connecting to %s", path);
}

/* The first that lets us in. One that does not answer is not passed over: the next would be asked in vain, and not in time. */
static int open_bus(struct bus *bus) {
  struct reader sockets = bus->op->sockets.items;
  int done = fail_msg(&bus->ex->fail, ENOENT, bus->op->subject, "no socket is named");
  for (uint32_t i = 0; i < bus->op->sockets.count && done != 0; i++) {
    done = open_one(bus, reader_str(&sockets));
    if (done != 0 && bus->ex->fail.error == ETIMEDOUT) break;
  }
  return done;
}

/* The next message, whole at the front of `in`. 0 with its length, or -1. */
static int next_message(struct bus *bus, size_t *len, struct dbus_message *message) {
  for (*len = 0;;) {
    if (bus->in.len >= DBUS_FIXED && (*len = dbus_length(bus->in.data)) == 0) return broken(bus, "a message that is none");
    if (*len != 0 && bus->in.len >= *len) break;
    if (receive(bus) != 0) return -1;
  }
  return dbus_decode(bus->in.data, *len, message) == 0 ? 0 : broken(bus, "a malformed message");
}

static bool named(const struct list *list, const char *name) {
  struct reader names = list->items;
  for (uint32_t i = 0; i < list->count; i++)
    if (strcmp(reader_str(&names), name) == 0) return true;
  return false;
}

static int refused(struct bus *bus, struct dbus_message *message) {
  size_t at = 0;
  const char *why = message->signature[0] == 's' ? dbus_string(&message->body, &at) : "";
  return fail_msg(&bus->ex->fail, 0, bus->op->subject, "%s (%s)", why[0] == '\0' ? "refused" : why, message->error_name);
}

/* The answer to our call: 1 done, 0 a job whose path is in `job`, -1. */
static int judge_answer(struct bus *bus, struct dbus_message *message, char job[PATH_MAX]) {
  if (message->type == DBUS_ERROR) return named(&bus->op->accept, message->error_name) ? 1 : refused(bus, message);
  if (bus->op->signal[0] == '\0') return 1;
  size_t at = 0;
  const char *path = strcmp(message->signature, "o") == 0 ? dbus_string(&message->body, &at) : "";
  if (path[0] == '\0' || strlen(path) >= PATH_MAX) return broken(bus, "the answer is no object");
  (void)memccpy(job, path, '\0', PATH_MAX);
  return 0;
}

/* What became of the job: 1 done, 0 the signal is of another one, -1. */
static int judge_signal(struct bus *bus, struct dbus_message *message, const char *job) {
  if (strcmp(message->member, bus->op->signal) != 0 || strcmp(message->signature, "uoss") != 0) return 0;
  size_t at = 0;
  (void)dbus_u32(&message->body, &at);
  const char *path = dbus_string(&message->body, &at), *unit = dbus_string(&message->body, &at);
  const char *outcome = dbus_string(&message->body, &at);
  if (message->body.bad) return broken(bus, "a malformed signal");
  if (strcmp(path, job) != 0) return 0;
  if (strcmp(outcome, "done") == 0) return 1;
  return fail_msg(&bus->ex->fail, 0, bus->op->subject, "the job of %s ended as \"%s\": see systemctl status and journalctl", unit, outcome);
}

static int converse(struct bus *bus) {
  char job[PATH_MAX] = "";
  for (int done = 0; done == 0;) {
    size_t len;
    struct dbus_message message;
    if (next_message(bus, &len, &message) != 0) return -1;
    bool answer = message.type == DBUS_RETURN || message.type == DBUS_ERROR;
    if (job[0] == '\0' && answer && message.reply_serial == bus->op->serial)
      done = judge_answer(bus, &message, job);
    else if (job[0] != '\0' && message.type == DBUS_SIGNAL)
      done = judge_signal(bus, &message, job);
    buf_drop(&bus->in, len);
    if (done != 0) return done > 0 ? 0 : -1;
  }
  return 0;
}

int run_dbus(struct executor *ex, const struct op_dbus *op, struct buf *result) {
  (void)result;
  if (op->only_if[0] != '\0' && access(op->only_if, F_OK) != 0)
    return errno == ENOENT ? 0 : fail_sys(&ex->fail, "access", op->only_if);
  _cleanup_buf_ struct buf data = {.data = NULL};
  if (template_render(ex, op->data, &data) != 0) return -1;
  struct bus bus = {.ex = ex, .op = op, .fd = -1, .socket = "", .until = now_ms() + op->timeout_ms};
  int done = open_bus(&bus) != 0 || send_all(&bus, data.data, data.len) != 0 ? -1 : converse(&bus);
  fd_close(&bus.fd);
  buf_free(&bus.in);
  return done;
}
