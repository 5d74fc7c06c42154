/* Which signals the shim forwards, and that they wait in the kernel until they are taken. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kata-shim/signals.h"

static const struct {
	int signum;
	enum signals_action plain, terminal;
} cases[] = {
	{ SIGHUP, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGINT, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGQUIT, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGABRT, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGUSR1, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGUSR2, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGALRM, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGTERM, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGCONT, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGTSTP, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGPWR, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGWINCH, SIGNALS_FORWARD, SIGNALS_WINSIZE },
	{ SIGCHLD, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGPIPE, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGKILL, SIGNALS_LEAVE, SIGNALS_LEAVE },
	{ SIGSTOP, SIGNALS_LEAVE, SIGNALS_LEAVE },
	{ SIGSEGV, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGBUS, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGFPE, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGILL, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGTRAP, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ SIGSYS, SIGNALS_FORWARD, SIGNALS_FORWARD },
	{ 0, SIGNALS_LEAVE, SIGNALS_LEAVE },
	{ -1, SIGNALS_LEAVE, SIGNALS_LEAVE },
	{ 32, SIGNALS_LEAVE, SIGNALS_LEAVE }, /* the C library's */
	{ 65, SIGNALS_LEAVE, SIGNALS_LEAVE },
	{ 1000, SIGNALS_LEAVE, SIGNALS_LEAVE },
};

Test(signals, actions)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(signals_action(cases[i].signum, false), cases[i].plain, "signal %d",
			     cases[i].signum);
		cr_expect_eq(signals_action(cases[i].signum, true), cases[i].terminal,
			     "signal %d with a terminal", cases[i].signum);
	}
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		cr_expect_eq(signals_action(s, true), SIGNALS_FORWARD, "signal %d", s);
}

Test(signals, ends)
{
	cr_expect(signals_is_end(SIGTERM));
	cr_expect(signals_is_end(SIGHUP));
	cr_expect_not(signals_is_end(SIGUSR1));
	cr_expect_not(signals_is_end(SIGWINCH));
	cr_expect_not(signals_is_end(0));
}

/* Those that criterion needs, and the ones that take one another back, are left out. */
static bool is_sent(int s)
{
	return s != SIGABRT && s != SIGTSTP && s != SIGTTIN && s != SIGTTOU && s != SIGCONT &&
	       s != SIGPIPE && signals_action(s, false) == SIGNALS_FORWARD;
}

/* Each one that is forwarded stays pending and is handed out once; real-time ones are counted. */
Test(signals, wait_until_taken)
{
	struct error err;
	int fd = signals_open(&err);
	int got[NSIG] = { 0 };

	cr_assert_geq(fd, 0, "%s", err.text);
	cr_expect_eq(signals_next(fd), 0);
	for (int s = 1; s <= SIGRTMAX; s++) {
		if (is_sent(s))
			raise(s);
	}
	raise(SIGRTMIN);
	for (int s = signals_next(fd); s != 0; s = signals_next(fd)) {
		cr_assert(s > 0 && s < NSIG);
		got[s]++;
	}
	for (int s = 1; s <= SIGRTMAX; s++) {
		cr_expect_eq(got[s], is_sent(s) + (s == SIGRTMIN), "signal %d came %d times", s,
			     got[s]);
	}
	close(fd);
}

Test(signals, lower_numbers_first)
{
	struct error err;
	int fd = signals_open(&err);

	raise(SIGCONT);
	raise(SIGHUP); /* as the kernel does at a hangup */
	cr_expect_eq(signals_next(fd), SIGHUP);
	cr_expect_eq(signals_next(fd), SIGCONT);
	cr_expect_eq(signals_next(fd), 0);
	close(fd);
}

/* The write of one's own and the end of a child are nobody else's; the same from outside is. */
Test(signals, of_our_own_are_not_told)
{
	int pipe_fds[2], fd, status;
	struct error err;
	pid_t parent = getpid(), child;

	cr_assert(pipe(pipe_fds) == 0);
	close(pipe_fds[0]);
	fd = signals_open(&err);
	cr_assert(write(pipe_fds[1], "x", 1) < 0);
	cr_expect_eq(signals_next(fd), 0);
	child = fork();
	if (child == 0)
		_exit(0);
	cr_assert(waitpid(child, &status, 0) == child);
	cr_expect_eq(signals_next(fd), 0);
	child = fork();
	if (child == 0)
		_exit(kill(parent, SIGPIPE) < 0);
	cr_assert(waitpid(child, &status, 0) == child && status == 0);
	cr_expect_eq(signals_next(fd), SIGPIPE);
	cr_expect_eq(signals_next(fd), 0);
	raise(SIGCHLD);
	cr_expect_eq(signals_next(fd), SIGCHLD);
	close(fd);
	close(pipe_fds[1]);
}
