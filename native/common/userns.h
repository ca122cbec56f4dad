/* The user namespace that this process is in. */
#ifndef BERTH_USERNS_H
#define BERTH_USERNS_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether it is the first one: root there is root of the host. */
bool initial_user_namespace(void);
/* Whether a file of this owner belongs to someone outside of it: the host's root is such a one. */
bool not_ours_to_see(uid_t uid);

#endif
