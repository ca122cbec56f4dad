/* Clocks. */
#ifndef BERTH_CLOCK_H
#define BERTH_CLOCK_H

#include <stdint.h>

/* The clock that runs on whatever the time of day becomes (CLOCK_MONOTONIC), in milliseconds. */
uint64_t now_ms(void);
int left_ms(uint64_t until); /* as poll(2) takes it; 0: it is that late */
/* The time of day, in nanoseconds since the epoch. */
uint64_t clock_ns(void);
/* Sleeps, for what the kernel has no event for. */
void pause_ms(unsigned ms);

#endif
