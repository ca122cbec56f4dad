/* SHA-256 (FIPS 180-4), for names that others compute too: the shim's socket, the controller's. */
#ifndef BERTH_SHA256_H
#define BERTH_SHA256_H

#include <stddef.h>

/* Writes 64 hex digits and NUL. */
void sha256_hex(const void *data, size_t len, char hex[65]);

#endif
