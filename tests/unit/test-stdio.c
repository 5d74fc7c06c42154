/* Copying to and from descriptors 0 to 2 of every kind; each test has a process of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-shim/stdio.h"

static struct fixture {
	struct stdio stdio;
	uv_loop_t loop;
	size_t room, input, ends, written[STDIO_COUNT];
	uint8_t sum; /* of the input */
	uint8_t bytes[65536];
	unsigned no_memory; /* so many times there is no place */
} fx;

static size_t on_room(struct stdio *stdio)
{
	(void)stdio;
	return fx.room;
}

static uint8_t *on_place(struct stdio *stdio, size_t *n)
{
	(void)stdio;
	cr_assert_leq(*n, fx.room);
	if (fx.no_memory > 0) {
		fx.no_memory--;
		return NULL;
	}
	if (*n > sizeof(fx.bytes))
		*n = sizeof(fx.bytes);
	return fx.bytes;
}

static void on_input(struct stdio *stdio, size_t n)
{
	(void)stdio;
	cr_assert_leq(n, fx.room);
	fx.room -= n;
	fx.input += n;
	for (size_t i = 0; i < n; i++)
		fx.sum = (uint8_t)(fx.sum + fx.bytes[i]);
}

static void on_input_end(struct stdio *stdio)
{
	(void)stdio;
	fx.ends++;
}

static void on_written(struct stdio *stdio, unsigned fd, size_t n)
{
	(void)stdio;
	fx.written[fd] += n;
}

static const struct stdio_ops ops = { on_room, on_place, on_input, on_input_end, on_written };

static void put(int fd, int number)
{
	cr_assert_eq(dup2(fd, number), number);
	close(fd);
}

static void begin(void)
{
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(uv_loop_init(&fx.loop), 0);
	cr_assert_eq(stdio_prepare(&fx.stdio, &err), 0, "%s", err.text);
	cr_assert_eq(stdio_open(&fx.stdio, &fx.loop, &ops, NULL, &err), 0, "%s", err.text);
}

static void turn(void)
{
	for (int i = 0; i < 20; i++)
		uv_run(&fx.loop, UV_RUN_NOWAIT);
}

static void finish(void)
{
	stdio_close(&fx.stdio);
	stdio_close(&fx.stdio); /* allowed */
	uv_run(&fx.loop, UV_RUN_DEFAULT);
	cr_expect_eq(uv_loop_close(&fx.loop), 0, "a handle is left open");
}

static bool nonblocking(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static int temporary(size_t size)
{
	char path[] = "/tmp/test-stdio-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	unlink(path);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(write(fd, "\1", 1), 1);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

Test(stdio, kinds_and_flags)
{
	static const enum stdio_kind kinds[] = { STDIO_OWN,    STDIO_DIRECT, STDIO_DIRECT,
						 STDIO_SOCKET, STDIO_OWN,    STDIO_SHARED };
	int fds[6], ends[2], master;
	struct error err;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	fds[0] = ends[1];
	fds[1] = temporary(0);
	fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	fds[3] = ends[1];
	cr_assert_eq(openpty(&master, &fds[4], NULL, NULL, NULL), 0);
	fds[5] = eventfd(0, EFD_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		cr_assert_eq(dup2(fds[i], 1), 1);
		begin();
		cr_expect_eq(fx.stdio.fds[1].kind, kinds[i], "kind %zu is %d", i,
			     (int)fx.stdio.fds[1].kind);
		cr_expect_eq(fx.stdio.fds[1].terminal, i == 4);
		cr_assert_eq(stdio_write(&fx.stdio, 1, "12345678", 8), 0);
		turn();
		cr_expect_eq(fx.written[1], 8 * (i + 1));
		cr_expect_not(nonblocking(fds[i]), "shared flags changed for kind %zu", i);
		finish();
	}
	/* None is open: the numbers are filled all the same. */
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	cr_expect_eq(stdio_prepare(&fx.stdio, &err), 0);
	for (int fd = 0; fd < 3; fd++)
		cr_expect_neq(fcntl(fd, F_GETFD), -1);
	cr_expect_gt(fx.stdio.epoll, 2);
	cr_expect_gt(fx.stdio.null, 2);
}

/* A reader of stdout that stops must hold back neither stderr nor a byte of stdout. */
Test(stdio, streams_are_independent)
{
	static uint8_t bytes[1 << 18], got[1 << 18];
	int out[2], err[2];
	size_t n = 0;

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
	put(out[1], 1);
	put(err[1], 2);
	begin();
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	cr_assert_eq(stdio_write(&fx.stdio, 1, bytes, sizeof(bytes)), 0);
	turn();
	cr_expect_lt(fx.written[1], sizeof(bytes));
	cr_expect_eq(stdio_pending(&fx.stdio, 1), sizeof(bytes) - fx.written[1]);
	cr_assert_eq(stdio_write(&fx.stdio, 2, "stderr", 6), 0);
	cr_expect_eq(fx.written[2], 6);
	cr_expect_eq(read(err[0], got, sizeof(got)), 6);
	stdio_end(&fx.stdio, 1); /* more than the pipe holds is still pending */
	for (;;) {
		ssize_t r = read(out[0], got + n, sizeof(got) - n);

		if (r <= 0)
			break;
		n += (size_t)r;
		turn();
	}
	cr_expect_eq(n, sizeof(bytes), "the pipe is closed after its last byte");
	cr_expect(memcmp(bytes, got, sizeof(bytes)) == 0);
	cr_expect_eq(fx.written[1], sizeof(bytes));
	finish();
}

/* Output nobody can take counts as written, whatever its kind. */
Test(stdio, dead_output_is_dropped)
{
	static uint8_t bytes[1 << 18];
	int ends[2];

	for (int i = 0; i < 4; i++) {
		if (i == 0 || i == 1)
			cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
		else if (i == 2)
			cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		else
			ends[0] = -1, ends[1] = open("/dev/full", O_WRONLY | O_CLOEXEC);
		put(ends[1], 1);
		if (i == 1)
			fd_close(&ends[0]); /* no reader even before: the pipe cannot be reopened */
		fx.written[1] = 0;
		begin();
		cr_assert_eq(stdio_write(&fx.stdio, 1, bytes, sizeof(bytes)), 0);
		turn();
		fd_close(&ends[0]);
		turn();
		cr_expect_eq(fx.written[1], sizeof(bytes), "case %d: %zu", i, fx.written[1]);
		cr_assert_eq(stdio_write(&fx.stdio, 1, bytes, 10), 0);
		cr_expect_eq(fx.written[1], sizeof(bytes) + 10);
		finish();
	}
}

/* A disk that fills up in the middle of a write must not leave bytes pending for ever. */
Test(stdio, short_write_to_a_file)
{
	static uint8_t bytes[65536];
	struct rlimit limit = { 10000, 10000 };
	int fd = temporary(0);

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put(fd, 1);
	begin();
	cr_assert_eq(stdio_write(&fx.stdio, 1, bytes, sizeof(bytes)), 0);
	cr_expect_eq(fx.written[1], sizeof(bytes));
	cr_expect_eq(stdio_pending(&fx.stdio, 1), 0);
	finish();
}

/* Where memory is short for a while input waits, and is whole. */
Test(stdio, input_waits_for_memory)
{
	int ends[2];

	for (int i = 0; i < 2; i++) {
		if (i == 0) {
			ends[0] = temporary(1000);
		} else {
			cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
			cr_assert_eq(write(ends[1], fx.bytes, 1000), 1000);
			fd_close(&ends[1]);
		}
		put(ends[0], 0);
		fx.room = 5000;
		fx.input = fx.ends = 0;
		fx.no_memory = 3;
		begin();
		stdio_read(&fx.stdio);
		turn();
		cr_expect_eq(fx.no_memory, 0);
		cr_expect_eq(fx.input, 1000);
		cr_expect_eq(fx.ends, 1);
		finish();
	}
}

/* Not one byte more is read than there is room for, from a file and from a pipe. */
Test(stdio, input_keeps_to_the_room)
{
	int ends[2];

	for (int i = 0; i < 2; i++) {
		if (i == 0) {
			ends[1] = -1;
			ends[0] = temporary(40000);
		} else {
			static uint8_t ones[40000];

			memset(ones, 1, sizeof(ones));
			cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
			cr_assert_eq(write(ends[1], ones, sizeof(ones)), 40000);
			fd_close(&ends[1]);
		}
		put(ends[0], 0);
		fx.room = 1000;
		fx.input = fx.ends = fx.sum = 0;
		begin();
		turn();
		cr_expect_eq(fx.input, 0, "nothing is read before stdio_read()");
		stdio_read(&fx.stdio);
		turn();
		cr_expect_eq(fx.input, 1000);
		fx.room = 100000;
		stdio_read(&fx.stdio);
		turn();
		cr_expect_eq(fx.input, 40000);
		cr_expect_eq(fx.sum, (uint8_t)40000);
		cr_expect_eq(fx.ends, 1);
		turn();
		cr_expect_eq(fx.ends, 1, "the end is told once");
		finish();
	}
}

Test(stdio, input_ends)
{
	char path[] = "/tmp/test-stdio-fifo-XXXXXX";
	int ends[2], master, slave, writer;

	fx.room = 65536;
	for (int i = 0; i < 5; i++) {
		fx.ends = fx.input = 0;
		switch (i) {
		case 0:
			put(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
			break;
		case 1: /* a named pipe whose writer has come and gone */
			cr_assert_eq(mkdtemp(path) != NULL && rmdir(path) == 0 &&
					     mkfifo(path, 0600) == 0,
				     1);
			ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
			writer = open(path, O_WRONLY | O_CLOEXEC);
			cr_assert_eq(write(writer, "abc", 3), 3);
			close(writer);
			put(ends[0], 0);
			unlink(path);
			break;
		case 2:
			cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
			cr_assert_eq(write(ends[1], "abc", 3), 3);
			close(ends[1]);
			put(ends[0], 0);
			break;
		case 3: /* a terminal hung up */
			cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
			put(slave, 0);
			close(master);
			break;
		default: /* not readable at all */
			put(open("/dev/null", O_WRONLY | O_CLOEXEC), 0);
			break;
		}
		begin();
		stdio_read(&fx.stdio);
		turn();
		cr_expect_eq(fx.ends, 1, "case %d", i);
		cr_expect_eq(fx.input, i == 1 || i == 2 ? 3 : 0, "case %d", i);
		finish();
	}
}

/* Without /proc nothing can be reopened: then in small portions, and still without waiting. */
Test(stdio, shared_descriptions)
{
	static uint8_t bytes[1 << 18], got[1 << 18];
	int in[2], out[2];
	size_t n = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/proc", "tmpfs", 0, "size=4k") < 0)
		cr_skip_test("a mount namespace cannot be made here");
	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	put(dup(in[0]), 0);
	put(dup(out[1]), 1);
	close(out[1]);
	memset(bytes, 1, sizeof(bytes));
	cr_assert_eq(write(in[1], bytes, 30000), 30000);
	fx.room = 100000;
	begin();
	cr_assert_eq(umount("/proc"), 0);
	cr_expect_eq(fx.stdio.fds[0].kind, STDIO_SHARED);
	cr_expect_eq(fx.stdio.fds[1].kind, STDIO_SHARED);
	stdio_read(&fx.stdio);
	cr_assert_eq(stdio_write(&fx.stdio, 1, bytes, sizeof(bytes)), 0);
	stdio_end(&fx.stdio, 1);
	while (n < sizeof(got)) {
		ssize_t r;

		turn();
		r = read(out[0], got + n, sizeof(got) - n);
		cr_assert_gt(r, 0);
		n += (size_t)r;
	}
	for (int i = 0; i < 10; i++)
		turn();
	cr_expect_eq(read(out[0], got, 1), 0, "closed behind the last byte");
	cr_expect_eq(fx.written[1], sizeof(bytes));
	cr_expect_eq(fx.input, 30000);
	cr_expect_not(nonblocking(in[0]));
	close(in[1]);
	turn();
	cr_expect_eq(fx.ends, 1);
	finish();
}

/* stdio_stop_reading() holds even when more is there. */
Test(stdio, stop_reading)
{
	put(temporary(100), 0);
	fx.room = 10;
	begin();
	stdio_read(&fx.stdio);
	turn();
	stdio_stop_reading(&fx.stdio);
	fx.room = 1000;
	turn();
	cr_expect_eq(fx.input, 10);
	cr_expect_eq(fx.ends, 0);
	finish();
}
