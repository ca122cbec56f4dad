/* Feeds the decoder of plans with what is no plan, or almost one. LLVMFuzzerTestOneInput is for libFuzzer; without it the main below
 * mutates by itself (gcc with -fsanitize=address,undefined):
 *
 *   fuzz-decode ROUNDS [FILE…]     seeds: the files, else a plan of every operation with empty fields */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/reader.h"
#include "executor/executor.h"
#include "ops.gen.h"
#include "seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What reads a decoded list must not find more than the decoder promised. */
static void read_lists(const uint8_t *data, size_t size) {
  struct reader r = reader_of(data, size);
  struct list strs = reader_strs(&r), numbers = reader_u32s(&r), parts = reader_tmpl(&r);
  for (uint32_t i = 0; i < strs.count; i++)
    if (memchr(reader_str(&strs.items), 0, size) == NULL || strs.items.bad) abort();
  for (uint32_t i = 0; i < numbers.count; i++) (void)reader_u32(&numbers.items);
  struct executor ex;
  executor_init(&ex, NULL);
  struct buf out = {.data = NULL};
  (void)template_render(&ex, parts, &out);
  buf_free(&out);
}

static void read_fail(const uint8_t *data, size_t size) {
  struct reader r = reader_of(data, size);
  struct fail fail;
  struct buf out = {.data = NULL};
  if (fail_decode(&fail, &r) == 0 && (fail.depth > FAIL_DEPTH || fail_encode(&fail, &out) != 0)) abort();
  buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of the exact size, so that the sanitizer sees one byte too far. */
  uint8_t *copy = malloc(size == 0 ? 1 : size);
  if (copy == NULL) return 0;
  if (size > 0) memcpy(copy, data, size);
  (void)executor_check(copy, size);
  read_lists(copy, size);
  read_fail(copy, size);
  free(copy);
  return 0;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* set by -fsanitize=fuzzer, which has a main of its own */

static void put_u32(struct buf *to, uint32_t value) {
  if (buf_u32(to, value) == 0) return;
  perror("memory");
  exit(1);
}

/* A plan of every operation: all fields of zeros, as many as it takes; nested plans as deep as `depth`. */
static void put_every_operation(struct buf *to, unsigned depth) {
  static const uint8_t zeros[512];
  size_t start = to->len;
  uint32_t count = 0;
  put_u32(to, PLAN_MAGIC);
  put_u32(to, PLAN_VERSION);
  put_u32(to, 0);
  for (uint32_t code = 1; code <= UINT16_MAX; code++) {
    const struct op_entry *entry = ops_find((uint16_t)code);
    struct span nested = {NULL, 0};
    size_t size = 0;
    while (entry != NULL && size <= sizeof zeros && !entry->check((struct span){zeros, size}, &nested)) size++;
    if (entry == NULL || size > sizeof zeros || (nested.data != NULL && depth == 0)) continue;
    struct buf inner = {.data = NULL};
    if (nested.data != NULL) { /* its last field */
      size -= 4;
      struct buf plan = {.data = NULL};
      put_every_operation(&plan, depth - 1);
      put_u32(&inner, (uint32_t)plan.len);
      put(&inner, plan.data, plan.len);
      buf_free(&plan);
    }
    put_u32(to, code);
    put_u32(to, (uint32_t)(size + inner.len));
    put(to, zeros, size);
    put(to, inner.data, inner.len);
    buf_free(&inner);
    count++;
  }
  for (int i = 0; i < 4; i++) to->data[start + 8 + (size_t)i] = (uint8_t)(count >> (8 * i));
}

static void mutate(struct buf *input) {
  static const uint32_t telling[] = {0, 1, 0x7f, 0xff, 0x100, 0xffff, 0x7fffffff, 0x80000000u, 0xfffffff0u, 0xfffffffbu, 0xfffffffeu, 0xffffffffu, PLAN_MAGIC, PLAN_VERSION};
  for (uint32_t changes = 1 + next_random(6); changes > 0 && input->len > 4; changes--) {
    uint32_t at = next_random((uint32_t)input->len - 3), other = next_random((uint32_t)input->len - 3);
    switch (next_random(5)) {
      case 0:
        input->data[at] = (uint8_t)next_random(256);
        break;
      case 1:
        memcpy(input->data + at, &telling[next_random(sizeof telling / sizeof *telling)], 4);
        break;
      case 2:
        input->len = at; /* cut off */
        break;
      case 3:
        memmove(input->data + at, input->data + other, 4);
        break;
      default:
        input->data[at] ^= (uint8_t)(1u << next_random(8));
    }
  }
}

static void fuzz(const struct buf *seed, uint32_t rounds) {
  (void)LLVMFuzzerTestOneInput(seed->data, seed->len);
  for (uint32_t round = 0; round < rounds; round++) {
    struct buf input = {.data = NULL};
    put(&input, seed->data, seed->len);
    mutate(&input);
    (void)LLVMFuzzerTestOneInput(input.data, input.len);
    buf_free(&input);
  }
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
  struct buf seed = {.data = NULL};
  if (argc <= 2) {
    put_every_operation(&seed, 2);
    if (executor_check(seed.data, seed.len) != 0) {
      fputs("the seed is no plan\n", stderr);
      return 1;
    }
    fuzz(&seed, rounds);
  }
  for (int i = 2; i < argc; i++) {
    seed.len = 0;
    if (read_seed(argv[i], &seed) != 0) {
      perror(argv[i]);
      return 1;
    }
    fuzz(&seed, rounds);
  }
  buf_free(&seed);
  printf("%" PRIu32 " rounds\n", rounds);
  return 0;
}

#endif
