/*
 * The shape check of wire.h: whether a frame can be given to msgpack-c. Every value that is
 * announced must fit in the bytes that follow, so nothing is allocated for bytes that never come.
 */
#include <errno.h>

#include "common/wire.h"

enum { DEPTH_MAX = 8 };

struct cursor {
	const uint8_t *at;
	size_t left;
};

static int take(struct cursor *c, size_t n, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (c->left < n)
		return -EBADMSG;
	for (; n > 0; n--, c->at++, c->left--)
		value = value << 8 | *c->at;
	*ret_value = value;
	return 0;
}

static int skip(struct cursor *c, uint64_t n)
{
	if (c->left < n)
		return -EBADMSG;
	c->at += n;
	c->left -= (size_t)n;
	return 0;
}

static int skip_counted(struct cursor *c, size_t width)
{
	uint64_t n;

	return take(c, width, &n) < 0 ? -EBADMSG : skip(c, n);
}

/* The part behind a tag that is no short form: 0 with *ret_items to follow, or -EBADMSG. */
static int long_form(struct cursor *c, uint64_t tag, uint64_t *ret_items)
{
	int r;

	switch (tag) {
	case 0xcc: /* uint 8, int 8 */
	case 0xd0:
		return skip(c, 1);
	case 0xcd: /* 16 */
	case 0xd1:
		return skip(c, 2);
	case 0xce: /* 32 */
	case 0xd2:
		return skip(c, 4);
	case 0xcf: /* 64 */
	case 0xd3:
		return skip(c, 8);
	case 0xc4: /* bin 8, str 8 */
	case 0xd9:
		return skip_counted(c, 1);
	case 0xc5: /* 16 */
	case 0xda:
		return skip_counted(c, 2);
	case 0xc6: /* 32 */
	case 0xdb:
		return skip_counted(c, 4);
	case 0xdc: /* array 16, 32 */
		return take(c, 2, ret_items);
	case 0xdd:
		return take(c, 4, ret_items);
	case 0xde: /* map 16, 32 */
	case 0xdf:
		r = take(c, tag == 0xde ? 2 : 4, ret_items);
		*ret_items *= 2;
		return r;
	default: /* floats, ext: not in our protocol */
		return -EBADMSG;
	}
}

static int value(struct cursor *c, unsigned depth)
{
	uint64_t tag, items = 0;

	if (depth == 0 || take(c, 1, &tag) < 0)
		return -EBADMSG;
	if (tag <= 0x7f || tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
		return 0; /* small numbers, nil, booleans */
	if (tag <= 0x8f)
		items = 2 * (tag & 0x0f);
	else if (tag <= 0x9f)
		items = tag & 0x0f;
	else if (tag <= 0xbf)
		return skip(c, tag & 0x1f);
	else if (long_form(c, tag, &items) < 0)
		return -EBADMSG;
	if (items > c->left) /* each takes a byte at least */
		return -EBADMSG;
	for (; items > 0; items--)
		if (value(c, depth - 1) < 0)
			return -EBADMSG;
	return 0;
}

int wire_check(const void *data, size_t len)
{
	struct cursor c = { data, len };

	return value(&c, DEPTH_MAX) < 0 || c.left != 0 ? -EBADMSG : 0;
}
