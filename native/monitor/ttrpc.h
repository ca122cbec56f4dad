/* What the monitor knows of ttrpc: the ten-byte header, and how to write a request and an error (protocol: trap 6). */
#ifndef BERTH_TTRPC_H
#define BERTH_TTRPC_H

#include <stddef.h>
#include <stdint.h>

#include "../common/buf.h"

#define TTRPC_HEADER 10
#define TTRPC_MESSAGE_MAX (4u << 20)

enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_DATA = 3 };
/* google.rpc codes that a monitor gives by itself. */
enum rpc_code { RPC_UNKNOWN = 2, RPC_INVALID_ARGUMENT = 3, RPC_RESOURCE_EXHAUSTED = 8 };

struct ttrpc_header {
  uint32_t length, stream;
  uint8_t type, flags;
};

struct ttrpc_header ttrpc_read_header(const uint8_t bytes[TTRPC_HEADER]);
/* Both append a whole frame; 0, or -1 with errno. */
int ttrpc_append(struct buf *out, uint32_t stream, enum ttrpc_type type, const uint8_t *message, size_t len);
int ttrpc_append_error(struct buf *out, uint32_t stream, enum rpc_code code, const char *message);
/* A Request message {1 service, 2 method, 3 payload, 4 timeout in ns} as a frame. */
int ttrpc_append_call(struct buf *out, uint32_t stream, const char *service, const char *method, const uint8_t *payload,
                      size_t len, uint64_t timeout_ns);

#endif
