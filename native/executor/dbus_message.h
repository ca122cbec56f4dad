/* Messages of D-Bus as they come in: little-endian, from a peer that is not trusted to say how long they are. */
#ifndef BERTH_DBUS_MESSAGE_H
#define BERTH_DBUS_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "../common/reader.h"

#define DBUS_MESSAGE_MAX (1u << 20) /* the specification allows 128 MiB, and no answer that is waited for has a thousand bytes */
#define DBUS_FIXED 16u              /* what tells how long the whole is */

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

struct dbus_message {
  uint8_t type;
  uint32_t reply_serial; /* 0: none */
  const char *error_name, *member, *signature; /* "" where there is none */
  struct reader body;
};

/* The length of the message that starts with these DBUS_FIXED bytes; 0 where it is none, or longer than DBUS_MESSAGE_MAX. */
size_t dbus_length(const uint8_t fixed[DBUS_FIXED]);
/* Decodes a message of that length; it points into `data`. 0, or -1: malformed. */
int dbus_decode(const uint8_t *data, size_t len, struct dbus_message *message);
/* The next value of a body, where it is a string or an object path; "" (and bad) where it is not all there. */
const char *dbus_string(struct reader *body, size_t *at);
uint32_t dbus_u32(struct reader *body, size_t *at);

#endif
