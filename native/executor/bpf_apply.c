/* Who changes maps as a worker says, which has no right to: a process that takes records of one size from it and nothing else. What a map has
 * stays where the worker ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "aside.h"
#include "bpf.h"
#include "executor.h"
#include "ops.gen.h"
#include "process.h"

#define MAPS_MAX 8
#define KEY_MAX 64
#define VALUE_MAX 64

/* Of a record, whose key and value follow. */
struct head {
  uint32_t action, map;
};
enum { PUT = 1, REMOVE = 2 };
#define RECORD_MAX (sizeof(struct head) + KEY_MAX + VALUE_MAX)

struct applier {
  int channel, init; /* its worker; a pidfd of the container's first process: it ends with each */
  int maps[MAPS_MAX];
  size_t count, key_size, value_size, len;
  uint8_t record[RECORD_MAX];
};

/* 0, or -1 where it is no record. What the kernel refuses (a map that is full, a key that is gone) leaves the map as it is. */
static int apply(const struct applier *a) {
  struct head head;
  memcpy(&head, a->record, sizeof head);
  if (head.map >= a->count || (head.action != PUT && head.action != REMOVE)) return -1;
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.map_fd = (uint32_t)a->maps[head.map];
  attr.key = (uint64_t)(uintptr_t)(a->record + sizeof head);
  if (head.action == PUT) attr.value = (uint64_t)(uintptr_t)(a->record + sizeof head + a->key_size);
  (void)bpf(head.action == PUT ? BPF_MAP_UPDATE_ELEM : BPF_MAP_DELETE_ELEM, &attr);
  return 0;
}

/* 0, or -1 where the worker is gone or says something else. */
static int hear(struct applier *a) {
  size_t size = sizeof(struct head) + a->key_size + a->value_size;
  for (;;) {
    ssize_t got = recv(a->channel, a->record + a->len, size - a->len, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    a->len += (size_t)got;
    if (a->len < size) continue;
    a->len = 0;
    if (apply(a) != 0) return -1;
  }
}

static void serve(void *state) {
  struct applier *a = state;
  for (;;) {
    struct pollfd pollers[2] = {{.fd = a->channel, .events = POLLIN}, {.fd = a->init, .events = POLLIN}};
    if (poll(pollers, 2, -1) < 0 && errno != EINTR) return;
    if (pollers[1].revents != 0) return;
    if (pollers[0].revents != 0 && hear(a) != 0) return;
  }
}

int run_bpf_apply(struct executor *ex, const struct op_bpf_apply *op, struct buf *result) {
  (void)result;
  if (op->key_size == 0 || op->key_size > KEY_MAX || op->value_size == 0 || op->value_size > VALUE_MAX || op->maps.count > MAPS_MAX)
    return fail_msg(&ex->fail, EINVAL, "maps", "more or larger ones than can be changed");
  _cleanup_fd_ int init = process_open(ex->pid, ex->start_time);
  if (init < 0) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  struct applier applier = {.init = init, .channel = slot_fd(ex, op->channel), .key_size = op->key_size, .value_size = op->value_size};
  if (applier.channel < 0) return -1;
  int *fds[2 + MAPS_MAX] = {&applier.channel, &applier.init};
  struct reader slots = op->maps.items;
  for (uint32_t i = 0; i < op->maps.count; i++) {
    applier.maps[i] = slot_fd(ex, reader_u32(&slots));
    if (applier.maps[i] < 0) return -1;
    fds[2 + applier.count++] = &applier.maps[i];
  }
  const struct aside aside = {.name = "berth-apply", .record = op->record, .mine = fds, .count = 2 + applier.count, .work = serve, .what = &applier};
  _cleanup_fd_ int pidfd = -1;
  return aside_start(ex, &aside, &pidfd) < 0 ? -1 : 0;
}
