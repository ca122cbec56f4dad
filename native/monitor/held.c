#define _GNU_SOURCE
#include "held.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/sys.h"

struct kept {
  struct kept *next;
  char *name;
  int fd;
};

static struct kept *kept;
static struct held_process *processes;

bool held_under(const char *name, const char *prefix) {
  size_t n = strlen(prefix);
  return !strncmp(name, prefix, n) && (name[n] == 0 || name[n] == '/');
}

int held_keep(const char *name, int fd) {
  for (struct kept *k = kept; k; k = k->next) {
    if (strcmp(k->name, name)) continue;
    close(k->fd);
    k->fd = fd;
    return 0;
  }
  struct kept *k = calloc(1, sizeof *k);
  char *copy = strdup(name);
  if (!k || !copy) {
    free(k);
    free(copy);
    close(fd);
    return -1;
  }
  *k = (struct kept){kept, copy, fd};
  kept = k;
  return 0;
}

int held_lookup(const char *name) {
  for (struct kept *k = kept; k; k = k->next)
    if (!strcmp(k->name, name)) return k->fd;
  return -1;
}

void held_each(const char *name, void (*each)(int fd, void *context), void *context) {
  for (struct kept *k = kept; k; k = k->next)
    if (held_under(k->name, name)) each(k->fd, context);
}

void held_drop(const char *name) {
  for (struct kept **p = &kept; *p;) {
    struct kept *k = *p;
    if (!held_under(k->name, name)) {
      p = &k->next;
      continue;
    }
    *p = k->next;
    close(k->fd);
    free(k->name);
    free(k);
  }
}

struct held_process *held_find(const char *key) {
  for (struct held_process *h = processes; h; h = h->next)
    if (!strcmp(h->key, key)) return h;
  return NULL;
}

struct held_process *held_find_pid(pid_t pid) {
  for (struct held_process *h = processes; h; h = h->next)
    if (h->pid == pid) return h;
  return NULL;
}

void held_release(struct held_process *h) {
  if (h->control >= 0) close(h->control);
  h->control = -1;
  h->released = true;
}

void held_forget(struct held_process *h) {
  for (struct held_process **p = &processes; *p; p = &(*p)->next) {
    if (*p != h) continue;
    *p = h->next;
    break;
  }
  if (h->control >= 0) close(h->control);
  if (h->pidfd >= 0) close(h->pidfd);
  free(h->key);
  free(h);
}

struct held_process *held_add(const char *key, pid_t pid, int pidfd, int control) {
  struct held_process *old = held_find(key);
  if (old) held_forget(old);
  struct held_process *h = calloc(1, sizeof *h);
  char *copy = strdup(key);
  if (!h || !copy) {
    free(h);
    free(copy);
    if (pidfd >= 0) close(pidfd);
    close(control);
    return NULL;
  }
  *h = (struct held_process){.next = processes, .key = copy, .pid = pid, .pidfd = pidfd, .control = control};
  processes = h;
  return h;
}

int held_signal(const char *key, int signal) {
  struct held_process *h = held_find(key);
  /* A zombie takes any signal. */
  struct pollfd ended = {.fd = h ? h->pidfd : -1, .events = POLLIN};
  if (h && poll(&ended, 1, 0) == 0) return sys_pidfd_send_signal(h->pidfd, signal);
  errno = ESRCH;
  return -1;
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int held_close_others(int fd) {
  size_t n = 1;
  for (struct kept *k = kept; k; k = k->next) n++;
  for (struct held_process *h = processes; h; h = h->next) n += 2;
  int *keep = calloc(n, sizeof *keep);
  if (!keep) return -1;
  size_t at = 0;
  keep[at++] = fd;
  for (struct kept *k = kept; k; k = k->next) keep[at++] = k->fd;
  for (struct held_process *h = processes; h; h = h->next) {
    keep[at++] = h->control;
    keep[at++] = h->pidfd;
  }
  qsort(keep, n, sizeof *keep, by_number);
  int next = 3, done = 0;
  for (size_t i = 0; i < n && done == 0; i++) {
    if (keep[i] > next) done = sys_close_range((unsigned)next, (unsigned)keep[i] - 1, 0);
    if (keep[i] >= next) next = keep[i] + 1;
  }
  free(keep);
  return done < 0 ? -1 : sys_close_range((unsigned)next, ~0u, 0);
}
