/* The command line: hands its arguments to the controller, runs the plans that come back, prints the answer. */
#ifndef BERTH_LAUNCHER_COMMAND_H
#define BERTH_LAUNCHER_COMMAND_H

#include <stdbool.h>

/* `direct`: what needs no controller may be done without one. */
int command_main(int argc, char **argv, bool direct);

#endif
