/*
 * Descriptors 0, 1 and 2 of the shim, which are the container's: any kind of each, read and
 * written without ever waiting and without changing a flag that is shared with another process (a
 * pipe or terminal in the hands of the user's shell must not become nonblocking).
 *
 *	pipe, terminal   opened once more through /proc/self/fd, nonblocking, before the shim loses
 *	                 its view of /proc; when that fails, used as it is in small portions
 *	socket           MSG_DONTWAIT on the shared description
 *	file, /dev/null  epoll refuses these: read and written directly, a portion per turn of the
 *	                 loop; files are never reopened, so that position and O_APPEND are as given
 *
 * Output that nobody can take any more (EPIPE, a full disk, a terminal hung up) is dropped and
 * counts as written: the process goes on, as one does that ignores SIGPIPE.
 */
#ifndef KATA_STDIO_H
#define KATA_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/buf.h"
#include "common/error.h"

enum { STDIO_COUNT = 3 };

enum stdio_kind {
	STDIO_OWN,    /* an open file description of our own, nonblocking */
	STDIO_SOCKET, /* shared, MSG_DONTWAIT */
	STDIO_SHARED, /* shared, perhaps blocking: small portions after poll */
	STDIO_DIRECT, /* always ready */
};

struct stdio;

struct stdio_ops {
	/* How many bytes of input are welcome now. */
	size_t (*room)(struct stdio *stdio);
	/*
	 * A place for at most *n bytes of input, when there is room: *n becomes how many fit there.
	 * NULL when memory is out, and then they are asked for again later.
	 */
	uint8_t *(*place)(struct stdio *stdio, size_t *n);
	/* n bytes of input were put there. */
	void (*input)(struct stdio *stdio, size_t n);
	/* Input has ended or cannot be read any more; once. */
	void (*input_end)(struct stdio *stdio);
	/* n more bytes given to stdio_write() are written or dropped. */
	void (*written)(struct stdio *stdio, unsigned fd, size_t n);
};

struct stdio_fd {
	enum stdio_kind kind;
	bool terminal;
	bool watched; /* known to the epoll */
	bool over;    /* input: ended; output: nobody can take it */
	bool ended;   /* output: no more will come */
	struct buf pending;
};

struct stdio {
	const struct stdio_ops *ops;
	void *owner;
	struct stdio_fd fds[STDIO_COUNT]; /* index = descriptor */
	int epoll;                        /* ours: libuv would set O_NONBLOCK on what it polls */
	int null;                         /* takes the place of an output that has ended */
	uv_poll_t watch;                  /* of epoll */
	uv_idle_t turn;                   /* reads direct input */
	bool reading, closing;
};

/*
 * Finds out what descriptors 0 to 2 are, reopens those that can be, and puts /dev/null where none
 * is open. To be called once, while /proc and /dev are in view. 0 or a negative errno.
 */
int stdio_prepare(struct stdio *stdio, struct error *err);

/* Begins work on the loop, after stdio_prepare(). Nothing is read before stdio_read(). */
int stdio_open(struct stdio *stdio, uv_loop_t *loop, const struct stdio_ops *ops, void *owner,
	       struct error *err);

/* Reads descriptor 0 as long as room() is not 0; to be called again when there is room again. */
void stdio_read(struct stdio *stdio);

/* Stops that for good, without input_end. */
void stdio_stop_reading(struct stdio *stdio);

/*
 * Writes to descriptor 1 or 2; what it does not take now is copied and written later. 0, or
 * -ENOMEM.
 */
int stdio_write(struct stdio *stdio, unsigned fd, const void *bytes, size_t n);

/* No more will be written: once all is, the descriptor is closed, unless it is a terminal. */
void stdio_end(struct stdio *stdio, unsigned fd);

/* Bytes not yet written. */
size_t stdio_pending(const struct stdio *stdio, unsigned fd);

/* Ends all work; handles close with the loop's next turn. May be called from any callback. */
void stdio_close(struct stdio *stdio);

#endif
