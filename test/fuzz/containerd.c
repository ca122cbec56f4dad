/* Feeds what the shim's `start` and `delete` read of others' bytes: config.json (its pod's author wrote it), containerd's bootstrap
 * message, exit.json, and the flags that become a socket's name. LLVMFuzzerTestOneInput is for libFuzzer; without it the main below
 * checks known answers, then mutates by itself (gcc with -fsanitize=address,undefined):
 *
 *   fuzz-containerd ROUNDS [FILE…]     seeds: the files, else one of each kind */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "launcher/containerd.h"
#include "launcher/json_scan.h"
#include "launcher/sha256.h"
#include "launcher/shim_call.h"
#include "seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A result must lie in the message that it was read from. */
static void inside(struct text t, const uint8_t *data, size_t size) {
  const uint8_t *at = (const uint8_t *)t.data;
  if (t.len > 0 && (at < data || t.len > size || at > data + (size - t.len))) abort();
}

static void read_bootstrap(const uint8_t *data, size_t size) {
  struct bootstrap b;
  (void)any_read(data, size);
  if (bootstrap_read(data, size, "id", "ns", &b) != 1) return;
  if (b.id.len != 2 || b.namespace.len != 2) abort();
  inside(b.id, data, size);
  inside(b.namespace, data, size);
  inside(b.ttrpc_address, data, size);
  inside(b.socket_dir, data, size);
}

static void read_config(const char *text, size_t size) {
  char *group = NULL;
  int found = config_group(text, size, &group);
  if ((found == 1) != (group != NULL) || (group && !*group)) abort();
  free(group);
  /* The scanner by itself: a key that does not fit must not run over, or look like one that does. */
  struct json j = json_of(text, size);
  char key[4];
  bool first = true;
  if (!json_object(&j)) return;
  while (json_member(&j, key, sizeof key, &first)) {
    if (memchr(key, 0, sizeof key) == NULL) abort();
    json_skip(&j);
  }
}

static void read_words(const char *text) {
  char name[65];
  long long number;
  (void)json_number(text, "status", &number);
  struct shim_call call = {.address = text, .namespace = "ns", .id = "id"};
  if (shim_socket_name(&call, "group", name) == 0 && strspn(name, "0123456789abcdef") != 64) abort();
  char *argv[] = {"shim", (char *)(uintptr_t)text, (char *)(uintptr_t)text, "start", NULL};
  call = shim_call_parse(4, argv);
  if (!call.bad && *call.verb && (!*call.id || strchr(call.id, '/') || strchr(call.namespace, '/'))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A copy of the exact size, so that the sanitizer sees one byte too far; and one that is a string. */
  uint8_t *copy = malloc(size == 0 ? 1 : size);
  char *text = malloc(size + 1), hex[65];
  if (copy && text) {
    if (size > 0) memcpy(copy, data, size);
    if (size > 0) memcpy(text, data, size);
    text[size] = 0;
    read_bootstrap(copy, size);
    read_config((const char *)copy, size);
    sha256_hex(copy, size, hex);
    read_words(text);
  }
  free(copy);
  free(text);
  return 0;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* set by -fsanitize=fuzzer, which has a main of its own */

static const char bootstrap_seed[] = "\x0a\x02id\x12\x02ns\x18\x04\x22\x03"
                                     "2.3\x2a\x04/t/e\x42\x06\x0a\x04\x0a\x02xy\x4a\x02/s";
static const char *const seeds[] = {
    "{\"ociVersion\":\"1.2.0\",\"annotations\":{\"a\":null,\"io.kubernetes.cri.sandbox-id\":\"pod\"},\"mounts\":[{\"x\":[1,-2.5e3,true]}]}",
    "{ \"annotations\" : {\"io.containerd.runc.v2.group\":\"\\u0067r\\u00f6\\ud83d\\ude00\\\"\\n\"} }",
    "{\"pid\":12,\"status\":-256,\"time\":1700000000000000000}",
    "-namespace=a/b/../c",
};

/* ---- known answers ---- */

static void expect_hash(const char *text, size_t len, const char *hash) {
  char hex[65];
  sha256_hex(text, len, hex);
  expect(!strcmp(hex, hash), text);
}

static void expect_group(const char *json, int found, const char *group) {
  char *got = NULL;
  expect(config_group(json, strlen(json), &got) == found && (got ? group && !strcmp(got, group) : !group), json);
  free(got);
}

/* Two addresses that Go's filepath.Join makes the same path have the same socket. */
static void expect_same(const char *address, const char *cleaned) {
  char name[65], hash[65], joined[128];
  struct shim_call call = {.address = address, .namespace = "ns"};
  int n = snprintf(joined, sizeof joined, "%s/ns/group", cleaned);
  sha256_hex(joined, (size_t)n, hash);
  expect(shim_socket_name(&call, "group", name) == 0 && !strcmp(name, hash), address);
}

static void known_answers(void) {
  /* FIPS 180-4, with lengths around the padding's edge from sha256sum(1). */
  static const char many[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  expect_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect_hash(many, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  expect_hash(many, 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  expect_hash(many, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");

  expect_group("{}", 0, NULL);
  expect_group("{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"a\"}}", 1, "a");
  expect_group("{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"a\",\"io.containerd.runc.v2.group\":\"b\"}}", 1, "b");
  expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":\"\\ud83d\\ude00\\u0041\"}}", 1, "\xf0\x9f\x98\x80\x41");
  expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":\"a\\u0000b\"}}", 1, "a\xef\xbf\xbd" "b");
  expect_group("{\"annotations\\u0000\":{\"io.containerd.runc.v2.group\":\"a\"}}", 0, NULL);
  expect_group("{\"x\":{\"annotations\":{\"io.containerd.runc.v2.group\":\"a\"}}}", 0, NULL);
  expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":7}}", 0, NULL);
  expect_group("{\"annotations\":{\"io.containerd.runc.v2.group\":\"a\"}", -1, NULL);
  expect_group("{\"annotations\":{},}", -1, NULL);
  expect_group("[]", -1, NULL);
  expect_group("", -1, NULL);

  expect_same("/run/containerd/containerd.sock", "/run/containerd/containerd.sock");
  expect_same("//run/./containerd//x/../containerd.sock/", "/run/containerd/containerd.sock");
  expect_same("/../a", "/a");
  expect_same("../../a/../b", "../../b");
  expect_same("/", "");
  expect_same("a/../..", "..");

  struct bootstrap b;
  const uint8_t *message = (const uint8_t *)bootstrap_seed;
  expect(bootstrap_read(message, sizeof bootstrap_seed - 1, "id", "ns", &b) == 1 && b.socket_dir.len == 2 && b.ttrpc_address.len == 4, "bootstrap");
  expect(bootstrap_read(message, sizeof bootstrap_seed - 1, "id", "other", &b) == 0, "bootstrap of another namespace");
  expect(bootstrap_read(message, sizeof bootstrap_seed - 2, "id", "ns", &b) == 0, "bootstrap cut off");

  expect(any_read((const uint8_t *)"\x0a\x01t\x12\x00", 5) == 1, "options");
  expect(any_read((const uint8_t *)"\x12\x01v", 3) == 0, "options of no type");
  expect(any_read((const uint8_t *)"\x0a\x02t", 3) == 0, "options cut off");
  expect(any_read(NULL, 0) == 0, "no options");
}

/* ---- rounds ---- */

static void mutate(struct buf *input) {
  static const char telling[] = "{}[]\",:\\u\x00\x7f\x80\xff -.eE0t/";
  for (uint32_t changes = 1 + next_random(6); changes > 0 && input->len > 1; changes--) {
    uint32_t at = next_random((uint32_t)input->len), other = next_random((uint32_t)input->len);
    size_t longest = input->len - (at > other ? at : other);
    switch (next_random(5)) {
      case 0:
        input->data[at] = (uint8_t)next_random(256);
        break;
      case 1:
        input->data[at] = (uint8_t)telling[next_random(sizeof telling - 1)];
        break;
      case 2:
        input->len = at; /* cut off */
        break;
      case 3:
        memmove(input->data + at, input->data + other, 1 + next_random((uint32_t)longest));
        break;
      default:
        input->data[at] ^= (uint8_t)(1u << next_random(8));
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
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) fuzz(seeds[i], strlen(seeds[i]), rounds);
    fuzz(bootstrap_seed, sizeof bootstrap_seed - 1, rounds);
    /* Nesting without an end must not exhaust the stack. */
    static char deep[1 << 20];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)deep, sizeof deep);
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
