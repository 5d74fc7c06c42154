/*
 * Questions to a name server, and its answers, on a byte stream between the agent and a shim: the
 * guest's question goes to the name server of the container's network namespace on the host.
 *
 * A record is the question's number (4 bytes, big endian), how it was asked (1), 0 (1), the length
 * (2, big endian), and the message as in a datagram. An answer has the same number and kind; length
 * 0 is: there is none.
 */
#ifndef KATA_RELAY_H
#define KATA_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum relay_kind { RELAY_UDP = 1, RELAY_TCP = 2 };

enum {
	RELAY_HEADER = 8,
	RELAY_MESSAGE_MAX = 65535,
	RELAY_OPEN_MAX = 64, /* questions without an answer at one time */
};

struct relay_record {
	uint32_t number;
	enum relay_kind kind;
	uint16_t len;
	const uint8_t *message; /* within the input */
};

void relay_put_header(uint8_t header[RELAY_HEADER], const struct relay_record *record);

/*
 * The first record in the input, which keeps it until relay_took(): 1, 0 when it is not whole,
 * -EBADMSG when it is none; the stream is of no more use then.
 */
int relay_next(const struct buf *input, struct relay_record *ret);
void relay_took(struct buf *input, const struct relay_record *record);

#endif
