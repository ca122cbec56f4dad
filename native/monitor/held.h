/* What a monitor holds for its containers: descriptors by name, and the processes it prepared. Plain tables: a forked executor
 * has its own copy to look things up in. */
#ifndef BERTH_HELD_H
#define BERTH_HELD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct held_process {
  struct held_process *next;
  char *key;
  pid_t pid;
  int pidfd;
  int control;   /* -1 once it was released */
  bool released; /* let go at least once beyond `parked`, that is: execve was asked for and happened */
};

/* Takes `fd` over; one held under the name before is closed. 0, or -1 with errno. */
int held_keep(const char *name, int fd);
int held_lookup(const char *name); /* -1 where there is none */
/* Calls `each` with every descriptor under `name`, still owned here. */
void held_each(const char *name, void (*each)(int fd, void *context), void *context);
/* Closes `name` and everything below `name/`. Nothing there is no error. */
void held_drop(const char *name);

/* Takes both descriptors over. A process of that key is forgotten first. */
struct held_process *held_add(const char *key, pid_t pid, int pidfd, int control);
struct held_process *held_find(const char *key);
struct held_process *held_find_pid(pid_t pid);
void held_release(struct held_process *); /* closes its control socket */
void held_forget(struct held_process *);
/* 0, or -1 with errno: ESRCH where it has ended or none is held. */
int held_signal(const char *key, int signal);
/* In a forked child: closes every descriptor from 3 on but `fd` and what is held. Close-on-exec does nothing for a child that does not
 * exec, and what it keeps open has no EOF for others. 0, or -1 with errno. */
int held_close_others(int fd);
/* Whether `name` is `prefix` or lies below it. */
bool held_under(const char *name, const char *prefix);

#endif
