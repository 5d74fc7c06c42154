/* Processes by identity: see process.h. Used by the runtime on the daemons it recorded. */
#include "common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

/* The name in it may hold any character. */
int process_parse_stat(const char *text, char *ret_state, uint64_t *ret_ticks)
{
	const char *p = strrchr(text, ')');
	unsigned long long ticks;

	if (p == NULL || sscanf(p + 1,
				" %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
				"%*d %*d %*d %llu",
				ret_state, &ticks) != 2)
		return -EIO;
	*ret_ticks = ticks;
	return 0;
}

static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_ticks, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64], text[1024];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno == ENOENT ? ESRCH : errno, "process %d", pid);
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return error_set(err, ESRCH, "process %d", pid);
	text[n] = '\0';
	if (process_parse_stat(text, ret_state, ret_ticks) < 0)
		return error_say(err, EIO, "%s cannot be understood", path);
	return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks, struct error *err)
{
	char state;

	return read_stat(pid, &state, ret_ticks, err);
}

bool process_alive(pid_t pid, uint64_t start_ticks)
{
	uint64_t ticks;
	char state;

	return pid > 0 && read_stat(pid, &state, &ticks, NULL) == 0 && ticks == start_ticks &&
	       state != 'Z' && state != 'X';
}

int process_open(pid_t pid, uint64_t start_ticks, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	uint64_t ticks;
	char state;

	if (pid <= 0)
		return error_set(err, ESRCH, "process %d", pid);
	fd = pidfd_open(pid, 0);
	if (fd < 0)
		return error_set(err, errno, "process %d", pid);
	/* Looked at after the pidfd exists: the pid cannot have changed hands since. */
	if (read_stat(pid, &state, &ticks, err) < 0 || ticks != start_ticks)
		return error_set(err, ESRCH, "process %d", pid);
	return steal_fd(&fd);
}

size_t process_children(pid_t pid, pid_t *children, size_t count)
{
	CLEANUP(file_close) FILE *f = NULL;
	size_t n = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	while (f != NULL && n < count && fscanf(f, "%d", &children[n]) == 1)
		n++;
	return n;
}

int process_wait_gone(int pidfd, int64_t deadline, struct error *err)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int n = poll(&p, 1, deadline_left_ms(deadline));

		if (n > 0)
			return 0;
		if (n == 0)
			return error_set(err, ETIMEDOUT, "wait for a process to end");
		if (errno != EINTR)
			return error_set(err, errno, "poll");
	}
}

void process_continue(pid_t pid, uint64_t start_ticks)
{
	CLEANUP(fd_close) int fd = process_open(pid, start_ticks, NULL);
	uint64_t ticks;
	char state;

	if (fd >= 0 && read_stat(pid, &state, &ticks, NULL) == 0 && state == 'T')
		pidfd_send_signal(fd, SIGCONT, NULL, 0);
}

int process_watch(struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return error_set(err, errno, "block signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_set(err, errno, "signalfd") : fd;
}

int process_wait_child(pid_t pid, int64_t deadline, int *ret_status, struct error *err)
{
	CLEANUP(fd_close) int fd = pidfd_open(pid, 0);
	int r;

	if (fd < 0)
		return error_set(err, errno, "process %d", pid);
	r = process_wait_gone(fd, deadline, err);
	if (r < 0)
		return r;
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "wait for process %d", pid);
	return 0;
}

void process_status_text(int status, char *text, size_t size)
{
	const char *name;

	if (WIFEXITED(status)) {
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
	} else if (WIFSIGNALED(status)) {
		name = sigabbrev_np(WTERMSIG(status));
		snprintf(text, size, "was killed by signal %d%s%s%s", WTERMSIG(status),
			 name != NULL ? " (SIG" : "", name != NULL ? name : "",
			 name != NULL ? ")" : "");
	} else {
		snprintf(text, size, "ended with wait status 0x%x", status);
	}
}
