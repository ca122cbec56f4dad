/* Events on their way to containerd: in order, one at a time, each until containerd has answered it. */
#ifndef BERTH_EVENTS_H
#define BERTH_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `address`: the path of containerd's ttrpc socket; must outlive the queue. NULL: events are dropped. */
void events_to(const char *address);
/* Queues the payload of a Forward request. */
void events_add(const uint8_t *payload, size_t len);
bool events_empty(void);
/* Called when the queue has become empty. */
void events_on_empty(void (*empty)(void));

#endif
