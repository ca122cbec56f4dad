#define _GNU_SOURCE
#include "containerd.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../common/fd.h"
#include "json_scan.h"

#define GROUP "io.containerd.runc.v2.group"
#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
#define SANDBOX "io.kubernetes.cri.sandbox-id"

static void replace(char **to, char *with) {
  free(*to);
  *to = with;
}

/* The members of `annotations`; a key that comes twice counts with its last value, as in every other JSON reader of it. */
static void read_annotations(struct json *j, char **group, char **sandbox) {
  char key[64];
  bool first = true;
  if (!json_object(j)) {
    json_skip(j);
    return;
  }
  while (json_member(j, key, sizeof key, &first)) {
    char **to = !strcmp(key, GROUP) ? group : !strcmp(key, SANDBOX) ? sandbox : NULL;
    char *value = to ? json_string(j) : NULL;
    if (value) replace(to, value);
    else json_skip(j);
  }
}

int config_group(const char *text, size_t len, char **group) {
  struct json j = json_of(text, len);
  char key[16], *named = NULL, *sandbox = NULL;
  bool first = true;
  if (!json_object(&j)) return -1;
  while (json_member(&j, key, sizeof key, &first)) {
    if (!strcmp(key, "annotations")) {
      replace(&named, NULL);
      replace(&sandbox, NULL);
      read_annotations(&j, &named, &sandbox);
    } else {
      json_skip(&j);
    }
  }
  bool ok = json_at_end(&j);
  *group = NULL;
  if (ok && named && *named) *group = strdup(named);
  else if (ok && sandbox && *sandbox) *group = strdup(sandbox);
  free(named);
  free(sandbox);
  return !ok ? -1 : *group ? 1 : 0;
}

/* ---- protobuf ---- */

struct wire {
  const uint8_t *at, *end;
  bool bad;
};

static uint64_t varint(struct wire *w) {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (w->at >= w->end) break;
    uint8_t b = *w->at++;
    v |= (uint64_t)(b & 0x7f) << shift;
    if (!(b & 0x80)) return v;
  }
  w->bad = true;
  return 0;
}

/* The next field: its number, and its bytes where it has a length. 0 at the end. */
static uint64_t field(struct wire *w, struct text *value) {
  *value = (struct text){"", 0};
  if (w->bad || w->at >= w->end) return 0;
  uint64_t tag = varint(w), skip = 0;
  if (tag >> 3 == 0) w->bad = true; /* no field has this number */
  switch (tag & 7) {
    case 0: (void)varint(w); break;
    case 1: skip = 8; break;
    case 5: skip = 4; break;
    case 2: {
      uint64_t len = varint(w);
      if (w->bad || len > (uint64_t)(w->end - w->at)) {
        w->bad = true;
        return 0;
      }
      *value = (struct text){(const char *)w->at, (size_t)len};
      skip = len;
      break;
    }
    default: w->bad = true;
  }
  if (w->bad || skip > (uint64_t)(w->end - w->at)) {
    w->bad = true;
    return 0;
  }
  w->at += skip;
  return tag >> 3;
}

static bool same(struct text t, const char *s) { return t.len == strlen(s) && !memcmp(t.data, s, t.len); }

int bootstrap_read(const uint8_t *data, size_t len, const char *id, const char *namespace, struct bootstrap *b) {
  struct wire w = {data, data + len, false};
  struct text value;
  *b = (struct bootstrap){{"", 0}, {"", 0}, {"", 0}, {"", 0}};
  for (uint64_t number; (number = field(&w, &value)) != 0;) {
    if (number == 1) b->id = value;
    else if (number == 2) b->namespace = value;
    else if (number == 5) b->ttrpc_address = value;
    else if (number == 9) b->socket_dir = value;
  }
  return !w.bad && same(b->id, id) && same(b->namespace, namespace);
}

static int put_varint(struct buf *out, uint64_t v) {
  for (; v >= 0x80; v >>= 7)
    if (buf_u8(out, (uint8_t)(v | 0x80)) < 0) return -1;
  return buf_u8(out, (uint8_t)v);
}
static int put_number(struct buf *out, uint32_t number, uint64_t v) {
  return v == 0 ? 0 : put_varint(out, number << 3) < 0 || put_varint(out, v) < 0 ? -1 : 0;
}
static int put_bytes(struct buf *out, uint32_t number, const void *data, size_t len) {
  return put_varint(out, number << 3 | 2) < 0 || put_varint(out, len) < 0 || buf_append(out, data, len) < 0 ? -1 : 0;
}

int delete_response(struct buf *out, uint32_t pid, uint32_t status, uint64_t time_ns) {
  struct buf time = {0};
  int done = put_number(&time, 1, time_ns / 1000000000u) < 0 || put_number(&time, 2, time_ns % 1000000000u) < 0 ||
                     put_number(out, 1, pid) < 0 || put_number(out, 2, status) < 0 || put_bytes(out, 3, time.data, time.len) < 0
                 ? -1
                 : 0;
  buf_free(&time);
  return done;
}

int any_read(const uint8_t *data, size_t len) {
  struct wire w = {data, data + len, false};
  struct text value;
  bool typed = false;
  for (uint64_t number; (number = field(&w, &value)) != 0;)
    if (number == 1) typed = value.len > 0;
  return !w.bad && typed;
}

/* A message in a field: 0 or -1. The message is given back. */
static int put_message(struct buf *out, uint32_t number, struct buf *message) {
  int done = put_bytes(out, number, message->data, message->len);
  buf_free(message);
  return done;
}

int runtime_info(struct buf *out, const struct runtime_info *info) {
  _cleanup_buf_ struct buf version = {0}, features = {0};
  if (put_bytes(&version, 1, info->version, strlen(info->version)) < 0 || put_bytes(&version, 2, info->revision, strlen(info->revision)) < 0 ||
      put_bytes(out, 1, info->name, strlen(info->name)) < 0 || put_message(out, 2, &version) < 0)
    return -1;
  if (info->options.len > 0 && put_bytes(out, 3, info->options.data, info->options.len) < 0) return -1;
  if (info->features.len == 0) return 0;
  return put_bytes(&features, 1, FEATURES_TYPE, strlen(FEATURES_TYPE)) < 0 ||
                 put_bytes(&features, 2, info->features.data, info->features.len) < 0 || put_message(out, 4, &features) < 0
             ? -1
             : 0;
}

int json_number(const char *json, const char *name, long long *value) {
  struct json j = json_of(json, strlen(json));
  char key[16];
  bool first = true, found = false;
  if (!json_object(&j)) return 0;
  while (json_member(&j, key, sizeof key, &first)) {
    if (!strcmp(key, name) && j.at < j.end) {
      char *end;
      *value = strtoll(j.at, &end, 10);
      found = end != j.at;
    }
    json_skip(&j);
  }
  return found && json_at_end(&j);
}
