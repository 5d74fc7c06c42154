/* common/stream.c: offsets, windows, END; what a peer may not say. */
#include "common/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const uint8_t zeros[STREAM_WINDOW + 1];

/* Sends all that may be sent, at most max bytes at a time: how many bytes. */
static size_t send_all(struct stream_out *out, size_t max)
{
	const uint8_t *data;
	uint64_t offset;
	size_t n, total = 0;

	while ((n = stream_out_next(out, max, &offset, &data)) > 0) {
		cr_assert_leq(n, max);
		stream_out_sent(out, n);
		total += n;
	}
	return total;
}

Test(stream_out, keeps_one_window)
{
	struct stream_out out;

	stream_out_init(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_room(&out), STREAM_WINDOW);
	cr_assert_eq(stream_out_write(&out, zeros, STREAM_WINDOW + 1), -ENOBUFS);
	cr_assert_eq(stream_out_write(&out, zeros, STREAM_WINDOW), 0);
	cr_assert_eq(stream_out_write(&out, zeros, 1), -ENOBUFS);
	cr_assert_eq(stream_out_room(&out), 0);
	cr_assert_eq(send_all(&out, 1000), STREAM_WINDOW);
	cr_assert_eq(stream_out_window(&out, 1, STREAM_WINDOW), 0);
	cr_assert_eq(stream_out_room(&out), 1);
	cr_assert_eq(stream_out_write(&out, zeros, 1), 0);
	cr_assert_eq(send_all(&out, 1000), 0, "beyond the limit");
	cr_assert_eq(stream_out_window(&out, 1, STREAM_WINDOW + 1), 0);
	cr_assert_eq(send_all(&out, 1000), 1);
	cr_assert_eq(out.total, STREAM_WINDOW + 1);
	stream_out_fini(&out);
}

Test(stream_out, a_small_limit_holds_back)
{
	struct stream_out out;

	stream_out_init(&out, STREAM_WINDOW);
	out.limit = 10;
	cr_assert_eq(stream_out_write(&out, zeros, 100), 0);
	stream_out_end(&out);
	cr_assert_eq(send_all(&out, 4), 10);
	cr_assert_not(stream_out_end_due(&out));
	cr_assert_eq(stream_out_window(&out, 10, 100), 0);
	cr_assert_eq(send_all(&out, 50), 90);
	cr_assert(stream_out_end_due(&out));
	stream_out_fini(&out);
}

Test(stream_out, gives_memory_back_behind_the_bulk)
{
	struct stream_out out;

	stream_out_init(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_write(&out, zeros, STREAM_WINDOW), 0);
	send_all(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_window(&out, STREAM_WINDOW, 2 * STREAM_WINDOW), 0);
	cr_assert_geq(out.size, STREAM_WINDOW, "more may come");
	cr_assert_eq(stream_out_write(&out, zeros, 5), 0);
	cr_assert_eq(send_all(&out, 100), 5);
	cr_assert_eq(stream_out_window(&out, STREAM_WINDOW + 5, 3 * STREAM_WINDOW), 0);
	cr_assert_eq(out.size, 0, "it did not");
	cr_assert_null(out.ring);
	cr_assert_eq(stream_out_write(&out, zeros, STREAM_WINDOW), 0);
	stream_out_end(&out);
	send_all(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_window(&out, out.total, 3 * STREAM_WINDOW), 0);
	cr_assert_null(out.ring, "nothing will come");
	stream_out_fini(&out);
}

/* The byte at an offset of the stream. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16);
}

/* Puts up to n bytes into the places that the stream offers: how many. */
static size_t fill(struct stream_out *out, size_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t part = n - done;
		uint8_t *to = stream_out_reserve(out, &part);

		if (to == NULL)
			break;
		cr_assert_gt(part, 0);
		for (size_t i = 0; i < part; i++)
			to[i] = byte_at(out->total + i);
		stream_out_commit(out, part);
		done += part;
	}
	return done;
}

Test(stream_out, the_ring_keeps_the_order)
{
	struct stream_out out;
	uint64_t checked = 0;

	stream_out_init(&out, STREAM_WINDOW);
	cr_assert_eq(fill(&out, 5), 5);
	cr_assert_leq(out.size, 4096, "a large ring for a few bytes");
	for (size_t step = 1; checked < 4 * STREAM_WINDOW; step = step * 5 % 49999) {
		const uint8_t *data;
		uint64_t offset;
		size_t n;

		fill(&out, step);
		cr_assert_leq(stream_out_kept(&out), STREAM_WINDOW);
		while ((n = stream_out_next(&out, step, &offset, &data)) > 0) {
			cr_assert_eq(offset, checked);
			for (size_t i = 0; i < n; i++)
				cr_assert_eq(data[i], byte_at(offset + i), "byte %zu", i);
			stream_out_sent(&out, n);
			checked += n;
		}
		/* A third stays unacknowledged: it is kept when the ring grows and wraps. */
		cr_assert_eq(
			stream_out_window(&out, out.sent - stream_out_kept(&out) / 3, UINT64_MAX),
			0);
	}
	fill(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_kept(&out), STREAM_WINDOW, "no more than a window");
	stream_out_fini(&out);
}

Test(stream_out, end)
{
	struct stream_out out;

	stream_out_init(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_write(&out, "abc", 3), 0);
	cr_assert_not(stream_out_end_due(&out));
	stream_out_end(&out);
	cr_assert_eq(stream_out_room(&out), 0);
	cr_assert_eq(stream_out_write(&out, "d", 1), -EPIPE);
	cr_assert_not(stream_out_end_due(&out), "bytes first");
	send_all(&out, 10);
	cr_assert(stream_out_end_due(&out));
	out.end_sent = true;
	cr_assert_not(stream_out_end_due(&out));
	cr_assert_eq(stream_out_resume(&out, 3), 0);
	cr_assert(stream_out_end_due(&out), "again on a new link");
	stream_out_fini(&out);
}

Test(stream_out, resume_sends_the_rest_again)
{
	struct stream_out out;
	const uint8_t *data;
	uint64_t offset;

	stream_out_init(&out, STREAM_WINDOW);
	cr_assert_eq(stream_out_write(&out, "abcdefgh", 8), 0);
	cr_assert_eq(send_all(&out, 3), 8);
	cr_assert_eq(stream_out_resume(&out, 5), 0);
	cr_assert_eq(stream_out_next(&out, 2, &offset, &data), 2);
	cr_assert_eq(offset, 5);
	cr_assert_eq(memcmp(data, "fg", 2), 0);
	cr_assert_eq(stream_out_resume(&out, 4), -EBADMSG, "goes back");
	cr_assert_eq(stream_out_resume(&out, 6), -EBADMSG, "not sent on this link");
	stream_out_fini(&out);
}

Test(stream_out, refuses)
{
	/* 100 bytes written and sent, 40 acknowledged with limit W + 40. */
	static const struct {
		uint64_t received, limit;
		int result;
	} cases[] = {
		{ 40, STREAM_WINDOW + 40, 0 },
		{ 100, STREAM_WINDOW + 40, 0 },
		{ 100, UINT64_MAX, 0 },
		{ 39, STREAM_WINDOW + 40, -EBADMSG },
		{ 0, STREAM_WINDOW + 40, -EBADMSG },
		{ 101, STREAM_WINDOW + 101, -EBADMSG },
		{ UINT64_MAX, UINT64_MAX, -EBADMSG },
		{ 50, STREAM_WINDOW + 39, -EBADMSG },
		{ 50, 0, -EBADMSG },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_out out;

		stream_out_init(&out, STREAM_WINDOW);
		cr_assert_eq(stream_out_write(&out, zeros, 100), 0);
		send_all(&out, 100);
		cr_assert_eq(stream_out_window(&out, 40, STREAM_WINDOW + 40), 0);
		cr_expect_eq(stream_out_window(&out, cases[i].received, cases[i].limit),
			     cases[i].result, "case %zu", i);
		if (cases[i].result < 0)
			cr_expect_eq(out.acked, 40, "case %zu", i);
		stream_out_fini(&out);
	}
}

Test(stream_in, takes_each_byte_once)
{
	/* 100 bytes have come, the window is told as it was at first. */
	static const struct {
		uint64_t offset;
		size_t n;
		int result;
		size_t skip;
		uint64_t received;
	} cases[] = {
		{ 100, 50, 0, 0, 150 },
		{ 0, 100, 0, 100, 100 },
		{ 20, 30, 0, 30, 100 },
		{ 20, 100, 0, 80, 120 },
		{ 100, 0, 0, 0, 100 },
		{ 101, 1, -EBADMSG, 0, 100 },
		{ UINT64_MAX, 2, -EBADMSG, 0, 100 },
		{ UINT64_MAX - 1, 1, -EBADMSG, 0, 100 },
		{ 100, STREAM_WINDOW - 100, 0, 0, STREAM_WINDOW },
		{ 100, STREAM_WINDOW - 99, -EMSGSIZE, 0, 100 },
		{ 0, STREAM_WINDOW + 1, -EMSGSIZE, 0, 100 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream_in in;
		size_t skip = 0;

		stream_in_init(&in, STREAM_WINDOW);
		cr_assert_eq(stream_in_data(&in, 0, 100, &skip), 0);
		cr_expect_eq(stream_in_data(&in, cases[i].offset, cases[i].n, &skip),
			     cases[i].result, "case %zu", i);
		if (cases[i].result == 0)
			cr_expect_eq(skip, cases[i].skip, "case %zu", i);
		cr_expect_eq(in.received, cases[i].received, "case %zu", i);
	}
}

Test(stream_in, consuming_alone_does_not_open_the_window)
{
	struct stream_in in;
	uint64_t received, limit;
	size_t skip;

	stream_in_init(&in, STREAM_WINDOW);
	cr_assert_eq(stream_in_data(&in, 0, STREAM_WINDOW, &skip), 0);
	stream_in_consumed(&in, 1000);
	cr_assert_eq(stream_in_data(&in, STREAM_WINDOW, 1, &skip), -EMSGSIZE);
	stream_in_window(&in, &received, &limit);
	cr_assert_eq(received, STREAM_WINDOW);
	cr_assert_eq(limit, STREAM_WINDOW + 1000);
	cr_assert_eq(stream_in_data(&in, STREAM_WINDOW, 1000, &skip), 0);
	cr_assert_eq(stream_in_data(&in, STREAM_WINDOW + 1000, 1, &skip), -EMSGSIZE);
}

Test(stream_in, never_consumes_what_did_not_come)
{
	struct stream_in in;
	uint64_t received, limit;
	size_t skip;

	stream_in_init(&in, STREAM_WINDOW);
	cr_assert_eq(stream_in_data(&in, 0, 10, &skip), 0);
	stream_in_consumed(&in, SIZE_MAX);
	stream_in_window(&in, &received, &limit);
	cr_assert_eq(limit, STREAM_WINDOW + 10);
}

Test(stream_in, window_due)
{
	struct stream_in in;
	uint64_t received, limit;
	size_t skip;

	stream_in_init(&in, STREAM_WINDOW);
	cr_assert_not(stream_in_window_due(&in));
	cr_assert_eq(stream_in_data(&in, 0, STREAM_WINDOW, &skip), 0);
	cr_assert_not(stream_in_window_due(&in), "the reader has done nothing");
	stream_in_consumed(&in, STREAM_WINDOW / 2 - 1);
	cr_assert_not(stream_in_window_due(&in));
	stream_in_consumed(&in, 1);
	cr_assert(stream_in_window_due(&in));
	stream_in_window(&in, &received, &limit);
	cr_assert_not(stream_in_window_due(&in));
	cr_assert_eq(stream_in_data(&in, STREAM_WINDOW, 1, &skip), 0);
	stream_in_consumed(&in, STREAM_WINDOW / 2);
	cr_assert(stream_in_window_due(&in));
	stream_in_consumed(&in, 1);
	cr_assert(stream_in_window_due(&in), "all is consumed");
	stream_in_window(&in, &received, &limit);
	cr_assert_eq(received, STREAM_WINDOW + 1);
	cr_assert_eq(limit, 2 * STREAM_WINDOW + 1);
	cr_assert_not(stream_in_window_due(&in));
}

Test(stream_in, end)
{
	struct stream_in in;
	size_t skip;

	stream_in_init(&in, STREAM_WINDOW);
	cr_assert_eq(stream_in_data(&in, 0, 10, &skip), 0);
	cr_assert_eq(stream_in_end(&in, 9), -EBADMSG, "before what came");
	cr_assert_eq(stream_in_end(&in, UINT64_MAX), -EBADMSG);
	cr_assert_eq(stream_in_end(&in, STREAM_WINDOW + 1), -EBADMSG, "beyond the limit");
	cr_assert_eq(stream_in_end(&in, 12), 0);
	cr_assert_not(stream_in_ended(&in));
	cr_assert_eq(stream_in_end(&in, 12), 0, "repeated");
	cr_assert_eq(stream_in_end(&in, 13), -EBADMSG, "another one");
	cr_assert_eq(stream_in_data(&in, 10, 3, &skip), -EBADMSG, "behind the end");
	cr_assert_eq(stream_in_data(&in, 10, 2, &skip), 0);
	cr_assert(stream_in_ended(&in));
	cr_assert_eq(stream_in_data(&in, 12, 1, &skip), -EBADMSG);
	cr_assert_eq(stream_in_data(&in, 0, 12, &skip), 0, "old bytes");
	cr_assert_eq(skip, 12);
}
