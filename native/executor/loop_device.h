/* Loop devices: images as block devices. */
#ifndef BERTH_LOOP_DEVICE_H
#define BERTH_LOOP_DEVICE_H

#include <stdbool.h>

#include "executor.h"

#define LOOP_PATH 32 /* "/dev/loopN" */

/* A free device with the image on it, which lets go of it once nobody has it open or mounted any more: so keep the descriptor until it
 * is mounted. Its path is written to `device` (LOOP_PATH). -1: fail set. */
int loop_open(struct executor *ex, const char *image, bool readonly, bool direct, char *device);

#endif
