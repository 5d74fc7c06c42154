/* common/loop.c: an orderly end, and what is said about a handle that was forgotten. */
#include "common/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/deadline.h"

static unsigned closed;

static void on_closed(uv_handle_t *handle)
{
	(void)handle;
	closed++;
}

static void close_it(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, on_closed);
}

static void close_it_and_stop(uv_timer_t *timer)
{
	close_it(timer);
	uv_stop(timer->loop);
}

static void stop(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

/* A close callback that closes the next handle. */
static void close_next(uv_handle_t *handle)
{
	closed++;
	uv_close(handle->data, on_closed);
}

static void close_chain(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, close_next);
	uv_stop(timer->loop);
}

Test(loop, ends_when_nothing_is_left)
{
	uv_loop_t loop;
	uv_timer_t timer;
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, close_it, 1, 0);
	cr_assert_eq(loop_run(&loop, 100, &err), 0, "%s", err.text);
	cr_assert_eq(closed, 1);
}

/* libuv reads it when its first loop is made. */
Test(loop, has_no_io_uring)
{
	const char *value;
	uv_loop_t loop;
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	value = getenv("UV_USE_IO_URING");
	cr_expect(value != NULL && strcmp(value, "0") == 0);
	cr_assert_eq(loop_run(&loop, 100, &err), 0, "%s", err.text);
}

Test(loop, runs_close_callbacks_after_stop)
{
	uv_loop_t loop;
	uv_timer_t timer;
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, close_it_and_stop, 1, 0);
	cr_assert_eq(loop_run(&loop, 0, &err), 0, "%s", err.text);
	cr_assert_eq(closed, 1);
}

Test(loop, runs_close_callbacks_of_close_callbacks)
{
	uv_loop_t loop;
	uv_timer_t timer, next;
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	uv_timer_init(&loop, &timer);
	uv_timer_init(&loop, &next);
	timer.data = &next;
	uv_timer_start(&timer, close_chain, 1, 0);
	cr_assert_eq(loop_run(&loop, 1000, &err), 0, "%s", err.text);
	cr_assert_eq(closed, 2);
}

Test(loop, names_what_was_left_open)
{
	static uv_loop_t loop;
	static uv_timer_t timer;
	static uv_pipe_t pipe_handle;
	int64_t begin = deadline_now_ms();
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	uv_pipe_init(&loop, &pipe_handle, 0);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, stop, 1, 100000);
	cr_assert_eq(loop_run(&loop, 50, &err), -EBUSY);
	cr_assert_not_null(strstr(err.text, "timer"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "pipe (idle)"), "%s", err.text);
	cr_assert_null(strstr(err.text, "signal"), "%s", err.text);
	cr_assert_lt(deadline_now_ms() - begin, 5000);
	uv_close((uv_handle_t *)&pipe_handle, on_closed);
	uv_close((uv_handle_t *)&timer, on_closed);
	cr_assert_eq(loop_run(&loop, 50, &err), 0, "%s", err.text);
}

Test(loop, names_of_many_handles_are_cut)
{
	enum { MANY = 100 };
	static uv_loop_t loop;
	static uv_timer_t timers[MANY];
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	for (unsigned i = 0; i < MANY; i++)
		uv_timer_init(&loop, &timers[i]);
	cr_assert_eq(loop_run(&loop, 0, &err), -EBUSY);
	cr_assert_lt(strlen(err.text), 400);
	for (unsigned i = 0; i < MANY; i++)
		uv_close((uv_handle_t *)&timers[i], on_closed);
	cr_assert_eq(loop_run(&loop, 0, &err), 0);
}

Test(loop, ignores_sigpipe)
{
	struct sigaction action;
	uv_loop_t loop;
	struct error err;

	cr_assert_eq(loop_start(&loop, &err), 0);
	sigaction(SIGPIPE, NULL, &action);
	cr_assert_eq(action.sa_handler, SIG_IGN);
	cr_assert_eq(loop_run(&loop, 0, &err), 0);
}
