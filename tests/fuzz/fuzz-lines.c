/* Any bytes in any pieces as log lines, and the last of them as an error's text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "kata-proxy/lines.h"

static void on_line(struct lines *lines, const char *text, size_t len, unsigned dropped)
{
	(void)lines;
	(void)dropped;
	if (len == 0 || len > LINES_TEXT || memchr(text, '\n', len) != NULL)
		abort();
}

static const struct lines_ops ops = { .line = on_line };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lines lines;
	char text[200];
	int64_t now = 0;
	const char *last;
	size_t len;

	lines_init(&lines, &ops, NULL, now);
	/* Each piece: its length, how much time has passed, its bytes. */
	while (size >= 2) {
		size_t n = data[0] < size - 2 ? data[0] : size - 2;

		now += data[1];
		lines_feed(&lines, data + 2, n, now);
		data += 2 + n;
		size -= 2 + n;
	}
	lines_end(&lines, now);
	for (unsigned i = 0; (last = lines_last(&lines, i, &len)) != NULL; i++) {
		size_t room = 8 + i;

		lines_for_error(text, room, last, len);
		if (strlen(text) >= room || !str_is_utf8(text, strlen(text)))
			abort();
	}
	return 0;
}
