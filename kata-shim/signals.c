/*
 * Forwarded signals: see signals.h. Opened by main before rights are dropped, read by shim.c, which
 * owns the descriptor.
 */
#include "kata-shim/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"

enum signals_action signals_action(int signum, bool terminal)
{
	switch (signum) {
	case SIGKILL:
	case SIGSTOP:
		return SIGNALS_LEAVE;
	case SIGWINCH:
		return terminal ? SIGNALS_WINSIZE : SIGNALS_FORWARD;
	default:
		break;
	}
	/* Between the named ones and SIGRTMIN lie those the C library keeps for itself. */
	if ((signum >= 1 && signum <= SIGSYS) || (signum >= SIGRTMIN && signum <= SIGRTMAX))
		return SIGNALS_FORWARD;
	return SIGNALS_LEAVE;
}

bool signals_is_end(int signum)
{
	return signum == SIGTERM || signum == SIGINT || signum == SIGHUP || signum == SIGQUIT;
}

/*
 * Those that tell of a program's faults are among them, since anyone may send them; a fault of our
 * own ends us all the same: the kernel does not let it be blocked.
 */
int signals_open(struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (int s = 1; s <= SIGRTMAX; s++) {
		if (signals_action(s, false) != SIGNALS_LEAVE)
			sigaddset(&set, s);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_set(err, errno, "block signals");
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "make a signalfd");
	return fd;
}

/* What this program's own writes and children cause is not for the guest's process. */
static bool is_own(const struct signalfd_siginfo *info)
{
	if (info->ssi_signo == SIGPIPE)
		return (pid_t)info->ssi_pid == getpid();
	return info->ssi_signo == SIGCHLD && info->ssi_code > 0;
}

int signals_next(int fd)
{
	struct signalfd_siginfo info;
	ssize_t n;

	do {
		n = read(fd, &info, sizeof(info));
	} while ((n < 0 && errno == EINTR) || (n == (ssize_t)sizeof(info) && is_own(&info)));
	return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}
