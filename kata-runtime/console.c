/*
 * Terminals of the command line: see console.h. console_wait() is the only loop of kata-runtime; it
 * waits and forwards signals as root, while a child without rights copies the terminal's bytes.
 */
#include "kata-runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/privsep.h"
#include "common/process.h"
#include "common/str.h"

enum { RELAY_END_MS = 2000 };

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

/* what: the option that named the socket. */
static int send_to(const char *what, const char *socket_path, int sent, const char *text,
		   int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return error_set(err, errno, "socket");
	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", socket_path) < 0)
		return error_say(err, ENAMETOOLONG, "%s socket %s: the path is too long", what,
				 socket_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "connect to %s socket %s", what, socket_path);
	r = fdpass_send_one(fd, sent, text, deadline, err);
	return r < 0 ? error_prefix(err, "%s socket %s", what, socket_path) : 0;
}

int console_send(const char *socket_path, int master, int64_t deadline, struct error *err)
{
	return send_to("console", socket_path, master, "/dev/ptmx", deadline, err);
}

int console_send_pidfd(const char *socket_path, const struct process_ref *shim, int64_t deadline,
		       struct error *err)
{
	CLEANUP(fd_close) int pidfd = process_open(shim->pid, shim->start_ticks, err);

	return pidfd < 0 ? pidfd : send_to("pidfd", socket_path, pidfd, "pidfd", deadline, err);
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

/* --- the relay: a child without rights, since what it copies comes from the guest --- */

static int relay_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Copies both ways until the terminal's other side is closed and nothing is left in it. */
static void relay_run(int master, int signals)
{
	struct pollfd p[] = { { .fd = signals, .events = POLLIN },
			      { .fd = master, .events = POLLIN },
			      { .fd = STDIN_FILENO, .events = POLLIN } };
	struct signalfd_siginfo info;

	while (p[1].fd >= 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return;
		if ((p[0].revents & POLLIN) && read(signals, &info, sizeof(info)) > 0)
			copy_size(master);
		if (p[1].revents != 0 && !copy(master, STDOUT_FILENO))
			p[1].fd = -1;
		if (p[2].revents != 0 && !copy(STDIN_FILENO, master))
			p[2].fd = -1;
	}
}

static noreturn void relay_main(int master, uid_t uid)
{
	struct error err = { 0 };
	int signals;

	prctl(PR_SET_NAME, "kata-relay", 0, 0, 0);
	if (privsep_close_others(&master, 1, &err) < 0 ||
	    privsep_drop(uid, uid, NULL, 0, &err) < 0) {
		dprintf(STDERR_FILENO, "kata-runtime: %s\n", err.text);
		_exit(1);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of ids forgets it */
	signals = relay_signals();
	if (signals >= 0)
		relay_run(master, signals);
	_exit(0);
}

/* Starts it; the master is the relay's then. */
static pid_t relay_start(int master, uid_t uid, struct error *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		relay_main(master, uid);
	return pid;
}

/* What is left in the terminal is written before it is ended. */
static void relay_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	if (process_wait_child(pid, deadline_in_ms(RELAY_END_MS), &(int){ 0 }, NULL) == 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- the wait ------------------------------------------------------------------------------- */

static int open_signals(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, SIGCHLD);
	sigdelset(&set, SIGPIPE);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int wait_child(pid_t child, int pidfd, int signals, struct error *err)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;
	int status;

	/* No deadline: the container may run for years; its end ends this. */
	while ((p[0].revents & POLLIN) == 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_set(err, errno, "poll");
		if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo != SIGWINCH)
			pidfd_send_signal(pidfd, (int)info.ssi_signo, NULL, 0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "wait for the container");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int console_wait(pid_t child, int master, uid_t uid, bool last, struct error *err)
{
	CLEANUP(raw_stop) struct raw_mode raw = { 0 };
	CLEANUP(fd_close) int pidfd = pidfd_open(child, 0);
	CLEANUP(fd_close) int signals = open_signals();
	pid_t relay = 0;
	int r;

	if (pidfd < 0 || signals < 0)
		return error_set(err, errno, "wait for the container");
	if (master >= 0) {
		raw_start(&raw);
		copy_size(master);
		relay = relay_start(master, uid, err);
		close(master); /* the terminal's end is seen by who holds it alone */
		if (relay < 0)
			return relay;
	}
	r = last ? privsep_cut(PRIVSEP_RUNTIME_WAIT, true, err) : 0;
	if (r == 0)
		r = wait_child(child, pidfd, signals, err);
	relay_stop(relay);
	return r;
}
