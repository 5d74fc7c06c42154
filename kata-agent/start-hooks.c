/*
 * startContainer hooks: see start-hooks.h. Runs in the forked child that becomes the container's
 * first process, when START has come; allocates nothing. What a hook reads and writes lies in files
 * without a name, so that nobody has to feed it or listen while it runs.
 */
#include "kata-agent/start-hooks.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

enum { SAID_MAX = 256 };

/*
 * The state with our pid, which is another one than 1 where the container shares the pid namespace
 * of others.
 */
static int make_input(const char *state, struct error *err)
{
	CLEANUP(fd_close) int fd = memfd_create("oci-state", MFD_CLOEXEC);
	const char *rest = state + 1;

	if (state[0] != '{')
		return error_say(err, EINVAL, "the state for it is no object");
	if (fd < 0 || dprintf(fd, "{\"pid\":%d%s", getpid(), rest[0] == '}' ? "" : ",") < 0 ||
	    write(fd, rest, strlen(rest)) != (ssize_t)strlen(rest) || lseek(fd, 0, SEEK_SET) < 0)
		return error_set(err, errno, "the state for it");
	return steal_fd(&fd);
}

static _Noreturn void child(const struct msg_hook *hook, char **env, int input, int output)
{
	char *const alone[] = { hook->path, NULL };

	setsid(); /* a group of its own, so that a timeout ends what it started too */
	if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(126);
	execve(hook->path, hook->args.count > 0 ? hook->args.items : alone,
	       hook->env.count > 0 ? hook->env.items : env);
	dprintf(2, "exec: %s", error_reason(errno));
	_exit(127);
}

/* Its wait status, or -ETIMEDOUT when it had to be killed. */
static int wait_for(pid_t pid, int pidfd, uint32_t timeout_s, int *ret_status)
{
	int64_t deadline = deadline_in_ms(1000LL * timeout_s);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int n;

	do {
		n = poll(&p, 1, deadline_left_ms(deadline));
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		kill(-pid, SIGKILL); /* not reaped, so the group is its own */
		kill(pid, SIGKILL);  /* before its setsid() there is no group */
	}
	/* We may be process 1: others' children are not waited for. */
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		continue;
	return n <= 0 ? -ETIMEDOUT : 0;
}

/* The last of what it wrote, on one line. */
static void read_said(int output, char *said, size_t size)
{
	off_t end = lseek(output, 0, SEEK_END);
	off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
	ssize_t n = end > 0 ? pread(output, said, size - 1, from) : 0;

	said[n > 0 ? n : 0] = '\0';
	while (n > 0 && (said[n - 1] == '\n' || said[n - 1] == '\r'))
		said[--n] = '\0';
	for (char *p = said; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

static int run(const struct msg_hook *hook, const char *state, char **env, struct error *err)
{
	CLEANUP(fd_close) int pidfd = -1;
	CLEANUP(fd_close) int input = make_input(state, err);
	CLEANUP(fd_close) int output = memfd_create("hook-output", MFD_CLOEXEC);
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	char said[SAID_MAX];
	int status = 0, r;
	pid_t pid;

	if (input < 0)
		return input;
	if (output < 0)
		return error_set(err, errno, "a place for what it says");
	/* Not fork(3): libuv has it close numbers that were descriptors of the agent. */
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return error_set(err, errno, "make a process");
	if (pid == 0)
		child(hook, env, input, output);
	r = wait_for(pid, pidfd, hook->timeout_s, &status);
	if (r == -ETIMEDOUT)
		return error_say(err, ETIMEDOUT, "it was killed after its timeout of %u s",
				 hook->timeout_s);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_said(output, said, sizeof(said));
	return error_say(err, EIO, "it %s %d%s%s",
			 WIFSIGNALED(status) ? "was killed by signal" : "exited with status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			 said[0] != '\0' ? ": " : "", said);
}

int start_hooks_run(const struct msg_create *create, char **env, struct error *err)
{
	for (uint32_t i = 0; i < create->n_start_hooks; i++) {
		int r = run(&create->start_hooks[i], create->hook_state, env, err);

		if (r < 0)
			return error_prefix(err, "hooks.startContainer[%u] %s", i,
					    create->start_hooks[i].path);
	}
	return 0;
}
