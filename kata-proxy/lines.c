/*
 * Splitting, limiting and keeping lines: see lines.h. Used by the worker for every source of text
 * that is not trusted; the state is a member of its owner and has a fixed size.
 */
#include "kata-proxy/lines.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "common/str.h"

enum { LINE_COST_MS = 1000 / LINES_PER_S, TOKENS_MAX_MS = LINES_BURST * LINE_COST_MS };

void lines_init(struct lines *lines, const struct lines_ops *ops, void *owner, int64_t now_ms)
{
	lines->ops = ops;
	lines->owner = owner;
	lines->used = 0;
	lines->cut = false;
	lines->dropped = 0;
	lines->tokens_ms = TOKENS_MAX_MS;
	lines->filled_ms = now_ms;
	lines->n_kept = 0;
	lines->next_kept = 0;
	lines->count = 0;
}

static void keep(struct lines *lines, const char *text, size_t len)
{
	struct lines_kept *kept = &lines->kept[lines->next_kept];

	memcpy(kept->text, text, len);
	kept->len = (uint16_t)len;
	lines->count++;
	lines->next_kept = (lines->next_kept + 1) % LINES_KEPT;
	if (lines->n_kept < LINES_KEPT)
		lines->n_kept++;
}

/* Takes the allowance for one line. */
static bool allowed(struct lines *lines, int64_t now_ms)
{
	if (now_ms > lines->filled_ms) {
		lines->tokens_ms += now_ms - lines->filled_ms;
		if (lines->tokens_ms > TOKENS_MAX_MS)
			lines->tokens_ms = TOKENS_MAX_MS;
		lines->filled_ms = now_ms;
	}
	if (lines->tokens_ms < LINE_COST_MS)
		return false;
	lines->tokens_ms -= LINE_COST_MS;
	return true;
}

/* The line under construction is complete. */
static void finish(struct lines *lines, int64_t now_ms)
{
	size_t len = lines->used;
	unsigned dropped = lines->dropped;

	if (!lines->cut && len > 0 && lines->partial[len - 1] == '\r')
		len--;
	if (lines->cut) {
		memcpy(lines->partial + len, "...", 3);
		len += 3;
	}
	lines->used = 0;
	lines->cut = false;
	if (len == 0)
		return;
	keep(lines, lines->partial, len);
	if (!allowed(lines, now_ms)) {
		lines->dropped++;
		return;
	}
	lines->dropped = 0;
	lines->ops->line(lines, lines->partial, len, dropped);
}

static void add(struct lines *lines, const char *data, size_t n)
{
	size_t room = LINES_MAX - lines->used;

	if (n > room) {
		n = room;
		lines->cut = true;
	}
	memcpy(lines->partial + lines->used, data, n);
	lines->used += n;
}

void lines_feed(struct lines *lines, const void *data, size_t n, int64_t now_ms)
{
	const char *p = data, *end = p + n;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		add(lines, p, (size_t)((newline != NULL ? newline : end) - p));
		if (newline == NULL)
			return;
		finish(lines, now_ms);
		p = newline + 1;
	}
}

void lines_end(struct lines *lines, int64_t now_ms)
{
	finish(lines, now_ms);
}

const char *lines_last(const struct lines *lines, unsigned i, size_t *ret_len)
{
	const struct lines_kept *kept;

	if (i >= lines->n_kept)
		return NULL;
	kept = &lines->kept[(lines->next_kept + LINES_KEPT - 1 - i) % LINES_KEPT];
	*ret_len = kept->len;
	return kept->text;
}

const char *lines_find(const struct lines *lines, const char *word, size_t *ret_len)
{
	const char *text;

	for (unsigned i = 0; (text = lines_last(lines, i, ret_len)) != NULL; i++)
		if (memmem(text, *ret_len, word, strlen(word)) != NULL)
			return text;
	return NULL;
}

/* Replaces each occurrence of a phrase, in any case, by other words; cuts at size. */
static void replace(char *text, size_t size, const char *phrase, const char *other)
{
	size_t old_len = strlen(phrase), new_len = strlen(other);
	char *at = text;

	while ((at = strcasestr(at, phrase)) != NULL) {
		size_t tail = strlen(at + old_len) + 1;
		size_t room = size - (size_t)(at - text);

		if (new_len >= room) {
			*at = '\0';
			return;
		}
		if (tail > room - new_len)
			tail = room - new_len;
		memmove(at + new_len, at + old_len, tail);
		text[size - 1] = '\0';
		memcpy(at, other, new_len);
		at += new_len;
	}
}

void lines_for_error(char *ret, size_t size, const char *text, size_t len)
{
	static const int searched[] = { ENOENT, EACCES, EPERM, ENOTDIR, ESRCH };

	str_escape(ret, size, text, len);
	for (size_t i = 0; i < sizeof(searched) / sizeof(searched[0]); i++)
		replace(ret, size, strerror(searched[i]), error_reason(searched[i]));
	replace(ret, size, "does not exist", "is missing");
	/* A cut may have parted a character. */
	for (len = strlen(ret); len > 0 && !str_is_utf8(ret, len); len--)
		ret[len - 1] = '\0';
}
