/*
 * The halves of a session's byte stream: see stream.h. Used by session.c in the shim and in the
 * agent, on numbers from a peer that is not trusted: each is checked before it is used, and
 * nothing here grows beyond one window.
 */
#include "common/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADROOM = FRAME_HEADER + FRAME_DATA_HEAD,
	RING_SMALL = 4096, /* for a stream that never has more underway */
};

void stream_out_init(struct stream_out *out, size_t window)
{
	*out = (struct stream_out){ .limit = window, .window = window };
}

void stream_out_fini(struct stream_out *out)
{
	if (out->ring != NULL)
		free(out->ring - HEADROOM);
	out->ring = NULL;
	out->size = 0;
}

size_t stream_out_kept(const struct stream_out *out)
{
	return (size_t)(out->total - out->acked);
}

size_t stream_out_room(const struct stream_out *out)
{
	return out->ended ? 0 : out->window - stream_out_kept(out);
}

/* Where the byte at an offset lies; of n bytes *n are in one piece. */
static uint8_t *place(const struct stream_out *out, uint64_t offset, size_t *n)
{
	size_t at = (size_t)(offset % out->size);

	if (*n > out->size - at)
		*n = out->size - at;
	return out->ring + at;
}

/* Makes the ring large enough for n bytes more, of which there is room in the window. */
static int grow(struct stream_out *out, size_t n)
{
	struct stream_out larger = *out;
	size_t kept = stream_out_kept(out);
	uint8_t *memory;

	if (kept + n <= out->size)
		return 0;
	larger.size = kept + n <= RING_SMALL ? RING_SMALL : out->window;
	memory = malloc(HEADROOM + larger.size);
	if (memory == NULL)
		return -ENOMEM;
	larger.ring = memory + HEADROOM;
	for (size_t done = 0; done < kept;) {
		size_t part = kept - done;
		const uint8_t *from = place(out, out->acked + done, &part);
		uint8_t *to = place(&larger, out->acked + done, &part);

		memcpy(to, from, part);
		done += part;
	}
	stream_out_fini(out);
	*out = larger;
	return 0;
}

uint8_t *stream_out_reserve(struct stream_out *out, size_t *n)
{
	size_t kept = stream_out_kept(out), room = stream_out_room(out);

	if (*n > room)
		*n = room;
	if (*n == 0)
		return NULL;
	/* Who has little to say shall not have a large ring because he could say much. */
	if (kept == out->size && grow(out, kept == 0 ? 1 : *n) < 0)
		return NULL;
	if (*n > out->size - kept)
		*n = out->size - kept;
	return place(out, out->total, n);
}

void stream_out_commit(struct stream_out *out, size_t n)
{
	out->total += n;
}

int stream_out_write(struct stream_out *out, const void *data, size_t n)
{
	if (out->ended)
		return -EPIPE;
	if (n > stream_out_room(out))
		return -ENOBUFS;
	if (n > 0 && grow(out, n) < 0)
		return -ENOMEM;
	for (size_t done = 0; done < n;) {
		size_t part = n - done;
		uint8_t *to = place(out, out->total, &part);

		memcpy(to, (const uint8_t *)data + done, part);
		out->total += part;
		done += part;
	}
	return 0;
}

void stream_out_end(struct stream_out *out)
{
	out->ended = true;
}

size_t stream_out_next(const struct stream_out *out, size_t max, uint64_t *ret_offset,
		       const uint8_t **ret_data)
{
	uint64_t to = out->total < out->limit ? out->total : out->limit;
	size_t n;

	if (to <= out->sent)
		return 0;
	n = to - out->sent < max ? (size_t)(to - out->sent) : max;
	*ret_offset = out->sent;
	*ret_data = place(out, out->sent, &n);
	return n;
}

void stream_out_sent(struct stream_out *out, size_t n)
{
	out->sent += n;
}

bool stream_out_end_due(const struct stream_out *out)
{
	return out->ended && !out->end_sent && out->sent == out->total;
}

/*
 * Forgets what the peer has; received lies between acked and sent. An empty large ring is given
 * back, but not amid bulk: new memory costs as much as a copy of what it holds.
 */
static void forget(struct stream_out *out, uint64_t received)
{
	out->acked = received;
	if (stream_out_kept(out) > 0)
		return;
	if (out->size > RING_SMALL && (out->ended || out->total - out->emptied <= RING_SMALL))
		stream_out_fini(out);
	out->emptied = out->total;
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

void stream_in_init(struct stream_in *in, size_t window)
{
	*in = (struct stream_in){ .told_limit = window, .window = window, .end = UINT64_MAX };
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
	uint64_t limit = in->consumed + in->window;

	if (limit - in->told_limit >= in->window / 2)
		return true;
	return in->consumed == in->received && in->received != in->told_received;
}

void stream_in_window(struct stream_in *in, uint64_t *ret_received, uint64_t *ret_limit)
{
	in->told_received = in->received;
	in->told_limit = in->consumed + in->window;
	*ret_received = in->told_received;
	*ret_limit = in->told_limit;
}
