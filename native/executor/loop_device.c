#define _GNU_SOURCE
#include "loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../common/fd.h"

#define TRIES 100 /* a device that is free may be somebody else's a moment later */

/* Fills in what the device is to be. */
static struct loop_config config_of(const char *image, int backing, bool readonly, bool direct) {
  struct loop_config config = {.fd = (uint32_t)backing};
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (readonly ? LO_FLAGS_READ_ONLY : 0) | (direct ? LO_FLAGS_DIRECT_IO : 0);
  /* For people who list devices: as much as there is room for. */
  (void)snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "%s", image);
  return config;
}

int loop_open(struct executor *ex, const char *image, bool readonly, bool direct, char *device) {
  int mode = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  _cleanup_fd_ int backing = open(image, mode);
  if (backing < 0) return fail_sys(&ex->fail, "open", image);
  _cleanup_fd_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return fail_sys(&ex->fail, "open", "/dev/loop-control");
  struct loop_config config = config_of(image, backing, readonly, direct);
  for (int tries = 0; tries < TRIES; tries++) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) return fail_sys(&ex->fail, "ioctl", "/dev/loop-control");
    (void)snprintf(device, LOOP_PATH, "/dev/loop%d", number);
    _cleanup_fd_ int loop = open(device, mode);
    if (loop < 0) return fail_sys(&ex->fail, "open", device);
    if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) return fd_steal(&loop);
    if (errno != EBUSY) return fail_sys(&ex->fail, "ioctl", image);
  }
  return fail_msg(&ex->fail, EBUSY, image, "others took each loop device that was free, %d times", TRIES);
}
