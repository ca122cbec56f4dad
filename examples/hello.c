/* The program in the demo's container: says where it finds itself, then waits for a signal. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  char host[65] = "";
  if (gethostname(host, sizeof host - 1) < 0) return 1;
  printf("hello from pid %d, uid %d, on host \"%s\"\n", (int)getpid(), (int)getuid(), host);
  fflush(stdout);
  pause();
  return 0;
}
