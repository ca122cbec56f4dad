/* The monitor under containerd: the shim process itself. */
#ifndef BERTH_SHIM_H
#define BERTH_SHIM_H

/* `context`: NULL-terminated `key=value` strings; `socket`, `stateDir`, `id` and `ttrpcAddress` are used here, all are told to the controller. */
int shim_monitor(int listener, const char *const *context);

#endif
