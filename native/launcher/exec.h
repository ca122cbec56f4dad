/* `exec` without a controller: the container's monitor lends its program and a pidfd of its init, and says what TypeScript has prepared; this process
 * does it, once it is that program (trap 1), and is the parent of the new one, as its caller expects. */
#ifndef BERTH_LAUNCHER_EXEC_H
#define BERTH_LAUNCHER_EXEC_H

/* Becomes the monitor's program, with the arguments of this one (`argv`: from the first on). Returns where that is not to be. */
void exec_borrow(const char *socket, char *const *argv);

/* Entry of that program: berth-exec CONNECTION LAUNCHER ARGUMENT... Its exit code, that of the process; what fails before that runs is left to the
 * launcher, which this becomes again, and to its controller. */
int exec_main(int argc, char **argv);

#endif
