/* kata-runtime/process-io.h: which terminal options go together, and what a terminal becomes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "kata-runtime/console.h"
#include "kata-runtime/process-io.h"

static const struct {
	bool terminal;
	struct container_options options;
	const char *named; /* NULL: it is fine */
} cases[] = {
	{ false, { .detach = true }, NULL },
	{ false, { .detach = false }, NULL },
	{ true, { .detach = false }, NULL },
	{ true, { .detach = true }, "--console-socket is needed" },
	{ false, { .console_socket = "/x" }, "--console-socket was given" },
	{ false, { .console = "/dev/tty" }, "--console was given" },
	{ true, { .console = "/a", .console_socket = "/b" }, "exclude each other" },
	{ true, { .console = "/dev/null" }, "no terminal" },
	{ true, { .console = "/nosuch/tty" }, "/nosuch/tty" },
	{ true, { .console_socket = "/nosuch/sock" }, "/nosuch/sock" },
};

Test(process_io, options)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec_process process = { .terminal = cases[i].terminal };
		struct process_io io;
		struct error err = { 0 };
		int r = process_io_open(&io, &process, &cases[i].options, &err);

		cr_expect_eq(r == 0, cases[i].named == NULL, "row %zu: %s", i, err.text);
		cr_expect(cases[i].named == NULL || strstr(err.text, cases[i].named) != NULL,
			  "row %zu: %s", i, err.text);
		process_io_close(&io);
	}
}

Test(process_io, foreground_terminal_has_its_size)
{
	struct spec_process process = { .terminal = true, .rows = 12, .columns = 34 };
	struct container_options options = { 0 };
	struct error err = { 0 };
	struct winsize size;
	struct process_io io;

	cr_assert_eq(process_io_open(&io, &process, &options, &err), 0, "%s", err.text);
	cr_assert_geq(io.master, 0);
	cr_assert_eq(ioctl(io.stdio[1], TIOCGWINSZ, &size), 0);
	cr_expect_eq(size.ws_row, 12);
	cr_expect_eq(size.ws_col, 34);
	process_io_close(&io);
}

/* go-runc wants one message with a payload and exactly one descriptor. */
Test(process_io, console_socket_gets_the_master)
{
	char dir[] = "/tmp/kata-test-console.XXXXXX", payload[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct spec_process process = { .terminal = true };
	struct container_options options = { .detach = true };
	CLEANUP(fd_close) int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(fd_close) int master = -1;
	struct error err = { 0 };
	struct process_io io;

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", dir);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	options.console_socket = address.sun_path;
	cr_assert_eq(process_io_open(&io, &process, &options, &err), 0, "%s", err.text);
	cr_expect_eq(io.master, -1, "the client owns it now");
	fd = accept(listener, NULL, NULL);
	master = fdpass_receive_one(fd, payload, sizeof(payload), deadline_in_ms(2000), &err);
	cr_assert_geq(master, 0, "%s", err.text);
	cr_assert_eq(write(io.slave, "x", 1), 1);
	cr_assert_eq(read(master, payload, 1), 1);
	cr_expect_eq(payload[0], 'x');
	process_io_close(&io);
	unlink(address.sun_path);
	rmdir(dir);
}

Test(process_io, descriptors_of_the_host_are_refused)
{
	struct container_options none = { .preserve_fds = "0" }, some = { .preserve_fds = "2" };
	struct error err = { 0 };

	unsetenv("LISTEN_FDS");
	cr_expect_eq(process_io_check(&none, &err), 0);
	cr_expect_eq(process_io_check(&some, &err), -ENOTSUP);
	setenv("LISTEN_FDS", "1", 1);
	cr_expect_eq(process_io_check(&none, &err), -ENOTSUP);
	cr_expect(strstr(err.text, "LISTEN_FDS=1") != NULL, "%s", err.text);
}
