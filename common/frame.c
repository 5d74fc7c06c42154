/* Frames on a byte stream: see frame.h. Used by every component on bytes that are not trusted. */
#include "common/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/wire.h"

static const uint8_t magic[8] = { 'K', 'A', 'T', 'A', 0xc1, 0x0d, 0x0a, 0x1a };

_Static_assert((int)WIRE_MAX == (int)FRAME_CONTROL_MAX, "what is encoded can be sent");

/* Payload of a HELLO up to its body: array of 2, then bin 8 of magic and nonce. */
enum { HELLO_HEAD = 3, HELLO_MAX = 8192 /* more than its fields allow */ };
static const uint8_t hello_head[HELLO_HEAD] = { 0x92, 0xc4, FRAME_NONCE };

static uint32_t get_u32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static void put_u32(uint8_t *out, uint32_t value)
{
	out[0] = (uint8_t)(value >> 24);
	out[1] = (uint8_t)(value >> 16);
	out[2] = (uint8_t)(value >> 8);
	out[3] = (uint8_t)value;
}

static uint64_t get_u64(const uint8_t *in)
{
	return (uint64_t)get_u32(in) << 32 | get_u32(in + 4);
}

/* msgpack uint 64: a tag and eight bytes. */
static uint8_t *put_number(uint8_t *out, uint64_t value)
{
	*out++ = 0xcf;
	put_u32(out, (uint32_t)(value >> 32));
	put_u32(out + 4, (uint32_t)value);
	return out + 8;
}

/* Any msgpack form of an unsigned number: its length, 0 when there is none. */
static size_t get_number(const uint8_t *in, size_t left, uint64_t *ret_value)
{
	if (left >= 1 && in[0] <= 0x7f) {
		*ret_value = in[0];
		return 1;
	}
	if (left >= 2 && in[0] == 0xcc) {
		*ret_value = in[1];
		return 2;
	}
	if (left >= 3 && in[0] == 0xcd) {
		*ret_value = (uint64_t)in[1] << 8 | in[2];
		return 3;
	}
	if (left >= 5 && in[0] == 0xce) {
		*ret_value = get_u32(in + 1);
		return 5;
	}
	if (left >= 9 && in[0] == 0xcf) {
		*ret_value = get_u64(in + 1);
		return 9;
	}
	return 0;
}

const char *frame_type_name(uint8_t type)
{
	static const char *const names[] = {
		[FRAME_HELLO] = "HELLO",     [FRAME_OPEN] = "OPEN",     [FRAME_CLOSE] = "CLOSE",
		[FRAME_REQUEST] = "REQUEST", [FRAME_REPLY] = "REPLY",   [FRAME_EVENT] = "EVENT",
		[FRAME_DATA] = "DATA",       [FRAME_WINDOW] = "WINDOW", [FRAME_END] = "END",
		[FRAME_PING] = "PING",       [FRAME_PONG] = "PONG",
	};

	return type < ARRAY_SIZE(names) && names[type] != NULL ? names[type] : "UNKNOWN";
}

void frame_put_header(uint8_t out[FRAME_HEADER], const struct frame *frame)
{
	put_u32(out, frame->length);
	put_u32(out + 4, frame->channel);
	out[8] = frame->type;
	out[9] = frame->flags;
	out[10] = out[11] = 0;
	put_u32(out + 12, frame->id);
}

int frame_get_header(const uint8_t in[FRAME_HEADER], struct frame *ret_frame, struct error *err)
{
	struct frame frame = { .length = get_u32(in),
			       .channel = get_u32(in + 4),
			       .type = in[8],
			       .flags = in[9],
			       .id = get_u32(in + 12) };
	uint32_t limit = frame.type == FRAME_DATA ? FRAME_DATA_MAX : FRAME_CONTROL_MAX;

	if (frame.type < FRAME_HELLO || frame.type > FRAME_PONG)
		return error_say(err, EBADMSG, "frame of unknown type %u", frame.type);
	if ((frame.flags & ~FRAME_ACK) != 0 || in[10] != 0 || in[11] != 0)
		return error_say(err, EBADMSG, "frame %s with unknown flags",
				 frame_type_name(frame.type));
	if (frame.length == 0 || frame.length > limit)
		return error_say(err, EBADMSG, "frame %s of %u bytes, the limit is %u",
				 frame_type_name(frame.type), frame.length, limit);
	*ret_frame = frame;
	return 0;
}

int frame_next(const struct buf *buf, struct frame *ret_frame, struct error *err)
{
	int r;

	if (buf_len(buf) < FRAME_HEADER)
		return 0;
	r = frame_get_header(buf_at(buf), ret_frame, err);
	if (r < 0)
		return r;
	if (buf_len(buf) - FRAME_HEADER < ret_frame->length)
		return 0;
	ret_frame->payload = buf_at(buf) + FRAME_HEADER;
	return 1;
}

int frame_put_window(struct buf *out, uint64_t received, uint64_t limit)
{
	uint8_t payload[19] = { 0x92 };

	put_number(put_number(payload + 1, received), limit);
	return buf_append(out, payload, sizeof(payload));
}

int frame_put_end(struct buf *out, uint64_t offset)
{
	uint8_t payload[10] = { 0x91 };

	put_number(payload + 1, offset);
	return buf_append(out, payload, sizeof(payload));
}

int frame_put_nil(struct buf *out)
{
	return buf_append(out, &(uint8_t){ 0xc0 }, 1);
}

size_t frame_put_data_head(uint8_t out[FRAME_DATA_HEAD], uint64_t offset, size_t n)
{
	uint8_t *p = out;

	*p++ = 0x92;
	p = put_number(p, offset);
	*p++ = 0xc6; /* bin 32 */
	put_u32(p, (uint32_t)n);
	return (size_t)(p + 4 - out);
}

int frame_get_data(const struct frame *frame, uint64_t *ret_offset, const uint8_t **ret_bytes,
		   size_t *ret_n)
{
	const uint8_t *p = frame->payload;
	size_t left = frame->length, used;
	uint64_t n;

	if (left < 1 || *p != 0x92)
		return -EBADMSG;
	used = get_number(p + 1, left - 1, ret_offset);
	if (used == 0)
		return -EBADMSG;
	p += 1 + used;
	left -= 1 + used;
	if (left >= 2 && p[0] == 0xc4) {
		n = p[1];
		used = 2;
	} else if (left >= 3 && p[0] == 0xc5) {
		n = (uint64_t)p[1] << 8 | p[2];
		used = 3;
	} else if (left >= 5 && p[0] == 0xc6) {
		n = get_u32(p + 1);
		used = 5;
	} else {
		return -EBADMSG;
	}
	if (n != left - used)
		return -EBADMSG;
	*ret_bytes = p + used;
	*ret_n = (size_t)n;
	return 0;
}

int frame_get_window(const struct frame *frame, uint64_t *ret_received, uint64_t *ret_limit)
{
	const uint8_t *p = frame->payload;
	size_t left = frame->length, a, b;

	if (left < 1 || *p != 0x92)
		return -EBADMSG;
	a = get_number(p + 1, left - 1, ret_received);
	b = a == 0 ? 0 : get_number(p + 1 + a, left - 1 - a, ret_limit);
	return b != 0 && 1 + a + b == left ? 0 : -EBADMSG;
}

int frame_get_end(const struct frame *frame, uint64_t *ret_offset)
{
	size_t used;

	if (frame->length < 1 || frame->payload[0] != 0x91)
		return -EBADMSG;
	used = get_number(frame->payload + 1, frame->length - 1, ret_offset);
	return used != 0 && 1 + used == frame->length ? 0 : -EBADMSG;
}

void frame_new_nonce(uint8_t ret_nonce[FRAME_NONCE])
{
	memcpy(ret_nonce, magic, sizeof(magic));
	/* 16 bytes are given at once or the kernel has no entropy yet, and then waits. */
	while (getrandom(ret_nonce + sizeof(magic), FRAME_NONCE - sizeof(magic), 0) !=
	       FRAME_NONCE - (ssize_t)sizeof(magic))
		continue;
}

int frame_put_hello(struct buf *out, const uint8_t nonce[FRAME_NONCE],
		    const struct msg_hello *hello, struct error *err)
{
	size_t before = buf_len(out);
	int r;

	if (buf_reserve(out, HELLO_HEAD + FRAME_NONCE) == NULL)
		return error_set(err, ENOMEM, "encode HELLO");
	buf_append(out, hello_head, HELLO_HEAD);
	buf_append(out, nonce, FRAME_NONCE);
	r = wire_encode(MSG_HELLO, hello, out, err);
	if (r < 0)
		out->end = out->start + before;
	return r;
}

int frame_get_hello(const struct frame *frame, uint8_t ret_nonce[FRAME_NONCE],
		    struct msg_hello **ret_hello, struct error *err)
{
	const size_t head = HELLO_HEAD + FRAME_NONCE;
	void *body;
	int r;

	if (frame->type != FRAME_HELLO || frame->length <= head ||
	    memcmp(frame->payload, hello_head, HELLO_HEAD) != 0 ||
	    memcmp(frame->payload + HELLO_HEAD, magic, sizeof(magic)) != 0)
		return error_say(err, EBADMSG, "%s came where HELLO was due",
				 frame_type_name(frame->type));
	r = wire_decode_as(MSG_HELLO, frame->payload + head, frame->length - head, &body, err);
	if (r < 0)
		return r;
	if (((struct msg_hello *)body)->version != PROTOCOL_VERSION) {
		r = error_say(err, EPROTONOSUPPORT, "the peer speaks protocol version %u, not %u",
			      ((struct msg_hello *)body)->version, PROTOCOL_VERSION);
		wire_free(MSG_HELLO, body);
		return r;
	}
	memcpy(ret_nonce, frame->payload + HELLO_HEAD, FRAME_NONCE);
	*ret_hello = body;
	return 0;
}

/* Whether a HELLO can begin at p, as far as its left bytes tell. */
static bool may_be_hello(const uint8_t *p, size_t left, bool ack, const uint8_t *nonce)
{
	const uint8_t fixed[12] = { 0, 0, 0, 0, FRAME_HELLO, ack ? FRAME_ACK : 0 };
	uint8_t want[HELLO_HEAD + FRAME_NONCE];
	size_t known = nonce != NULL ? sizeof(want) : HELLO_HEAD + sizeof(magic);

	memcpy(want, hello_head, HELLO_HEAD);
	if (nonce != NULL)
		memcpy(want + HELLO_HEAD, nonce, FRAME_NONCE);
	else
		memcpy(want + HELLO_HEAD, magic, sizeof(magic));
	if (left >= 4 && get_u32(p) > HELLO_MAX)
		return false;
	if (left > 4 && memcmp(p + 4, fixed, left - 4 < 12 ? left - 4 : 12) != 0)
		return false;
	if (left > FRAME_HEADER)
		return memcmp(p + FRAME_HEADER, want,
			      left - FRAME_HEADER < known ? left - FRAME_HEADER : known) == 0;
	return true;
}

int frame_find_hello(struct buf *buf, bool ack, const uint8_t *nonce)
{
	const size_t known =
		FRAME_HEADER + HELLO_HEAD + (nonce != NULL ? (size_t)FRAME_NONCE : sizeof(magic));
	size_t skip = 0, left = buf_len(buf);

	while (skip < left && !may_be_hello(buf_at(buf) + skip, left - skip, ack, nonce))
		skip++;
	if (skip > 0)
		buf_consume(buf, skip);
	return left - skip >= known ? 1 : 0;
}

void frame_set_key(uint8_t nonce[FRAME_NONCE], const uint8_t key[FRAME_KEY])
{
	memcpy(nonce + sizeof(magic), key, FRAME_KEY);
}

void frame_get_key(const uint8_t nonce[FRAME_NONCE], uint8_t ret_key[FRAME_KEY])
{
	memcpy(ret_key, nonce + sizeof(magic), FRAME_KEY);
}

bool frame_begins_hello(const uint8_t *bytes, size_t n, const uint8_t key[FRAME_KEY])
{
	const size_t before_key = FRAME_HEADER + HELLO_HEAD + sizeof(magic);

	return n >= before_key + FRAME_KEY && may_be_hello(bytes, n, false, NULL) &&
	       memcmp(bytes + before_key, key, FRAME_KEY) == 0;
}
