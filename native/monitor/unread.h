/* Output that clients have still to read when its process has ended. containerd's client closes its ends of the FIFOs as soon as it is told of an
 * end, and what is in them then is lost; so it is told once they are empty, or nobody has read for a while, or nobody is connected. */
#ifndef BERTH_UNREAD_H
#define BERTH_UNREAD_H

#include <stdint.h>

#include "../common/buf.h"

/* The FIFOs whose read ends are kept below `name` (`KEY/…`) are the output of the process KEY. 0, or -1 with errno. */
int unread_watch(const char *name, uint32_t quiet_ms, uint32_t limit_ms);
/* Their process, or its container, is forgotten: what is told of ends under this name is told now. */
void unread_drop(const char *name);

/* Where what is told goes. */
void unread_on_read(void (*tell)(const struct buf *told));
/* The process `key` has ended: `told` is copied, and told now or later; of a container never before the processes in it. */
void unread_tell(const char *key, const struct buf *told);
/* A pump may have moved all it had. */
void unread_recheck(void);

#endif
