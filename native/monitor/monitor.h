/* The process that holds containers. */
#ifndef BERTH_MONITOR_H
#define BERTH_MONITOR_H

/* Entry of the re-executed binary:
 *   berth-monitor cli CONNECTION PRESERVE     0 to 2 and 3 … 3+PRESERVE-1 are the container's, CONNECTION is a launcher
 *   berth-monitor shim LISTENER key=value…    containerd's, with the context that the controller is told
 * Returns the exit code. */
int monitor_main(int argc, char **argv);

#endif
