/* The time of a call that is made again and again: the median of small batches, which whoever else is on the machine has hardly a part in. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Nanoseconds. */
static inline void print_median(double *times, size_t count) {
  qsort(times, count, sizeof *times, by_value);
  printf("%.2f\n", times[count / 2]);
}
