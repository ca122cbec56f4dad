/* containerd-shim-berth-v2: the calls `start`, `delete`, `-info` and `-v` (containerd's runtime v2 protocol). */
#ifndef BERTH_LAUNCHER_SHIM_H
#define BERTH_LAUNCHER_SHIM_H

int shim_main(int argc, char **argv);

#endif
