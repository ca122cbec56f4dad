#include "dbus_message.h"

#include <string.h>

enum field { FIELD_MEMBER = 3, FIELD_ERROR_NAME = 4, FIELD_REPLY_SERIAL = 5, FIELD_SIGNATURE = 8 };

static size_t align(size_t at, size_t to) {
  return (at + to - 1) & ~(to - 1);
}

static uint32_t u32_at(const uint8_t *data) {
  return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

/* Alignment counts from the start of the header or of the body: `at` is how far from there the reader is. */
static void pad(struct reader *r, size_t *at, size_t to) {
  for (size_t next = align(*at, to); *at < next && !r->bad; ++*at) (void)reader_u8(r);
}

uint32_t dbus_u32(struct reader *r, size_t *at) {
  pad(r, at, 4);
  *at += 4;
  return reader_u32(r);
}

const char *dbus_string(struct reader *r, size_t *at) {
  pad(r, at, 4);
  const char *text = reader_str(r); /* u32 length, bytes, NUL: as ours */
  *at += 4 + strlen(text) + 1;
  return text;
}

static const char *signature(struct reader *r, size_t *at) {
  size_t len = reader_u8(r);
  if (r->bad || len + 1 > r->left || r->at[len] != 0 || memchr(r->at, 0, len) != NULL) {
    r->bad = true;
    return "";
  }
  const char *text = (const char *)r->at;
  r->at += len + 1;
  r->left -= len + 1;
  *at += len + 2;
  return text;
}

static void skip(struct reader *r, size_t *at, size_t width) {
  pad(r, at, width);
  for (size_t i = 0; i < width; i++) (void)reader_u8(r);
  *at += width;
}

/* A field of the header: a code and a value of a basic type. */
static void read_field(struct reader *r, size_t *at, struct dbus_message *message) {
  pad(r, at, 8);
  uint8_t code = reader_u8(r);
  ++*at;
  const char *type = signature(r, at);
  if (r->bad || type[0] == '\0' || type[1] != '\0') {
    r->bad = true;
    return;
  }
  const char *text = "";
  uint32_t number = 0;
  switch (type[0]) {
  case 's':
  case 'o': text = dbus_string(r, at); break;
  case 'g': text = signature(r, at); break;
  case 'u': number = dbus_u32(r, at); break;
  /* Fields that are not ours to know. */
  case 'y': skip(r, at, 1); break;
  case 'n':
  case 'q': skip(r, at, 2); break;
  case 'b':
  case 'i':
  case 'h': skip(r, at, 4); break;
  case 'x':
  case 't':
  case 'd': skip(r, at, 8); break;
  default: r->bad = true;
  }
  if (code == FIELD_MEMBER) message->member = text;
  if (code == FIELD_ERROR_NAME) message->error_name = text;
  if (code == FIELD_SIGNATURE) message->signature = text;
  if (code == FIELD_REPLY_SERIAL) message->reply_serial = number;
}

size_t dbus_length(const uint8_t fixed[DBUS_FIXED]) {
  size_t body = u32_at(fixed + 4), fields = u32_at(fixed + 12);
  if (fixed[0] != 'l' || fixed[3] != 1 || body > DBUS_MESSAGE_MAX || fields > DBUS_MESSAGE_MAX) return 0;
  size_t len = align(DBUS_FIXED + fields, 8) + body;
  return len <= DBUS_MESSAGE_MAX ? len : 0;
}

int dbus_decode(const uint8_t *data, size_t len, struct dbus_message *message) {
  if (len < DBUS_FIXED || dbus_length(data) != len) return -1;
  *message = (struct dbus_message){.type = data[1], .error_name = "", .member = "", .signature = ""};
  size_t fields = u32_at(data + 12), at = DBUS_FIXED;
  struct reader r = reader_of(data + DBUS_FIXED, fields);
  while (!r.bad && r.left > 0) read_field(&r, &at, message);
  if (r.bad) return -1;
  size_t body = align(DBUS_FIXED + fields, 8);
  message->body = reader_of(data + body, len - body);
  return 0;
}
