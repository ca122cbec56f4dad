/* The agent of a container that is learned from: it is asked for system calls, looks at them, and lets all of them pass. It decides nothing,
 * so that it does not matter that what it looks at may change. */
#ifndef BERTH_OBSERVER_H
#define BERTH_OBSERVER_H

/* Arguments: the path of its socket, milliseconds that the container may run (0: for ever), and calls, each "ARCH:NUMBER:NAME" with ARCH
 * as in struct seccomp_data. What it sees goes to descriptor 3; a byte to descriptor 4 says that it listens. */
int observer_main(int argc, char **argv);

#endif
