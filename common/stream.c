/*
 * The halves of a session's byte stream: see stream.h. Used by session.c in the shim and in the
 * agent, on numbers from a peer that is not trusted: each is checked before it is used, and
 * nothing here grows beyond one window.
 */
#include "common/stream.h"

#include <errno.h>

enum { KEPT_IDLE = 4096 }; /* a larger empty buffer is given back */

void stream_out_init(struct stream_out *out)
{
	*out = (struct stream_out){ .limit = STREAM_WINDOW };
}

void stream_out_fini(struct stream_out *out)
{
	buf_fini(&out->kept);
}

size_t stream_out_room(const struct stream_out *out)
{
	return out->ended ? 0 : STREAM_WINDOW - buf_len(&out->kept);
}

uint64_t stream_out_total(const struct stream_out *out)
{
	return out->acked + buf_len(&out->kept);
}

int stream_out_write(struct stream_out *out, const void *data, size_t n)
{
	if (out->ended)
		return -EPIPE;
	if (n > stream_out_room(out))
		return -ENOBUFS;
	return n > 0 ? buf_append(&out->kept, data, n) : 0;
}

void stream_out_end(struct stream_out *out)
{
	out->ended = true;
}

size_t stream_out_next(const struct stream_out *out, size_t max, uint64_t *ret_offset,
		       const uint8_t **ret_data)
{
	uint64_t total = stream_out_total(out);
	uint64_t to = total < out->limit ? total : out->limit;
	size_t n;

	if (to <= out->sent)
		return 0;
	n = to - out->sent < max ? (size_t)(to - out->sent) : max;
	*ret_offset = out->sent;
	*ret_data = buf_at(&out->kept) + (out->sent - out->acked);
	return n;
}

void stream_out_sent(struct stream_out *out, size_t n)
{
	out->sent += n;
}

bool stream_out_end_due(const struct stream_out *out)
{
	return out->ended && !out->end_sent && out->sent == stream_out_total(out);
}

/* Forgets what the peer has. received lies between acked and sent. */
static void forget(struct stream_out *out, uint64_t received)
{
	size_t n = (size_t)(received - out->acked);

	if (n > 0)
		buf_consume(&out->kept, n);
	out->acked = received;
	if (buf_len(&out->kept) == 0 && out->kept.size > KEPT_IDLE)
		buf_fini(&out->kept);
}

int stream_out_window(struct stream_out *out, uint64_t received, uint64_t limit)
{
	if (received < out->acked || received > out->sent)
		return -EBADMSG;
	if (limit < out->limit || limit < received)
		return -EBADMSG;
	forget(out, received);
	out->limit = limit;
	return 0;
}

int stream_out_resume(struct stream_out *out, uint64_t received)
{
	if (received < out->acked || received > out->sent)
		return -EBADMSG;
	forget(out, received);
	out->sent = received;
	out->end_sent = false;
	return 0;
}

void stream_in_init(struct stream_in *in)
{
	*in = (struct stream_in){ .told_limit = STREAM_WINDOW, .end = UINT64_MAX };
}

int stream_in_data(struct stream_in *in, uint64_t offset, size_t n, size_t *ret_skip)
{
	uint64_t to = offset + n;

	if (to < offset || offset > in->received || to > in->end)
		return -EBADMSG;
	if (to > in->told_limit)
		return -EMSGSIZE;
	if (to <= in->received) {
		*ret_skip = n;
		return 0;
	}
	*ret_skip = (size_t)(in->received - offset);
	in->received = to;
	return 0;
}

int stream_in_end(struct stream_in *in, uint64_t offset)
{
	if (in->end != UINT64_MAX)
		return offset == in->end ? 0 : -EBADMSG;
	if (offset < in->received || offset > in->told_limit)
		return -EBADMSG;
	in->end = offset;
	return 0;
}

void stream_in_consumed(struct stream_in *in, size_t n)
{
	uint64_t open = in->received - in->consumed;

	in->consumed += n < open ? n : open;
}

bool stream_in_window_due(const struct stream_in *in)
{
	uint64_t limit = in->consumed + STREAM_WINDOW;

	if (limit - in->told_limit >= STREAM_WINDOW / 2)
		return true;
	return in->consumed == in->received && in->received != in->told_received;
}

void stream_in_window(struct stream_in *in, uint64_t *ret_received, uint64_t *ret_limit)
{
	in->told_received = in->received;
	in->told_limit = in->consumed + STREAM_WINDOW;
	*ret_received = in->told_received;
	*ret_limit = in->told_limit;
}
