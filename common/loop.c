/*
 * The start and the end of a libuv loop: see loop.h. Used by the daemons' main functions, once;
 * the loop's memory is theirs.
 */
#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/deadline.h"

/* How long a close callback that waits for something is left alone. */
enum { PAUSE_MS = 1 };

/* The first stream opens a spare descriptor, the first signal watcher a pipe: SECURITY.md. */
static int touch_handles(uv_loop_t *loop)
{
	uv_pipe_t pipe;
	uv_signal_t watcher;
	int r, s;

	r = uv_pipe_init(loop, &pipe, 0);
	s = uv_signal_init(loop, &watcher);
	if (r == 0)
		uv_close((uv_handle_t *)&pipe, NULL);
	if (s == 0)
		uv_close((uv_handle_t *)&watcher, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return r < 0 ? r : s;
}

static int start(uv_loop_t *loop, int null, struct error *err)
{
	int r;

	/*
	 * io_uring is a way around the filters that are loaded later. libuv 1.50 tries a ring for
	 * epoll all the same: the filters that are there by now answer ENOSYS.
	 */
	setenv("UV_USE_IO_URING", "0", 1);
	r = uv_loop_init(loop);
	if (r < 0)
		return error_set(err, -r, "event loop");
	/* What libuv closes when there are no others left, so that it can refuse a connection. */
	if (null >= 0)
		loop->emfile_fd = fcntl(null, F_DUPFD_CLOEXEC, 3);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		r = -errno;
	if (r == 0)
		r = touch_handles(loop);
	if (r < 0) {
		uv_loop_close(loop);
		return error_set(err, -r, "event loop");
	}
	return 0;
}

int loop_start(uv_loop_t *loop, struct error *err)
{
	return start(loop, -1, err);
}

int loop_start_with(uv_loop_t *loop, int null, struct error *err)
{
	return start(loop, null, err);
}

static void look_for_closing(uv_handle_t *handle, void *closing)
{
	if (uv_is_closing(handle))
		*(bool *)closing = true;
}

static bool any_closing(uv_loop_t *loop)
{
	bool closing = false;

	uv_walk(loop, look_for_closing, &closing);
	return closing;
}

struct names {
	char text[256];
	size_t used;
};

static void add_name(uv_handle_t *handle, void *data)
{
	const char *type = uv_handle_type_name(uv_handle_get_type(handle));
	struct names *names = data;
	size_t left = sizeof(names->text) - names->used;
	int n = snprintf(names->text + names->used, left, "%s%s%s", names->used > 0 ? ", " : "",
			 type != NULL ? type : "unknown", uv_is_active(handle) ? "" : " (idle)");

	if (n > 0)
		names->used += (size_t)n < left ? (size_t)n : left - 1;
}

int loop_run(uv_loop_t *loop, int deadline_ms, struct error *err)
{
	struct names names = { .text = "" };
	int64_t deadline;
	int r;

	uv_run(loop, UV_RUN_DEFAULT);
	deadline = deadline_in_ms(deadline_ms);
	while (any_closing(loop)) {
		uv_run(loop, UV_RUN_NOWAIT);
		if (!any_closing(loop) || deadline_left_ms(deadline) == 0)
			break;
		uv_sleep(PAUSE_MS);
	}
	r = uv_loop_close(loop);
	if (r == 0)
		return 0;
	uv_walk(loop, add_name, &names);
	return error_say(err, EBUSY, "event loop: handles left open: %s", names.text);
}
