/* The monitor of a container of the command line, and the process behind `exec`: runs the plans of one launcher, with init as
 * that launcher's child, then stays if told to. */
#ifndef BERTH_COMMAND_H
#define BERTH_COMMAND_H

int command_monitor(int connection, unsigned preserve);

#endif
