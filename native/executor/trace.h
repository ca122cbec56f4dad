/* When operations were done: what `trace` begins in this process and those it clones, and `traced` tells. By the time of day, as a time namespace
 * does not shift that. */
#ifndef BERTH_TRACE_H
#define BERTH_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct trace;

/* Since when this program runs; called once, first. */
void trace_program_starts(void);
/* What there is no room for is left out. */
void trace_add(struct trace *, uint16_t code, bool inside, uint64_t start);
void trace_free(struct trace *);

#endif
