/* calls: plays a script of calls to a shim and says what each takes. The script is text on stdin, a line a step, words separated by tabs:
 *
 *   spawn NAME CWD ARG...    the shim's binary: from before vfork to after it was reaped; what it prints is an address or the JSON of one
 *   connect                  to the address that was printed last
 *   call NAME STREAM HEX     a frame of ttrpc; from before it is sent to when its answer has come
 *   last NAME STREAM HEX     the same, and the end of the connection is an answer as well
 *   send STREAM HEX          a frame whose answer is waited for later
 *   wait NAME STREAM         until that answer has come; from here
 *   fifo PATH                opened to be read
 *   byte                     until the first one comes out of it
 *   close                    the connection, and the FIFO where there is one
 *   begin, end NAME          what lies between
 *
 * Prints `NAME MILLISECONDS` for each step that has a name. Answers are not looked into, but for one thing: an error ends the program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { STREAMS = 16, HEADER = 10, RESPONSE = 2 };
static char address[4096];
static int sock = -1, fifo = -1, null;
static uint32_t answered[STREAMS]; /* those that came while another was waited for */
static int n_answered;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double spawn(char **words) {
  char out[4096];
  int pipes[2], status;
  if (pipe2(pipes, O_CLOEXEC) < 0) die("pipe2");
  double begin = now_ms();
  pid_t pid = vfork();
  if (pid == 0) {
    if (chdir(words[0]) < 0 || dup2(null, 0) < 0 || dup2(pipes[1], 1) < 0 || dup2(null, 2) < 0) _exit(126);
    execve(words[1], words + 1, environ);
    _exit(127);
  }
  close(pipes[1]);
  if (pid < 0) die("vfork");
  size_t n = 0;
  ssize_t got;
  while (n < sizeof out - 1 && (got = read(pipes[0], out + n, sizeof out - 1 - n)) > 0) n += (size_t)got;
  if (waitpid(pid, &status, 0) != pid) die("waitpid");
  double took = now_ms() - begin;
  close(pipes[0]);
  out[n] = 0;
  if (status != 0) {
    fprintf(stderr, "calls: %s: wait status %#x\n", words[1], (unsigned)status);
    exit(1);
  }
  char *path = strstr(out, "unix://");
  if (path) snprintf(address, sizeof address, "%.*s", (int)strcspn(path + 7, "\"\n"), path + 7);
  return took;
}

static void open_connection(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (strlen(address) >= sizeof name.sun_path) die("address");
  strcpy(name.sun_path, address);
  sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || connect(sock, (struct sockaddr *)&name, sizeof name) < 0) die(address);
  n_answered = 0;
}

static unsigned char frame[1 << 20];

static size_t parse_frame(const char *hex) {
  size_t n = strlen(hex) / 2;
  if (n > sizeof frame) die("frame");
  for (size_t i = 0; i < n; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) die("hex");
    frame[i] = (unsigned char)byte;
  }
  return n;
}

static void send_frame(size_t n) {
  for (size_t done = 0; done < n;) {
    ssize_t w = write(sock, frame + done, n - done);
    if (w <= 0) die("write");
    done += (size_t)w;
  }
}

/* Whether they came. */
static bool receive(unsigned char *to, size_t n) {
  for (size_t done = 0; done < n;) {
    ssize_t r = read(sock, to + done, n - done);
    if (r <= 0) return false;
    done += (size_t)r;
  }
  return true;
}

static uint32_t big32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void await(uint32_t stream, bool last) {
  static unsigned char payload[4 << 20];
  for (int i = 0; i < n_answered; i++)
    if (answered[i] == stream) {
      answered[i] = answered[--n_answered];
      return;
    }
  for (;;) {
    unsigned char head[HEADER];
    if (!receive(head, sizeof head)) {
      if (last) return;
      die("the shim closed the connection");
    }
    uint32_t n = big32(head), got = big32(head + 4);
    if (n > sizeof payload || !receive(payload, n)) die("answer");
    /* Response: 1 status, 2 payload. A status that is not empty is an error. */
    if (head[8] != RESPONSE || (n > 1 && payload[0] == 0x0a && payload[1] != 0)) {
      fprintf(stderr, "calls: stream %u: %.*s\n", got, (int)n, payload);
      exit(1);
    }
    if (got == stream) return;
    if (n_answered == STREAMS) die("answers");
    answered[n_answered++] = got;
  }
}

/* Nobody may have opened it to write yet: that is no end of it. */
static void open_fifo(const char *path) {
  fifo = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fifo < 0) die(path);
}

static void await_byte(void) {
  struct pollfd p = {.fd = fifo, .events = POLLIN};
  char byte;
  if (poll(&p, 1, -1) != 1 || read(fifo, &byte, 1) != 1) die("output");
}

static void close_all(void) {
  close(sock);
  if (fifo >= 0) close(fifo);
  fifo = -1;
}

int main(void) {
  char *line = NULL;
  size_t room = 0;
  double begun = 0;
  null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) die("/dev/null");
  while (getline(&line, &room, stdin) > 0) {
    enum { WORDS = 32 };
    char *words[WORDS + 1] = {NULL}, *rest = line;
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    while (n < WORDS && (words[n] = strsep(&rest, "\t"))) n++;
    const char *verb = words[0];
    double begin = now_ms();
    if (!strcmp(verb, "spawn") && n > 3) printf("%s %.4f\n", words[1], spawn(words + 2));
    else if (!strcmp(verb, "connect")) open_connection();
    else if ((!strcmp(verb, "call") || !strcmp(verb, "last")) && n == 4) {
      size_t size = parse_frame(words[3]);
      begin = now_ms();
      send_frame(size);
      await((uint32_t)strtoul(words[2], NULL, 10), verb[0] == 'l');
      printf("%s %.4f\n", words[1], now_ms() - begin);
    } else if (!strcmp(verb, "send") && n == 3) send_frame(parse_frame(words[2]));
    else if (!strcmp(verb, "wait") && n == 3) {
      await((uint32_t)strtoul(words[2], NULL, 10), false);
      printf("%s %.4f\n", words[1], now_ms() - begin);
    } else if (!strcmp(verb, "fifo") && n == 2) open_fifo(words[1]);
    else if (!strcmp(verb, "byte")) await_byte();
    else if (!strcmp(verb, "close")) close_all();
    else if (!strcmp(verb, "begin")) begun = begin;
    else if (!strcmp(verb, "end") && n == 2) printf("%s %.4f\n", words[1], begin - begun);
    else die(verb);
  }
  free(line);
  return 0;
}
