/* common/wire-check.c: what may be given to msgpack-c; by cases, and against msgpack-c itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/wire.h"

#define BYTES(literal) literal, sizeof(literal) - 1

/* Checks a copy that ends where malloc's memory does. */
static int check(const void *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int r;

	cr_assert(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	r = wire_check(copy, len);
	free(copy);
	cr_assert(r == 0 || r == -EBADMSG);
	return r;
}

static const struct {
	const char *bytes;
	size_t len;
	bool fine;
} cases[] = {
	{ BYTES("\x00"), true },
	{ BYTES("\x7f"), true },
	{ BYTES("\xe0"), true },
	{ BYTES("\xff"), true },
	{ BYTES("\xc0"), true },
	{ BYTES("\xc2"), true },
	{ BYTES("\xc3"), true },
	{ BYTES("\xcc\x01"), true },
	{ BYTES("\xcd\x01\x02"), true },
	{ BYTES("\xce\x01\x02\x03\x04"), true },
	{ BYTES("\xcf\x01\x02\x03\x04\x05\x06\x07\x08"), true },
	{ BYTES("\xd0\x01"), true },
	{ BYTES("\xd1\x01\x02"), true },
	{ BYTES("\xd2\x01\x02\x03\x04"), true },
	{ BYTES("\xd3\x01\x02\x03\x04\x05\x06\x07\x08"), true },
	{ BYTES("\xa0"), true },
	{ BYTES("\xa3xyz"), true },
	{ BYTES("\xd9\x03xyz"), true },
	{ BYTES("\xda\x00\x03xyz"), true },
	{ BYTES("\xdb\x00\x00\x00\x03xyz"), true },
	{ BYTES("\xc4\x03xyz"), true },
	{ BYTES("\xc5\x00\x03xyz"), true },
	{ BYTES("\xc6\x00\x00\x00\x03xyz"), true },
	{ BYTES("\x90"), true },
	{ BYTES("\x92\x01\xa1x"), true },
	{ BYTES("\xdc\x00\x02\x01\x02"), true },
	{ BYTES("\xdd\x00\x00\x00\x02\x01\x02"), true },
	{ BYTES("\x80"), true },
	{ BYTES("\x81\x01\x02"), true },
	{ BYTES("\xde\x00\x01\x01\x02"), true },
	{ BYTES("\xdf\x00\x00\x00\x01\x01\x02"), true },

	{ BYTES(""), false },
	{ BYTES("\xc1"), false },         /* never used */
	{ BYTES("\xca\0\0\0\0"), false }, /* floats */
	{ BYTES("\xcb\0\0\0\0\0\0\0\0"), false },
	{ BYTES("\x91\xca\0\0\0\0"), false },
	{ BYTES("\xd4\x01\x02"), false }, /* ext */
	{ BYTES("\xd5\x01\x02\x03"), false },
	{ BYTES("\xd6\x01\0\0\0\0"), false },
	{ BYTES("\xd7\x01\0\0\0\0\0\0\0\0"), false },
	{ BYTES("\xd8\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), false },
	{ BYTES("\xc7\x01\x02\x03"), false },
	{ BYTES("\xc8\x00\x01\x02\x03"), false },
	{ BYTES("\xc9\x00\x00\x00\x01\x02\x03"), false },
	{ BYTES("\x01\x01"), false }, /* two values */
	{ BYTES("\xc0\xc0"), false },
	{ BYTES("\x90\x90"), false },
	{ BYTES("\x91"), false }, /* announced and not there */
	{ BYTES("\x92\x01"), false },
	{ BYTES("\x81\x01"), false },
	{ BYTES("\xa3xy"), false },
	{ BYTES("\xd9"), false },
	{ BYTES("\xda\x00"), false },
	{ BYTES("\xdb\x00\x00\x00"), false },
	{ BYTES("\xc6\xff\xff\xff\xff"), false },
	{ BYTES("\xdb\xff\xff\xff\xffxyz"), false },
	{ BYTES("\xdd\x00\xff\xff\xff"), false }, /* asks msgpack-c for 384 MiB */
	{ BYTES("\xdd\xff\xff\xff\xff"), false },
	{ BYTES("\xdf\x00\xff\xff\xff"), false },
	{ BYTES("\xdf\xff\xff\xff\xff"), false },
	{ BYTES("\xdf\x80\x00\x00\x00"), false }, /* twice that is 0 in 32 bits */
	{ BYTES("\xdf\x80\x00\x00\x01\x01\x02"), false },
	{ BYTES("\xde\xff\xff"), false },
	{ BYTES("\x91\xdd\x00\xff\xff\xff"), false },
	{ BYTES("\xdd\x00\x00\x00\x03\x01\x02"), false },
};

Test(wire_check, cases)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert(check(cases[i].bytes, cases[i].len) == (cases[i].fine ? 0 : -EBADMSG),
			  "case %zu", i);
		for (size_t len = 0; cases[i].fine && len < cases[i].len; len++)
			cr_assert(check(cases[i].bytes, len) < 0, "case %zu cut at %zu", i, len);
	}
}

Test(wire_check, depth)
{
	static const uint8_t opens[] = { 0x91, 0x81 };
	uint8_t bytes[64];

	for (size_t kind = 0; kind < 2; kind++) {
		for (size_t depth = 1; depth < 12; depth++) {
			size_t len = 0;

			for (size_t i = 1; i < depth; i++) {
				bytes[len++] = opens[kind];
				if (kind == 1)
					bytes[len++] = 0x01; /* the key */
			}
			bytes[len++] = 0xc0;
			cr_assert(check(bytes, len) == (depth <= 8 ? 0 : -EBADMSG), "depth %zu",
				  depth);
			bytes[len - 1] = 0x90; /* an empty list counts as deep as a number */
			cr_assert(check(bytes, len) == (depth <= 8 ? 0 : -EBADMSG));
		}
	}
	/* A key may be deep, too. */
	memcpy(bytes, "\x81\x81\x81\x81\x81\x81\x81\x81\xc0", 9);
	memset(bytes + 9, 0xc0, 8);
	cr_assert(check(bytes, 17) < 0);
}

/* As many openings as a frame holds: refused at once, and no stack is used up. */
Test(wire_check, bombs)
{
	static const struct {
		const char *unit;
		size_t len;
	} units[] = { { BYTES("\x91") },
		      { BYTES("\x81") },
		      { BYTES("\x9f") },
		      { BYTES("\xdc\xff\xff") },
		      { BYTES("\xdd\x00\x0f\xff\xff") },
		      { BYTES("\xdf\x00\x07\xff\xff") },
		      { BYTES("\xde\xff\xff") } };
	uint8_t *bytes = malloc(WIRE_MAX);

	cr_assert(bytes != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		for (size_t at = 0; at < WIRE_MAX; at++)
			bytes[at] = (uint8_t)units[i].unit[at % units[i].len];
		cr_assert(wire_check(bytes, WIRE_MAX) == -EBADMSG, "unit %zu", i);
	}
	/* The most that is let through: empty lists in one list. */
	memcpy(bytes, "\xdd\x00\x0f\xff\xfb", 5);
	memset(bytes + 5, 0x90, WIRE_MAX - 5);
	cr_assert(wire_check(bytes, WIRE_MAX) == 0);
	cr_assert(wire_check(bytes, WIRE_MAX - 1) < 0);
	free(bytes);
}

/* Whatever passes, msgpack-c takes whole. */
static void compare(const uint8_t *bytes, size_t len)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;

	if (check(bytes, len) < 0)
		return;
	msgpack_unpacked_init(&unpacked);
	cr_assert(msgpack_unpack_next(&unpacked, (const char *)bytes, len, &offset) ==
		  MSGPACK_UNPACK_SUCCESS);
	cr_assert(offset == len);
	msgpack_unpacked_destroy(&unpacked);
}

Test(wire_check, all_short_ones)
{
	uint8_t bytes[3];

	for (unsigned n = 0; n < 1U << 24; n += n < 1U << 16 ? 1 : 251) {
		bytes[0] = (uint8_t)n;
		bytes[1] = (uint8_t)(n >> 8);
		bytes[2] = (uint8_t)(n >> 16);
		compare(bytes, 1);
		compare(bytes, 2);
		compare(bytes, 3);
	}
}

Test(wire_check, random_ones)
{
	/* Tags that go on, so that random bytes come somewhere. */
	static const uint8_t tags[] = { 0x91, 0x92, 0x93, 0x81, 0x82, 0xc0, 0xc4, 0xd9, 0xdc,
					0xde, 0xdd, 0xdf, 0xcc, 0xa1, 0x01, 0x00, 0x02, 0xcf };
	unsigned seed = 3;
	size_t fine = 0;

	for (int round = 0; round < 300000; round++) {
		uint8_t bytes[24];
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = rand_r(&seed) % 8 != 0
					   ? tags[(size_t)rand_r(&seed) % sizeof(tags)]
					   : (uint8_t)rand_r(&seed);
		compare(bytes, len);
		fine += wire_check(bytes, len) == 0;
	}
	cr_assert(fine > 1000, "only %zu passed", fine);
}
