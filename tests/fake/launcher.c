/* The monitor's starter for component tests: see launcher.h. */
#include "tests/fake/launcher.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/process.h"

int launcher_without = -1;
void (*launcher_before_exec)(void);

const char *launcher_program(const char *path)
{
	static char program[PATH_MAX];
	const char *build = getenv("KATA_BUILD");
	char self[PATH_MAX] = "", *slash;
	ssize_t n;

	if (build != NULL) {
		snprintf(program, sizeof(program), "%s/%s", build, path);
		return program;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	cr_assert(n > 0);
	slash = strstr(self, "/tests/");
	cr_assert(slash != NULL, "run it where it was built, or set KATA_BUILD");
	*slash = '\0';
	cr_assert((size_t)snprintf(program, sizeof(program), "%s/%s", self, path) <
		  sizeof(program));
	return program;
}

static int listen_in(const char *dir, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(chmod(address.sun_path, 0666) == 0 && listen(fd, 128) == 0);
	return fd;
}

static _Noreturn void become_monitor(const char *program, int control, int log, int extra)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Out of the way of the numbers below. */
	control = fcntl(control, F_DUPFD_CLOEXEC, 100);
	log = fcntl(log, F_DUPFD_CLOEXEC, 100);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	if (dup2(control, START_FD_CONTROL) < 0 || dup2(log, START_FD_LOG) < 0)
		_exit(99);
	for (int i = 0; i < extra; i++)
		if (dup2(null, 20 + 3 * i) < 0)
			_exit(99);
	if (launcher_without >= 0 && prctl(PR_CAPBSET_DROP, launcher_without, 0, 0, 0) < 0)
		_exit(97);
	if (launcher_before_exec != NULL)
		launcher_before_exec();
	execl(program, "kata-proxy", "monitor", "test", NULL);
	_exit(98);
}

void launcher_start(struct launcher *l, bool pidns, int extra)
{
	const char *program = launcher_program("kata-proxy/kata-proxy");
	int pair[2];

	*l = (struct launcher){ .dir = "/tmp/kata-launcher.XXXXXX",
				.unit = -1,
				.uid_base = 3000000 + (uid_t)getpid() % 200000 * UID_BLOCK };
	cr_assert(mkdtemp(l->dir) != NULL && chmod(l->dir, 0711) == 0);
	l->listen = listen_in(l->dir, "proxy.sock");
	l->qmp = listen_in(l->dir, "qmp.sock");
	l->orders = listen_in(l->dir, "monitor.sock");
	l->cause = memfd_create("cause", MFD_CLOEXEC);
	l->oom = memfd_create("oom", MFD_CLOEXEC);
	for (int i = 0; i < LOG_OF_COUNT; i++)
		l->logs[i] = memfd_create("log", MFD_CLOEXEC);
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	l->control = pair[0];
	l->monitor = (pid_t)syscall(SYS_clone, (pidns ? CLONE_NEWPID : 0) | SIGCHLD, 0, 0, 0, 0);
	if (l->monitor == 0)
		become_monitor(program, pair[1], l->logs[LOG_OF_PROXY], extra);
	cr_assert(l->monitor > 0, "clone: %s", strerror(errno));
	close(pair[1]);
}

void launcher_use_unit(struct launcher *l)
{
	l->unit = listen_in(l->dir, "launch.sock");
}

static int open_input(const char *path)
{
	int fd = open(path != NULL ? path : "/dev/null", O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static uint32_t count(char *const *items)
{
	uint32_t n = 0;

	while (items != NULL && items[n] != NULL)
		n++;
	return n;
}

int launcher_launch(struct launcher *l, const struct launcher_vm *vm, struct error *err)
{
	static char sandbox[] = "test";
	static const char *const names[] = {
		LAUNCH_QEMU,      LAUNCH_KERNEL,        LAUNCH_INITRD,    LAUNCH_QMP,
		LAUNCH_CLIENTS,   LAUNCH_CAUSE,         LAUNCH_LOG_AGENT, LAUNCH_LOG_CONSOLE,
		LAUNCH_LOG_QEMU,  LAUNCH_LOG_VIRTIOFSD, LAUNCH_MONITOR,   LAUNCH_OOM,
		LAUNCH_VIRTIOFSD, LAUNCH_UNIT,
	};
	struct msg_launch_fd fd_names[ARRAY_SIZE(names)];
	struct msg_launch launch = {
		.sandbox = sandbox,
		.uid_base = l->uid_base,
		.debug = vm->debug,
		.share_mknod = l->share_mknod,
		.guest_debug = vm->guest_debug,
		.worker_crashes = vm->worker_crashes,
		.qemu_args = { (char **)vm->qemu_args, count(vm->qemu_args) },
		.virtiofsd_args = { (char **)vm->virtiofsd_args, count(vm->virtiofsd_args) },
		.fds = fd_names,
	};
	int fds[] = { open_input(vm->qemu),
		      open_input(vm->kernel),
		      open_input(vm->initrd),
		      l->qmp,
		      l->listen,
		      l->cause,
		      l->logs[LOG_OF_AGENT],
		      l->logs[LOG_OF_CONSOLE],
		      l->logs[LOG_OF_QEMU],
		      l->logs[LOG_OF_VIRTIOFSD],
		      l->orders,
		      l->oom,
		      vm->virtiofsd != NULL ? open_input(vm->virtiofsd) : -1,
		      l->unit };
	int given[ARRAY_SIZE(names)], r;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (fds[i] < 0)
			continue;
		given[launch.n_fds] = fds[i];
		fd_names[launch.n_fds++].name = (char *)names[i];
	}
	r = fdpass_send(l->control, MSG_LAUNCH, &launch, given, launch.n_fds,
			deadline_in_ms(LAUNCHER_MS), err);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	fd_close(&fds[12]);
	fd_close(&l->unit);
	fd_close(&l->listen);
	fd_close(&l->qmp);
	fd_close(&l->orders);
	if (r == 0)
		r = fdpass_expect(l->control, MSG_LAUNCHED, NULL, deadline_in_ms(LAUNCHER_MS), err);
	return r;
}

int launcher_commit(struct launcher *l, struct error *err)
{
	int r = fdpass_send(l->control, MSG_COMMIT, NULL, NULL, 0, deadline_in_ms(LAUNCHER_MS),
			    err);

	if (r == 0)
		r = fdpass_expect(l->control, MSG_DONE, NULL, deadline_in_ms(LAUNCHER_MS), err);
	return r;
}

pid_t launcher_child(const struct launcher *l, const char *argv0)
{
	char path[64];
	CLEANUP(file_close) FILE *children = NULL;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", l->monitor, l->monitor);
	children = fopen(path, "re");
	cr_assert(children != NULL, "%s", path);
	while (fscanf(children, "%d", &pid) == 1) {
		CLEANUP(fd_close) int fd = -1;
		char arguments[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, arguments, sizeof(arguments) - 1) > 0 &&
		    strcmp(arguments, argv0) == 0)
			return pid;
	}
	return 0;
}

int launcher_connect_to(const struct launcher *l, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", l->dir, name);
	cr_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

int launcher_connect(const struct launcher *l)
{
	return launcher_connect_to(l, "proxy.sock");
}

int launcher_wait(struct launcher *l)
{
	struct error err;
	int status;

	if (process_wait_child(l->monitor, deadline_in_ms(LAUNCHER_MS), &status, &err) < 0)
		return -1;
	l->monitor = 0;
	return status;
}

const char *launcher_read(int fd)
{
	static char text[1 << 20];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	cr_assert(n >= 0);
	text[n] = '\0';
	return text;
}

void launcher_fini(struct launcher *l)
{
	static const char *const sockets[] = { "proxy.sock", "qmp.sock", "monitor.sock",
					       "launch.sock" };
	char path[128];

	if (l->monitor > 0) {
		kill(l->monitor, SIGKILL);
		waitpid(l->monitor, NULL, 0);
	}
	fd_close(&l->control);
	fd_close(&l->cause);
	fd_close(&l->listen);
	fd_close(&l->qmp);
	fd_close(&l->orders);
	fd_close(&l->unit);
	for (int i = 0; i < LOG_OF_COUNT; i++)
		fd_close(&l->logs[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		snprintf(path, sizeof(path), "%s/%s", l->dir, sockets[i]);
		unlink(path);
	}
	rmdir(l->dir);
}
