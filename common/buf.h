/* Growable bytes with a read position: what a stream has brought and not yet been used. */
#ifndef KATA_BUF_H
#define KATA_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t start; /* first unread byte */
	size_t end;   /* behind the last byte */
	size_t size;  /* allocated */
};

void buf_fini(struct buf *buf);

static inline size_t buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

/* The first unread byte; NULL while nothing was ever in it, to which C adds no offset. */
static inline uint8_t *buf_at(const struct buf *buf)
{
	return (uint8_t *)((uintptr_t)buf->data + buf->start);
}

/* Room for n more bytes behind the last one: its address, or NULL when memory is out. */
uint8_t *buf_reserve(struct buf *buf, size_t n);

/* Says that n bytes were written to what buf_reserve() gave. */
static inline void buf_commit(struct buf *buf, size_t n)
{
	buf->end += n;
}

/* Copies n bytes behind the last one: 0 or -ENOMEM. */
int buf_append(struct buf *buf, const void *data, size_t n);

/* Drops the first n unread bytes; n is at most buf_len(). */
void buf_consume(struct buf *buf, size_t n);

#endif
