/*
 * Terminals of the command line: see console.h. console_wait() is the only loop of kata-runtime; it
 * copies the user's own terminal and never sees anything but a container's output.
 */
#include "kata-runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdpass.h"
#include "common/str.h"

int console_open(int *ret_master, int *ret_slave, struct error *err)
{
	CLEANUP(fd_close) int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave, unlock = 0;

	if (master < 0)
		return error_set(err, errno, "open /dev/ptmx");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return error_set(err, errno, "unlock a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_set(err, errno, "open a terminal");
	*ret_master = steal_fd(&master);
	*ret_slave = slave;
	return 0;
}

int console_send(const char *socket_path, int master, int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return error_set(err, errno, "socket");
	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", socket_path) < 0)
		return error_say(err, ENAMETOOLONG, "console socket %s: the path is too long",
				 socket_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "connect to console socket %s", socket_path);
	r = fdpass_send_one(fd, master, "/dev/ptmx", deadline, err);
	return r < 0 ? error_prefix(err, "console socket %s", socket_path) : 0;
}

/* The user's terminal in raw mode; restored at the end of its scope. */
struct raw_mode {
	bool active;
	struct termios saved;
};

static void raw_start(struct raw_mode *raw)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &raw->saved) < 0)
		return; /* no terminal */
	t = raw->saved;
	cfmakeraw(&t);
	raw->active = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

static void raw_stop(struct raw_mode *raw)
{
	if (raw->active)
		tcsetattr(STDIN_FILENO, TCSANOW, &raw->saved);
}

static void copy_size(int master)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(master, TIOCSWINSZ, &size);
}

/* Copies what is there: false when the source has ended or the sink is gone. */
static bool copy(int from, int to)
{
	char data[16384];
	ssize_t n = read(from, data, sizeof(data)), done = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	while (done < n) {
		ssize_t w = write(to, data + done, (size_t)(n - done));

		if (w < 0 && errno != EINTR)
			return false;
		done += w > 0 ? w : 0;
	}
	return n > 0;
}

static int open_signals(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGCHLD);
	sigdelset(&set, SIGPIPE);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void forward_signal(int signals, int pidfd, int master)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH && master >= 0)
		copy_size(master);
	else
		pidfd_send_signal(pidfd, (int)info.ssi_signo, NULL, 0);
}

/* What is left in the terminal when the child has ended. */
static void drain(int master)
{
	struct pollfd p = { .fd = master, .events = POLLIN };

	while (poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0 && copy(master, STDOUT_FILENO))
		continue;
}

int console_wait(pid_t child, int master, struct error *err)
{
	CLEANUP(raw_stop) struct raw_mode raw = { 0 };
	CLEANUP(fd_close) int pidfd = pidfd_open(child, 0);
	CLEANUP(fd_close) int signals = open_signals();
	int status;

	if (pidfd < 0 || signals < 0)
		return error_set(err, errno, "wait for the container");
	if (master >= 0) {
		raw_start(&raw);
		copy_size(master);
	}
	struct pollfd p[4] = { { .fd = pidfd, .events = POLLIN },
			       { .fd = signals, .events = POLLIN },
			       { .fd = master, .events = POLLIN },
			       { .fd = master >= 0 ? STDIN_FILENO : -1, .events = POLLIN } };
	/* No deadline: the container may run for years; its end ends this. */
	while ((p[0].revents & POLLIN) == 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_set(err, errno, "poll");
		if (p[1].revents & POLLIN)
			forward_signal(signals, pidfd, master);
		if (p[2].revents != 0 && !copy(master, STDOUT_FILENO))
			p[2].fd = -1;
		if (p[3].revents != 0 && !copy(STDIN_FILENO, master))
			p[3].fd = -1;
	}
	if (master >= 0)
		drain(master);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "wait for the container");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
