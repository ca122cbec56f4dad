/* The named exception to "C knows no containerd" (trap 6): what `start` and `delete` must read and write without TypeScript.
 * Everything here takes bytes of others and trusts none. */
#ifndef BERTH_CONTAINERD_H
#define BERTH_CONTAINERD_H

#include <stddef.h>
#include <stdint.h>

#include "../common/buf.h"

/* The group a container belongs to, from config.json's annotations: `io.containerd.runc.v2.group`, else
 * `io.kubernetes.cri.sandbox-id`. 1 with a string to free in *group, 0 where it has none, -1 where this is no JSON document. */
int config_group(const char *json, size_t len, char **group);

/* What containerd 2.3 says on standard input; strings point into the message, are not terminated, empty where absent. */
struct text {
  const char *data;
  size_t len;
};
struct bootstrap {
  struct text id, namespace, ttrpc_address, socket_dir;
};
/* 1 where the bytes are BootstrapParams of this id and namespace, 0 where they are something else (older versions: an Any). */
int bootstrap_read(const uint8_t *data, size_t len, const char *id, const char *namespace, struct bootstrap *);

/* containerd.task.v2.DeleteResponse. 0 or -1. */
int delete_response(struct buf *out, uint32_t pid, uint32_t status, uint64_t time_ns);
/* Whether the bytes are a google.protobuf.Any {1 type_url, 2 value} of some type. */
int any_read(const uint8_t *data, size_t len);

/* containerd.types.RuntimeInfo {1 name, 2 version {1 version, 2 revision}, 3 options, 4 features}. `options`: an Any, `features`: the text of
 * features.json; left out where empty. 0 or -1. */
struct runtime_info {
  const char *name, *version, *revision;
  struct text options, features;
};
int runtime_info(struct buf *out, const struct runtime_info *info);

/* A number in a flat JSON object of our own (exit.json): 1 with *value, 0 where it is not there. */
int json_number(const char *json, const char *name, long long *value);

#endif
