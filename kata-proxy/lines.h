/*
 * Bytes that nobody vouches for (the guest's console, a program's stderr) as lines for a log: cut,
 * limited in number, the last ones kept. Pure state: no I/O, the clock is the caller's.
 */
#ifndef KATA_PROXY_LINES_H
#define KATA_PROXY_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LINES_MAX = 1000,  /* bytes of a line; the rest of it is dropped and "..." said */
	LINES_KEPT = 50,   /* the last lines that are remembered */
	LINES_BURST = 200, /* lines at once */
	LINES_PER_S = 50,  /* and in the long run */
	LINES_TEXT = LINES_MAX + 3,
};

struct lines;

struct lines_ops {
	/*
	 * A line that is within the rate, without its end, possibly with any byte but newline;
	 * borrowed. dropped: how many lines before it were not given because of the rate.
	 */
	void (*line)(struct lines *lines, const char *text, size_t len, unsigned dropped);
};

struct lines_kept {
	uint16_t len;
	char text[LINES_TEXT];
};

struct lines {
	const struct lines_ops *ops;
	void *owner;
	char partial[LINES_TEXT];
	size_t used;
	bool cut; /* the line under construction is over its length */
	unsigned dropped;
	int64_t tokens_ms; /* milliseconds of allowance saved up */
	int64_t filled_ms; /* when that was last counted */
	struct lines_kept kept[LINES_KEPT];
	unsigned n_kept, next_kept;
	uint64_t count; /* of all lines that came */
};

void lines_init(struct lines *lines, const struct lines_ops *ops, void *owner, int64_t now_ms);

/* More bytes; now_ms never goes back. Blank lines are skipped, a carriage return at the end too. */
void lines_feed(struct lines *lines, const void *data, size_t n, int64_t now_ms);

/* No more bytes will come: gives what is there as a line. */
void lines_end(struct lines *lines, int64_t now_ms);

/*
 * The i-th last line kept, 0 the newest, of those given and those dropped: NULL when there are not
 * so many. Borrowed until the next line.
 */
const char *lines_last(const struct lines *lines, unsigned i, size_t *ret_len);

/* The newest line kept that holds the word; NULL when none does. */
const char *lines_find(const struct lines *lines, const char *word, size_t *ret_len);

/*
 * The text of a line as part of an error for people: escaped, and without the phrases that managers
 * of containers search for (error_reason in common/error.h). ret has size bytes, 8 at least.
 */
void lines_for_error(char *ret, size_t size, const char *text, size_t len);

#endif
