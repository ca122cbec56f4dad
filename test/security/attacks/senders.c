/* Tries to reach an address through each way that the kernel has for it, and prints a line for each: its name, and "open" or the errno.
 *
 *   senders to ADDRESS PORT     ADDRESS of IPv4 or IPv6 of this host; listens there itself
 *   senders ping ADDRESS        a ping socket, by sendto and by connect; waits for the answer
 *   senders bind PORT           TCP and UDP, IPv4 and IPv6
 *   senders sockets             makes a socket of each kind that could send
 *   senders routes              has packets go by other hosts than the socket names
 *   senders hand PATH           gives whoever connects to this UNIX socket a TCP socket of its own, once it has said "ready"
 *   senders received PATH ADDRESS PORT
 *                               connects one that it has been given
 *   senders race ADDRESS ADDRESS PORT ROUNDS
 *                               connects and sends while a thread rewrites the address from the first, which is allowed, to the
 *                               other; prints how often the other was reached */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ways.h"

union address {
  struct sockaddr any;
  struct sockaddr_in ip4;
  struct sockaddr_in6 ip6;
};

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

static int by_ring(const union address *a) {
  int fd = make(a, SOCK_STREAM);
  struct io_uring_sqe request = {.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uint64_t)(uintptr_t)a, .off = size_of(a)};
  return done(fd, by_uring(&request));
}

#ifdef __x86_64__
/* The numbers of 32-bit programs, their own and those of socketcall(2). */
enum { INT80_SOCKETCALL = 102, INT80_BIND = 361, INT80_CONNECT = 362, INT80_SENDTO = 369 };
enum { CALL_BIND = 2, CALL_CONNECT = 3, CALL_SENDTO = 11 };

/* sendto(2) has more arguments than the others here. */
static long int80_sendto(int fd, long data, long address, long len) {
  long result;
  __asm__ volatile("push %%rbp; mov %[len], %%ebp; int $0x80; pop %%rbp"
                   : "=a"(result)
                   : "a"(INT80_SENDTO), "b"((long)fd), "c"(data), "d"(1L), "S"(0L), "D"(address), [len] "r"((uint32_t)len)
                   : "memory", "r8", "r9", "r10", "r11");
  return kernels((int)result);
}

static void by_other_numbers(const union address *a) {
  long address = (long)low(a, sizeof *a), data = (long)low("x", 1);
  uint32_t len = size_of(a);
  int fd = make(a, SOCK_STREAM);
  tell("int80", done(fd, int80(INT80_CONNECT, fd, address, len, 0)));
  fd = make(a, SOCK_DGRAM);
  tell("int80-sendto", done(fd, int80_sendto(fd, data, address, len)));
  uint32_t list[] = {(uint32_t)make(a, SOCK_STREAM), (uint32_t)address, len};
  tell("socketcall", done((int)list[0], int80(INT80_SOCKETCALL, CALL_CONNECT, (long)low(list, sizeof list), 0, 0)));
  fd = make(a, SOCK_STREAM);
  tell("x32", done(fd, x32(SYS_connect, fd, (long)a, len, 0)));
}

static void bind_by_other_numbers(const union address *a) {
  long address = (long)low(a, sizeof *a);
  uint32_t len = size_of(a);
  int fd = make(a, SOCK_STREAM);
  tell("int80", done(fd, int80(INT80_BIND, fd, address, len, 0)));
  uint32_t list[] = {(uint32_t)make(a, SOCK_STREAM), (uint32_t)address, len};
  tell("socketcall", done((int)list[0], int80(INT80_SOCKETCALL, CALL_BIND, (long)low(list, sizeof list), 0, 0)));
  fd = make(a, SOCK_STREAM);
  tell("x32", done(fd, x32(SYS_bind, fd, (long)a, len, 0)));
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

static long connects(void *a) {
  return by_connect(a, SOCK_STREAM);
}

static long binds(void *subject) {
  const union address *a = subject;
  int fd = make(a, SOCK_STREAM);
  return done(fd, bind(fd, &a->any, size_of(a)));
}

static void to(char *self, char *text, char *port) {
  union address a = parse(text, port);
  listen_on(port);
  tell("connect", by_connect(&a, SOCK_STREAM));
  tell("fastopen", by_fastopen(&a));
  tell("udp-connect", by_connect(&a, SOCK_DGRAM));
  tell("sendto", by_sendto(&a));
  tell("sendmsg", by_sendmsg(&a));
  tell("sendmmsg", by_sendmmsg(&a));
  tell("io_uring", by_ring(&a));
  if (a.any.sa_family == AF_INET) {
    union address m = mapped(&a);
    tell("mapped", by_connect(&m, SOCK_STREAM));
    tell("mapped-sendto", by_sendto(&m));
    /* An IPv6 socket takes an IPv4 address for a datagram. */
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    tell("other-family", done(fd, connect(fd, &a.any, size_of(&a))));
  }
#ifdef __x86_64__
  by_other_numbers(&a);
#endif
  tell_elsewhere(connects, &a, (char *[]){self, "exec", text, port, NULL});
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

static void bind_to(char *self, char *port) {
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
  union address a = parse("0.0.0.0", port), m = mapped(&a);
  tell("mapped", binds(&m));
#ifdef __x86_64__
  bind_by_other_numbers(&a);
#endif
  tell_elsewhere(binds, &a, (char *[]){self, "exec-bind", port, NULL});
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
      {"old-packet", AF_INET, 10 /* SOCK_PACKET */, 0x300}, {"seqpacket", AF_INET, SOCK_SEQPACKET, 0},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    int fd = socket(kinds[i].family, kinds[i].type, kinds[i].protocol);
    tell(kinds[i].name, fd);
    if (fd >= 0) close(fd);
  }
  /* An int is what its lower half says. */
  const unsigned long above = 1ul << (sizeof(long) * 8 - 1);
  tell("high-old-packet", (int)syscall(SYS_socket, above | AF_INET, above | 10, 0x300));
  tell("high-raw", (int)syscall(SYS_socket, above | AF_INET, above | SOCK_RAW, 255));
  tell("high-sctp", (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, above | 132));
  tell("high-multipath", (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, above | 262));
}

/* With one datagram, which no filter of system calls sees. */
static int control_route(int fd, const uint8_t *route, size_t len) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000), .sin_addr.s_addr = htonl(0x7f000002)};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(8)];
  } control = {.header = {.cmsg_level = IPPROTO_IP, .cmsg_type = IP_RETOPTS, .cmsg_len = CMSG_LEN(len)}};
  memcpy(CMSG_DATA(&control.header), route, len);
  struct iovec data = {.iov_base = "routed", .iov_len = 6};
  struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
  return (int)sendmsg(fd, &message, 0);
}

/* A label whose packets have the route, whatever address they are sent to with it. */
static int label_with_route(int fd, const uint8_t *header, size_t len) {
  struct {
    struct in6_flowlabel_req request;
    union {
      struct cmsghdr header;
      char room[CMSG_SPACE(24)];
    } control;
  } label = {
      .request = {.flr_dst = IN6ADDR_LOOPBACK_INIT, .flr_label = htonl(0x12345), .flr_action = IPV6_FL_A_GET, .flr_share = IPV6_FL_S_USER, .flr_flags = IPV6_FL_F_CREATE},
      .control = {.header = {.cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_RTHDR, .cmsg_len = CMSG_LEN(24)}},
  };
  memcpy(CMSG_DATA(&label.control.header), header, len);
  return setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &label, sizeof label);
}

static void routes(void) {
  static const uint8_t route[] = {131 /* loose source route */, 7, 4, 127, 0, 0, 1, 0};
  const uint8_t header[24] = {0, 2, 2 /* of mobile IPv6 */, 1, [23] = 1};
  int ip4 = socket(AF_INET, SOCK_DGRAM, 0), ip6 = socket(AF_INET6, SOCK_DGRAM, 0);
  tell("ip-options", setsockopt(ip4, IPPROTO_IP, IP_OPTIONS, route, sizeof route));
  const unsigned long above = 1ul << (sizeof(long) * 8 - 1);
  tell("ip-options-high", (int)syscall(SYS_setsockopt, ip4, above | IPPROTO_IP, above | IP_OPTIONS, route, sizeof route));
  tell("routing-header", setsockopt(ip6, IPPROTO_IPV6, IPV6_RTHDR, header, sizeof header));
  tell("old-routing-header", setsockopt(ip6, IPPROTO_IPV6, 5 /* IPV6_2292RTHDR */, header, sizeof header));
  tell("control-route", control_route(socket(AF_INET, SOCK_DGRAM, 0), route, sizeof route));
  tell("sticky-options", setsockopt(ip6, IPPROTO_IPV6, 6 /* IPV6_2292PKTOPTIONS */, header, 0));
  tell("flow-label", label_with_route(ip6, header, sizeof header));
}

static int at_path(const char *path, struct sockaddr_un *un) {
  *un = (struct sockaddr_un){.sun_family = AF_UNIX};
  strncpy(un->sun_path, path, sizeof un->sun_path - 1);
  return make((union address *)un, SOCK_STREAM);
}

/* A message with room for one descriptor. */
struct handed {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  char byte;
  struct iovec data;
  struct msghdr message;
};

static struct msghdr *handing(struct handed *h, int fd) {
  *h = (struct handed){.control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)}}, .byte = 'x'};
  memcpy(CMSG_DATA(&h->control.header), &fd, sizeof fd);
  h->data = (struct iovec){.iov_base = &h->byte, .iov_len = 1};
  h->message = (struct msghdr){.msg_iov = &h->data, .msg_iovlen = 1, .msg_control = &h->control, .msg_controllen = sizeof h->control.room};
  return &h->message;
}

static void hand(const char *path) {
  struct sockaddr_un un;
  int listener = at_path(path, &un);
  if (bind(listener, (struct sockaddr *)&un, sizeof un) != 0 || listen(listener, 8) != 0) exit(3);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct handed h;
    int own = socket(AF_INET, SOCK_STREAM, 0), to = accept(listener, NULL, NULL);
    if (own < 0 || to < 0 || sendmsg(to, handing(&h, own), 0) != 1) exit(3);
    close(own);
    close(to);
  }
}

static void received(const char *path, const char *address, const char *port) {
  struct sockaddr_un un;
  union address a = parse(address, port);
  int from = at_path(path, &un), fd = -1;
  struct handed h;
  if (connect(from, (struct sockaddr *)&un, sizeof un) != 0 || recvmsg(from, handing(&h, fd), 0) != 1) exit(3);
  memcpy(&fd, CMSG_DATA(&h.control.header), sizeof fd);
  tell("received", done(fd, connect(fd, &a.any, size_of(&a))));
  tell("own", by_connect(&a, SOCK_STREAM));
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
    tell("exec", connects(&a));
  } else if (argc == 3 && strcmp(argv[1], "exec-bind") == 0) {
    union address a = parse("0.0.0.0", argv[2]);
    tell("exec", binds(&a));
  } else if (argc == 3 && strcmp(argv[1], "ping") == 0) {
    ping(argv[2]);
  } else if (argc == 3 && strcmp(argv[1], "bind") == 0) {
    bind_to(argv[0], argv[2]);
  } else if (argc == 2 && strcmp(argv[1], "sockets") == 0) {
    sockets();
  } else if (argc == 2 && strcmp(argv[1], "routes") == 0) {
    routes();
  } else if (argc == 3 && strcmp(argv[1], "hand") == 0) {
    hand(argv[2]);
  } else if (argc == 5 && strcmp(argv[1], "received") == 0) {
    received(argv[2], argv[3], argv[4]);
  } else if (argc == 6 && strcmp(argv[1], "race") == 0) {
    race(argv[2], argv[3], argv[4], atol(argv[5]));
  } else {
    return 2;
  }
  return 0;
}
