/* Walks a JSON text without building anything: enough to find a string in it. */
#ifndef BERTH_JSON_SCAN_H
#define BERTH_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct json {
  const char *at, *end;
  bool bad; /* not JSON from `at` on; everything after reads as empty */
};

struct json json_of(const char *text, size_t len);
/* Enters the object at the cursor; then, for each member, json_member is true with its key (decoded, cut at `size`), and the
 * value must be taken (json_string, json_skip, json_object) before the next. */
bool json_object(struct json *);
bool json_member(struct json *, char *key, size_t size, bool *first);
/* The string at the cursor, decoded, to be freed; NULL where it is no string (nothing is consumed then). */
char *json_string(struct json *);
/* Steps over one value; nesting is bounded. */
void json_skip(struct json *);
/* True at the end of the text, white space aside. */
bool json_at_end(struct json *);

#endif
