/* Connects over the loopback ROUNDS times and prints how long one took, in nanoseconds: connect ADDRESS ROUNDS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

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
  double spent = 0;
  for (long i = 0; i < rounds; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double start = now();
    if (connect(fd, (struct sockaddr *)&to, len) < 0) return 4;
    spent += now() - start;
    int accepted = accept(listener, NULL, NULL);
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it) < 0) return 5;
    close(fd);
    close(accepted);
  }
  printf("%.0f\n", spent / (double)rounds);
  return 0;
}
