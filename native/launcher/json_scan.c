#define _GNU_SOURCE
#include "json_scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 512

struct json json_of(const char *text, size_t len) { return (struct json){text, text + len, false}; }

static void space(struct json *j) {
  while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r')) j->at++;
}

static char peek(struct json *j) {
  space(j);
  return !j->bad && j->at < j->end ? *j->at : 0;
}

static bool take(struct json *j, char c) {
  if (peek(j) != c) return false;
  j->at++;
  return true;
}

bool json_at_end(struct json *j) {
  space(j);
  return !j->bad && j->at == j->end;
}

static int hex4(struct json *j) {
  int v = 0;
  if (j->end - j->at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = *j->at++;
    int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (d < 0) return -1;
    v = v << 4 | d;
  }
  return v;
}

/* A \u escape, with the second half of a surrogate pair; -1 where it is none. A lone surrogate is U+FFFD, and so is U+0000: a key or
 * a value must not look like a shorter one to who takes it for a C string. */
static int32_t escaped(struct json *j) {
  int32_t c = hex4(j);
  if (c == 0) return 0xfffd;
  if (c < 0xd800 || c > 0xdfff) return c;
  if (c < 0xdc00 && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u') {
    struct json ahead = *j;
    ahead.at += 2;
    int low = hex4(&ahead);
    if (low >= 0xdc00 && low <= 0xdfff) {
      *j = ahead;
      return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
  }
  return 0xfffd;
}

static size_t utf8(int32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
  return n;
}

/* Decodes the string at the cursor into `out` (room for what is left of the text is enough), or only steps over it. */
static bool string(struct json *j, char *out, size_t size) {
  size_t n = 0, kept = 0; /* what is decoded, and what of it has found room */
  if (!take(j, '"')) return false;
  while (j->at < j->end && *j->at != '"') {
    char bytes[4];
    size_t len = 1;
    unsigned char c = (unsigned char)*j->at++;
    bytes[0] = (char)c;
    if (c < 0x20) {
      j->bad = true;
      return false;
    }
    if (c == '\\') {
      static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
      char e = j->at < j->end ? *j->at++ : 0;
      const char *known = e ? strchr(from, e) : NULL;
      int32_t code = known ? to[known - from] : e == 'u' ? escaped(j) : -1;
      if (code < 0) {
        j->bad = true;
        return false;
      }
      len = utf8(code, bytes);
    }
    if (out && n == kept && n + len < size) {
      memcpy(out + n, bytes, len);
      kept += len;
    }
    n += len;
  }
  if (out && size) out[kept] = 0;
  if (!take(j, '"')) j->bad = true;
  return !j->bad;
}

char *json_string(struct json *j) {
  if (peek(j) != '"') return NULL;
  size_t size = (size_t)(j->end - j->at) + 1; /* decoded is never longer than encoded */
  struct json ahead = *j;
  if (!string(&ahead, NULL, 0)) {
    j->bad = true;
    return NULL;
  }
  size = (size_t)(ahead.at - j->at) + 1;
  char *out = malloc(size);
  if (out) (void)string(j, out, size);
  return out;
}

bool json_object(struct json *j) { return take(j, '{'); }

bool json_member(struct json *j, char *key, size_t size, bool *first) {
  if (j->bad) return false;
  if (take(j, '}')) return false;
  if (!*first && !take(j, ',')) j->bad = true;
  *first = false;
  if (j->bad || !string(j, key, size) || !take(j, ':')) j->bad = true;
  return !j->bad;
}

static void skip(struct json *j, int depth) {
  char c = peek(j);
  bool first = true;
  if (depth > DEPTH_MAX) {
    j->bad = true;
  } else if (c == '"') {
    (void)string(j, NULL, 0);
  } else if (c == '{') {
    j->at++;
    while (json_member(j, NULL, 0, &first)) skip(j, depth + 1);
  } else if (c == '[') {
    j->at++;
    while (!j->bad && !take(j, ']')) {
      if (!first && !take(j, ',')) j->bad = true;
      first = false;
      if (!j->bad) skip(j, depth + 1);
    }
  } else { /* a number or a name: what it says does not matter here */
    const char *begin = j->at;
    while (j->at < j->end && *j->at && strchr("+-.0123456789eEtrufalsn", *j->at)) j->at++;
    if (j->at == begin) j->bad = true;
  }
}

void json_skip(struct json *j) { skip(j, 0); }
