/* containerd's connections that speak gRPC. The monitor does not read HTTP/2: it hands such a connection's bytes to a controller of the
 * connection's own, which answers with ttrpc requests, and these enter as if containerd had sent them (docs/internals.md). So what is
 * asked over gRPC is journaled and replayed as all else; the connection itself lives no longer than its controller (trap 16). */
#ifndef BERTH_FRONT_H
#define BERTH_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/buf.h"

enum front_speaks { FRONT_NO, FRONT_UNKNOWN /* too few bytes to tell */, FRONT_YES };

/* Whether a connection that begins with these bytes speaks HTTP/2. */
enum front_speaks front_speaks(const uint8_t *first, size_t len);
/* Takes over the connection and what was read of it. A failure closes it. */
void front_start(int fd, struct buf *first);
/* Whether there are any; `ended` is called after one has gone. */
bool fronts_open(void);
void fronts_on_end(void (*ended)(void));

#endif
