/* Feeds the decoder of D-Bus messages with what is none, or almost one. LLVMFuzzerTestOneInput is for libFuzzer; without it the main
 * below mutates by itself:
 *
 *   fuzz-dbus ROUNDS [FILE…]     seeds: the files, else an answer, an error and a signal */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/dbus_message.h"
#include "seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of the exact size, so that the sanitizer sees one byte too far. */
  uint8_t *copy = malloc(size == 0 ? 1 : size);
  if (copy == NULL) return 0;
  if (size > 0) memcpy(copy, data, size);
  struct dbus_message message;
  if (size >= DBUS_FIXED && dbus_length(copy) > DBUS_MESSAGE_MAX) abort();
  if (dbus_decode(copy, size, &message) == 0) {
    size_t at = 0;
    size_t text = strlen(message.member) + strlen(message.error_name) + strlen(message.signature);
    (void)dbus_u32(&message.body, &at);
    for (int i = 0; i < 3; i++) text += strlen(dbus_string(&message.body, &at));
    if (text > size || message.body.left > size) abort();
  }
  free(copy);
  return 0;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* set by -fsanitize=fuzzer, which has a main of its own */

#define FIXED(type, body, fields) "l" type "\0\1" body "\0\0\0\1\0\0\0" fields "\0\0\0"
#define JOB "\x08\0\0\0/a/job/1\0"

/* JobRemoved(7, "/a/job/1", "x.scope", "done"), as UnitNew's neighbour on a bus: with the fields that a bus adds. */
static const char signal_seed[] = FIXED("\4", "\x29", "\x32") "\3\1s\0\x0a\0\0\0JobRemoved\0\0\0\0\0\0"
                                                             "\7\1s\0\2\0\0\0:1\0\0\0\0\0\0"
                                                             "\x08\1g\0\4uoss\0"
                                                             "\0\0\0\0\0\0" /* what fills up is no part of the fields */
                                                             "\7\0\0\0" JOB "\0\0\0"
                                                             "\7\0\0\0x.scope\0"
                                                             "\4\0\0\0done\0";
static const char error_seed[] = FIXED("\3", "\x08", "\x1f") "\4\1s\0\3\0\0\0a.B\0\0\0\0\0"
                                                            "\5\1u\0\3\0\0\0"
                                                            "\x08\1g\0\1s\0\0"
                                                            "\3\0\0\0why\0";
static const char answer_seed[] = FIXED("\2", "\x0d", "\x0f") "\5\1u\0\3\0\0\0"
                                                             "\x08\1g\0\1o\0\0" JOB;

/* ---- known answers ---- */

static void known_answers(void) {
  struct dbus_message m;
  size_t at = 0;
  expect(dbus_decode((const uint8_t *)answer_seed, sizeof answer_seed - 1, &m) == 0 && m.type == DBUS_RETURN && m.reply_serial == 3 &&
             strcmp(m.signature, "o") == 0 && strcmp(dbus_string(&m.body, &at), "/a/job/1") == 0,
         "answer");
  at = 0;
  expect(dbus_decode((const uint8_t *)error_seed, sizeof error_seed - 1, &m) == 0 && m.type == DBUS_ERROR && m.reply_serial == 3 &&
             strcmp(m.error_name, "a.B") == 0 && strcmp(dbus_string(&m.body, &at), "why") == 0,
         "error");
  at = 0;
  expect(dbus_decode((const uint8_t *)signal_seed, sizeof signal_seed - 1, &m) == 0 && m.type == DBUS_SIGNAL &&
             strcmp(m.member, "JobRemoved") == 0 && dbus_u32(&m.body, &at) == 7 && strcmp(dbus_string(&m.body, &at), "/a/job/1") == 0 &&
             strcmp(dbus_string(&m.body, &at), "x.scope") == 0 && strcmp(dbus_string(&m.body, &at), "done") == 0 && !m.body.bad,
         "signal");
  static const uint8_t big[DBUS_FIXED] = {'B', 1, 0, 1}, other[DBUS_FIXED] = {'l', 1, 0, 2}, vast[DBUS_FIXED] = {'l', 1, 0, 1, 0xff, 0xff, 0xff, 0xff};
  expect(dbus_length(big) == 0 && dbus_length(other) == 0 && dbus_length(vast) == 0, "lengths");
}

/* ---- rounds ---- */

static void mutate(struct buf *input) {
  static const char telling[] = "\x00\x01\x02\x07\x08\x7f\x80\xffsogvuay(";
  for (uint32_t changes = 1 + next_random(4); changes > 0 && input->len > 1; changes--) {
    uint32_t at = next_random((uint32_t)input->len), other = next_random((uint32_t)input->len);
    switch (next_random(4)) {
      case 0: input->data[at] = (uint8_t)telling[next_random(sizeof telling - 1)]; break;
      case 1: input->len = at; break; /* cut off */
      case 2: input->data[at] = input->data[other]; break;
      default: input->data[at] ^= (uint8_t)(1u << next_random(8));
    }
  }
}

static void fuzz(const void *seed, size_t len, uint32_t rounds) {
  (void)LLVMFuzzerTestOneInput(seed, len);
  for (uint32_t round = 0; round < rounds; round++) {
    struct buf input = {.data = NULL};
    put(&input, seed, len);
    mutate(&input);
    (void)LLVMFuzzerTestOneInput(input.data, input.len);
    buf_free(&input);
  }
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
  known_answers();
  if (wrong) return 1;
  if (argc <= 2) {
    fuzz(answer_seed, sizeof answer_seed - 1, rounds);
    fuzz(error_seed, sizeof error_seed - 1, rounds);
    fuzz(signal_seed, sizeof signal_seed - 1, rounds);
  }
  struct buf seed = {.data = NULL};
  for (int i = 2; i < argc; i++) {
    seed.len = 0;
    if (read_seed(argv[i], &seed) != 0) {
      perror(argv[i]);
      return 1;
    }
    fuzz(seed.data, seed.len, rounds);
  }
  buf_free(&seed);
  printf("%" PRIu32 " rounds\n", rounds);
  return 0;
}

#endif
