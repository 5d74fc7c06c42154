/* Growable bytes: see buf.h. */
#include "common/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

uint8_t *buf_reserve(struct buf *buf, size_t n)
{
	size_t len = buf_len(buf), size = buf->size;
	uint8_t *data;

	if (buf->data != NULL && buf->size - buf->end >= n)
		return buf->data + buf->end;
	if (n > SIZE_MAX / 2 - len)
		return NULL;
	if (buf->data != NULL && size >= len + n) {
		memmove(buf->data, buf->data + buf->start, len);
	} else {
		size = size < 256 ? 256 : size;
		while (size < len + n)
			size *= 2;
		data = malloc(size);
		if (data == NULL)
			return NULL;
		if (len > 0)
			memcpy(data, buf->data + buf->start, len);
		free(buf->data);
		buf->data = data;
		buf->size = size;
	}
	buf->start = 0;
	buf->end = len;
	return buf->data + len;
}

int buf_append(struct buf *buf, const void *data, size_t n)
{
	uint8_t *to = buf_reserve(buf, n);

	if (to == NULL)
		return -ENOMEM;
	if (n > 0)
		memcpy(to, data, n);
	buf->end += n;
	return 0;
}

void buf_consume(struct buf *buf, size_t n)
{
	buf->start += n;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}
