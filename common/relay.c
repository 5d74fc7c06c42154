/* Records of the name relay: see relay.h. Used by the agent and the shim in their loops. */
#include "common/relay.h"

#include <errno.h>

void relay_put_header(uint8_t header[RELAY_HEADER], const struct relay_record *record)
{
	header[0] = (uint8_t)(record->number >> 24);
	header[1] = (uint8_t)(record->number >> 16);
	header[2] = (uint8_t)(record->number >> 8);
	header[3] = (uint8_t)record->number;
	header[4] = (uint8_t)record->kind;
	header[5] = 0;
	header[6] = (uint8_t)(record->len >> 8);
	header[7] = (uint8_t)record->len;
}

int relay_next(const struct buf *input, struct relay_record *ret)
{
	const uint8_t *p;

	if (buf_len(input) < RELAY_HEADER)
		return 0;
	p = buf_at(input);
	if ((p[4] != RELAY_UDP && p[4] != RELAY_TCP) || p[5] != 0)
		return -EBADMSG;
	ret->number = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	ret->kind = (enum relay_kind)p[4];
	ret->len = (uint16_t)(p[6] << 8 | p[7]);
	if (buf_len(input) < (size_t)RELAY_HEADER + ret->len)
		return 0;
	ret->message = p + RELAY_HEADER;
	return 1;
}

void relay_took(struct buf *input, const struct relay_record *record)
{
	buf_consume(input, (size_t)RELAY_HEADER + record->len);
}
