/* Tries to reach an address through each way that the kernel has for it, and prints a line for each: its name, and "open" or the errno.
 *
 *   senders to ADDRESS PORT     ADDRESS of IPv4 or IPv6 of this host; listens there itself
 *   senders ping ADDRESS        a ping socket, by sendto and by connect; waits for the answer
 *   senders bind PORT           TCP and UDP, IPv4 and IPv6
 *   senders sockets             makes a socket of each kind that could send
 *   senders race ADDRESS ADDRESS PORT ROUNDS
 *                               connects and sends while a thread rewrites the address from the first, which is allowed, to the
 *                               other; prints how often the other was reached */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

union address {
  struct sockaddr any;
  struct sockaddr_in ip4;
  struct sockaddr_in6 ip6;
};

static void tell(const char *door, int result) {
  printf("%s %s\n", door, result >= 0 ? "open" : strerrorname_np(errno));
  fflush(stdout);
}

static socklen_t size_of(const union address *a) {
  return a->any.sa_family == AF_INET ? sizeof a->ip4 : sizeof a->ip6;
}

static union address parse(const char *text, const char *port) {
  union address a = {.ip4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))}};
  if (inet_pton(AF_INET, text, &a.ip4.sin_addr) == 1) return a;
  a = (union address){.ip6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))}};
  if (inet_pton(AF_INET6, text, &a.ip6.sin6_addr) != 1) exit(2);
  return a;
}

/* The address as an IPv6 socket has it. */
static union address mapped(const union address *a) {
  union address m = {.ip6 = {.sin6_family = AF_INET6, .sin6_port = a->ip4.sin_port}};
  m.ip6.sin6_addr.s6_addr[10] = m.ip6.sin6_addr.s6_addr[11] = 0xff;
  memcpy(m.ip6.sin6_addr.s6_addr + 12, &a->ip4.sin_addr, 4);
  return m;
}

static int make(const union address *a, int type) {
  int fd = socket(a->any.sa_family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) exit(3);
  return fd;
}

static int done(int fd, int result) {
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

static int by_connect(const union address *a, int type) {
  int fd = make(a, type);
  return done(fd, connect(fd, &a->any, size_of(a)));
}

static int by_fastopen(const union address *a) {
  int fd = make(a, SOCK_STREAM);
  return done(fd, (int)sendto(fd, "x", 1, MSG_FASTOPEN, &a->any, size_of(a)));
}

static int by_sendto(const union address *a) {
  int fd = make(a, SOCK_DGRAM);
  return done(fd, (int)sendto(fd, "x", 1, 0, &a->any, size_of(a)));
}

static int by_sendmsg(union address *a) {
  int fd = make(a, SOCK_DGRAM);
  struct iovec data = {.iov_base = (char[]){'x'}, .iov_len = 1};
  struct msghdr m = {.msg_name = a, .msg_namelen = size_of(a), .msg_iov = &data, .msg_iovlen = 1};
  return done(fd, (int)sendmsg(fd, &m, 0));
}

static int by_sendmmsg(union address *a) {
  int fd = make(a, SOCK_DGRAM);
  struct iovec data = {.iov_base = (char[]){'x'}, .iov_len = 1};
  struct mmsghdr m = {.msg_hdr = {.msg_name = a, .msg_namelen = size_of(a), .msg_iov = &data, .msg_iovlen = 1}};
  return done(fd, sendmmsg(fd, &m, 1, 0));
}

static int by_uring(const union address *a) {
  struct io_uring_params params = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
  if (ring < 0) return -1;
  size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entry = mmap(NULL, sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  if (rings == MAP_FAILED || entry == MAP_FAILED) return -1;
  int fd = make(a, SOCK_STREAM);
  *entry = (struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uint64_t)(uintptr_t)a, .off = size_of(a)};
  ((unsigned *)(rings + params.sq_off.array))[0] = 0;
  __atomic_store_n((unsigned *)(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  int result = ((struct io_uring_cqe *)(rings + params.cq_off.cqes))[0].res;
  close(ring);
  if (result < 0) errno = -result;
  return done(fd, result < 0 ? -1 : 0);
}

#ifdef __x86_64__
static long int80(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
}

/* connect(2) of 32-bit programs, by its own number and through socketcall(2). */
static void by_int80(const union address *a) {
  struct {
    union address address;
    uint32_t arguments[3];
  } *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) exit(3);
  low->address = *a;
  int fd = make(a, SOCK_STREAM);
  tell("int80", done(fd, (int)int80(362, fd, (long)&low->address, size_of(a))));
  fd = make(a, SOCK_STREAM);
  low->arguments[0] = (uint32_t)fd;
  low->arguments[1] = (uint32_t)(uintptr_t)&low->address;
  low->arguments[2] = size_of(a);
  tell("socketcall", done(fd, (int)int80(102, 3, (long)low->arguments, 0)));
}
#endif

/* For whoever gets through; a backlog is all it takes. */
static void listen_on(const char *port) {
  union address a = parse("::", port);
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
  for (int i = 0; i < 2; i++) {
    int fd = make(&a, types[i]);
    if (bind(fd, &a.any, size_of(&a)) < 0 || (types[i] == SOCK_STREAM && listen(fd, 64) < 0)) exit(3);
  }
}

static void *from_thread(void *a) {
  tell("thread", by_connect(a, SOCK_STREAM));
  return NULL;
}

static void to(const char *self, const char *text, const char *port) {
  union address a = parse(text, port);
  listen_on(port);
  tell("connect", by_connect(&a, SOCK_STREAM));
  tell("fastopen", by_fastopen(&a));
  tell("udp-connect", by_connect(&a, SOCK_DGRAM));
  tell("sendto", by_sendto(&a));
  tell("sendmsg", by_sendmsg(&a));
  tell("sendmmsg", by_sendmmsg(&a));
  tell("io_uring", by_uring(&a));
  if (a.any.sa_family == AF_INET) {
    union address m = mapped(&a);
    tell("mapped", by_connect(&m, SOCK_STREAM));
    tell("mapped-sendto", by_sendto(&m));
    /* An IPv6 socket takes an IPv4 address for a datagram. */
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    tell("other-family", done(fd, connect(fd, &a.any, size_of(&a))));
  }
#ifdef __x86_64__
  by_int80(&a);
#endif
  pthread_t thread;
  if (pthread_create(&thread, NULL, from_thread, &a) != 0 || pthread_join(thread, NULL) != 0) exit(3);
  pid_t child = fork();
  if (child == 0) {
    tell("fork", by_connect(&a, SOCK_STREAM));
    execl(self, self, "exec", text, port, NULL);
    _exit(3);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) exit(3);
}

static void ping(const char *text) {
  union address a = parse(text, "0");
  int version6 = a.any.sa_family == AF_INET6;
  char echo[8] = {version6 ? (char)128 : 8};
  for (int connected = 0; connected < 2; connected++) {
    int fd = socket(a.any.sa_family, SOCK_DGRAM, version6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    int result = fd < 0 ? -1 : connected ? connect(fd, &a.any, size_of(&a)) : (int)sendto(fd, echo, sizeof echo, 0, &a.any, size_of(&a));
    if (connected && result == 0) result = (int)send(fd, echo, sizeof echo, 0);
    /* What is dropped on its way is an error to some senders only. */
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    if (result >= 0 && poll(&answer, 1, 500) == 0) {
      errno = ETIMEDOUT;
      result = -1;
    }
    tell(connected ? "ping-connected" : "ping", result);
    if (fd >= 0) close(fd);
  }
}

static void bind_to(const char *port) {
  static const struct {
    const char *name, *address;
    int type;
  } ways[] = {{"tcp4", "0.0.0.0", SOCK_STREAM}, {"udp4", "0.0.0.0", SOCK_DGRAM}, {"tcp6", "::", SOCK_STREAM}, {"udp6", "::", SOCK_DGRAM}};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    union address a = parse(ways[i].address, port);
    int fd = make(&a, ways[i].type), on = 1;
    if (a.any.sa_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    tell(ways[i].name, done(fd, bind(fd, &a.any, size_of(&a))));
  }
}

static void sockets(void) {
  static const struct {
    const char *name;
    int family, type, protocol;
  } kinds[] = {
      {"tcp", AF_INET, SOCK_STREAM, 0},          {"udp", AF_INET6, SOCK_DGRAM, 0},      {"unix", AF_UNIX, SOCK_STREAM, 0},
      {"netlink", AF_NETLINK, SOCK_RAW, 0},      {"raw", AF_INET, SOCK_RAW, 255},       {"raw6", AF_INET6, SOCK_RAW, 58},
      {"packet", AF_PACKET, SOCK_RAW, 0x300},    {"udplite", AF_INET, SOCK_DGRAM, 136}, {"sctp", AF_INET, SOCK_STREAM, 132},
      {"mptcp", AF_INET, SOCK_STREAM, 262},      {"vsock", AF_VSOCK, SOCK_STREAM, 0},   {"ping", AF_INET, SOCK_DGRAM, 1},
      {"bluetooth", 31, SOCK_RAW, 1},            {"xdp", 44, SOCK_RAW, 0},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    int fd = socket(kinds[i].family, kinds[i].type, kinds[i].protocol);
    tell(kinds[i].name, fd);
    if (fd >= 0) close(fd);
  }
}

static union address shared, good, bad;
static volatile int racing = 1;
static void *rewrite(void *none) {
  while (racing) {
    memcpy((void *)&shared, &good, sizeof shared);
    memcpy((void *)&shared, &bad, sizeof shared);
  }
  return none;
}

/* Whether the peer is the one that is not allowed. */
static int reached(int fd) {
  union address peer = {0};
  socklen_t len = sizeof peer;
  return getpeername(fd, &peer.any, &len) == 0 && peer.ip4.sin_addr.s_addr == bad.ip4.sin_addr.s_addr;
}

static void race(const char *allowed, const char *refused, const char *port, long rounds) {
  good = parse(allowed, port);
  bad = parse(refused, port);
  shared = good;
  pthread_t thread;
  if (pthread_create(&thread, NULL, rewrite, NULL) != 0) exit(3);
  long through = 0, refusals = 0;
  for (long i = 0; i < rounds; i++) {
    int fd = make(&good, SOCK_DGRAM);
    if (connect(fd, &shared.any, size_of(&good)) == 0) through += reached(fd);
    else refusals++;
    close(fd);
  }
  racing = 0;
  pthread_join(thread, NULL);
  printf("through %ld\nrefused %s\n", through, refusals > 0 && refusals < rounds ? "some" : "all or none");
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "to") == 0) {
    to(argv[0], argv[2], argv[3]);
  } else if (argc == 4 && strcmp(argv[1], "exec") == 0) {
    union address a = parse(argv[2], argv[3]);
    tell("execve", by_connect(&a, SOCK_STREAM));
  } else if (argc == 3 && strcmp(argv[1], "ping") == 0) {
    ping(argv[2]);
  } else if (argc == 3 && strcmp(argv[1], "bind") == 0) {
    bind_to(argv[2]);
  } else if (argc == 2 && strcmp(argv[1], "sockets") == 0) {
    sockets();
  } else if (argc == 6 && strcmp(argv[1], "race") == 0) {
    race(argv[2], argv[3], argv[4], atol(argv[5]));
  } else {
    return 2;
  }
  return 0;
}
