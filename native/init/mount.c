#define _GNU_SOURCE
#include "mount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/fd.h"
#include "../common/sys.h"

int mount_clone(struct executor *ex, int dir, const char *path, bool recursive, const char *subject) {
  unsigned flags = OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0) | (*path == '\0' ? AT_EMPTY_PATH : 0);
  int mount = sys_open_tree(dir, path, flags);
  return mount >= 0 ? mount : fail_sys(&ex->fail, "open_tree", subject);
}

static int set_attr(struct executor *ex, int mount, bool recursive, const struct mount_attr *attr, const char *subject) {
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return sys_mount_setattr(mount, "", flags, attr) == 0 ? 0 : fail_sys(&ex->fail, "mount_setattr", subject);
}

int mount_attrs(struct executor *ex, int mount, bool recursive, uint64_t set, uint64_t clear, const char *subject) {
  if (set == 0 && clear == 0) return 0;
  /* The access time bits are one field: whoever sets it has to clear all of it (mount_setattr(2)). */
  if ((set & MOUNT_ATTR__ATIME) != 0) clear |= MOUNT_ATTR__ATIME;
  struct mount_attr attr = {.attr_set = set, .attr_clr = clear};
  return set_attr(ex, mount, recursive, &attr, subject);
}

int mount_propagation(struct executor *ex, int mount, uint64_t propagation, const char *subject) {
  struct mount_attr attr = {.propagation = propagation & (MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE)};
  if (attr.propagation == 0) return 0;
  return set_attr(ex, mount, (propagation & MS_REC) != 0, &attr, subject);
}

int mount_idmap(struct executor *ex, int mount, uint32_t userns, bool recursive, const char *subject) {
  int fd = slot_fd(ex, userns);
  if (fd < 0) return -1;
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)fd};
  return set_attr(ex, mount, recursive, &attr, subject);
}

int mount_idmap_fail(struct executor *ex, const char *type, bool recursive) {
  const char *tree = recursive ? ", or that of a mount below it," : "";
  if (ex->fail.error == EINVAL)
    (void)snprintf(ex->fail.detail, sizeof ex->fail.detail,
                   "its file system (%s)%s cannot map ids on this kernel: ext4, xfs and FAT can since Linux 5.12, btrfs since 5.15, "
                   "overlay since 5.19, tmpfs since 6.3", type, tree);
  else if (ex->fail.error == EPERM)
    (void)snprintf(ex->fail.detail, sizeof ex->fail.detail,
                   "its file system (%s)%s is mapped already or belongs to another user namespace", type, tree);
  return -1;
}

int mount_attach(struct executor *ex, int mount, int target, const char *subject) {
  return sys_move_mount(mount, target) == 0 ? 0 : fail_sys(&ex->fail, "move_mount", subject);
}

/* What fsconfig(2) takes as a value. */
#define VALUE_MAX 255

/* The next option of a list: its key and value (NULL: none) in `item`. Commas within double quotes do not separate (an SELinux
 * label's categories), and the quotes are not part of the value, as with mount(2). The rest of the list, or NULL: `item` is too small. */
static const char *next_option(const char *at, char *item, size_t size, char **value) {
  size_t len = 0;
  bool quoted = false;
  *value = NULL;
  for (; *at != '\0' && (quoted || *at != ','); at++) {
    if (*at == '"') {
      quoted = !quoted;
      continue;
    }
    if (len + 1 >= size) return NULL;
    item[len++] = *at;
    if (*at == '=' && *value == NULL) {
      item[len - 1] = '\0';
      *value = item + len;
    }
  }
  item[len] = '\0';
  return *at == ',' ? at + 1 : at;
}

bool mount_option(const char *options, const char *key) {
  char item[4096], *value;
  while (options != NULL && *options != '\0') {
    options = next_option(options, item, sizeof item, &value);
    if (options != NULL && strcmp(item, key) == 0) return true;
  }
  return false;
}

/* fail_sys, and what the file system wrote into its log (lines of "e text"), which says more than an errno. */
static int fail_fs(struct executor *ex, int fs, const char *syscall, const char *subject) {
  int error = errno;
  (void)fail_sys(&ex->fail, syscall, subject);
  char line[sizeof ex->fail.detail];
  ssize_t len;
  while (fs >= 0 && (len = read(fs, line, sizeof line - 1)) > 2) {
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == 'e') fail_copy(ex->fail.detail, sizeof ex->fail.detail, line + 2);
  }
  errno = error;
  return -1;
}

/* The layers of an overlay one by one, which Linux 6.7 takes: together they may be longer than a value can be. What follows an empty
 * name ("::") are data-only layers. A colon in a name is escaped, which it does not have to be here. */
static int set_layers(struct executor *ex, int fs, const char *at) {
  const char *key = "lowerdir+";
  while (*at != '\0') {
    char layer[VALUE_MAX + 1];
    size_t len = 0;
    for (; *at != '\0' && *at != ':'; at++) {
      if (*at == '\\' && at[1] != '\0') at++;
      if (len == VALUE_MAX) return fail_msg(&ex->fail, ENAMETOOLONG, "lowerdir", "a layer's path has more than %d bytes", VALUE_MAX);
      layer[len++] = *at;
    }
    layer[len] = '\0';
    if (*at == ':') at++;
    if (len == 0) {
      key = "datadir+";
    } else if (sys_fsconfig(fs, FSCONFIG_SET_STRING, key, layer, 0) != 0) {
      (void)fail_fs(ex, fs, "fsconfig", layer);
      if (ex->fail.error == EINVAL && ex->fail.detail[0] == '\0')
        fail_copy(ex->fail.detail, sizeof ex->fail.detail, "more than 255 bytes of layers need Linux 6.7");
      return -1;
    }
  }
  return 0;
}

static int set_option(struct executor *ex, int fs, const char *type, const char *key, const char *value) {
  if (value != NULL && strlen(value) > VALUE_MAX) {
    if (strcmp(type, "overlay") == 0 && strcmp(key, "lowerdir") == 0) return set_layers(ex, fs, value);
    return fail_msg(&ex->fail, E2BIG, key, "the kernel takes at most %d bytes as the value of a mount option", VALUE_MAX);
  }
  unsigned command = value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  return sys_fsconfig(fs, command, key, value, 0) == 0 ? 0 : fail_fs(ex, fs, "fsconfig", key);
}

static int set_options(struct executor *ex, int fs, const char *type, const char *options) {
  size_t size = strlen(options) + 1;
  _cleanup_free_ char *item = malloc(size);
  if (item == NULL) return fail_sys(&ex->fail, "malloc", "mount option");
  char *value;
  while (*options != '\0') {
    options = next_option(options, item, size, &value); /* has room for the whole list */
    if (*item != '\0' && set_option(ex, fs, type, item, value) != 0) return -1;
  }
  return 0;
}

/* The flags of mount(2) that belong to a superblock and that fsconfig(2) knows. */
static const struct {
  uint64_t flag;
  const char *name;
} superblock_flags[] = {
  {MS_RDONLY, "ro"}, {MS_SYNCHRONOUS, "sync"}, {MS_DIRSYNC, "dirsync"}, {MS_LAZYTIME, "lazytime"}, {MS_MANDLOCK, "mand"},
};

static int configure(struct executor *ex, int fs, const char *type, const char *options, uint64_t sb_flags) {
  for (size_t i = 0; i < sizeof superblock_flags / sizeof *superblock_flags; i++)
    if ((sb_flags & superblock_flags[i].flag) != 0 && set_option(ex, fs, type, superblock_flags[i].name, NULL) != 0) return -1;
  return set_options(ex, fs, type, options);
}

int mount_new(struct executor *ex, const char *type, const char *source, const char *options, uint64_t sb_flags, uint64_t attrs) {
  _cleanup_fd_ int fs = sys_fsopen(type);
  if (fs < 0) {
    if (errno != ENODEV) return fail_sys(&ex->fail, "fsopen", type);
    (void)fail_msg(&ex->fail, ENODEV, type, "unknown file system type");
    return -1;
  }
  if (*source != '\0' && set_option(ex, fs, type, "source", source) != 0) return -1;
  if (configure(ex, fs, type, options, sb_flags) != 0) return -1;
  if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) return fail_fs(ex, fs, "fsconfig", type);
  int mount = sys_fsmount(fs, attrs);
  return mount >= 0 ? mount : fail_fs(ex, fs, "fsmount", type);
}

int mount_reconfigure(struct executor *ex, int mount, const char *type, const char *options, uint64_t sb_flags, bool writable,
                      const char *subject) {
  if (*options == '\0' && (sb_flags & ~(uint64_t)MS_REMOUNT) == 0 && !writable) return 0;
  _cleanup_fd_ int fs = sys_fspick(mount);
  if (fs < 0) return fail_sys(&ex->fail, "fspick", subject);
  if (writable && set_option(ex, fs, type, "rw", NULL) != 0) return -1;
  if (configure(ex, fs, type, options, sb_flags) != 0) return -1;
  return sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0 ? 0 : fail_fs(ex, fs, "fsconfig", subject);
}
