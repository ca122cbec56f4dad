/* Programs that are executed, and what runs them: an interpreter named in their first line, or their loader. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "calls.h"
#include "observed.h"

/* Of scripts that are run by scripts; the kernel's own bound. */
#define DEPTH_MAX 5
#define HEAD 256u
#define SEGMENTS_MAX 64u

/* The loader of a dynamic program; false where it has none. */
static bool loader_of(int fd, const uint8_t *head, char path[PATH_MAX]) {
  bool wide = head[EI_CLASS] == ELFCLASS64;
  Elf64_Ehdr e64;
  Elf32_Ehdr e32;
  memcpy(&e64, head, sizeof e64);
  memcpy(&e32, head, sizeof e32);
  uint64_t at = wide ? e64.e_phoff : e32.e_phoff;
  unsigned count = wide ? e64.e_phnum : e32.e_phnum, size = wide ? e64.e_phentsize : e32.e_phentsize;
  for (unsigned i = 0; i < count && i < SEGMENTS_MAX; i++, at += size) {
    Elf64_Phdr p64;
    Elf32_Phdr p32;
    void *header = wide ? (void *)&p64 : (void *)&p32;
    size_t len = wide ? sizeof p64 : sizeof p32;
    if (pread(fd, header, len, (off_t)at) != (ssize_t)len) return false;
    if ((wide ? p64.p_type : p32.p_type) != PT_INTERP) continue;
    uint64_t from = wide ? p64.p_offset : p32.p_offset, bytes = wide ? p64.p_filesz : p32.p_filesz;
    if (bytes < 2 || bytes >= PATH_MAX || pread(fd, path, bytes, (off_t)from) != (ssize_t)bytes) return false;
    path[bytes] = '\0';
    return true;
  }
  return false;
}

/* What the kernel opens to run this file; false where that is nothing. */
static bool runner_of(const struct place *program, char path[PATH_MAX]) {
  char link[FD_PATH_SIZE];
  uint8_t head[HEAD] = {0};
  _cleanup_fd_ int fd = S_ISREG(program->info.st_mode) ? open(fd_path(&link, program->fd), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0 || pread(fd, head, sizeof head - 1, 0) < 2) return false;
  if (memcmp(head, ELFMAG, SELFMAG) == 0) return loader_of(fd, head, path);
  if (memcmp(head, "#!", 2) != 0) return false;
  char *name = (char *)head + 2;
  name += strspn(name, " \t");
  name[strcspn(name, " \t\r\n")] = '\0';
  strcpy(path, name);
  return *name == '/';
}

static int executed(const struct call *call, const char *whole) {
  char path[PATH_MAX];
  strcpy(path, whole);
  for (int depth = 0; depth < DEPTH_MAX; depth++) {
    _cleanup_place_ struct place program = {.fd = -1};
    if (tracee_resolve(call, path, true, &program) != 0 || S_ISDIR(program.info.st_mode)) return 0;
    if (observed(SEEN_EXECUTE, program.path) != 0) return -1;
    if (!runner_of(&program, path)) return 0;
  }
  return 0;
}

int look_execve(const struct call *call) {
  char path[PATH_MAX], whole[PATH_MAX];
  if (tracee_string(call, call->args[0], path) != 0 || tracee_path(call, AT_FDCWD, path, whole) != 0) return 0;
  return executed(call, whole);
}

int look_execveat(const struct call *call) {
  char path[PATH_MAX], whole[PATH_MAX];
  if (tracee_string(call, call->args[1], path) != 0) return 0;
  return tracee_path(call, (int)(uint32_t)call->args[0], path, whole) != 0 ? 0 : executed(call, whole);
}
