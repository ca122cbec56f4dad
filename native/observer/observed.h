/* What is seen of a container's processes, each thing once: what `learn` makes a policy of (src/learn/observed.ts). */
#ifndef BERTH_OBSERVED_H
#define BERTH_OBSERVED_H

/* A path or an address, behind what was done to it. */
enum observed {
  SEEN_READ = 'r',
  SEEN_LIST = 'l',    /* a directory was opened */
  SEEN_DEVICE = 'c',  /* one was opened for reading */
  SEEN_WRITE = 'w',   /* a file that is there */
  SEEN_EXECUTE = 'x', /* a program, or what runs it */
  SEEN_ENTRY = 'd',   /* in this directory a name was made, removed, or given to something else */
  SEEN_MADE = 'm',    /* this path, which was not there */
  SEEN_CONNECT = 'n', /* scheme://address:port */
  SEEN_BIND = 'b',    /* scheme://port */
  SEEN_ABSTRACT = 'a', /* connected to an abstract UNIX socket */
  SEEN_TIMEOUT = 't', /* the time was over; the container was killed */
};

/* Where it is written to. */
void observed_to(int fd);
/* 0 or -1: it can't be written, so that what was seen is not whole. */
int observed(enum observed what, const char *text);

#endif
