/* common/relay.h: records, whole, in parts and broken. */
#include "common/relay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static void put(struct buf *buf, uint32_t number, enum relay_kind kind, const char *message)
{
	const struct relay_record record = { .number = number,
					     .kind = kind,
					     .len = (uint16_t)strlen(message) };
	uint8_t header[RELAY_HEADER];

	relay_put_header(header, &record);
	cr_assert(buf_append(buf, header, sizeof(header)) == 0);
	cr_assert(buf_append(buf, message, strlen(message)) == 0);
}

Test(relay, there_and_back)
{
	CLEANUP(buf_fini) struct buf whole = { 0 };
	CLEANUP(buf_fini) struct buf part = { 0 };
	struct relay_record record;
	int records = 0;

	put(&whole, 0xfedcba98, RELAY_UDP, "question");
	put(&whole, 7, RELAY_TCP, "");
	cr_expect(relay_next(&part, &record) == 0);
	/* A byte at a time: each record shows with its last one. */
	for (size_t i = 0; i < buf_len(&whole); i++) {
		cr_assert(buf_append(&part, buf_at(&whole) + i, 1) == 0);
		if (relay_next(&part, &record) != 1)
			continue;
		cr_expect(record.number == (records == 0 ? 0xfedcba98 : 7));
		cr_expect(record.kind == (records == 0 ? RELAY_UDP : RELAY_TCP));
		cr_expect(record.len == (records == 0 ? 8 : 0));
		cr_expect(records != 0 || memcmp(record.message, "question", 8) == 0);
		relay_took(&part, &record);
		records++;
	}
	cr_expect(records == 2 && buf_len(&part) == 0);
}

Test(relay, broken)
{
	for (int at = 4; at < 6; at++)
		for (int value = 0; value < 256; value++) {
			CLEANUP(buf_fini) struct buf buf = { 0 };
			struct relay_record record;
			bool good = at == 4 ? value == RELAY_UDP || value == RELAY_TCP : value == 0;

			put(&buf, 1, RELAY_UDP, "x");
			buf_at(&buf)[at] = (uint8_t)value;
			cr_expect(relay_next(&buf, &record) == (good ? 1 : -EBADMSG));
		}
}
