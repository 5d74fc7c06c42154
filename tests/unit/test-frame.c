/*
 * common/frame.c: headers, the payloads that are no messages, and HELLO among the stale bytes of an
 * earlier connection.
 */
#include "common/frame.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* --- headers ---------------------------------------------------------------------------------- */

Test(frame, header)
{
	struct frame frame = { .length = 0x00010203,
			       .channel = 0xfffefdfc,
			       .type = FRAME_EVENT,
			       .flags = FRAME_ACK,
			       .id = 0x80000001 };
	static const uint8_t want[FRAME_HEADER] = {
		0x00, 0x01, 0x02, 0x03, 0xff, 0xfe, 0xfd, 0xfc,
		0x06, 0x01, 0x00, 0x00, 0x80, 0x00, 0x00, 0x01
	};
	uint8_t bytes[FRAME_HEADER];
	struct frame got;

	memset(bytes, 0xaa, sizeof(bytes));
	frame_put_header(bytes, &frame);
	cr_assert(memcmp(bytes, want, sizeof(want)) == 0);
	cr_assert(frame_get_header(bytes, &got, NULL) == 0);
	cr_assert(got.length == frame.length && got.channel == frame.channel);
	cr_assert(got.type == frame.type && got.flags == frame.flags && got.id == frame.id);
}

Test(frame, header_limits)
{
	for (unsigned type = 0; type < 256; type++) {
		bool known = type >= FRAME_HELLO && type <= FRAME_PONG;
		uint32_t max = type == FRAME_DATA ? FRAME_DATA_MAX : FRAME_CONTROL_MAX;
		const uint32_t lengths[] = { 0, 1, max, max + 1, UINT32_MAX };

		cr_assert(str_eq(frame_type_name((uint8_t)type), "UNKNOWN") == !known);
		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
			struct frame frame = { .length = lengths[i], .type = (uint8_t)type }, got;
			uint8_t bytes[FRAME_HEADER];
			struct error err = { 0 };
			bool fine = known && lengths[i] >= 1 && lengths[i] <= max;

			frame_put_header(bytes, &frame);
			cr_assert(frame_get_header(bytes, &got, &err) == (fine ? 0 : -EBADMSG),
				  "type %u, length %u", type, lengths[i]);
			cr_assert(fine || (err.num == EBADMSG && err.text[0] != '\0'));
		}
	}
}

/* Each bit that means nothing yet is refused, so that it can mean something later. */
Test(frame, header_spare_bits)
{
	struct frame frame = { .length = 1, .type = FRAME_PING }, got;
	uint8_t bytes[FRAME_HEADER];

	for (unsigned bit = 0; bit < 24; bit++) {
		struct error err = { 0 };

		frame_put_header(bytes, &frame);
		bytes[9 + bit / 8] ^= (uint8_t)(1U << bit % 8);
		cr_assert(frame_get_header(bytes, &got, &err) == (bit == 0 ? 0 : -EBADMSG));
		cr_assert(bit == 0 || strstr(err.text, "PING") != NULL);
	}
}

/* Frames out of a stream, whatever the pieces it comes in. */
Test(frame, next)
{
	CLEANUP(buf_fini) struct buf all = { 0 };
	static const uint32_t lengths[] = { 1, 2, 16, 17, 300 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct frame frame = { .length = lengths[i], .type = FRAME_REQUEST, .id = 7 };
		uint8_t *to = buf_reserve(&all, FRAME_HEADER + lengths[i]);

		cr_assert(to != NULL);
		frame_put_header(to, &frame);
		memset(to + FRAME_HEADER, (int)('a' + i), lengths[i]);
		buf_commit(&all, FRAME_HEADER + lengths[i]);
	}
	for (size_t piece = 1; piece < 40; piece++) {
		CLEANUP(buf_fini) struct buf buf = { 0 };
		size_t seen = 0;

		for (size_t at = 0; at < buf_len(&all); at += piece) {
			size_t n = buf_len(&all) - at < piece ? buf_len(&all) - at : piece;
			struct frame frame;

			cr_assert(buf_append(&buf, buf_at(&all) + at, n) == 0);
			while (frame_next(&buf, &frame, NULL) == 1) {
				cr_assert(frame.length == lengths[seen] && frame.id == 7);
				cr_assert(frame.payload[0] == 'a' + seen);
				cr_assert(frame.payload[frame.length - 1] == 'a' + seen);
				buf_consume(&buf, FRAME_HEADER + frame.length);
				seen++;
			}
		}
		cr_assert(seen == ARRAY_SIZE(lengths) && buf_len(&buf) == 0);
	}
}

/* A bad header is told before its payload comes. */
Test(frame, next_refuses)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	struct frame frame = { .length = FRAME_CONTROL_MAX + 1, .type = FRAME_OPEN }, got;
	struct error err = { 0 };
	uint8_t bytes[FRAME_HEADER];

	cr_assert(frame_next(&buf, &got, &err) == 0);
	frame_put_header(bytes, &frame);
	cr_assert(buf_append(&buf, bytes, FRAME_HEADER - 1) == 0);
	cr_assert(frame_next(&buf, &got, &err) == 0);
	cr_assert(buf_append(&buf, bytes + FRAME_HEADER - 1, 1) == 0);
	cr_assert(frame_next(&buf, &got, &err) == -EBADMSG);
	cr_assert_str_eq(err.text, "frame OPEN of 1048577 bytes, the limit is 1048576");
}

/* --- DATA, WINDOW, END ------------------------------------------------------------------------ */

static const uint64_t numbers[] = {
	0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, 1ULL << 32, UINT64_MAX - 1, UINT64_MAX
};

/* A number in each width that holds it: 0 is the short form; 0 when it does not fit. */
static size_t put_width(uint8_t *to, unsigned width, uint64_t value)
{
	static const uint8_t tags[] = { 0, 0xcc, 0xcd, 0xce, 0xcf };
	size_t n = width == 0 ? 0 : (size_t)1 << (width - 1);

	if (width == 0)
		to[0] = (uint8_t)value;
	else
		to[0] = tags[width];
	for (size_t i = 0; i < n; i++)
		to[1 + i] = (uint8_t)(value >> 8 * (n - 1 - i));
	return width == 0 ? (value < 128 ? 1 : 0) : n == 8 || value >> 8 * n == 0 ? 1 + n : 0;
}

static struct frame payload_frame(uint8_t type, const void *payload, size_t len)
{
	return (struct frame){ .length = (uint32_t)len, .type = type, .payload = payload };
}

Test(frame, window_and_end)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		uint64_t other = numbers[ARRAY_SIZE(numbers) - 1 - i], a = 5, b = 5;
		struct frame frame;

		cr_assert(frame_put_window(&out, numbers[i], other) == 0);
		cr_assert(wire_check(buf_at(&out), buf_len(&out)) == 0);
		frame = payload_frame(FRAME_WINDOW, buf_at(&out), buf_len(&out));
		cr_assert(frame_get_window(&frame, &a, &b) == 0 && a == numbers[i] && b == other);
		cr_assert(frame_get_end(&frame, &a) == -EBADMSG);
		buf_consume(&out, buf_len(&out));

		cr_assert(frame_put_end(&out, numbers[i]) == 0);
		cr_assert(wire_check(buf_at(&out), buf_len(&out)) == 0);
		frame = payload_frame(FRAME_END, buf_at(&out), buf_len(&out));
		cr_assert(frame_get_end(&frame, &a) == 0 && a == numbers[i]);
		cr_assert(frame_get_window(&frame, &a, &b) == -EBADMSG);
	}
}

Test(frame, nil)
{
	CLEANUP(buf_fini) struct buf out = { 0 };

	cr_assert(frame_put_nil(&out) == 0);
	cr_assert(buf_len(&out) == 1 && *buf_at(&out) == 0xc0);
}

/* All widths of all numbers; each cut and each byte too many is refused. */
Test(frame, number_widths)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (unsigned width = 0; width < 5; width++) {
			uint8_t end[16] = { 0x91 }, window[32] = { 0x92, 0x01 };
			size_t n = put_width(end + 1, width, numbers[i]);
			uint64_t a, b;

			if (n == 0)
				continue;
			put_width(window + 2, width, numbers[i]);
			for (size_t len = 0; len <= n + 2; len++) {
				uint8_t *copy = malloc(len + 1);
				struct frame frame = payload_frame(FRAME_END, copy, len);
				int want = len == n + 1 ? 0 : -EBADMSG;

				cr_assert(copy != NULL);
				memcpy(copy, end, len);
				cr_assert(frame_get_end(&frame, &a) == want);
				cr_assert(want < 0 || a == numbers[i]);
				frame.length++;
				memcpy(copy, window, len + 1);
				cr_assert(frame_get_window(&frame, &a, &b) == want);
				cr_assert(want < 0 || (a == 1 && b == numbers[i]));
				free(copy);
			}
		}
	}
}

Test(frame, numbers_refused)
{
	static const struct {
		const uint8_t *bytes;
		size_t len;
	} ends[] = {
		{ BYTES("\x91\xc0") },     { BYTES("\x91\xff") },         { BYTES("\x91\xd0\x01") },
		{ BYTES("\x91\xa1x") },    { BYTES("\x91\xca\0\0\0\0") }, { BYTES("\x92\x01") },
		{ BYTES("\x01") },         { BYTES("\xdc\x00\x01\x01") }, { BYTES("\x81\x01\x01") },
		{ BYTES("\x91\x91\x01") }, { BYTES("\x92\x01\x02") },     { BYTES("\x90") },
	};
	uint64_t a, b;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct frame frame = payload_frame(FRAME_END, ends[i].bytes, ends[i].len);

		cr_assert(frame_get_end(&frame, &a) == -EBADMSG, "case %zu", i);
		if (i != 10) /* which is a WINDOW */
			cr_assert(frame_get_window(&frame, &a, &b) == -EBADMSG, "case %zu", i);
	}
}

Test(frame, data_head)
{
	static const size_t sizes[] = { 0, 1, 255, 256, FRAME_DATA_SENT };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			uint8_t *payload = calloc(1, FRAME_DATA_HEAD + sizes[k]);
			size_t head = frame_put_data_head(payload, numbers[i], sizes[k]), n = 9;
			struct frame frame = payload_frame(FRAME_DATA, payload, head + sizes[k]);
			const uint8_t *bytes = NULL;
			uint64_t offset = 1;

			cr_assert(head <= FRAME_DATA_HEAD && frame.length <= FRAME_DATA_MAX);
			cr_assert(wire_check(payload, frame.length) == 0);
			cr_assert(frame_get_data(&frame, &offset, &bytes, &n) == 0);
			cr_assert(offset == numbers[i] && n == sizes[k] && bytes == payload + head);
			frame.length--;
			cr_assert(frame_get_data(&frame, &offset, &bytes, &n) == -EBADMSG);
			free(payload);
		}
	}
}

Test(frame, data_forms)
{
	static const struct {
		const uint8_t *bytes;
		size_t len;
		int r;
		size_t n;
	} forms[] = {
		{ BYTES("\x92\x05\xc4\x03xyz"), 0, 3 },
		{ BYTES("\x92\x05\xc5\x00\x03xyz"), 0, 3 },
		{ BYTES("\x92\x05\xc6\x00\x00\x00\x03xyz"), 0, 3 },
		{ BYTES("\x92\xcc\x05\xc4\x00"), 0, 0 },
		{ BYTES("\x92\x05\xc4\x02xyz"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xc4\x04xyz"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xc6\xff\xff\xff\xffxyz"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xa3xyz"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xd9\x03xyz"), -EBADMSG, 0 },
		{ BYTES("\x92\x05"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xc4"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xc5\x00"), -EBADMSG, 0 },
		{ BYTES("\x92\x05\xc6\x00\x00\x00"), -EBADMSG, 0 },
		{ BYTES("\x92"), -EBADMSG, 0 },
		{ BYTES("\x93\x05\xc4\x03xyz"), -EBADMSG, 0 },
		{ BYTES("\xc0"), -EBADMSG, 0 },
		{ BYTES(""), -EBADMSG, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		uint8_t *copy = malloc(forms[i].len + 1);
		struct frame frame = payload_frame(FRAME_DATA, copy, forms[i].len);
		const uint8_t *bytes;
		uint64_t offset;
		size_t n;

		memcpy(copy, forms[i].bytes, forms[i].len);
		cr_assert(frame_get_data(&frame, &offset, &bytes, &n) == forms[i].r, "case %zu", i);
		if (forms[i].r == 0)
			cr_assert(offset == 5 && n == forms[i].n && memcmp(bytes, "xyz", n) == 0);
		free(copy);
	}
}

/* --- HELLO ------------------------------------------------------------------------------------ */

/* Appends the whole frame of a HELLO. */
static void put_hello(struct buf *out, const uint8_t *nonce, bool ack)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct msg_hello hello = { .version = PROTOCOL_VERSION,
				   .component = (char[]){ "agent" },
				   .release = (char[]){ "0.1" } };
	struct frame frame = { .type = FRAME_HELLO, .flags = ack ? FRAME_ACK : 0 };
	uint8_t header[FRAME_HEADER];

	cr_assert(frame_put_hello(&payload, nonce, &hello, NULL) == 0);
	frame.length = (uint32_t)buf_len(&payload);
	frame_put_header(header, &frame);
	cr_assert(buf_append(out, header, sizeof(header)) == 0);
	cr_assert(buf_append(out, buf_at(&payload), buf_len(&payload)) == 0);
}

Test(frame, nonce)
{
	uint8_t a[FRAME_NONCE], b[FRAME_NONCE];

	frame_new_nonce(a);
	frame_new_nonce(b);
	cr_assert(memcmp(a, b, 8) == 0);
	cr_assert(memcmp(a + 8, b + 8, 16) != 0);
}

Test(frame, hello)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	uint8_t nonce[FRAME_NONCE], got[FRAME_NONCE];
	struct msg_hello *hello;
	struct frame frame;
	struct error err = { 0 };

	frame_new_nonce(nonce);
	put_hello(&out, nonce, false);
	cr_assert(frame_next(&out, &frame, &err) == 1);
	cr_assert(wire_check(frame.payload, frame.length) == 0); /* one value */
	cr_assert(frame_get_hello(&frame, got, &hello, &err) == 0, "%s", err.text);
	cr_assert(memcmp(got, nonce, FRAME_NONCE) == 0);
	cr_assert_str_eq(hello->component, "agent");
	wire_free(MSG_HELLO, hello);
	for (uint32_t len = frame.length - 1; len > 0; len--) {
		frame.length = len;
		cr_assert(frame_get_hello(&frame, got, &hello, &err) == -EBADMSG);
	}
}

Test(frame, hello_refused)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct msg_hello bad = { .version = 2, .component = (char[]){ "x" }, .release = NULL };
	uint8_t nonce[FRAME_NONCE], got[FRAME_NONCE];
	struct msg_hello *hello;
	struct error err = { 0 };
	struct frame frame;

	frame_new_nonce(nonce);
	cr_assert(frame_put_hello(&out, nonce, &bad, &err) == 0);
	frame = payload_frame(FRAME_HELLO, buf_at(&out), buf_len(&out));
	cr_assert(frame_get_hello(&frame, got, &hello, &err) == -EPROTONOSUPPORT);
	cr_assert_str_eq(err.text, "the peer speaks protocol version 2, not 1");
	buf_at(&out)[3] ^= 1; /* the magic */
	cr_assert(frame_get_hello(&frame, got, &hello, &err) == -EBADMSG);
	frame.type = FRAME_OPEN;
	cr_assert(frame_get_hello(&frame, got, &hello, &err) == -EBADMSG);
	cr_assert_str_eq(err.text, "OPEN came where HELLO was due");
	bad.component = (char[]){ "a name of 17 byte" };
	buf_consume(&out, buf_len(&out));
	cr_assert(frame_put_hello(&out, nonce, &bad, &err) == -EMSGSIZE);
	cr_assert(buf_len(&out) == 0);
}

/* The largest HELLO the table allows is found, too. */
Test(frame, hello_of_all_features)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	char name[65], *items[65] = { 0 };
	struct msg_hello hello = { .version = UINT32_MAX, .features = { items, 64 } };
	struct frame frame = { .type = FRAME_HELLO };
	uint8_t nonce[FRAME_NONCE];

	memset(name, 'f', 64);
	name[64] = '\0';
	for (size_t i = 0; i < 64; i++)
		items[i] = name;
	hello.component = name + 48;
	hello.release = name;
	frame_new_nonce(nonce);
	buf_commit(&out, buf_reserve(&out, FRAME_HEADER) != NULL ? FRAME_HEADER : 0);
	cr_assert(frame_put_hello(&out, nonce, &hello, NULL) == 0);
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	cr_assert(frame_find_hello(&out, false, NULL) == 1);
}

/* Stale bytes of every kind that might lie before a HELLO. */
static const struct {
	const uint8_t *bytes;
	size_t len;
} stale[] = {
	{ BYTES("") },
	{ BYTES("x") },
	{ BYTES("\0") },
	{ BYTES("\0\0\0") },
	{ BYTES("\0\0\0\0") },
	{ BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
	{ BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") },
	{ BYTES("\0\0\0\x40\0\0\0\0\x01\x00\0\0\0\0\0\0") }, /* a header without more */
	{ BYTES("\0\0\0\x40\0\0\0\0\x01\x01\0\0\0\0\0\0\x92\xc4\x18KATA") }, /* cut in the magic */
	{ BYTES("\0\0\0\x40\0\0\0\0\x01") },
	{ BYTES("KATA\xc1\r\n\x1a") },
	{ BYTES("\0\0\0\x05\0\0\0\x01\x07\0\0\0\0\0\0\x01\x92\x00\xc4\x01x") }, /* a DATA frame */
};

static void find(const uint8_t *nonce, bool ack, size_t kind, size_t piece)
{
	CLEANUP(buf_fini) struct buf all = { 0 }, buf = { 0 };
	uint8_t other[FRAME_NONCE], got[FRAME_NONCE];
	struct msg_hello *hello;
	struct frame frame;
	int found = 0;

	frame_new_nonce(other);
	cr_assert(buf_append(&all, stale[kind].bytes, stale[kind].len) == 0);
	if (nonce != NULL)
		put_hello(&all, other, ack); /* an answer to somebody else */
	put_hello(&all, nonce != NULL ? nonce : other, !ack);
	cr_assert(buf_append(&all, stale[kind].bytes, stale[kind].len) == 0);
	put_hello(&all, nonce != NULL ? nonce : other, ack);
	for (size_t at = 0; at < buf_len(&all); at += piece) {
		size_t n = buf_len(&all) - at < piece ? buf_len(&all) - at : piece;

		cr_assert(buf_append(&buf, buf_at(&all) + at, n) == 0);
		found = found || frame_find_hello(&buf, ack, nonce) == 1;
	}
	cr_assert(found, "stale %zu, pieces of %zu", kind, piece);
	cr_assert(frame_next(&buf, &frame, NULL) == 1);
	cr_assert((frame.flags == FRAME_ACK) == ack);
	cr_assert(frame_get_hello(&frame, got, &hello, NULL) == 0);
	cr_assert(memcmp(got, nonce != NULL ? nonce : other, FRAME_NONCE) == 0);
	wire_free(MSG_HELLO, hello);
	cr_assert(buf_len(&buf) == FRAME_HEADER + frame.length);
}

Test(frame, find_hello)
{
	uint8_t nonce[FRAME_NONCE];

	frame_new_nonce(nonce);
	for (size_t kind = 0; kind < ARRAY_SIZE(stale); kind++) {
		for (size_t piece = 1; piece < 200; piece = piece < 70 ? piece + 1 : piece * 2) {
			find(nonce, true, kind, piece);
			find(nonce, false, kind, piece);
			find(NULL, true, kind, piece);
			find(NULL, false, kind, piece);
		}
	}
}

/* A container may write whole HELLOs to its streams: without the nonce they are stale bytes. */
Test(frame, find_hello_in_payload)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	uint8_t nonce[FRAME_NONCE], forged[FRAME_NONCE];

	frame_new_nonce(nonce);
	for (int i = 0; i < 50; i++) {
		frame_new_nonce(forged);
		memcpy(forged + 8, nonce + 8, (size_t)i % 16); /* some of it guessed, never all */
		forged[FRAME_NONCE - 1] = nonce[FRAME_NONCE - 1] ^ 1;
		put_hello(&buf, forged, true);
	}
	cr_assert(frame_find_hello(&buf, true, nonce) == 0);
	cr_assert(buf_len(&buf) < 64, "%zu bytes of rubbish are kept", buf_len(&buf));
	put_hello(&buf, nonce, true);
	cr_assert(frame_find_hello(&buf, true, nonce) == 1);
}

/* Rubbish without end is not gathered. */
Test(frame, find_hello_drops)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	unsigned seed = 5;

	cr_assert(frame_find_hello(&buf, false, NULL) == 0);
	for (int round = 0; round < 2000; round++) {
		uint8_t bytes[256];

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = round % 2 != 0 ? 0 : (uint8_t)rand_r(&seed);
		cr_assert(buf_append(&buf, bytes, sizeof(bytes)) == 0);
		cr_assert(frame_find_hello(&buf, false, NULL) == 0);
		cr_assert(buf_len(&buf) < FRAME_HEADER + 3 + 8);
	}
}

Test(frame, key_of_a_hello)
{
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = (char *)"proxy",
					 .release = (char *)"1" };
	const uint8_t key[FRAME_KEY] = "12345678", other[FRAME_KEY] = "12345679";
	struct frame frame = { .type = FRAME_HELLO };
	uint8_t nonce[FRAME_NONCE], second[FRAME_NONCE], got[FRAME_KEY];
	struct buf out = { 0 };

	frame_new_nonce(nonce);
	frame_new_nonce(second);
	frame_set_key(nonce, key);
	frame_set_key(second, key);
	cr_expect_neq(memcmp(nonce, second, FRAME_NONCE), 0, "the rest is fresh");
	frame_get_key(nonce, got);
	cr_expect_eq(memcmp(got, key, FRAME_KEY), 0);
	buf_reserve(&out, FRAME_HEADER);
	buf_commit(&out, FRAME_HEADER);
	cr_assert_eq(frame_put_hello(&out, nonce, &hello, NULL), 0);
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	cr_expect(frame_begins_hello(buf_at(&out), buf_len(&out), key));
	cr_expect(!frame_begins_hello(buf_at(&out), buf_len(&out), other));
	cr_expect(!frame_begins_hello(buf_at(&out) + 1, buf_len(&out) - 1, key));
	for (size_t n = 0; n < FRAME_HEADER + 3 + 16; n++)
		cr_expect(!frame_begins_hello(buf_at(&out), n, key), "%zu bytes", n);
	buf_at(&out)[9] = FRAME_ACK;
	cr_expect(!frame_begins_hello(buf_at(&out), buf_len(&out), key), "an answer");
	buf_fini(&out);
}
