/*
 * A worker that systemd keeps: the real `kata-proxy monitor` with a test in the unit's place, and
 * the real `kata-proxy unit`, confined as its unit does, with a test in the monitor's. Needs root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/privsep.h"
#include "common/process.h"
#include "common/str.h"
#include "common/wire.h"
#include "tests/fake/launcher.h"

enum { UNIT_ID = 65000, FDS_MAX = 40 };

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
}

/* --- the monitor ----------------------------------------------------------------------------- */

static struct launcher launcher;

static void set_up(void)
{
	need_root();
	launcher_start(&launcher, true, 0);
	launcher_use_unit(&launcher);
}

static void tear_down(void)
{
	launcher_fini(&launcher);
}

TestSuite(unit_of_monitor, .init = set_up, .fini = tear_down, .timeout = 60);

static void launch(unsigned worker_crashes)
{
	static char *const sleep_qemu[] = { "qemu", "1000", NULL };
	const struct launcher_vm vm = { .qemu = "/bin/sleep",
					.qemu_args = sleep_qemu,
					.worker_crashes = worker_crashes };
	struct error err = { 0 };

	cr_assert(launcher_launch(&launcher, &vm, &err) == 0, "%s: %s", err.text,
		  launcher_read(launcher.logs[LOG_OF_PROXY]));
	cr_assert(launcher_commit(&launcher, &err) == 0, "%s", err.text);
}

/* Takes the order for a worker, looks at all of it, and says that it was started. */
static void take_order(int monitor)
{
	int fds[FDS_MAX];
	char shim[32], path[64], program[256] = "";
	struct error err = { 0 };
	struct msg_worker *order;
	bool told_shim = false;
	enum msg_type type;
	size_t count;
	void *body;

	cr_assert(fdpass_receive(monitor, &type, &body, fds, FDS_MAX, &count,
				 deadline_in_ms(LAUNCHER_MS), &err) == 0,
		  "%s: %s", err.text, launcher_read(launcher.logs[LOG_OF_PROXY]));
	cr_assert_eq(type, MSG_WORKER);
	order = body;
	cr_expect_eq(count, (size_t)order->n_fds + 1);
	snprintf(shim, sizeof(shim), "--shim-uid=%u", launcher.uid_base + UID_SHIM);
	for (uint32_t i = 0; i < order->args.count; i++)
		told_shim = told_shim || strcmp(order->args.items[i], shim) == 0;
	cr_expect(told_shim);
	cr_expect_str_eq(order->args.items[1], "worker");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	cr_expect(readlink(path, program, sizeof(program) - 1) > 0);
	cr_expect(strstr(program, "kata-proxy") != NULL, "%s", program);
	for (uint32_t i = 0; i < order->n_fds; i++)
		cr_expect(privsep_has_fd(PRIVSEP_WORKER, (int)order->fds[i].number));
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	wire_free(type, body);
	cr_assert(fdpass_send(monitor, MSG_DONE, NULL, NULL, 0, deadline_in_ms(LAUNCHER_MS),
			      &err) == 0);
}

static void tell_end(int monitor, int status)
{
	const struct msg_worker_ended ended = { .status = (uint32_t)status };

	cr_assert(fdpass_send(monitor, MSG_WORKER_ENDED, &ended, NULL, 0,
			      deadline_in_ms(LAUNCHER_MS), NULL) == 0);
}

Test(unit_of_monitor, orders_a_worker_as_often_as_one_ends)
{
	CLEANUP(fd_close) int monitor = -1;
	CLEANUP(fd_close) int second = -1;
	char byte;

	launch(5);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	take_order(monitor);
	cr_expect_eq(launcher_child(&launcher, "kata-proxy"), 0);
	tell_end(monitor, SIGSEGV);
	take_order(monitor);
	/* With the unit its worker ends; the next one may come before that is seen. */
	second = launcher_connect_to(&launcher, "launch.sock");
	tell_end(monitor, SIGSEGV);
	fd_close(&monitor);
	take_order(second);
	kill(launcher.monitor, SIGTERM);
	cr_expect(read(second, &byte, 1) == 0, "it ends with its monitor");
	cr_expect_eq(launcher_wait(&launcher), 0);
	cr_expect_str_eq(launcher_read(launcher.cause), "operator\n");
}

Test(unit_of_monitor, one_that_crashes_too_often_ends_the_vm)
{
	CLEANUP(fd_close) int monitor = -1;

	launch(1);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	take_order(monitor);
	tell_end(monitor, SIGSEGV);
	take_order(monitor);
	tell_end(monitor, SIGSEGV);
	cr_expect(launcher_wait(&launcher) != 0);
	cr_expect(str_starts(launcher_read(launcher.cause), "worker signal 11, crash 2 in 30 s"),
		  "%s", launcher_read(launcher.cause));
}

/* Whatever it does instead of what it should: it is let go of, and may come again. */
Test(unit_of_monitor, one_that_cannot_start_a_worker_comes_again)
{
	CLEANUP(fd_close) int monitor = -1;
	struct error err = { 0 };
	char data[4096];

	launch(5);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	error_say(&err, ENOEXEC, "not today");
	fdpass_send_error(monitor, &err);
	while (read(monitor, data, sizeof(data)) > 0)
		continue;
	cr_expect(strstr(launcher_read(launcher.logs[LOG_OF_PROXY]), "not today") != NULL);
	fd_close(&monitor);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	cr_assert(write(monitor, "no frame at all, no frame at all", 32) == 32);
	while (read(monitor, data, sizeof(data)) > 0)
		continue;
	fd_close(&monitor);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	fd_close(&monitor);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	take_order(monitor);
}

/* The program given comes with the next order; the worker before it is ended first. */
Test(unit_of_monitor, an_upgrade_is_its_to_start)
{
	CLEANUP(fd_close) int program = open("/bin/true", O_PATH | O_CLOEXEC);
	CLEANUP(fd_close) int monitor = -1;
	CLEANUP(fd_close) int root = -1;
	struct error err = { 0 };
	struct msg_worker *order;
	int fds[FDS_MAX];
	char path[64], name[64] = "";
	enum msg_type type;
	size_t count;
	void *body;

	launch(5);
	monitor = launcher_connect_to(&launcher, "launch.sock");
	take_order(monitor);
	root = launcher_connect_to(&launcher, "monitor.sock");
	cr_assert(fdpass_send(root, MSG_RESTART, NULL, &program, 1, deadline_in_ms(LAUNCHER_MS),
			      &err) == 0);
	cr_assert(fdpass_expect(monitor, MSG_WORKER_STOP, NULL, deadline_in_ms(LAUNCHER_MS),
				&err) == 0,
		  "%s", err.text);
	tell_end(monitor, SIGKILL);
	cr_assert(fdpass_receive(monitor, &type, &body, fds, FDS_MAX, &count,
				 deadline_in_ms(LAUNCHER_MS), &err) == 0 &&
			  type == MSG_WORKER,
		  "%s", err.text);
	order = body;
	cr_expect_eq(count, (size_t)order->n_fds + 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	cr_expect(readlink(path, name, sizeof(name) - 1) > 0 && strstr(name, "/true") != NULL, "%s",
		  name);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	wire_free(type, body);
	cr_assert(fdpass_send(monitor, MSG_DONE, NULL, NULL, 0, deadline_in_ms(LAUNCHER_MS),
			      &err) == 0);
	cr_expect(fdpass_expect(root, MSG_DONE, NULL, deadline_in_ms(LAUNCHER_MS), &err) == 0, "%s",
		  err.text);
}

Test(unit_of_monitor, without_its_unit_the_vm_ends)
{
	launch(5);
	cr_expect(launcher_wait(&launcher) != 0);
	cr_expect(str_starts(launcher_read(launcher.cause), "worker, whose unit is not there"),
		  "%s", launcher_read(launcher.cause));
}

/* --- the unit --------------------------------------------------------------------------------- */

static struct {
	char dir[64]; /* its root; the monitor's socket is in monitor/ */
	int listening, monitor;
	pid_t pid;
	int program;
} unit;

static void copy_program(void)
{
	CLEANUP(fd_close) int to = -1;
	char path[128], data[65536];
	ssize_t n;

	unit.program = open(launcher_program("kata-proxy/kata-proxy"), O_RDONLY | O_CLOEXEC);
	cr_assert(unit.program >= 0);
	snprintf(path, sizeof(path), "%s/kata-proxy", unit.dir);
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	while ((n = read(unit.program, data, sizeof(data))) > 0)
		cr_assert(write(to, data, (size_t)n) == n);
}

/* A sanitizer's program needs them, and /proc. What is mounted goes with this process. */
static void show_libraries(void)
{
	static const char *const dirs[] = { "/usr", "/lib", "/lib64", "/proc" };
	char path[128];

	cr_assert(unshare(CLONE_NEWNS) == 0 &&
		  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", unit.dir, dirs[i]);
		cr_assert(mkdir(path, 0755) == 0 && mount(dirs[i], path, NULL, MS_BIND, NULL) == 0,
			  "%s", path);
		cr_assert(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
	}
}

static void unit_set_up(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[128];

	need_root();
	str_format(unit.dir, sizeof(unit.dir), "/tmp/test-proxy-unit.XXXXXX");
	cr_assert(mkdtemp(unit.dir) != NULL && chmod(unit.dir, 0755) == 0);
	copy_program();
	if (SANITIZED)
		show_libraries();
	snprintf(dir, sizeof(dir), "%s/monitor", unit.dir);
	cr_assert(mkdir(dir, 0755) == 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/monitor/launch.sock", unit.dir);
	unit.listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(unit.listening, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		  chmod(address.sun_path, 0666) == 0 && listen(unit.listening, 8) == 0);
	unit.monitor = -1;
}

static void unit_tear_down(void)
{
	static const char *const dirs[] = { "usr", "lib", "lib64", "proc" };
	char command[128], path[128];

	if (unit.dir[0] == '\0')
		return;
	if (unit.pid > 0) {
		kill(unit.pid, SIGKILL);
		waitpid(unit.pid, NULL, 0);
	}
	fd_close(&unit.monitor);
	for (size_t i = 0; SANITIZED && i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", unit.dir, dirs[i]);
		cr_assert(umount2(path, MNT_DETACH) == 0, "%s", path);
	}
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", unit.dir);
	cr_assert(system(command) == 0);
}

TestSuite(unit, .init = unit_set_up, .fini = unit_tear_down, .timeout = 60);

/* As systemd starts it: drop false leaves it root. */
static void exec_unit(bool drop)
{
	unit.pid = fork();
	if (unit.pid != 0)
		return;
	if (chroot(unit.dir) < 0 || chdir("/") < 0 ||
	    (drop && privsep_drop(UNIT_ID, UNIT_ID, NULL, 0, NULL) < 0))
		_exit(98);
	execl("/kata-proxy", "kata-proxy", "unit", "test", NULL);
	_exit(99);
}

static void start_unit(void)
{
	struct pollfd p = { .fd = unit.listening, .events = POLLIN };

	exec_unit(true);
	cr_assert(poll(&p, 1, LAUNCHER_MS) == 1);
	unit.monitor = accept4(unit.listening, NULL, NULL, SOCK_CLOEXEC);
	cr_assert(unit.monitor >= 0);
}

static int wait_unit(void)
{
	int status = -1;

	cr_assert(process_wait_child(unit.pid, deadline_in_ms(LAUNCHER_MS), &status, NULL) == 0);
	unit.pid = 0;
	return status;
}

/* One more descriptor than given is named; number is that of the log. */
static int order(char *argument, uint32_t number, uint32_t more, struct error *err)
{
	char program[] = "kata-proxy", word[] = "test";
	char *args[] = { program, argument, word, NULL };
	CLEANUP(fd_close) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct msg_worker_fd numbers[] = { { number }, { number + 1 } };
	const struct msg_worker message = { .args = { args, 3 },
					    .fds = numbers,
					    .n_fds = 1 + more };
	const int fds[] = { unit.program, null };

	return fdpass_ask(unit.monitor, MSG_WORKER, &message, fds, 2, MSG_DONE,
			  deadline_in_ms(LAUNCHER_MS), err);
}

static int ended(void)
{
	struct error err = { 0 };
	void *body = NULL;
	int status;

	cr_assert(fdpass_expect(unit.monitor, MSG_WORKER_ENDED, &body, deadline_in_ms(LAUNCHER_MS),
				&err) == 0,
		  "%s", err.text);
	status = (int)((const struct msg_worker_ended *)body)->status;
	wire_free(MSG_WORKER_ENDED, body);
	return status;
}

/* Another unit stands for a worker that lives: it connects to this test, too. */
static pid_t start_long(void)
{
	char word[] = "unit";
	struct error err = { 0 };
	pid_t child = 0;

	cr_assert(order(word, WORKER_FD_LOG, 0, &err) == 0, "%s", err.text);
	cr_assert_eq(process_children(unit.pid, &child, 1), 1);
	return child;
}

Test(unit, starts_a_worker_and_tells_its_end)
{
	char wrong[] = "no-such-word";
	struct error err = { 0 };

	start_unit();
	for (int i = 0; i < 2; i++) {
		cr_assert(order(wrong, WORKER_FD_LOG, 0, &err) == 0, "%s", err.text);
		cr_expect_eq(ended(), 2 << 8); /* its usage */
	}
	fd_close(&unit.monitor);
	cr_expect_eq(wait_unit(), 75 << 8);
}

Test(unit, refuses_what_no_worker_has)
{
	char word[] = "unit";
	struct error err = { 0 };

	start_unit();
	cr_expect(order(word, WORKER_FD_LOG, 1, &err) == -EBADMSG);
	cr_expect(strstr(err.text, "names 2 descriptors besides the program, 2 came in all") !=
			  NULL,
		  "%s", err.text);
	cr_expect(order(word, 15, 0, &err) == -EBADMSG);
	cr_expect(strstr(err.text, "no descriptor 15") != NULL, "%s", err.text);
	start_long();
	cr_expect(order(word, WORKER_FD_LOG, 0, &err) == -EBUSY);
}

Test(unit, kills_a_worker_when_told)
{
	start_unit();
	for (int i = 0; i < 2; i++) {
		start_long();
		cr_assert(fdpass_send(unit.monitor, MSG_WORKER_STOP, NULL, NULL, 0,
				      deadline_in_ms(LAUNCHER_MS), NULL) == 0);
		cr_expect_eq(ended(), SIGKILL);
	}
}

Test(unit, ends_with_its_monitor)
{
	pid_t child;

	start_unit();
	child = start_long();
	fd_close(&unit.monitor);
	cr_expect_eq(wait_unit(), 75 << 8); /* start it again */
	cr_expect(kill(child, 0) < 0 && errno == ESRCH, "its worker lives on");
}

Test(unit, ends_by_sigterm)
{
	pid_t child;

	start_unit();
	child = start_long();
	kill(unit.pid, SIGTERM);
	cr_expect_eq(wait_unit(), 0);
	cr_expect(kill(child, 0) < 0 && errno == ESRCH, "its worker lives on");
}

Test(unit, anything_else_ends_it)
{
	start_unit();
	cr_assert(fdpass_send(unit.monitor, MSG_COMMIT, NULL, NULL, 0, deadline_in_ms(LAUNCHER_MS),
			      NULL) == 0);
	cr_expect_eq(wait_unit(), 1 << 8);
}

Test(unit, is_not_needed_without_a_monitor)
{
	fd_close(&unit.listening);
	exec_unit(true);
	cr_expect_eq(wait_unit(), 0);
}

/* Whoever starts it as root, or with rights: it does not serve anybody. */
Test(unit, refuses_to_run_unconfined)
{
	exec_unit(false);
	cr_expect_eq(wait_unit(), 1 << 8);
}
