/*
 * Copying between the container's descriptors and the session: see stdio.h. shim.c owns the one
 * struct stdio of the process. The epoll instance is level-triggered and holds a descriptor only
 * while something is to be done with it, since a hangup is reported without being asked for.
 */
#include "kata-shim/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

enum {
	SHARED_SLICE = 512,  /* poll(2) promises no more to a pipe (_POSIX_PIPE_BUF) */
	WORTH_FREEING = 4096 /* an empty buffer larger than this is given back */
};

/* --- before the shim is confined ------------------------------------------------------------- */

/* A pipe or terminal gets a description of our own; -1 when that cannot be. */
static int reopen(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char path[32];

	if (flags < 0 || (flags & O_PATH) ||
	    (flags & O_ACCMODE) == (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY))
		return -1;
	flags = (fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags);
}

/*
 * A named pipe whose last writer has gone reports no hangup to a descriptor opened after that, so
 * the old one is asked; then it is read without waiting until it ends.
 */
static enum stdio_kind own_kind(int old_fd)
{
	struct pollfd p = { .fd = old_fd, .events = POLLIN };

	if (old_fd == STDIN_FILENO && poll(&p, 1, 0) == 1 && (p.revents & POLLHUP))
		return STDIO_DIRECT;
	return STDIO_OWN;
}

static bool epoll_takes(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return false;
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
	return true;
}

static int prepare_fd(struct stdio *stdio, int fd, struct error *err)
{
	struct stdio_fd *f = &stdio->fds[fd];
	struct stat st;
	int own;

	if (fstat(fd, &st) < 0) {
		if (dup2(stdio->null, fd) < 0)
			return error_set(err, errno, "fill descriptor %d", fd);
		f->kind = STDIO_DIRECT;
		return 0;
	}
	f->terminal = isatty(fd);
	if (!epoll_takes(stdio->epoll, fd)) {
		f->kind = STDIO_DIRECT;
	} else if (S_ISSOCK(st.st_mode)) {
		f->kind = STDIO_SOCKET;
	} else if ((S_ISFIFO(st.st_mode) || f->terminal) && (own = reopen(fd)) >= 0) {
		f->kind = own_kind(fd);
		if (dup3(own, fd, O_CLOEXEC) < 0) {
			fd_close(&own);
			return error_set(err, errno, "replace descriptor %d", fd);
		}
		fd_close(&own);
	} else {
		f->kind = STDIO_SHARED;
	}
	return 0;
}

int stdio_prepare(struct stdio *stdio, struct error *err)
{
	int r;

	*stdio = (struct stdio){ .epoll = -1, .null = -1 };
	stdio->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (stdio->null < 0)
		return error_set(err, errno, "open /dev/null");
	if (stdio->null <= STDERR_FILENO) { /* a standard descriptor was missing */
		int null = fcntl(stdio->null, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		if (null < 0)
			return error_set(err, errno, "duplicate /dev/null");
		fd_close(&stdio->null);
		stdio->null = null;
	}
	stdio->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (stdio->epoll <= STDERR_FILENO && stdio->epoll >= 0) {
		int epoll = fcntl(stdio->epoll, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		fd_close(&stdio->epoll);
		stdio->epoll = epoll;
	}
	if (stdio->epoll < 0)
		return error_set(err, errno, "make an epoll");
	for (int fd = 0; fd < STDIO_COUNT; fd++) {
		r = prepare_fd(stdio, fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- common to input and output -------------------------------------------------------------- */

static int watch(struct stdio *stdio, unsigned fd, bool want)
{
	struct stdio_fd *f = &stdio->fds[fd];
	struct epoll_event event = { .events = fd == STDIN_FILENO ? EPOLLIN : EPOLLOUT,
				     .data.u32 = fd };

	if (want == f->watched)
		return 0;
	if (epoll_ctl(stdio->epoll, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, (int)fd, &event) < 0) {
		log_error("descriptor cannot be watched", KV("fd", fd), KV("errno", errno));
		return -ENOMEM;
	}
	f->watched = want;
	return 0;
}

/* --- input ----------------------------------------------------------------------------------- */

static void on_turn(uv_idle_t *turn);

/* Arranges for the next read, or for none when nothing is welcome. */
static void await_input(struct stdio *stdio)
{
	struct stdio_fd *f = &stdio->fds[STDIN_FILENO];
	bool want = stdio->reading && !stdio->closing && !f->over && stdio->ops->room(stdio) > 0;

	if (stdio->closing)
		return;
	watch(stdio, STDIN_FILENO, want && f->kind != STDIO_DIRECT);
	if (want && f->kind == STDIO_DIRECT)
		uv_idle_start(&stdio->turn, on_turn);
	else
		uv_idle_stop(&stdio->turn);
}

static void end_input(struct stdio *stdio)
{
	stdio->fds[STDIN_FILENO].over = true;
	await_input(stdio);
	stdio->ops->input_end(stdio);
}

/* One read; what there is more of comes in the loop's next turn. */
static void read_slice(struct stdio *stdio)
{
	struct stdio_fd *f = &stdio->fds[STDIN_FILENO];
	size_t room = stdio->ops->room(stdio);
	uint8_t *bytes;
	ssize_t n;

	if (f->kind == STDIO_SHARED && room > SHARED_SLICE)
		room = SHARED_SLICE;
	if (room == 0) {
		await_input(stdio);
		return;
	}
	bytes = stdio->ops->place(stdio, &room);
	if (bytes == NULL)
		return; /* without memory the next turn tries again */
	if (f->kind == STDIO_SOCKET)
		n = recv(STDIN_FILENO, bytes, room, MSG_DONTWAIT);
	else
		n = read(STDIN_FILENO, bytes, room);
	if (n > 0) {
		stdio->ops->input(stdio, (size_t)n);
		await_input(stdio);
	} else if (n < 0 && errno == EAGAIN) {
		if (f->kind == STDIO_DIRECT) { /* a named pipe has found a writer again */
			f->kind = STDIO_OWN;
			await_input(stdio);
		}
	} else if (n == 0 || errno != EINTR) {
		if (n < 0 && errno != EIO) /* EIO: a terminal hung up */
			log_warning("stdin cannot be read any more", KV("errno", errno));
		end_input(stdio);
	}
}

static void on_turn(uv_idle_t *turn)
{
	read_slice(turn->data);
}

void stdio_read(struct stdio *stdio)
{
	stdio->reading = true;
	await_input(stdio);
}

void stdio_stop_reading(struct stdio *stdio)
{
	stdio->reading = false;
	await_input(stdio);
}

/* --- output ---------------------------------------------------------------------------------- */

/* What a shared, perhaps blocking, description takes now. */
static ssize_t write_shared(int fd, const uint8_t *bytes, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t done = 0;

	while (done < n && poll(&p, 1, 0) == 1) {
		size_t part = n - done < SHARED_SLICE ? n - done : SHARED_SLICE;
		ssize_t r = write(fd, bytes + done, part);

		if (r < 0)
			return done > 0 ? (ssize_t)done : r;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

/* Writes what the descriptor takes now: at most n; -1 with errno when it takes nothing any more. */
static ssize_t write_some(const struct stdio_fd *f, int fd, const uint8_t *bytes, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r;

		if (f->kind == STDIO_SOCKET)
			r = send(fd, bytes + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (f->kind == STDIO_SHARED)
			r = write_shared(fd, bytes + done, n - done);
		else
			r = write(fd, bytes + done, n - done);
		if (r > 0)
			done += (size_t)r;
		else if (r == 0 || (errno == EAGAIN && f->kind != STDIO_DIRECT))
			break;
		else if (errno != EINTR)
			return done > 0 ? (ssize_t)done : -1;
	}
	return (ssize_t)done;
}

/* The descriptor takes no more: what is pending and what will come is dropped. */
static void give_up(struct stdio *stdio, unsigned fd)
{
	struct stdio_fd *f = &stdio->fds[fd];
	size_t dropped = buf_len(&f->pending);
	int num = errno;

	f->over = true;
	watch(stdio, fd, false);
	buf_fini(&f->pending);
	log_info("output has no reader any more and is dropped", KV("fd", fd), KV("errno", num));
	if (dropped > 0)
		stdio->ops->written(stdio, fd, dropped);
}

/* Closes an output whose end has come, for its reader to see. */
static void close_ended(struct stdio *stdio, unsigned fd)
{
	struct stdio_fd *f = &stdio->fds[fd];

	if (!f->ended || f->over || f->terminal || buf_len(&f->pending) > 0)
		return;
	f->over = true;
	watch(stdio, fd, false);
	if (dup3(stdio->null, (int)fd, O_CLOEXEC) < 0)
		log_warning("output cannot be closed", KV("fd", fd), KV("errno", errno));
}

static void flush(struct stdio *stdio, unsigned fd)
{
	struct stdio_fd *f = &stdio->fds[fd];
	ssize_t n = write_some(f, (int)fd, buf_at(&f->pending), buf_len(&f->pending));

	if (n < 0) {
		give_up(stdio, fd);
		return;
	}
	buf_consume(&f->pending, (size_t)n);
	if (buf_len(&f->pending) == 0) {
		watch(stdio, fd, false);
		if (f->pending.size > WORTH_FREEING)
			buf_fini(&f->pending);
		close_ended(stdio, fd);
	}
	if (n > 0)
		stdio->ops->written(stdio, fd, (size_t)n);
}

int stdio_write(struct stdio *stdio, unsigned fd, const void *bytes, size_t n)
{
	struct stdio_fd *f = &stdio->fds[fd];
	size_t written = 0;

	if (f->over || stdio->closing) {
		stdio->ops->written(stdio, fd, n);
		return 0;
	}
	if (buf_len(&f->pending) == 0) {
		ssize_t r = write_some(f, (int)fd, bytes, n);

		if (r < 0 || (f->kind == STDIO_DIRECT && (size_t)r < n)) {
			give_up(stdio, fd);
			stdio->ops->written(stdio, fd, n);
			return 0;
		}
		written = (size_t)r;
	}
	if (written < n) {
		if (buf_append(&f->pending, (const uint8_t *)bytes + written, n - written) < 0 ||
		    watch(stdio, fd, true) < 0)
			return -ENOMEM;
	}
	if (written > 0)
		stdio->ops->written(stdio, fd, written);
	return 0;
}

void stdio_end(struct stdio *stdio, unsigned fd)
{
	stdio->fds[fd].ended = true;
	close_ended(stdio, fd);
}

size_t stdio_pending(const struct stdio *stdio, unsigned fd)
{
	return buf_len(&stdio->fds[fd].pending);
}

/* --- the loop -------------------------------------------------------------------------------- */

static void on_ready(uv_poll_t *poll_handle, int status, int events)
{
	struct stdio *stdio = poll_handle->data;
	struct epoll_event ready[STDIO_COUNT];
	int n = epoll_wait(stdio->epoll, ready, STDIO_COUNT, 0);

	(void)status;
	(void)events;
	for (int i = 0; i < n && !stdio->closing; i++) {
		unsigned fd = ready[i].data.u32;

		if (!stdio->fds[fd].watched)
			continue; /* an event before this one changed that */
		if (fd == STDIN_FILENO)
			read_slice(stdio);
		else
			flush(stdio, fd);
	}
}

int stdio_open(struct stdio *stdio, uv_loop_t *loop, const struct stdio_ops *ops, void *owner,
	       struct error *err)
{
	int r;

	stdio->ops = ops;
	stdio->owner = owner;
	uv_idle_init(loop, &stdio->turn); /* never fails */
	stdio->turn.data = stdio;
	r = uv_poll_init(loop, &stdio->watch, stdio->epoll);
	if (r < 0) {
		uv_close((uv_handle_t *)&stdio->turn, NULL);
		return error_set(err, -r, "watch the standard descriptors");
	}
	stdio->watch.data = stdio;
	uv_poll_start(&stdio->watch, UV_READABLE, on_ready); /* fails for closed handles only */
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct stdio *stdio = handle->data;

	fd_close(&stdio->epoll);
	fd_close(&stdio->null);
}

void stdio_close(struct stdio *stdio)
{
	if (stdio->closing)
		return;
	stdio->closing = true;
	uv_close((uv_handle_t *)&stdio->turn, NULL);
	uv_close((uv_handle_t *)&stdio->watch, on_closed);
	for (unsigned fd = 0; fd < STDIO_COUNT; fd++)
		buf_fini(&stdio->fds[fd].pending);
}
