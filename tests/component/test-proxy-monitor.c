/*
 * The real `kata-proxy monitor`, started as kata-runtime does it, with small programs in the place
 * of QEMU and virtiofsd: LAUNCH and COMMIT, what each process is left with as the kernel tells it,
 * the share, and how every end is told. Needs root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/frame.h"
#include "common/launch.h"
#include "common/wire.h"
#include "common/str.h"
#include "tests/fake/launcher.h"
#include "tests/fake/pretend.h"

#define VIRTIOFSD "/usr/lib/qemu/virtiofsd"

static char *const sleep_qemu[] = { "qemu", "1000", NULL };
static char *const sleep_virtiofsd[] = { "virtiofsd", "1000", NULL };

static const struct launcher_vm sleepers = {
	.qemu = "/bin/sleep",
	.qemu_args = sleep_qemu,
	.virtiofsd = "/bin/sleep",
	.virtiofsd_args = sleep_virtiofsd,
};

static struct launcher launcher;

static void set_up(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
	launcher_start(&launcher, true, 0);
}

static void tear_down(void)
{
	launcher_fini(&launcher);
}

TestSuite(monitor, .init = set_up, .fini = tear_down, .timeout = 60);

static void launch(const struct launcher_vm *vm)
{
	struct error err = { 0 };

	cr_assert(launcher_launch(&launcher, vm, &err) == 0, "%s: %s", err.text,
		  launcher_read(launcher.logs[LOG_OF_PROXY]));
}

static void commit(void)
{
	struct error err = { 0 };

	cr_assert(launcher_commit(&launcher, &err) == 0, "%s", err.text);
}

/* The first line; more may follow. */
static void assert_cause(const char *line)
{
	const char *text = launcher_read(launcher.cause);

	cr_assert(strncmp(text, line, strlen(line)) == 0, "%s", text);
}

/* --- what the kernel says of a process -------------------------------------------------------- */

/* The text behind "NAME:" in /proc/PID/status; static. */
static const char *status_of(pid_t pid, const char *name)
{
	static char line[256];
	char path[64];
	CLEANUP(file_close) FILE *f = NULL;
	size_t n = strlen(name);

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	cr_assert(f != NULL, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			line[strcspn(line, "\n")] = '\0';
			return line + n + 1 + strspn(line + n + 1, "\t ");
		}
	}
	cr_assert_fail("no %s in %s", name, path);
	return NULL;
}

static void assert_powerless(pid_t pid, unsigned uid)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	char ids[64];

	snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", uid, uid, uid, uid);
	cr_assert_str_eq(status_of(pid, "Uid"), ids);
	cr_assert_str_eq(status_of(pid, "Gid"), ids);
	cr_assert_str_eq(status_of(pid, "Groups"), "");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		cr_assert_str_eq(status_of(pid, sets[i]), "0000000000000000", "%s", sets[i]);
	cr_assert_str_eq(status_of(pid, "NoNewPrivs"), "1");
	cr_assert_str_eq(status_of(pid, "Seccomp"), "2");
}

static ino_t namespace_of(pid_t pid, const char *name)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	cr_assert(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
	return st.st_ino;
}

/* Descriptor numbers, in order, as "0 1 2 ", once the dynamic loader is done with its own. */
static const char *fds_of(pid_t pid, int below)
{
	static char text[1024];
	char path[64];
	struct stat st;

	usleep(100000);
	text[0] = '\0';
	for (int i = 0; i < below; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, i);
		if (lstat(path, &st) == 0)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", i);
	}
	return text;
}

static int count_fds(pid_t pid)
{
	int count = 0;

	for (const char *p = fds_of(pid, 1024); *p != '\0'; p++)
		count += *p == ' ';
	return count;
}

static const char *read_proc(pid_t pid, const char *name)
{
	static char text[1 << 16];
	char path[64];
	CLEANUP(fd_close) int fd = -1;
	size_t used = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	while (used < sizeof(text) - 1 && (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	return text;
}

static pid_t child(const char *argv0)
{
	pid_t pid = launcher_child(&launcher, argv0);

	cr_assert(pid > 0, "%s does not run", argv0);
	return pid;
}

/* Whether a process with one of the block's uids lives. */
static int processes_left(void)
{
	int count = 0;

	for (pid_t pid = 1; pid < 4194304; pid++) {
		char path[32];
		struct stat st;

		/* Only those whose number is in use: kill() is cheap. */
		if (kill(pid, 0) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d", pid);
		if (stat(path, &st) == 0 && st.st_uid >= launcher.uid_base &&
		    st.st_uid < launcher.uid_base + UID_BLOCK)
			count++;
	}
	return count;
}

/* --- life ------------------------------------------------------------------------------------- */

Test(monitor, launches_commits_and_ends_on_sigterm)
{
	pid_t qemu, virtiofsd, worker;
	int status;

	launch(&sleepers);
	qemu = child("qemu");
	virtiofsd = child("virtiofsd");
	worker = child("kata-proxy");
	commit();
	/* Its tie to the runtime is cut. */
	fd_close(&launcher.control);
	usleep(100000);
	cr_assert(kill(qemu, 0) == 0 && kill(virtiofsd, 0) == 0 && kill(worker, 0) == 0);
	cr_assert(kill(launcher.monitor, SIGTERM) == 0);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
	cr_assert_str_eq(launcher_read(launcher.cause), "operator\n");
	cr_assert(kill(qemu, 0) < 0 && kill(virtiofsd, 0) < 0 && kill(worker, 0) < 0);
	cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_PROXY]), "level=error") == NULL, "%s",
		  launcher_read(launcher.logs[LOG_OF_PROXY]));
}

Test(monitor, undoes_all_when_the_runtime_ends_before_commit)
{
	int64_t since;
	int status;

	launch(&sleepers);
	since = deadline_now_ms();
	fd_close(&launcher.control);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
	cr_assert(deadline_now_ms() - since < 2000);
	cr_assert_eq(processes_left(), 0);
	cr_assert_str_eq(launcher_read(launcher.cause), "");
}

Test(monitor, ends_when_no_launch_comes)
{
	int status;

	fd_close(&launcher.control);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
}

Test(monitor, killing_it_ends_every_process)
{
	launch(&sleepers);
	commit();
	cr_assert(processes_left() == 3, "%d", processes_left()); /* and virtiofsd, who is root */
	cr_assert(kill(launcher.monitor, SIGKILL) == 0);
	cr_assert(launcher_wait(&launcher) >= 0);
	cr_assert_eq(processes_left(), 0);
}

/* --- rights ----------------------------------------------------------------------------------- */

Test(monitor, drops_its_own_rights)
{
	static const char *const own[] = { "mnt", "net", "ipc", "uts" };
	pid_t pid = launcher.monitor;

	launch(&sleepers);
	assert_powerless(pid, launcher.uid_base + UID_PROXY);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		cr_assert_neq(namespace_of(pid, own[i]), namespace_of(getpid(), own[i]), "%s",
			      own[i]);
	/*
	 * /dev/null three times, control, log, signalfd, cause file, oom file, orders; its program,
	 * cause pipe, park; and what the next worker gets: log, clients, console, two stderr, four
	 * logs, the cause pipe's other end, and that of park.
	 */
	cr_assert_eq(count_fds(pid), 23, "%s", fds_of(pid, 1024));
}

Test(monitor, gives_qemu_exactly_its_row)
{
	static const char *const own[] = { "mnt", "net", "ipc", "uts" };
	pid_t pid;

	launch(&sleepers);
	pid = child("qemu");
	assert_powerless(pid, launcher.uid_base + UID_QEMU);
	cr_assert_str_eq(fds_of(pid, 1024), "0 1 2 10 11 12 13 14 15 ");
	cr_assert_str_eq(read_proc(pid, "environ"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	cr_assert(strstr(read_proc(pid, "limits"),
			 "Max core file size        0                    0") != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		cr_assert_neq(namespace_of(pid, own[i]), namespace_of(getpid(), own[i]));
		cr_assert_neq(namespace_of(pid, own[i]), namespace_of(launcher.monitor, own[i]));
	}
	cr_assert(strstr(read_proc(pid, "mountinfo"), "/share") == NULL);
}

Test(monitor, gives_virtiofsd_exactly_its_row)
{
	const unsigned long long caps =
		1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER |
		1ULL << CAP_FSETID | 1ULL << CAP_SETGID | 1ULL << CAP_SETUID | 1ULL << CAP_SETFCAP |
		1ULL << CAP_MKNOD | 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SETPCAP;
	unsigned from, to, n;
	pid_t pid;

	launch(&sleepers);
	pid = child("virtiofsd");
	cr_assert_neq(namespace_of(pid, "user"), namespace_of(getpid(), "user"));
	cr_assert_neq(namespace_of(pid, "mnt"), namespace_of(launcher.monitor, "mnt"));
	cr_assert(sscanf(read_proc(pid, "uid_map"), "%u %u %u", &from, &to, &n) == 3 && from == 0 &&
		  to == 0 && n == UINT32_MAX);
	cr_assert(sscanf(read_proc(pid, "gid_map"), "%u %u %u", &from, &to, &n) == 3 && from == 0 &&
		  to == 0 && n == UINT32_MAX);
	cr_assert_eq(strtoull(status_of(pid, "CapBnd"), NULL, 16), caps);
	cr_assert_eq(strtoull(status_of(pid, "CapPrm"), NULL, 16), caps);
	cr_assert_str_eq(status_of(pid, "Groups"), "");
	cr_assert_str_eq(status_of(pid, "NoNewPrivs"), "1");
	cr_assert_str_eq(fds_of(pid, 1024), "0 1 2 3 ");
}

Test(monitor, gives_virtiofsd_no_user_namespace_where_it_makes_nodes)
{
	pid_t pid;

	launcher.share_mknod = true;
	launch(&sleepers);
	pid = child("virtiofsd");
	cr_assert_eq(namespace_of(pid, "user"), namespace_of(getpid(), "user"));
	cr_assert_neq(namespace_of(pid, "mnt"), namespace_of(launcher.monitor, "mnt"));
	cr_assert_eq(strtoull(status_of(pid, "CapPrm"), NULL, 16),
		     privsep_capabilities(PRIVSEP_VIRTIOFSD_MKNOD));
	cr_assert_eq(strtoull(status_of(pid, "CapBnd"), NULL, 16),
		     privsep_capabilities(PRIVSEP_VIRTIOFSD_MKNOD));
	cr_assert_str_eq(status_of(pid, "Groups"), "");
	cr_assert_str_eq(status_of(pid, "NoNewPrivs"), "1");
	cr_assert_str_eq(status_of(pid, "Seccomp"), "2");
	cr_assert_str_eq(fds_of(pid, 1024), "0 1 2 3 ");
}

Test(monitor, gives_the_worker_exactly_its_row)
{
	pid_t pid;

	launch(&sleepers);
	pid = child("kata-proxy");
	assert_powerless(pid, launcher.uid_base + UID_PROXY);
	/* Above them is what libuv made for itself. */
	cr_assert_str_eq(fds_of(pid, 15), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 ");
	cr_assert(strstr(read_proc(pid, "limits"),
			 "Max open files            512                  512") != NULL);
}

Test(monitor, closes_what_it_inherited)
{
	launcher_fini(&launcher);
	launcher_start(&launcher, true, 20);
	launch(&sleepers);
	cr_assert_str_eq(fds_of(child("virtiofsd"), 1024), "0 1 2 3 ");
	cr_assert_str_eq(fds_of(child("qemu"), 1024), "0 1 2 10 11 12 13 14 15 ");
}

Test(monitor, refuses_to_run_outside_of_a_pid_namespace)
{
	struct error err = { 0 };
	int status;

	launcher_fini(&launcher);
	launcher_start(&launcher, false, 0);
	cr_assert(launcher_launch(&launcher, &sleepers, &err) < 0);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
}

/* Not as root, not as nobody, and not when it cannot give up what it was started with. */
Test(monitor, refuses_to_run_with_rights_that_cannot_be_dropped)
{
	static const struct {
		int lacks;      /* a capability; -1: none, but other uids */
		uid_t uid_base; /* then */
		const char *says;
	} cases[] = {
		{ -1, 0, "LAUNCH's uid block begins with root" },
		{ -1, UINT32_MAX - 1, "launch.uid_base: 4294967294 is over" },
		{ CAP_SETPCAP, 0, "start QEMU: set the securebits" },
		{ CAP_SYS_ADMIN, 0, "leave the host's namespaces" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		int status;

		launcher_fini(&launcher);
		launcher_without = cases[i].lacks;
		launcher_start(&launcher, true, 0);
		if (cases[i].lacks < 0)
			launcher.uid_base = cases[i].uid_base;
		cr_expect(launcher_launch(&launcher, &sleepers, &err) < 0, "case %zu", i);
		cr_expect(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].says,
			  err.text);
		status = launcher_wait(&launcher);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s: status 0x%x",
			  cases[i].says, status);
		if (cases[i].lacks >= 0)
			cr_expect_eq(processes_left(), 0);
	}
}

/* What virtiofsd's start does is only pretended; its last look before the exec finds that. */
static const struct unconfined {
	const char *call;
	int64_t first, second; /* its arguments */
	const char *says;
} unconfined[] = {
	{ "prctl", PR_CAPBSET_DROP, CAP_SYS_MODULE, "capability 16 is left in the bounding set" },
	{ "capset", PRETEND_ANY, PRETEND_ANY, "capabilities are left" },
	{ "prctl", PR_SET_NO_NEW_PRIVS, PRETEND_ANY, "no_new_privs is not set" },
	{ "prctl", PR_GET_SECCOMP, PRETEND_ANY, "there is no system call filter" },
};
static const struct unconfined *pretended;

static void pretend_it(void)
{
	pretend(pretended->call, pretended->first, pretended->second);
}

Test(monitor, runs_no_virtiofsd_that_is_not_confined)
{
	launcher_before_exec = pretend_it;
	for (size_t i = 0; i < ARRAY_SIZE(unconfined); i++) {
		struct error err = { 0 };
		int status;

		pretended = &unconfined[i];
		launcher_fini(&launcher);
		launcher_start(&launcher, true, 0);
		cr_expect(launcher_launch(&launcher, &sleepers, &err) < 0, "case %zu", i);
		cr_expect(str_starts(err.text, "start virtiofsd: virtiofsd is not confined: ") &&
				  strstr(err.text, pretended->says) != NULL,
			  "%s: %s", pretended->says, err.text);
		status = launcher_wait(&launcher);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
		cr_expect_eq(processes_left(), 0);
	}
}

/* --- the worker's successors ------------------------------------------------------------------ */

/* Waits for a worker other than that one: its pid. */
static pid_t next_worker(pid_t old)
{
	int64_t deadline = deadline_in_ms(5000);
	pid_t pid;

	do {
		pid = launcher_child(&launcher, "kata-proxy");
		if (pid > 0 && pid != old && kill(pid, 0) == 0)
			return pid;
		usleep(1000);
	} while (deadline_left_ms(deadline) > 0);
	cr_assert_fail("no other worker came: %s", launcher_read(launcher.logs[LOG_OF_PROXY]));
	return 0;
}

Test(monitor, starts_a_crashed_worker_again)
{
	static const int signals[] = { SIGKILL, SIGSEGV, SIGABRT };
	struct launcher_vm vm = sleepers;
	int64_t since, took, fastest = INT64_MAX;
	pid_t worker;

	vm.worker_crashes = 5;
	launch(&vm);
	commit();
	worker = child("kata-proxy");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		since = deadline_now_ms();
		cr_assert(kill(worker, signals[i]) == 0);
		worker = next_worker(worker);
		took = deadline_now_ms() - since;
		cr_log_info("the next worker came after %lld ms", (long long)took);
		cr_assert_lt(took, 1000);
		if (took < fastest)
			fastest = took;
		assert_powerless(worker, launcher.uid_base + UID_PROXY);
		cr_assert_str_eq(fds_of(worker, 15), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 ");
	}
	cr_assert_lt(fastest, 100); /* a busy machine is slow at times, and nobody waits here */
	cr_assert_eq(count_fds(launcher.monitor), 22); /* without the control socket */
	cr_assert(child("qemu") > 0 && child("virtiofsd") > 0);
	cr_assert(kill(launcher.monitor, SIGTERM) == 0 && launcher_wait(&launcher) == 0);
	cr_assert_str_eq(launcher_read(launcher.cause), "operator\n");
}

Test(monitor, gives_up_after_six_crashes)
{
	struct launcher_vm vm = sleepers;
	pid_t worker;
	int status;

	vm.worker_crashes = 5;
	launch(&vm);
	commit();
	worker = child("kata-proxy");
	for (int i = 0; i < 5; i++) {
		cr_assert(kill(worker, SIGKILL) == 0);
		worker = next_worker(worker);
	}
	cr_assert(kill(worker, SIGKILL) == 0);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
	assert_cause("worker signal 9, crash 6 in 30 s\n");
	cr_assert_eq(processes_left(), 0);
}

/* Sends an order as root: 0, or the answer's error. */
static int order(enum msg_type type, int fd, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP(fd_close) int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/monitor.sock", launcher.dir);
	cr_assert(connect(to, (struct sockaddr *)&address, sizeof(address)) == 0);
	r = fdpass_send(to, type, NULL, &fd, fd >= 0 ? 1 : 0, deadline_in_ms(5000), err);
	return r < 0 ? r : fdpass_expect(to, MSG_DONE, NULL, deadline_in_ms(5000), err);
}

Test(monitor, changes_its_worker_on_order)
{
	CLEANUP(fd_close)
	int proxy = open(launcher_program("kata-proxy/kata-proxy"), O_PATH | O_CLOEXEC);
	CLEANUP(fd_close) int text = open("/etc/passwd", O_PATH | O_CLOEXEC);
	struct error err = { 0 };
	pid_t worker;

	launch(&sleepers); /* that mends no crash */
	commit();
	worker = child("kata-proxy");
	cr_assert(order(MSG_RESTART, proxy, &err) == 0, "%s", err.text);
	cr_assert_neq(child("kata-proxy"), worker);
	/* What cannot be run, and what is no order, changes nothing for good. */
	cr_assert(order(MSG_RESTART, text, &err) < 0);
	cr_assert(strstr(err.text, "start the worker: exec") != NULL, "%s", err.text);
	worker = next_worker(0);
	cr_assert(order(MSG_COMMIT, proxy, &err) < 0);
	cr_assert_str_eq(err.text, "COMMIT with 1 descriptors is no order");
	cr_assert(order(MSG_RESTART, -1, &err) < 0);
	cr_assert_eq(child("kata-proxy"), worker);
	cr_assert_eq(count_fds(launcher.monitor), 22);
}

/* --- the root and the share ------------------------------------------------------------------- */

static int path_of(char *path, size_t size, pid_t pid, const char *inside)
{
	return snprintf(path, size, "/proc/%d/root%s", pid, inside);
}

static bool visible(pid_t pid, const char *inside)
{
	char path[256];
	struct stat st;

	path_of(path, sizeof(path), pid, inside);
	return lstat(path, &st) == 0;
}

Test(monitor, shows_a_small_root)
{
	static const char *const hidden[] = { "/etc",     "/home",      "/var",
					      "/root",    "/tmp",       "/boot",
					      "/sys/fs",  "/sys/class", "/sys/kernel/mm/hugepages",
					      "/dev/kvm", "/dev/sda",   "/dev/vda" };
	char path[256];
	pid_t pid;

	launch(&sleepers);
	pid = child("qemu");
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		cr_assert(!visible(pid, hidden[i]) && !visible(launcher.monitor, hidden[i]), "%s",
			  hidden[i]);
	cr_assert(visible(pid, "/usr/bin/env") && visible(pid, "/proc/1/stat"));
	cr_assert(visible(pid, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"));
	path_of(path, sizeof(path), pid, "/made");
	cr_assert(mkdir(path, 0700) < 0 && errno == EROFS);
	path_of(path, sizeof(path), pid, "/usr/made");
	cr_assert(mkdir(path, 0700) < 0 && errno == EROFS);
}

/* As the runtime does: a detached copy of dir goes to /share/NAME of the sandbox. */
static int hand_in(const char *dir, const char *name)
{
	char path[128];
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, dir,
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	int ns, status;
	pid_t pid;

	cr_assert(tree >= 0, "open_tree: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", launcher.monitor);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(ns >= 0, "%s: %s", path, strerror(errno));
	pid = fork();
	if (pid == 0) {
		snprintf(path, sizeof(path), LAUNCH_SHARE "/%s", name);
		if (setns(ns, CLONE_NEWNS) < 0)
			_exit(1);
		if (mkdir(path, 0700) < 0)
			_exit(2);
		if (syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			_exit(3);
		_exit(0);
	}
	close(ns);
	close(tree);
	cr_assert(waitpid(pid, &status, 0) == pid);
	return status;
}

Test(monitor, shows_what_is_handed_in_to_virtiofsd_alone)
{
	static char before[1 << 16];
	char dir[] = "/tmp/kata-handin.XXXXXX", path[256];
	pid_t qemu, virtiofsd;

	snprintf(before, sizeof(before), "%s", read_proc(getpid(), "mountinfo"));
	launch(&sleepers);
	qemu = child("qemu");
	virtiofsd = child("virtiofsd");
	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert_eq(hand_in(dir, "c1"), 0);
	cr_assert(visible(virtiofsd, "/share/c1/file"));
	cr_assert(!visible(qemu, "/share/c1/file") && !visible(qemu, "/share/c1"));
	/* The guest makes no names beside it, and may write in it. */
	path_of(path, sizeof(path), virtiofsd, "/share/made");
	cr_assert(mkdir(path, 0700) < 0 && errno == EROFS, "%s", strerror(errno));
	path_of(path, sizeof(path), virtiofsd, "/share/c1/made");
	cr_assert(mkdir(path, 0700) == 0, "%s", strerror(errno));
	rmdir(path);
	cr_assert_str_eq(read_proc(getpid(), "mountinfo"), before, "the host sees a mount");
	cr_assert(kill(launcher.monitor, SIGKILL) == 0 && launcher_wait(&launcher) >= 0);
	cr_assert_str_eq(read_proc(getpid(), "mountinfo"), before, "a mount is left");
	snprintf(path, sizeof(path), "%s/file", dir);
	cr_assert(unlink(path) == 0 && rmdir(dir) == 0, "%s", strerror(errno));
}

Test(monitor, starts_the_real_virtiofsd)
{
	static char *const args[] = {
		"virtiofsd", "--fd=3",     "-o", "source=/share", "-o", "sandbox=namespace",
		"-o",        "cache=auto", "-o", "xattr",         "-o", "announce_submounts",
		NULL
	};
	struct launcher_vm vm = sleepers;
	unsigned long long left;
	char path[64];
	pid_t pid;

	if (access(VIRTIOFSD, X_OK) < 0)
		cr_skip("no " VIRTIOFSD);
	vm.virtiofsd = VIRTIOFSD;
	vm.virtiofsd_args = args;
	launch(&vm);
	commit();
	usleep(500000);
	pid = launcher_child(&launcher, "virtiofsd");
	cr_assert(pid > 0, "it ended: %s", launcher_read(launcher.logs[LOG_OF_VIRTIOFSD]));
	/* It has gone into a sandbox of its own, so all it asked for was granted. */
	cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_VIRTIOFSD]), "rror") == NULL &&
			  strstr(launcher_read(launcher.logs[LOG_OF_VIRTIOFSD]), "ailed") == NULL,
		  "%s", launcher_read(launcher.logs[LOG_OF_VIRTIOFSD]));
	snprintf(path, sizeof(path), "task/%d/children", pid);
	pid = atoi(read_proc(pid, path));
	cr_assert(pid > 0);
	cr_assert_neq(namespace_of(pid, "net"), namespace_of(launcher.monitor, "net"));
	cr_assert_neq(namespace_of(pid, "pid"), namespace_of(launcher.monitor, "pid"));
	left = strtoull(status_of(pid, "CapPrm"), NULL, 16);
	cr_assert((left & (1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SETPCAP)) == 0, "%llx", left);
}

/* --- how it ends ------------------------------------------------------------------------------ */

/* Says HELLO as a client and returns the text of the CLOSE that comes; static. */
static const char *last_words(int fd)
{
	static char text[2048];
	static uint8_t input[1 << 16];
	uint8_t nonce[FRAME_NONCE];
	struct msg_hello hello = { .version = PROTOCOL_VERSION,
				   .component = "runtime",
				   .release = "1" };
	CLEANUP(buf_fini) struct buf out = { 0 }, in = { 0 };
	struct frame frame = { .type = FRAME_HELLO };
	struct error err;
	void *close_body;
	ssize_t n;

	frame_new_nonce(nonce);
	buf_reserve(&out, FRAME_HEADER);
	buf_commit(&out, FRAME_HEADER);
	cr_assert(frame_put_hello(&out, nonce, &hello, &err) == 0);
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	if (write(fd, buf_at(&out), buf_len(&out)) < 0)
		cr_log_info("write: %s", strerror(errno));
	while ((n = read(fd, input, sizeof(input))) > 0)
		cr_assert(buf_append(&in, input, (size_t)n) == 0);
	cr_assert_eq(frame_next(&in, &frame, &err), 1, "nothing was said");
	cr_assert_eq(frame.type, FRAME_CLOSE);
	cr_assert_eq(frame.channel, 0);
	cr_assert(wire_decode_as(MSG_CLOSE, frame.payload, frame.length, &close_body, &err) == 0);
	cr_assert_eq(((struct msg_close *)close_body)->reason, CLOSE_VM_ENDED);
	snprintf(text, sizeof(text), "%s", ((struct msg_close *)close_body)->text);
	wire_free(MSG_CLOSE, close_body);
	return text;
}

/* QEMU's place is taken by a program that obeys SIGTERM by saying line and exiting with status. */
static void launch_talker(char *line, char *status)
{
	char *args[] = { (char *)"qemu", line, status, NULL };
	struct launcher_vm vm = sleepers;

	vm.qemu = launcher_program("tests/fake/talker");
	vm.qemu_args = args;
	launch(&vm);
	commit();
}

static void await_up(enum launcher_log log)
{
	int64_t deadline = deadline_in_ms(10000);

	while (strstr(launcher_read(launcher.logs[log]), "msg=up") == NULL) {
		cr_assert(deadline_left_ms(deadline) > 0);
		usleep(10000);
	}
}

Test(monitor, tells_why_qemu_ended)
{
	static char line[] = "qemu: no kernel: Permission denied", three[] = "3";
	const char *words;
	int fd, status;

	launch_talker(line, three);
	await_up(LOG_OF_QEMU);
	fd = launcher_connect(&launcher);
	cr_assert(kill(child("qemu"), SIGTERM) == 0);
	words = last_words(fd);
	cr_assert_str_eq(words, "the VM ended: qemu exited 3: qemu: "
				"qemu: no kernel: access refused");
	close(fd);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_cause("qemu exited 3\n");
	cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_QEMU]), "Permission denied") != NULL);
	cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_PROXY]), "component=monitor") != NULL);
	cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_PROXY]), "qemu exited 3") != NULL);
	cr_assert_eq(processes_left(), 0);
}

Test(monitor, an_end_of_qemu_with_0_is_no_failure)
{
	static char line[] = "bye", zero[] = "0";
	int status;

	launch_talker(line, zero);
	await_up(LOG_OF_QEMU);
	cr_assert(kill(child("qemu"), SIGTERM) == 0);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_cause("qemu exited 0\n");
}

struct death {
	const char *argv0, *cause, *words;
};

static void die(const struct death *death)
{
	int fd, status;
	int64_t since;

	launch(&sleepers);
	commit();
	fd = launcher_connect(&launcher);
	since = deadline_now_ms();
	cr_assert(kill(child(death->argv0), SIGKILL) == 0);
	if (death->words != NULL)
		cr_assert_str_eq(last_words(fd), death->words);
	status = launcher_wait(&launcher);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status 0x%x", status);
	cr_assert(deadline_now_ms() - since < 2000);
	assert_cause(death->cause);
	cr_assert_eq(processes_left(), 0);
	close(fd);
}

Test(monitor, qemu_is_killed)
{
	die(&(struct death){ "qemu", "qemu signal 9\n", "the VM ended: qemu signal 9" });
}

static void count_oom(const char *text)
{
	cr_assert(pwrite(launcher.oom, text, strlen(text), 0) == (ssize_t)strlen(text));
}

Test(monitor, tells_that_the_hosts_kernel_killed)
{
	count_oom("low 0\noom 2\noom_kill 2\noom_group_kill 0\n");
	launch(&sleepers);
	commit();
	count_oom("low 0\noom 3\noom_kill 3\noom_group_kill 0\n");
	cr_assert(kill(child("qemu"), SIGKILL) == 0);
	cr_assert(launcher_wait(&launcher) >= 0);
	assert_cause("qemu signal 9\nhost oom 1\nreason the VM ended: qemu signal 9\n");
}

Test(monitor, what_the_hosts_kernel_killed_before_is_not_told)
{
	count_oom("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	die(&(struct death){ "qemu", "qemu signal 9\nreason the VM ended: qemu signal 9\n", NULL });
}

Test(monitor, virtiofsd_is_killed)
{
	die(&(struct death){ "virtiofsd", "virtiofsd signal 9\n",
			     "the VM ended: virtiofsd signal 9" });
}

Test(monitor, the_worker_is_killed)
{
	/* And no crash is to be mended. */
	die(&(struct death){ "kata-proxy", "worker signal 9, crash 1 in 30 s\n", NULL });
}

Test(monitor, tells_the_runtime_of_a_death_before_commit)
{
	struct error err = { 0 };

	launch(&sleepers);
	cr_assert(kill(child("qemu"), SIGKILL) == 0);
	cr_assert(fdpass_expect(launcher.control, MSG_DONE, NULL, deadline_in_ms(5000), &err) < 0);
	cr_assert_str_eq(err.text, "the VM ended: qemu signal 9");
	cr_assert(launcher_wait(&launcher) >= 0);
}

/* --- what cannot be started ------------------------------------------------------------------- */

Test(monitor, tells_what_could_not_be_started)
{
	static const struct {
		const char *qemu, *virtiofsd, *says;
	} cases[] = {
		{ "/etc/passwd", "/bin/sleep", "start QEMU: exec: access refused" },
		{ "/bin/sleep", "/etc/passwd", "start virtiofsd: exec: access refused" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct launcher_vm vm = sleepers;
		struct error err = { 0 };
		int status;

		if (i > 0)
			launcher_start(&launcher, true, 0);
		vm.qemu = cases[i].qemu;
		vm.virtiofsd = cases[i].virtiofsd;
		cr_assert(launcher_launch(&launcher, &vm, &err) < 0);
		cr_assert_str_eq(err.text, cases[i].says);
		status = launcher_wait(&launcher);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
		cr_assert(strstr(launcher_read(launcher.logs[LOG_OF_PROXY]), cases[i].says) !=
			  NULL);
		cr_assert_eq(processes_left(), 0);
		if (i + 1 < ARRAY_SIZE(cases))
			launcher_fini(&launcher);
	}
}

/* LAUNCH messages that no runtime sends. */
Test(monitor, refuses_a_launch_that_is_wrong)
{
	static char qemu[] = "qemu", name_qemu[] = LAUNCH_QEMU, name_odd[] = "odd";
	static char *args[] = { qemu, NULL };
	struct msg_launch_fd one[] = { { name_qemu } }, odd[] = { { name_odd } };
	struct msg_launch_fd twice[] = { { name_qemu }, { name_qemu } };
	const struct {
		struct msg_launch launch;
		size_t fds;
		const char *says;
	} cases[] = {
		{ { .fds = one, .n_fds = 1 }, 0, "LAUNCH names 1 descriptors, 0 came" },
		{ { .n_fds = 0 }, 2, "LAUNCH names 0 descriptors, 2 came" },
		{ { .fds = odd, .n_fds = 1 }, 1, "LAUNCH's descriptor odd is unknown" },
		{ { .fds = twice, .n_fds = 2 }, 2, "LAUNCH's descriptor qemu is there twice" },
		{ { .fds = one, .n_fds = 1 }, 1, "LAUNCH has no descriptor kernel" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg_launch launch = cases[i].launch;
		int fds[] = { 0, 0 };
		struct error err = { 0 };

		if (i > 0)
			launcher_start(&launcher, true, 0);
		launch.sandbox = qemu;
		launch.uid_base = launcher.uid_base;
		launch.qemu_args = (struct wire_strings){ args, 1 };
		cr_assert(fdpass_send(launcher.control, MSG_LAUNCH, &launch, fds, cases[i].fds,
				      deadline_in_ms(5000), &err) == 0);
		cr_assert(fdpass_expect(launcher.control, MSG_LAUNCHED, NULL, deadline_in_ms(5000),
					&err) < 0);
		cr_assert_str_eq(err.text, cases[i].says);
		cr_assert(launcher_wait(&launcher) >= 0);
		if (i + 1 < ARRAY_SIZE(cases))
			launcher_fini(&launcher);
	}
}

Test(monitor, refuses_another_message)
{
	struct error err = { 0 };

	cr_assert(fdpass_send(launcher.control, MSG_COMMIT, NULL, NULL, 0, deadline_in_ms(5000),
			      &err) == 0);
	cr_assert(fdpass_expect(launcher.control, MSG_LAUNCHED, NULL, deadline_in_ms(5000), &err) <
		  0);
	cr_assert_str_eq(err.text, "COMMIT came instead of LAUNCH");
	cr_assert(launcher_wait(&launcher) >= 0);
}
