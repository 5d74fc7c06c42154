/* The terminal slave: recognised, controlling, raw, sized. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "kata-shim/tty.h"

static int master;

static void terminal_as_stdio(void)
{
	int slave;

	cr_assert_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	for (int fd = 0; fd <= 2; fd++)
		cr_assert_eq(dup2(slave, fd), fd);
	close(slave);
}

Test(tty, is_stdio)
{
	int other, other_master;

	terminal_as_stdio();
	cr_expect(tty_is_stdio());
	cr_assert_eq(openpty(&other_master, &other, NULL, NULL, NULL), 0);
	cr_assert_eq(dup2(other, 2), 2);
	cr_expect_not(tty_is_stdio(), "two terminals");
	cr_assert_eq(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 2), 2);
	cr_expect_not(tty_is_stdio(), "stderr elsewhere");
	cr_assert_eq(dup2(2, 0), 0);
	cr_expect_not(tty_is_stdio(), "no terminal");
}

Test(tty, size)
{
	struct winsize size = { .ws_row = 33, .ws_col = 77 };
	uint32_t rows = 1, columns = 2;

	terminal_as_stdio();
	cr_expect_not(tty_size(0, &rows, &columns), "0x0 is no size");
	cr_expect_eq(rows, 1);
	cr_assert_eq(ioctl(master, TIOCSWINSZ, &size), 0);
	cr_expect(tty_size(0, &rows, &columns));
	cr_expect_eq(rows, 33);
	cr_expect_eq(columns, 77);
	cr_expect_not(tty_size(master + 100, &rows, &columns), "no descriptor");
}

/* Raw: no echo, no translation, no signal from ^C. */
Test(tty, raw)
{
	struct error err;
	char got[16];

	terminal_as_stdio();
	cr_assert_eq(tty_raw(0, &err), 0, "%s", err.text);
	cr_assert_eq(write(master, "a\r\3\4", 4), 4);
	cr_expect_eq(read(0, got, sizeof(got)), 4);
	cr_expect_arr_eq(got, "a\r\3\4", 4);
	cr_assert_eq(write(1, "x\n", 2), 2);
	cr_expect_eq(read(master, got, sizeof(got)), 2, "echo or a carriage return came");
	cr_expect_arr_eq(got, "x\n", 2);
	cr_assert_eq(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0), 0);
	cr_expect_eq(tty_raw(0, &err), -ENOTTY);
}

/* A session leader gets SIGWINCH; a second session does not get the same terminal. */
Test(tty, control)
{
	struct winsize size = { .ws_row = 10, .ws_col = 20 };
	struct timespec limit = { .tv_sec = 5 };
	struct error err;
	sigset_t set;
	pid_t pid;
	int status;

	terminal_as_stdio();
	pid = fork();
	if (pid == 0) {
		sigemptyset(&set);
		sigaddset(&set, SIGWINCH);
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (setsid() < 0 || tty_control(0, &err) < 0)
			_exit(1);
		if (ioctl(master, TIOCSWINSZ, &size) < 0)
			_exit(2);
		if (sigtimedwait(&set, NULL, &limit) != SIGWINCH)
			_exit(3);
		pid = fork();
		if (pid == 0)
			_exit(setsid() < 0 || tty_control(0, &err) != -EPERM);
		_exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 4);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "status %x", status);
}
