/* Lists of strings as execve wants them. */
#ifndef BERTH_VECTOR_H
#define BERTH_VECTOR_H

#include <stdlib.h>

#include "../common/reader.h"

/* NULL-terminated, pointing into the plan; free the array only. NULL: no memory. */
static inline char **vector_of(struct list list) {
  char **vector = calloc((size_t)list.count + 1, sizeof *vector);
  for (uint32_t i = 0; vector != NULL && i < list.count; i++) vector[i] = (char *)(uintptr_t)reader_str(&list.items);
  return vector;
}

#endif
