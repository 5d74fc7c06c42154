/* Runs virtiofsd --version: see virtiofsd-probe.h. In kata-runtime, before a VM is started. */
#include "kata-runtime/virtiofsd-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "kata-runtime/spawn.h"

enum { PROBE_MS = 5000 };

/* Reads what the program prints until it ends or the buffer is full. */
static int read_output(int fd, char *text, size_t size, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t used = 0;

	while (used < size - 1 && poll(&p, 1, deadline_left_ms(deadline)) > 0) {
		ssize_t n = read(fd, text + used, size - 1 - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	return used > 0 ? 0 : -ENODATA;
}

int virtiofsd_probe(const char *path, enum virtiofsd_kind *ret_kind, struct error *err)
{
	char *argv[] = { (char *)path, (char *)"--version", NULL };
	char *envp[] = { NULL };
	int64_t deadline = deadline_in_ms(PROBE_MS);
	CLEANUP(fd_close) int reader = -1;
	CLEANUP(fd_close) int writer = -1;
	char text[1024];
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	reader = fds[0];
	writer = fds[1];
	struct spawn spawn = { .path = path,
			       .argv = argv,
			       .envp = envp,
			       .fds = { -1, writer, writer },
			       .fd_count = 3,
			       .netns = -1 };
	pid = spawn_run(&spawn, err);
	if (pid < 0)
		return pid;
	fd_close(&writer);
	r = read_output(reader, text, sizeof(text), deadline);
	if (process_wait_child(pid, deadline, &status, NULL) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (r < 0)
		return error_say(err, EPROTONOSUPPORT, "%s --version prints nothing", path);
	r = virtiofsd_recognise(text, ret_kind, err);
	return r < 0 ? error_prefix(err, "%s", path) : 0;
}
