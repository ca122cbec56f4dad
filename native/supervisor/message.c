/* What is sent to an address: on the caller's socket, from a copy of the message. Whether one has an address is in memory, where no filter looks:
 * so every message comes this way that could have one. */
#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"

#define DATA_MAX (256u << 10)   /* of a call; a stream takes a part of what is longer */
#define CONTROL_MAX 2048u
#define FDS_MAX 253             /* the kernel's own bound (unix(7)) */
#define VECTOR_MAX 1024u        /* the kernel's own bound */
#define BATCH_MAX 64u           /* messages of one sendmmsg: it may send fewer than it was given */

/* A message as it was when it was looked at. */
struct message {
  struct target to;
  struct buf data;
  union {
    struct cmsghdr align;
    uint8_t room[CONTROL_MAX];
  } control;
  size_t control_len;
  int fds[FDS_MAX]; /* that travel with it */
  size_t n_fds;
};

static int read_data(const struct asked *a, uint64_t at, uint64_t len, struct message *m) {
  static size_t taken;
  bool stream = m->to.type == SOCK_STREAM;
  if (len > DATA_MAX - taken && !stream) return EMSGSIZE;
  if (len > DATA_MAX - taken) len = DATA_MAX - taken;
  taken += len;
  if (buf_reserve(&m->data, len + 1) != 0) return ENOMEM;
  if (len > 0 && tracee_read(&a->call, at, m->data.data + m->data.len, len) != 0) return EFAULT;
  m->data.len += len;
  return 0;
}

static int read_vector(const struct asked *a, uint64_t at, uint64_t count, struct message *m) {
  size_t word = tracee_word_size(&a->call);
  if (count > VECTOR_MAX) return EMSGSIZE;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t base, len;
    if (tracee_word(&a->call, at + 2 * i * word, &base) != 0 || tracee_word(&a->call, at + (2 * i + 1) * word, &len) != 0) return EFAULT;
    int error = read_data(a, base, len, m);
    if (error != 0) return error;
  }
  return 0;
}

/* Options of a packet that do not say where it goes: source routes do, behind the back of who judges the address. */
static bool harmless(const struct cmsghdr *c) {
  static const struct {
    int level, type;
  } known[] = {{IPPROTO_IP, IP_PKTINFO},     {IPPROTO_IP, IP_TOS},           {IPPROTO_IP, IP_TTL},
               {IPPROTO_IPV6, IPV6_PKTINFO}, {IPPROTO_IPV6, IPV6_HOPLIMIT},  {IPPROTO_IPV6, IPV6_TCLASS},
               {IPPROTO_IPV6, IPV6_DONTFRAG}, {IPPROTO_UDP, 103 /* UDP_SEGMENT */}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (c->cmsg_level == known[i].level && c->cmsg_type == known[i].type) return true;
  return false;
}

/* The caller's descriptors become ours, to be sent on. */
static int translate_rights(const struct caller *c, struct cmsghdr *header, struct message *m) {
  int *numbers = (int *)(void *)CMSG_DATA(header);
  size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof *numbers;
  if (count > FDS_MAX - m->n_fds) return EINVAL;
  for (size_t i = 0; i < count; i++) {
    int fd = caller_fd(c, numbers[i]);
    if (fd < 0) return EBADF;
    m->fds[m->n_fds++] = numbers[i] = fd;
  }
  return 0;
}

/* It says who it is: then it is who sends in its stead that says so, whose ids are the same. */
static int translate_ids(const struct caller *c, struct cmsghdr *header) {
  struct ucred *ids = (struct ucred *)(void *)CMSG_DATA(header);
  if (header->cmsg_len != CMSG_LEN(sizeof *ids)) return EINVAL;
  if (ids->pid != c->ids.own_process) return EPERM;
  ids->pid = getpid();
  return 0;
}

static int read_control(const struct asked *a, const struct caller *c, uint64_t at, uint64_t len, struct message *m) {
  if (len == 0) return 0;
  if (a->call.narrow) return EOPNOTSUPP; /* laid out otherwise */
  if (len > sizeof m->control.room) return EMSGSIZE;
  if (tracee_read(&a->call, at, m->control.room, len) != 0) return EFAULT;
  m->control_len = len;
  struct msghdr headers = {.msg_control = m->control.room, .msg_controllen = len};
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&headers); header != NULL; header = CMSG_NXTHDR(&headers, header)) {
    size_t left = len - (size_t)((uint8_t *)header - m->control.room);
    if (header->cmsg_len < sizeof *header || header->cmsg_len > left) return EINVAL;
    int error = 0;
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) error = translate_rights(c, header, m);
    else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) error = translate_ids(c, header);
    else if (!harmless(header)) error = EPERM;
    if (error != 0) return error;
  }
  return 0;
}

/* struct msghdr: name, its length, vector, count, control, its length, flags; each a word in memory. */
static int read_message(const struct asked *a, const struct caller *c, uint64_t at, int number, struct message *m) {
  enum { NAME, NAME_LEN, VECTOR, COUNT, CONTROL, CONTROL_LEN, WORDS };
  uint64_t words[WORDS];
  size_t word = tracee_word_size(&a->call);
  for (size_t i = 0; i < WORDS; i++)
    if (tracee_word(&a->call, at + i * word, &words[i]) != 0) return EFAULT;
  int error = target_take(c, number, &m->to);
  if (error == 0 && words[NAME] != 0) error = target_address(a, words[NAME], (uint32_t)words[NAME_LEN], &m->to);
  if (error == 0) error = read_vector(a, words[VECTOR], words[COUNT], m);
  return error != 0 ? error : read_control(a, c, words[CONTROL], words[CONTROL_LEN], m);
}

/* What UDP of IPv4 takes for one of its own. */
static void name_family(struct target *t) {
  if (t->domain == AF_INET && t->len >= sizeof t->address.any.sa_family && t->address.any.sa_family == AF_UNSPEC) t->address.any.sa_family = AF_INET;
}

/* Judges and sends it. What sendmsg(2) returns, or -1 with errno. */
static ssize_t send_one(struct asked *a, const struct caller *c, struct message *m, int flags) {
  name_family(&m->to);
  int error = m->to.len == 0 ? 0 : target_judge(a, c, &m->to);
  if (error != 0) {
    errno = error;
    return -1;
  }
  struct iovec data = {.iov_base = m->data.data, .iov_len = m->data.len};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (m->to.len > 0) {
    message.msg_name = &m->to.address;
    message.msg_namelen = m->to.len;
  }
  if (m->control_len > 0) {
    message.msg_control = m->control.room;
    message.msg_controllen = m->control_len;
  }
  if ((flags & MSG_ZEROCOPY) != 0) { /* of memory that is the caller's, who is told when it can be used again */
    errno = EOPNOTSUPP;
    return -1;
  }
  ssize_t sent = sendmsg(m->to.fd, &message, flags | MSG_NOSIGNAL);
  if (sent < 0 && errno == EPIPE && (flags & MSG_NOSIGNAL) == 0 && m->to.type == SOCK_STREAM) {
    (void)sys_pidfd_send_signal(c->pidfd, SIGPIPE);
    errno = EPIPE;
  }
  return sent;
}

static void answer_sent(const struct asked *a, ssize_t sent) {
  if (sent < 0) answer_error(a, errno);
  else answer_value(a, sent);
}

/* Too large for a stack; whoever uses them ends with the call, and gives all of them back. */
static struct message messages[BATCH_MAX];

static void messages_begin(void) {
  for (size_t i = 0; i < BATCH_MAX; i++) messages[i].to = NO_TARGET;
}

void deal_sendto(struct asked *a) {
  struct caller c = NOBODY;
  struct message *m = messages;
  messages_begin();
  int error = caller_open(a, &c);
  if (error == 0) error = target_take(&c, (int)(uint32_t)a->call.args[0], &m->to);
  if (error == 0 && a->call.args[4] != 0) error = target_address(a, a->call.args[4], (uint32_t)a->call.args[5], &m->to);
  if (error == 0) error = read_data(a, a->call.args[1], a->call.args[2], m);
  if (error == 0) error = caller_become(a, &c);
  if (error != 0) return answer_error(a, error);
  answer_sent(a, send_one(a, &c, m, (int)a->call.args[3]));
}

void deal_sendmsg(struct asked *a) {
  struct caller c = NOBODY;
  messages_begin();
  int error = caller_open(a, &c);
  if (error == 0) error = read_message(a, &c, a->call.args[1], (int)(uint32_t)a->call.args[0], messages);
  if (error == 0) error = caller_become(a, &c);
  if (error != 0) return answer_error(a, error);
  answer_sent(a, send_one(a, &c, messages, (int)a->call.args[2]));
}

/* How much was sent of each is written behind its header. */
void deal_sendmmsg(struct asked *a) {
  struct caller c = NOBODY;
  messages_begin();
  size_t word = tracee_word_size(&a->call), header = 7 * word, size = header + word;
  uint32_t wanted = (uint32_t)a->call.args[2], count = wanted < BATCH_MAX ? wanted : BATCH_MAX, sent = 0;
  int error = caller_open(a, &c);
  _cleanup_fd_ int memory = error == 0 ? openat(c.proc, "mem", O_WRONLY | O_CLOEXEC) : -1;
  if (error == 0 && memory < 0) error = EACCES;
  for (uint32_t i = 0; error == 0 && i < count; i++) {
    error = read_message(a, &c, a->call.args[1] + i * size, (int)(uint32_t)a->call.args[0], &messages[i]);
    if (error != 0 && i > 0) { /* those before it go out */
      count = i;
      error = 0;
    }
  }
  if (error == 0) error = caller_become(a, &c);
  for (; error == 0 && sent < count; sent++) {
    ssize_t len = send_one(a, &c, &messages[sent], (int)a->call.args[3]);
    if (len < 0) error = errno;
    else if (pwrite(memory, &(uint32_t){(uint32_t)len}, sizeof(uint32_t), (off_t)(a->call.args[1] + sent * size + header)) < 0) error = EFAULT;
    if (error != 0) break;
  }
  if (sent > 0 || error == 0) answer_value(a, sent);
  else answer_error(a, error);
}
