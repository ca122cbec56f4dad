#define _GNU_SOURCE
#include "shim_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/fd.h"
#include "../executor/paths.h"
#include "containerd.h"
#include "run_dir.h"
#include "sha256.h"

#define CONFIG_MAX (64 << 20)
#define STDIN_MAX (4 << 20)

/* A name that becomes a component of a path of ours. */
static bool plain(const char *name) {
  return *name && strlen(name) <= 255 && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

/* Flags as Go reads them: one dash or two, the value behind = or in the next argument, until the first word without a dash. */
struct shim_call shim_call_parse(int argc, char **argv) {
  struct shim_call c = {.namespace = "", .address = "", .publish_binary = "", .id = "", .bundle = "", .verb = ""};
  static const struct {
    const char *name;
    size_t text; /* offset of what it sets; 0: not kept */
    bool boolean;
  } flags[] = {
      {"namespace", offsetof(struct shim_call, namespace), false},
      {"address", offsetof(struct shim_call, address), false},
      {"publish-binary", offsetof(struct shim_call, publish_binary), false},
      {"id", offsetof(struct shim_call, id), false},
      {"bundle", offsetof(struct shim_call, bundle), false},
      {"socket", 0, false},
      {"debug", offsetof(struct shim_call, debug), true},
      {"v", offsetof(struct shim_call, version), true},
      {"info", offsetof(struct shim_call, info), true},
  };
  int i = 1;
  for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
    const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1), *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name), known = 0;
    while (known < sizeof flags / sizeof *flags && (strlen(flags[known].name) != len || memcmp(flags[known].name, name, len))) known++;
    if (known == sizeof flags / sizeof *flags) {
      c.bad = argv[i];
      return c;
    }
    if (flags[known].boolean) {
      *(bool *)((char *)&c + flags[known].text) = !equals || !strcmp(equals + 1, "true") || !strcmp(equals + 1, "1");
      continue;
    }
    const char *value = equals ? equals + 1 : ++i < argc ? argv[i] : NULL;
    if (!value) {
      c.bad = argv[i - 1];
      return c;
    }
    /* Offset 0 is `namespace` itself; what is not kept is told apart by its name. */
    if (strcmp(flags[known].name, "socket")) *(const char **)((char *)&c + flags[known].text) = value;
  }
  if (i < argc) c.verb = argv[i];
  if (*c.verb && strcmp(c.verb, "start") && strcmp(c.verb, "delete")) c.bad = c.verb;
  else if (*c.verb && !plain(c.namespace)) c.bad = "-namespace";
  else if (*c.verb && !plain(c.id)) c.bad = "-id";
  return c;
}

int shim_stdin(struct buf *in) {
  if (isatty(STDIN_FILENO)) return 0; /* a person's, who has nothing to say */
  return read_whole(STDIN_FILENO, STDIN_MAX, in) == 0 || errno == EBADF ? 0 : -1;
}

static int path_of(int n) {
  if (n > 0 && n < PATH_MAX) return 0;
  errno = ENAMETOOLONG;
  return -1;
}

int shim_state_dir(const struct shim_call *c, char path[PATH_MAX]) {
  char run[PATH_MAX], hash[65];
  if (run_dir(run) < 0) return -1;
  sha256_hex(c->address, strlen(c->address), hash);
  return path_of(snprintf(path, PATH_MAX, "%s/.shim/%.16s/%s", run, hash, c->namespace));
}

/* In place, what Go's filepath.Clean does: no empty or `.` component, none that a `..` takes back. */
static void clean(char *path) {
  bool rooted = *path == '/';
  char *base = path + rooted, *out = base, *floor = base; /* below `floor` are leading `..` */
  for (const char *in = base; *in;) {
    size_t n = strcspn(in, "/");
    if (n == 2 && in[0] == '.' && in[1] == '.' && (out > floor || rooted)) {
      while (out > floor && *--out != '/') {}
    } else if (n > 0 && !(n == 1 && in[0] == '.')) {
      if (out > base) *out++ = '/';
      memmove(out, in, n);
      out += n;
      if (n == 2 && out[-1] == '.' && out[-2] == '.') floor = out;
    }
    in += n;
    in += *in == '/';
  }
  *out = 0;
}

int shim_socket_name(const struct shim_call *c, const char *group, char name[65]) {
  char joined[PATH_MAX];
  const char *slash = *c->address ? "/" : "";
  if (path_of(snprintf(joined, sizeof joined, "%s%s%s/%s", c->address, slash, c->namespace, group)) < 0) return -1;
  clean(joined);
  sha256_hex(joined, strlen(joined), name);
  return 0;
}

char *shim_group(const struct shim_call *c, char **problem) {
  _cleanup_buf_ struct buf text = {0};
  _cleanup_fd_ int fd = open("config.json", O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return strdup(c->id);
  if (fd >= 0 && read_whole(fd, CONFIG_MAX, &text) != 0) return NULL;
  char *group = NULL;
  int found = fd < 0 ? -1 : config_group((const char *)text.data, text.len, &group);
  if (found < 0) *problem = "config.json is not readable JSON";
  if (found > 0 && !plain(group)) {
    free(group);
    *problem = "the group annotation is no plain name";
    return NULL;
  }
  return found > 0 ? group : found == 0 ? strdup(c->id) : NULL;
}
