/* Connects over the loopback ROUNDS times and prints how long one took, in nanoseconds: connect ADDRESS ROUNDS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "median.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long rounds = atol(argv[2]);
  struct sockaddr_in to = {.sin_family = AF_INET};
  socklen_t len = sizeof to;
  /* Aborted rather than closed, so that no connection stays behind in TIME_WAIT. */
  struct linger abort_it = {.l_onoff = 1};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || bind(listener, (struct sockaddr *)&to, len) < 0 || listen(listener, 16) < 0 ||
      getsockname(listener, (struct sockaddr *)&to, &len) < 0)
    return 3;
  double *times = calloc((size_t)rounds, sizeof *times);
  for (long i = 0; times && i < rounds; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double start = now_ns();
    if (connect(fd, (struct sockaddr *)&to, len) < 0) return 4;
    times[i] = now_ns() - start;
    int accepted = accept(listener, NULL, NULL);
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it) < 0) return 5;
    close(fd);
    close(accepted);
  }
  if (!times || rounds < 1) return 6;
  print_median(times, (size_t)rounds);
  return 0;
}
