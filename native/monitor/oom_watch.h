/* Watches the memory cgroups of containers. The counter is what counts, notifications are a hint (trap 19): they are rate-limited and may
 * follow an exit (v2), or come before the kill and for a sibling's (v1). */
#ifndef BERTH_OOM_WATCH_H
#define BERTH_OOM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../executor/oom.h"

/* Called with the key of a container where the controller should look; nothing more is told of it until oom_looked(serial), with the serial
 * that this returns (0: it could not be told). */
typedef uint64_t (*oom_seen)(const char *key);

void oom_on_seen(oom_seen seen);
/* Takes the descriptors over. 0, or -1 with errno. */
int oom_watch(const char *key, struct oom_files *);
/* Ends the watches of `name` and of what is below it. */
void oom_drop(const char *name);
void oom_looked(uint64_t serial);
/* Whether the counters should be looked at before the end of this process (of a container, or of an exec below its key) is told. */
bool oom_suspected(const char *key);
/* Whether the kernel has killed there for want of memory since this was watched. */
bool oom_killed(const char *key);

#endif
