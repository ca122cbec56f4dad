/* Frames on a stream: u32 length of what follows, u8 type, payload (docs/internals.md). */
#ifndef BERTH_FRAME_H
#define BERTH_FRAME_H

#include <stddef.h>
#include <sys/types.h>
#include <stdint.h>

#include "buf.h"
#include "reader.h"

#define FRAME_MAX (64u << 20)

struct frame {
  uint8_t type;
  struct reader body;
};

/* Takes the frame at the front of `in`: 1 and *frame (valid until buf_drop of *size bytes), 0 when it is not there in full,
 * -1 with EPROTO when its length is not possible. */
int frame_next(const struct buf *in, struct frame *frame, size_t *size);

/* Begins a frame at the end of `out`, returns the position that frame_end wants, or (size_t)-1. */
size_t frame_begin(struct buf *out, uint8_t type);
/* Fills in the length. 0 or -1 with EMSGSIZE (the frame is taken back). */
int frame_end(struct buf *out, size_t begin);

/* Reads what is there into `in`, at most `limit` bytes: bytes read, 0 at the end, -1 with errno (EAGAIN: nothing now). */
ssize_t frame_fill(int fd, struct buf *in, size_t limit);
/* Writes what it can of `out` from its front: 0 (all or part), -1 with errno. Never raises SIGPIPE. */
int frame_flush(int fd, struct buf *out);
/* Writes all of `out`, and waits where that takes long. 0 or -1 with errno. */
int frame_send(int fd, const struct buf *out);

#endif
