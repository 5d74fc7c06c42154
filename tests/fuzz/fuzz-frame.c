/*
 * Fuzzer of frames: a stream is cut into frames the same way whatever the pieces it comes in, and
 * the parts of DATA, WINDOW and END lie within the payload. The first byte is the pieces' size.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever these accept is one msgpack value, as every payload must be. */
static void look_into(const struct frame *frame)
{
	const uint8_t *bytes, *end = frame->payload + frame->length;
	uint64_t a, b;
	size_t n;

	if (frame_get_data(frame, &a, &bytes, &n) == 0 &&
	    (bytes <= frame->payload || bytes > end || n != (size_t)(end - bytes) ||
	     wire_check(frame->payload, frame->length) < 0))
		__builtin_trap();
	if (frame_get_window(frame, &a, &b) == 0 && wire_check(frame->payload, frame->length) < 0)
		__builtin_trap();
	if (frame_get_end(frame, &a) == 0 && wire_check(frame->payload, frame->length) < 0)
		__builtin_trap();
}

/* A payload of its own memory, so that a read beyond it is seen. */
static void look_into_copy(const struct frame *frame)
{
	struct frame copy = *frame;
	uint8_t *payload = malloc(frame->length);

	if (payload == NULL)
		return;
	memcpy(payload, frame->payload, frame->length);
	copy.payload = payload;
	look_into(&copy);
	free(payload);
}

/* Takes all frames that are there; *taken counts their bytes. False when the stream is refused. */
static bool take_frames(struct buf *buf, size_t *taken)
{
	uint8_t header[FRAME_HEADER];
	struct error err = { 0 };
	struct frame frame;
	int r;

	while ((r = frame_next(buf, &frame, &err)) == 1) {
		frame_put_header(header, &frame);
		if (memcmp(header, buf_at(buf), FRAME_HEADER) != 0)
			__builtin_trap();
		if (frame.length > FRAME_CONTROL_MAX ||
		    (frame.type == FRAME_DATA && frame.length > FRAME_DATA_MAX))
			__builtin_trap();
		look_into_copy(&frame);
		buf_consume(buf, FRAME_HEADER + frame.length);
		*taken += FRAME_HEADER + frame.length;
	}
	if (r < 0 && (err.num != -r || err.text[0] == '\0'))
		__builtin_trap();
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_fini) struct buf whole = { 0 }, pieces = { 0 };
	size_t taken_whole = 0, taken_pieces = 0, step;
	bool fine_whole, fine_pieces = true;

	if (size < 2)
		return 0;
	step = 1 + (size_t)data[0] % 64;
	if (buf_append(&whole, data + 1, size - 1) < 0)
		return 0;
	fine_whole = take_frames(&whole, &taken_whole);
	for (size_t at = 1; at < size && fine_pieces; at += step) {
		size_t n = size - at < step ? size - at : step;

		if (buf_append(&pieces, data + at, n) < 0)
			return 0;
		fine_pieces = take_frames(&pieces, &taken_pieces);
	}
	if (fine_whole != fine_pieces || taken_whole != taken_pieces)
		__builtin_trap();
	return 0;
}
