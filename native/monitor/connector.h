/* Reaches a controller without blocking the monitor: a child connects (and starts one if need be) and hands the socket over. */
#ifndef BERTH_CONNECTOR_H
#define BERTH_CONNECTOR_H

#include <stdbool.h>
#include <stdint.h>

/* `fd`: the connected socket, or -1 with `error` an errno. */
typedef void (*connector_done)(uint64_t ticket, int fd, int error);

/* 0: `done` will be called; -1 with errno: it will not. */
int connector_start(bool own, uint64_t ticket, connector_done done);

#endif
