/*
 * Fuzzer of frame_find_hello() and frame_get_hello(): a HELLO behind any bytes is found whatever
 * the pieces it comes in, nothing else is taken for it, and rubbish is not gathered. The first
 * byte says the pieces' size and which side looks.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes behind the magic cannot be guessed by who wrote the stale bytes; the fuzzer would. */
static const uint8_t nonce[FRAME_NONCE] = "KATA\xc1\r\n\x1a"
					  "0123456789abcdef";
enum { KNOWN_MAX = FRAME_HEADER + 3 + FRAME_NONCE };

static void put_hello(struct buf *out, bool ack)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct msg_hello hello = { .version = PROTOCOL_VERSION };
	struct frame frame = { .type = FRAME_HELLO, .flags = ack ? FRAME_ACK : 0 };
	uint8_t header[FRAME_HEADER];

	if (frame_put_hello(&payload, nonce, &hello, NULL) < 0)
		abort();
	frame.length = (uint32_t)buf_len(&payload);
	frame_put_header(header, &frame);
	if (buf_append(out, header, sizeof(header)) < 0 ||
	    buf_append(out, buf_at(&payload), buf_len(&payload)) < 0)
		abort();
}

/* What was found is a HELLO at least up to its nonce. */
static void look_at(const struct buf *buf, bool ack)
{
	uint8_t got[FRAME_NONCE];
	struct msg_hello *hello;
	struct frame frame;

	if (buf_len(buf) < KNOWN_MAX - 16 || buf_at(buf)[8] != FRAME_HELLO ||
	    buf_at(buf)[9] != (ack ? FRAME_ACK : 0))
		__builtin_trap();
	if (frame_next(buf, &frame, NULL) == 1 && frame_get_hello(&frame, got, &hello, NULL) == 0) {
		if (hello->version != PROTOCOL_VERSION || hello->component == NULL)
			__builtin_trap();
		wire_free(MSG_HELLO, hello);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_fini) struct buf all = { 0 }, buf = { 0 };
	bool ack, named, forged, found = false;
	size_t step;

	if (size < 1)
		return 0;
	ack = data[0] & 1;
	named = data[0] & 2;
	step = 1 + (size_t)data[0] / 4;
	if (buf_append(&all, data + 1, size - 1) < 0)
		return 0;
	forged = memmem(data, size, nonce, named ? FRAME_NONCE : 8) != NULL;
	put_hello(&all, ack);
	for (size_t at = 0; at < buf_len(&all) && !found; at += step) {
		size_t n = buf_len(&all) - at < step ? buf_len(&all) - at : step;

		if (buf_append(&buf, buf_at(&all) + at, n) < 0)
			return 0;
		found = frame_find_hello(&buf, ack, named ? nonce : NULL) == 1;
		if (found)
			look_at(&buf, ack);
		else if (buf_len(&buf) >= KNOWN_MAX)
			__builtin_trap();
		if (found && !forged && at + n <= size - 1)
			__builtin_trap(); /* before the true one had come */
	}
	if (!found)
		__builtin_trap();
	return 0;
}
