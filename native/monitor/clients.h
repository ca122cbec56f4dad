/* containerd's connections to the task API: requests go to the controller unread, answers come back. Never closed for a fault
 * of the controller: containerd takes EOF for the shim's death and kills the container (trap 4). */
#ifndef BERTH_CLIENTS_H
#define BERTH_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.h"

/* Accepts on `listener` (taken over). 0 or -1. */
int clients_listen(int listener, struct agent *agent);
/* No more connections: new clients are refused from now on. */
void clients_stop_listening(void);
/* Takes over a socket on which ttrpc is spoken to this process. 0 or -1. */
int client_add(int fd);
void client_answer(uint64_t request, const uint8_t *response, size_t len);
void client_give_up(uint64_t request, const char *why);
/* The request is still to be answered, by the commit of another: nobody works on it. */
void client_parked(uint64_t request);
/* Whether anybody is connected. */
bool clients_there(void);
/* Whether answers wait to be taken. */
int clients_unsent(void);

#endif
