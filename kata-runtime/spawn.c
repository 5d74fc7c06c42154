/*
 * Starts kata-shim and kata-proxy: see spawn.h. The child runs as root until its program gives
 * its rights up; between clone and exec it makes system calls only.
 */
#include "kata-runtime/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

/* What the child sends when a step failed. */
struct failure {
	int num;
	char step[32];
};

static noreturn void fail(int report, const char *step)
{
	struct failure failure = { .num = errno };
	ssize_t n;

	strncpy(failure.step, step, sizeof(failure.step) - 1);
	n = write(report, &failure, sizeof(failure));
	_exit(n == sizeof(failure) ? 127 : 126);
}

/*
 * Moves the descriptors to their places: first all of them out of the way, above the highest
 * place, then down. report, the pipe to the parent, ends up right above them.
 */
static int place_fds(const struct spawn *spawn, int *report)
{
	int high[SPAWN_FDS_MAX];

	for (int i = 0; i < spawn->fd_count; i++) {
		int from = spawn->fds[i];

		if (from < 0)
			from = open("/dev/null", O_RDWR | O_CLOEXEC);
		high[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, SPAWN_FDS_MAX + 1);
		if (high[i] < 0)
			return -errno;
	}
	*report = fcntl(*report, F_DUPFD_CLOEXEC, SPAWN_FDS_MAX + 1);
	if (*report < 0)
		return -errno;
	for (int i = 0; i < spawn->fd_count; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	if (dup3(*report, spawn->fd_count, O_CLOEXEC) < 0)
		return -errno;
	*report = spawn->fd_count;
	if (close_range((unsigned)spawn->fd_count + 1, ~0U, 0) < 0)
		return -errno;
	return 0;
}

static noreturn void child(const struct spawn *spawn, int report)
{
	int r;

	setsid();
	if (spawn->netns >= 0 && setns(spawn->netns, CLONE_NEWNET) < 0)
		fail(report, "join the network namespace");
	r = place_fds(spawn, &report);
	if (r < 0) {
		errno = -r;
		fail(report, "place descriptors");
	}
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	execve(spawn->path, spawn->argv, spawn->envp);
	fail(report, "exec");
}

/* A pid namespace is joined by what is forked next; the one after that is made in ours again. */
static pid_t make_child(const struct spawn *spawn, struct error *err)
{
	CLEANUP(fd_close) int own = -1;
	pid_t pid;
	int num;

	if (spawn->pidns >= 0) {
		own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (own < 0 || setns(spawn->pidns, CLONE_NEWPID) < 0)
			return error_set(err, errno, "join the pid namespace");
	}
	pid = (pid_t)syscall(SYS_clone, spawn->namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		return 0;
	num = errno;
	if (own >= 0 && setns(own, CLONE_NEWPID) < 0) {
		num = errno;
		if (pid > 0)
			kill(pid, SIGKILL);
		while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		return error_set(err, num, "leave the pid namespace");
	}
	return pid < 0 ? error_set(err, num, "start %s", spawn->path) : pid;
}

pid_t spawn_run(const struct spawn *spawn, struct error *err)
{
	CLEANUP(fd_close) int reader = -1;
	CLEANUP(fd_close) int writer = -1;
	struct failure failure;
	int pipe_fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	pid = make_child(spawn, err);
	if (pid < 0)
		return pid;
	if (pid == 0)
		child(spawn, writer);
	fd_close(&writer);
	/*
	 * Ends when the child has exec'd or failed; the steps in between cannot wait for anybody.
	 */
	do
		n = read(reader, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (n != sizeof(failure))
		return error_say(err, EIO, "start %s: its process ended early", spawn->path);
	failure.step[sizeof(failure.step) - 1] = '\0';
	return error_set(err, failure.num, "start %s: %s", spawn->path, failure.step);
}
