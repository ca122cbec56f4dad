/* Lists of strings as execve wants them. */
#ifndef BERTH_VECTOR_H
#define BERTH_VECTOR_H

#include <stdlib.h>
#include <string.h>

#include "../common/reader.h"

/* NULL-terminated, in one allocation with copies of its strings: a plan is hidden from forked children (trap 2), and one of them
 * executes this. NULL: no memory. */
static inline char **vector_of(struct list list) {
  size_t pointers = ((size_t)list.count + 1) * sizeof(char *);
  char **vector = malloc(pointers + list.items.left); /* what is left holds the strings and more */
  char *at = (char *)vector + pointers;
  for (uint32_t i = 0; vector != NULL && i < list.count; i++) {
    vector[i] = at;
    at = stpcpy(at, reader_str(&list.items)) + 1;
  }
  if (vector != NULL) vector[list.count] = NULL;
  return vector;
}

#endif
