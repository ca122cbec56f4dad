#ifndef BERTH_SHIM_INFO_H
#define BERTH_SHIM_INFO_H

/* `-info`: prints what containerd 2.x asks a runtime about itself: the options it was given, and what `berth features` says. The exit code. */
int shim_info(void);

#endif
