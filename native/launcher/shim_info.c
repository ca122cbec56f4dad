#define _GNU_SOURCE
#include "shim_info.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../executor/paths.h"
#include "containerd.h"
#include "install.h"
#include "shim_call.h"

#define FEATURES_MAX (1 << 20)

/* What the build has written down of them. Where that is missing there is nothing to tell, which is no failure. */
static int read_features(struct buf *out) {
  char path[PATH_MAX];
  _cleanup_fd_ int fd = install_file("features.json", path) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  return read_whole(fd, FEATURES_MAX, out);
}

static struct text text_of(const struct buf *b) { return (struct text){(const char *)b->data, b->len}; }

int shim_info(void) {
  _cleanup_buf_ struct buf options = {0}, features = {0}, out = {0};
  struct runtime_info info = {.name = "io.containerd.berth.v2", .version = VERSION, .revision = BUILD_ID};
  const char *what = "standard input";
  int done = shim_stdin(&options);
  if (done == 0) {
    what = "features.json";
    done = read_features(&features);
  }
  if (done == 0) {
    what = "standard output";
    if (any_read(options.data, options.len)) info.options = text_of(&options);
    info.features = text_of(&features);
    done = runtime_info(&out, &info) < 0 ? -1 : write_whole(STDOUT_FILENO, out.data, out.len);
  }
  if (done != 0) fprintf(stderr, "berth: info: %s: %s\n", what, strerror(errno));
  return done == 0 ? 0 : 1;
}
