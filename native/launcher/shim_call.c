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
#include "containerd.h"
#include "run_dir.h"
#include "sha256.h"

#define CONFIG_MAX (64 << 20)

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

static int path_of(char path[PATH_MAX], int n) {
  (void)path;
  if (n > 0 && n < PATH_MAX) return 0;
  errno = ENAMETOOLONG;
  return -1;
}

int shim_state_dir(const struct shim_call *c, char path[PATH_MAX]) {
  char run[PATH_MAX], hash[65];
  if (run_dir(run) < 0) return -1;
  sha256_hex(c->address, strlen(c->address), hash);
  return path_of(path, snprintf(path, PATH_MAX, "%s/.shim/%.16s/%s", run, hash, c->namespace));
}

/* The address as filepath.Join leaves it: no double slashes, no trailing one. containerd gives absolute, clean paths. */
static void append_clean(char *out, size_t size, const char *part) {
  size_t n = strlen(out);
  for (; *part && n + 1 < size; part++) {
    if (*part == '/' && (n > 0 && out[n - 1] == '/')) continue;
    out[n++] = *part;
  }
  while (n > 1 && out[n - 1] == '/') n--;
  out[n] = 0;
}

int shim_socket_path(const struct shim_call *c, const char *dir, const char *group, char path[PATH_MAX]) {
  char joined[PATH_MAX] = "", hash[65];
  append_clean(joined, sizeof joined, c->address);
  if (*joined) append_clean(joined, sizeof joined - 1, "/");
  size_t n = strlen(joined);
  int m = snprintf(joined + n, sizeof joined - n, "%s%s/%s", n ? "/" : "", c->namespace, group);
  if (m < 0 || (size_t)m >= sizeof joined - n) return path_of(path, -1);
  sha256_hex(joined, strlen(joined), hash);
  return path_of(path, snprintf(path, PATH_MAX, "%s/%s", dir, hash));
}

char *shim_group(const struct shim_call *c, char **problem) {
  _cleanup_buf_ struct buf text = {0};
  _cleanup_fd_ int fd = open("config.json", O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return strdup(c->id);
  for (ssize_t n = 1; fd >= 0 && n > 0;) {
    if (text.len > CONFIG_MAX || buf_reserve(&text, 64 << 10) < 0) return NULL;
    n = read(fd, text.data + text.len, 64 << 10);
    if (n < 0) return NULL;
    text.len += (size_t)n;
  }
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
