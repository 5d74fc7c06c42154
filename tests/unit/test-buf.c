/* common/buf.c: bytes come out as they went in, whatever the order of growing and using. */
#include "common/buf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* malloc returns NULL for what no memory has, with AddressSanitizer too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

Test(buf, begins_empty)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };

	cr_assert(buf_len(&buf) == 0);
	buf_consume(&buf, 0);
	cr_assert(buf_len(&buf) == 0);
	cr_assert(buf_append(&buf, NULL, 0) == 0);
	cr_assert(buf_len(&buf) == 0);
	cr_assert(buf_reserve(&buf, 0) != NULL);
}

Test(buf, fini_twice)
{
	struct buf buf = { 0 };

	cr_assert(buf_append(&buf, "abc", 3) == 0);
	buf_fini(&buf);
	cr_assert(buf_len(&buf) == 0 && buf.data == NULL && buf.size == 0);
	buf_fini(&buf);
	cr_assert(buf_append(&buf, "x", 1) == 0 && *buf_at(&buf) == 'x');
	buf_fini(&buf);
}

Test(buf, append_and_consume)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };

	cr_assert(buf_append(&buf, "hello ", 6) == 0);
	cr_assert(buf_append(&buf, "world", 5) == 0);
	cr_assert(buf_len(&buf) == 11 && memcmp(buf_at(&buf), "hello world", 11) == 0);
	buf_consume(&buf, 6);
	cr_assert(buf_len(&buf) == 5 && memcmp(buf_at(&buf), "world", 5) == 0);
	buf_consume(&buf, 5);
	cr_assert(buf_len(&buf) == 0 && buf.start == 0); /* all room is there again */
}

/* reserve gives all that it says; what is not committed is not there. */
Test(buf, reserve)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };

	for (size_t n = 1; n < 100000; n = n * 3 + 1) {
		uint8_t *to = buf_reserve(&buf, n);
		size_t before = buf_len(&buf);

		cr_assert(to != NULL);
		memset(to, 'x', n);
		cr_assert(buf_len(&buf) == before);
		buf_commit(&buf, n / 2);
		cr_assert(buf_len(&buf) == before + n / 2);
	}
}

/* Sizes that no memory has, also such that sums overflow: refused, and nothing is lost. */
Test(buf, reserve_refuses)
{
	static const size_t sizes[] = { SIZE_MAX,         SIZE_MAX - 1,     SIZE_MAX / 2 + 1,
					SIZE_MAX / 2,     SIZE_MAX / 2 - 5, SIZE_MAX / 2 - 4,
					SIZE_MAX - 65536, (size_t)1 << 62 };
	CLEANUP(buf_fini) struct buf buf = { 0 };

	cr_assert(buf_append(&buf, "hello", 5) == 0);
	buf_consume(&buf, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cr_assert(buf_reserve(&buf, sizes[i]) == NULL, "%zu", sizes[i]);
		cr_assert(buf_append(&buf, NULL, sizes[i]) == -ENOMEM);
		cr_assert(buf_len(&buf) == 4 && memcmp(buf_at(&buf), "ello", 4) == 0);
	}
}

/* A long stream through a short queue: the room is used again, not grown. */
Test(buf, does_not_grow_without_need)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };

	for (int i = 0; i < 100000; i++) {
		cr_assert(buf_append(&buf, "0123456789", 10) == 0);
		if (buf_len(&buf) > 100)
			buf_consume(&buf, 37);
	}
	cr_assert(buf.size <= 512, "%zu", buf.size);
}

/* Random appends and consumes against counted bytes. */
Test(buf, random)
{
	CLEANUP(buf_fini) struct buf buf = { 0 };
	uint64_t in = 0, out = 0;
	unsigned seed = 7;
	uint8_t bytes[700];

	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(bytes);

		if (rand_r(&seed) % 2 == 0) {
			for (size_t i = 0; i < n; i++)
				bytes[i] = (uint8_t)((in + i) * 7 % 251);
			cr_assert(buf_append(&buf, bytes, n) == 0);
			in += n;
		} else {
			n = n < buf_len(&buf) ? n : buf_len(&buf);
			for (size_t i = 0; i < n; i++)
				cr_assert(buf_at(&buf)[i] == (out + i) * 7 % 251);
			buf_consume(&buf, n);
			out += n;
		}
		cr_assert(buf_len(&buf) == in - out);
	}
}
