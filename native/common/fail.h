/* Why something failed: the record that travels to TypeScript, where it becomes a sentence. */
#ifndef BERTH_FAIL_H
#define BERTH_FAIL_H

#include <stddef.h>
#include <stdint.h>

#define FAIL_DEPTH 8 /* nesting of plans */

struct buf;
struct reader;

struct fail {
  uint32_t index[FAIL_DEPTH]; /* position of the operation, outer plan first */
  uint32_t depth;
  char op[32];
  char syscall[32];
  char subject[512]; /* cut where longer, ends in "…" then */
  int error;         /* errno, 0 where none applies */
  char detail[512];
};

/* Both return -1, so that `return fail_sys(...)` reads well. fail_sys takes errno. Neither touches index, depth and op,
 * which are the executor's. */
int fail_sys(struct fail *f, const char *syscall, const char *subject);
__attribute__((format(printf, 4, 5))) int fail_msg(struct fail *f, int error, const char *subject, const char *format, ...);

/* The error record of docs/internals.md. 0, or -1 (no memory). */
int fail_encode(const struct fail *f, struct buf *out);
/* Takes a record off the reader. 0, or -1 (malformed, `f` as it was). */
int fail_decode(struct fail *f, struct reader *r);

/* Copies a string into a field, cut as `subject` is where it does not fit. */
void fail_copy(char *to, size_t size, const char *from);

#endif
