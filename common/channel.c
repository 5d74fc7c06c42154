/*
 * A connection on libuv: see channel.h. Used by the proxy's worker, the shim and the agent, each
 * in its one thread. libuv owns the descriptor and, until on_closed(), the memory of the handle;
 * the input buffer lives as long, since a frame borrows from it.
 */
#include "common/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/wire.h"

enum {
	READ_SIZE = 65536,
	INPUT_IDLE = 4096, /* the start of a frame is kept in a small buffer while the rest comes */
	SMALL_FRAME = 4096,   /* up to here one copy is cheaper than a vector */
	HEAD_MAX = 64,        /* a head that is sent together with the frame's header */
	DEVICE_WRITE = 32768, /* most that the port's driver takes at once */
	DEVICE_READ = 4096,   /* and gives at once: libuv reads on after a buffer that it fills */
	GATHERED_MAX = 65536, /* for any other descriptor: a packet of vsock */
};

/*
 * Memory of the last read, for the next one of any channel: getting it anew from the kernel would
 * cost more than the bytes it takes.
 */
static struct buf spare;

/* A write that did not succeed at once. */
struct pending {
	uv_write_t request;
	struct channel *channel;
	size_t n;
	uint8_t bytes[];
};

/* --- the end ---------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct channel *channel = handle->data;
	struct error err;

	buf_fini(&channel->input);
	buf_fini(&channel->gathered);
	if (channel->failure != 0) {
		error_set(&err, -channel->failure, "connection");
		channel->failure = 0;
		if (channel->ops->ended != NULL)
			channel->ops->ended(channel, &err);
	}
	channel->ops->closed(channel);
}

static void close_now(struct channel *channel)
{
	if (channel->closing)
		return;
	channel->closing = true;
	uv_close((uv_handle_t *)&channel->pipe, on_closed);
}

void channel_close(struct channel *channel)
{
	if (!channel->closing)
		close_now(channel);
	else
		channel->failure = 0; /* the owner knows */
}

void channel_discard(struct channel *channel)
{
	channel_close(channel);
	buf_fini(&channel->input);
}

/* Closes because of a failure that the owner learns of later, outside of its own call. */
static void fail_later(struct channel *channel, int failure)
{
	if (channel->closing)
		return;
	channel->failure = failure;
	close_now(channel);
}

/* Closes and tells the owner; only from a callback of libuv. */
static void end(struct channel *channel, const struct error *err)
{
	if (channel->closing)
		return;
	close_now(channel);
	if (channel->ops->ended != NULL)
		channel->ops->ended(channel, err);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Moves a small or empty input into the spare memory. */
static void use_spare(struct buf *input)
{
	if (spare.data == NULL || input->size >= READ_SIZE || buf_len(input) > INPUT_IDLE ||
	    buf_append(&spare, buf_at(input), buf_len(input)) < 0)
		return;
	buf_fini(input);
	*input = spare;
	spare = (struct buf){ 0 };
}

/* Keeps one buffer that is no longer needed. */
static void give_back(struct buf *input)
{
	if (spare.data != NULL || input->size < READ_SIZE || input->size > 4 * READ_SIZE) {
		buf_fini(input);
		return;
	}
	spare = *input;
	spare.start = spare.end = 0;
	*input = (struct buf){ 0 };
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct channel *channel = handle->data;

	(void)size;
	use_spare(&channel->input);
	buf->base = (char *)buf_reserve(&channel->input, READ_SIZE);
	buf->len = buf->base == NULL ? 0 : channel->device ? DEVICE_READ : READ_SIZE;
}

/* Gives back the memory that is not needed until more comes. */
static void trim(struct buf *input)
{
	struct buf small = { 0 };

	if (buf_len(input) == 0) {
		give_back(input);
	} else if (buf_len(input) < INPUT_IDLE && input->size > 2 * INPUT_IDLE &&
		   buf_append(&small, buf_at(input), buf_len(input)) == 0) {
		give_back(input);
		*input = small;
	}
}

/* Whether frames may be taken now. */
static bool skip_preamble(struct channel *channel)
{
	struct error err;
	int r = 1;

	if (channel->synced)
		return true;
	if (channel->ops->preamble != NULL)
		r = channel->ops->preamble(channel, &channel->input);
	if (r < 0 && !channel->closing) {
		error_set(&err, -r, "start of the connection");
		end(channel, &err);
	}
	channel->synced = r > 0;
	return channel->synced;
}

static void take_frames(struct channel *channel)
{
	struct frame frame;
	struct error err;
	int r = 0;

	while (!channel->closing && !channel->finishing) {
		r = frame_next(&channel->input, &frame, &err);
		if (r <= 0)
			break;
		channel->ops->frame(channel, &frame);
		buf_consume(&channel->input, FRAME_HEADER + frame.length);
	}
	if (r < 0)
		end(channel, &err);
}

/* Adds n bytes that lie behind the input; what a peer that is gone left unfinished goes. */
static void commit(struct channel *channel, const uint8_t *bytes, size_t n)
{
	size_t before = buf_len(&channel->input);
	bool anew = before > 0 && channel->synced && channel->ops->anew != NULL &&
		    channel->ops->anew(channel, bytes, n);

	buf_commit(&channel->input, n);
	if (anew)
		buf_consume(&channel->input, before);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct channel *channel = stream->data;
	struct error err;

	if (channel->closing)
		return;
	if (n == UV_EOF) {
		end(channel, NULL);
		return;
	}
	if (n < 0) {
		error_set(&err, (int)-n, "read from the connection");
		end(channel, &err);
		return;
	}
	if (n > 0) {
		commit(channel, (const uint8_t *)buf->base, (size_t)n);
		if (skip_preamble(channel))
			take_frames(channel);
	}
	if (channel->closing)
		return;
	trim(&channel->input);
	if (buf_len(&channel->input) > 0 && channel->ops->waiting != NULL)
		channel->ops->waiting(channel);
}

void channel_pause(struct channel *channel)
{
	/* When writing fails the peer is gone, and only reading shows the end. */
	if (!channel->reading || channel->closing || channel->broken)
		return;
	channel->reading = false;
	uv_read_stop((uv_stream_t *)&channel->pipe);
}

void channel_resume(struct channel *channel)
{
	int r;

	if (channel->reading || channel->closing || channel->finishing)
		return;
	r = uv_read_start((uv_stream_t *)&channel->pipe, on_alloc, on_read);
	if (r < 0)
		fail_later(channel, r);
	else
		channel->reading = true;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Writing is over. Reading goes on, since the peer's last words may wait there. */
static void break_off(struct channel *channel)
{
	channel->broken = true;
	if (channel->finishing)
		close_now(channel);
	else
		channel_resume(channel);
}

static void on_written(uv_write_t *request, int status)
{
	struct pending *pending = request->data;
	struct channel *channel = pending->channel;

	channel->queued -= pending->n;
	channel->held -= sizeof(*pending) + pending->n;
	free(pending);
	if (channel->closing)
		return;
	if (status < 0) {
		break_off(channel);
		return;
	}
	if (channel->finishing) {
		if (channel->queued == 0)
			close_now(channel);
		return;
	}
	if (channel->above_low && channel->queued <= CHANNEL_LOW) {
		channel->above_low = false;
		if (channel->ops->drained != NULL)
			channel->ops->drained(channel);
	}
}

/* Queues what is left of bufs behind the first skip bytes. */
static int queue_rest(struct channel *channel, const uv_buf_t *bufs, unsigned count, size_t total,
		      size_t skip)
{
	struct pending *pending = malloc(sizeof(*pending) + total - skip);
	uint8_t *to;
	uv_buf_t rest;
	int r;

	if (pending == NULL) {
		fail_later(channel, -ENOMEM);
		return -ENOMEM;
	}
	pending->channel = channel;
	pending->n = total - skip;
	pending->request.data = pending;
	to = pending->bytes;
	for (unsigned i = 0; i < count; i++) {
		size_t drop = skip < bufs[i].len ? skip : bufs[i].len;

		if (drop < bufs[i].len)
			memcpy(to, bufs[i].base + drop, bufs[i].len - drop);
		to += bufs[i].len - drop;
		skip -= drop;
	}
	rest = uv_buf_init((char *)pending->bytes, (unsigned)pending->n);
	r = uv_write(&pending->request, (uv_stream_t *)&channel->pipe, &rest, 1, on_written);
	if (r < 0) {
		free(pending);
		fail_later(channel, r);
		return r;
	}
	channel->queued += pending->n;
	channel->held += sizeof(*pending) + pending->n;
	if (channel->queued > CHANNEL_LOW)
		channel->above_low = true;
	return 0;
}

static int write_bytes(struct channel *channel, uv_buf_t *bufs, unsigned count, size_t total)
{
	int r = 0;

	if (channel->queued == 0) {
		r = uv_try_write((uv_stream_t *)&channel->pipe, bufs, count);
		if (r < 0 && r != UV_EAGAIN) {
			break_off(channel);
			return -EPIPE;
		}
		if (r >= 0 && (size_t)r == total)
			return 0;
	}
	return queue_rest(channel, bufs, count, total, r > 0 ? (size_t)r : 0);
}

/* Appends to an array on the stack. */
static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
	if (n > 0)
		memcpy(to, from, n);
	return to + n;
}

void channel_flush(struct channel *channel)
{
	struct buf *gathered = &channel->gathered;
	size_t n = buf_len(gathered);
	uv_buf_t buf = uv_buf_init((char *)buf_at(gathered), (unsigned)n);

	if (n == 0 || channel->closing)
		return;
	if (!channel->broken)
		write_bytes(channel, &buf, 1, n); /* when it fails the end comes by reading */
	buf_consume(gathered, n);
}

/* A copy of a frame is cheaper than a write of its own. 1: done, 0: too long for that. */
static int gather(struct channel *channel, const struct frame *frame, const void *head,
		  size_t head_len, const void *body, size_t body_len)
{
	size_t total = FRAME_HEADER + head_len + body_len;
	size_t most = channel->device ? DEVICE_WRITE : GATHERED_MAX;
	uint8_t *to;

	if (!channel->gathers)
		return 0;
	if (total > DEVICE_WRITE || buf_len(&channel->gathered) + total > most)
		channel_flush(channel);
	if (total > DEVICE_WRITE)
		return 0;
	to = buf_reserve(&channel->gathered, total);
	if (to == NULL) {
		fail_later(channel, -ENOMEM);
		return -ENOMEM;
	}
	frame_put_header(to, frame);
	put(put(to + FRAME_HEADER, head, head_len), body, body_len);
	buf_commit(&channel->gathered, total);
	return 1;
}

int channel_send(struct channel *channel, const struct frame *frame, const void *head,
		 size_t head_len, const void *body, size_t body_len)
{
	struct frame sent = *frame;
	uint8_t small[SMALL_FRAME];
	uint8_t *p;
	uv_buf_t bufs[3];
	size_t total = FRAME_HEADER + head_len + body_len;
	unsigned count = 1;
	int r;

	if (head_len > FRAME_CONTROL_MAX || body_len > FRAME_CONTROL_MAX - head_len ||
	    head_len + body_len == 0)
		return -EMSGSIZE;
	if (channel->closing || channel->broken || channel->finishing)
		return -EPIPE;
	sent.length = (uint32_t)(head_len + body_len);
	r = gather(channel, &sent, head, head_len, body, body_len);
	if (r != 0)
		return r < 0 ? r : 0;
	frame_put_header(small, &sent);
	p = small + FRAME_HEADER;
	if (total <= SMALL_FRAME) {
		p = put(put(p, head, head_len), body, body_len);
		bufs[0] = uv_buf_init((char *)small, (unsigned)total);
		return write_bytes(channel, bufs, count, total);
	}
	if (head_len <= HEAD_MAX)
		p = put(p, head, head_len);
	bufs[0] = uv_buf_init((char *)small, (unsigned)(p - small));
	if (head_len > HEAD_MAX)
		bufs[count++] = uv_buf_init((char *)head, (unsigned)head_len);
	if (body_len > 0)
		bufs[count++] = uv_buf_init((char *)body, (unsigned)body_len);
	return write_bytes(channel, bufs, count, total);
}

int channel_send_in_place(struct channel *channel, const struct frame *frame, const void *head,
			  size_t head_len, uint8_t *body, size_t body_len)
{
	size_t before = FRAME_HEADER + head_len, total = before + body_len;
	uint8_t saved[FRAME_HEADER + HEAD_MAX], *at = body - before;
	struct frame sent = *frame;
	uv_buf_t buf = uv_buf_init((char *)at, (unsigned)total);
	int r;

	if (!channel->device || total <= SMALL_FRAME || total > DEVICE_WRITE ||
	    head_len > HEAD_MAX || channel->closing || channel->broken || channel->finishing)
		return channel_send(channel, frame, head, head_len, body, body_len);
	channel_flush(channel);
	memcpy(saved, at, before);
	sent.length = (uint32_t)(head_len + body_len);
	frame_put_header(at, &sent);
	put(at + FRAME_HEADER, head, head_len);
	r = write_bytes(channel, &buf, 1, total);
	memcpy(at, saved, before);
	return r;
}

int channel_send_message(struct channel *channel, enum frame_type frame_type, uint8_t flags,
			 uint32_t number, uint32_t id, enum msg_type type, const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	const struct frame frame = {
		.channel = number, .type = (uint8_t)frame_type, .flags = flags, .id = id
	};
	int r = wire_encode(type, body, &payload, NULL);

	if (r < 0)
		return r;
	return channel_send(channel, &frame, NULL, 0, buf_at(&payload), buf_len(&payload));
}

void channel_finish(struct channel *channel)
{
	if (channel->closing || channel->finishing)
		return;
	channel_flush(channel);
	channel->finishing = true;
	if (channel->queued == 0 || channel->broken) {
		close_now(channel);
	} else if (channel->reading) {
		channel->reading = false;
		uv_read_stop((uv_stream_t *)&channel->pipe);
	}
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* libuv aborts on a descriptor that epoll does not know, and cannot undo a failed open. */
static int check_fd(uv_loop_t *loop, int fd, struct error *err)
{
	struct epoll_event event = { .events = EPOLLIN };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return error_set(err, errno, "connection");
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return error_set(err, errno, "connection: set non-blocking");
	if (epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_ADD, fd, &event) < 0)
		return error_set(err, errno, "connection: cannot be waited for");
	epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_DEL, fd, &event);
	return 0;
}

int channel_open(struct channel *channel, uv_loop_t *loop, int fd, const struct channel_ops *ops,
		 void *owner, struct error *err)
{
	int r = check_fd(loop, fd, err);

	if (r == 0) {
		*channel = (struct channel){ .ops = ops, .owner = owner };
		r = uv_pipe_init(loop, &channel->pipe, 0);
		if (r < 0)
			error_set(err, -r, "connection");
	}
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	channel->pipe.data = channel;
	r = uv_pipe_open(&channel->pipe, fd);
	if (r < 0) {
		fd_close(&fd);
		fail_later(channel, r);
	} else {
		channel_resume(channel);
	}
	return 0;
}
