/* The descriptors of a process that goes on as another. */
#ifndef BERTH_ARRANGE_H
#define BERTH_ARRANGE_H

#include <stddef.h>

#define ARRANGE_MAX 704

/* In a forked child: from[i] becomes descriptor `first + i`, the first `inherited` of them for what it executes too, and everything behind them is
 * closed. One may be in it twice. 0, or -1 with errno. */
int arrange_fds(int first, const int *from, size_t count, size_t inherited);

#endif
