/* A terminal of the container's own devpts. Every step works on descriptors: /dev and /dev/pts are writable for others who share
 * them (S6, S9). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "init.h"
#include "mount.h"
#include "ops.gen.h"
#include "resolve.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

#define DEVPTS "/dev/pts"
#define PTMX DEVPTS "/ptmx"
#define CONSOLE "/dev/console"

/* Opens the directory that terminals are in, sure to be a devpts: what has a name below it is a terminal then, or ptmx, and opening it
 * does nothing else. */
static int open_devpts(struct executor *ex) {
  _cleanup_fd_ int pts = root_open(ex, DEVPTS, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  struct statfs fs;
  if (pts < 0) return fail_path(ex, "openat2", DEVPTS);
  if (fstatfs(pts, &fs) != 0) return fail_sys(&ex->fail, "fstatfs", DEVPTS);
  if (fs.f_type != DEVPTS_SUPER_MAGIC) return fail_msg(&ex->fail, ENODEV, DEVPTS, "is not a devpts, and a terminal needs one: mount it there");
  return fd_steal(&pts);
}

static int open_master(struct executor *ex) {
  _cleanup_fd_ int pts = open_devpts(ex);
  if (pts < 0) return -1;
  _cleanup_fd_ int master =
      sys_openat2(pts, "ptmx", O_RDWR | O_NOCTTY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
  if (master < 0) return fail_path(ex, "openat2", PTMX);
  struct stat info;
  if (fstat(master, &info) != 0) return fail_sys(&ex->fail, "fstat", PTMX);
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(5, 2)) return fail_msg(&ex->fail, ENODEV, PTMX, "is not the ptmx of a devpts");
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) return fail_sys(&ex->fail, "TIOCSPTLCK", PTMX);
  return fd_steal(&master);
}

/* The file that the terminal is bound on: a new one, or what the image has there, if it is no symlink or directory. */
static int open_console(struct executor *ex) {
  const char *name;
  _cleanup_fd_ int dev = root_parent(ex, CONSOLE, &name);
  if (dev < 0) return -1;
  int console = openat(dev, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (console >= 0) return console;
  if (errno != EEXIST) return fail_sys(&ex->fail, "openat", CONSOLE);
  _cleanup_fd_ int there = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (there < 0 || fstat(there, &info) != 0) return fail_sys(&ex->fail, "openat", CONSOLE);
  if (!S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode))
    return fail_msg(&ex->fail, EEXIST, CONSOLE, "is neither a file nor a character device");
  return fd_steal(&there);
}

static int bind_console(struct executor *ex, int peer) {
  _cleanup_fd_ int console = open_console(ex);
  if (console < 0) return -1;
  _cleanup_fd_ int mount = mount_clone(ex, peer, "", false, CONSOLE);
  return mount < 0 ? -1 : mount_attach(ex, mount, console, CONSOLE);
}

int run_terminal(struct executor *ex, const struct op_terminal *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int master = open_master(ex);
  if (master < 0) return -1;
  /* Asked of the master itself: /dev/pts/N is a name that can be replaced. */
  _cleanup_fd_ int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (peer < 0) return fail_sys(&ex->fail, "TIOCGPTPEER", PTMX);
  if (op->rows != 0 || op->cols != 0) {
    struct winsize size = {.ws_row = (unsigned short)op->rows, .ws_col = (unsigned short)op->cols};
    if (ioctl(master, TIOCSWINSZ, &size) != 0) return fail_sys(&ex->fail, "TIOCSWINSZ", PTMX);
  }
  if (op->console != 0 && bind_console(ex, peer) != 0) return -1;
  if (ioctl(peer, TIOCSCTTY, 0) != 0) return fail_sys(&ex->fail, "TIOCSCTTY", PTMX);
  for (int fd = 0; fd < 3; fd++)
    if (dup2(peer, fd) < 0) return fail_sys(&ex->fail, "dup2", PTMX);
  ex->own_terminal = true;
  if (init_report(ex, REPORT_SYNC, master) != 0) return -1;
  init_wait_go(ex);
  return 0;
}
