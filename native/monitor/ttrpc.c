#include "ttrpc.h"

#include <string.h>

static uint32_t big_endian(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

struct ttrpc_header ttrpc_read_header(const uint8_t b[TTRPC_HEADER]) {
  return (struct ttrpc_header){.length = big_endian(b), .stream = big_endian(b + 4), .type = b[8], .flags = b[9]};
}

static int append_header(struct buf *out, uint32_t length, uint32_t stream, enum ttrpc_type type) {
  uint8_t h[TTRPC_HEADER];
  for (int i = 0; i < 4; i++) {
    h[i] = (uint8_t)(length >> (24 - 8 * i));
    h[4 + i] = (uint8_t)(stream >> (24 - 8 * i));
  }
  h[8] = (uint8_t)type;
  h[9] = 0;
  return buf_append(out, h, sizeof h);
}

int ttrpc_append(struct buf *out, uint32_t stream, enum ttrpc_type type, const uint8_t *message, size_t len) {
  if (buf_reserve(out, TTRPC_HEADER + len) < 0) return -1;
  return append_header(out, (uint32_t)len, stream, type) < 0 || buf_append(out, message, len) < 0 ? -1 : 0;
}

static int append_varint(struct buf *out, uint64_t v) {
  for (; v >= 0x80; v >>= 7)
    if (buf_u8(out, (uint8_t)(v | 0x80)) < 0) return -1;
  return buf_u8(out, (uint8_t)v);
}

/* A length-delimited field. */
static int append_field(struct buf *out, uint32_t number, const void *data, size_t len) {
  return append_varint(out, number << 3 | 2) < 0 || append_varint(out, len) < 0 || buf_append(out, data, len) < 0 ? -1 : 0;
}

static int append_number(struct buf *out, uint32_t number, uint64_t v) {
  return append_varint(out, number << 3) < 0 || append_varint(out, v) < 0 ? -1 : 0;
}

static size_t varint_size(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) n++;
  return n;
}

/* Without buffers of its own: a client may ask for thousands of these. */
int ttrpc_append_error(struct buf *out, uint32_t stream, enum rpc_code code, const char *message) {
  size_t len = strlen(message), status = 1 + varint_size(code) + 1 + varint_size(len) + len;
  size_t response = 1 + varint_size(status) + status;
  return buf_reserve(out, TTRPC_HEADER + response) < 0 || append_header(out, (uint32_t)response, stream, TTRPC_RESPONSE) < 0 ||
                 append_varint(out, 1 << 3 | 2) < 0 || append_varint(out, status) < 0 || append_number(out, 1, code) < 0 ||
                 append_field(out, 2, message, len) < 0
             ? -1
             : 0;
}

int ttrpc_append_call(struct buf *out, uint32_t stream, const char *service, const char *method, const uint8_t *payload,
                      size_t len, uint64_t timeout_ns) {
  struct buf request = {.secret = true};
  int done = append_field(&request, 1, service, strlen(service)) < 0 || append_field(&request, 2, method, strlen(method)) < 0 ||
                     append_field(&request, 3, payload, len) < 0 || append_number(&request, 4, timeout_ns) < 0 ||
                     ttrpc_append(out, stream, TTRPC_REQUEST, request.data, request.len) < 0
                 ? -1
                 : 0;
  buf_free(&request);
  return done;
}
