/* The clock that runs on whatever the time of day becomes (CLOCK_MONOTONIC), in milliseconds. */
#ifndef BERTH_CLOCK_H
#define BERTH_CLOCK_H

#include <stdint.h>

uint64_t now_ms(void);
int left_ms(uint64_t until); /* as poll(2) takes it; 0: it is that late */
/* Sleeps, for what the kernel has no event for. */
void pause_ms(unsigned ms);

#endif
