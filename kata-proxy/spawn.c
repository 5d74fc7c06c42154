/*
 * Starting QEMU, virtiofsd and the worker: see spawn.h. Called by the monitor, which is one thread,
 * so that the child of fork() may run ordinary code until its exec. Parent and child talk over a
 * seqpacket pair that the exec closes: the child sends its error or asks for its id maps, the
 * parent answers once they are written.
 */
#include "kata-proxy/spawn.h"

#include <assert.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "kata-proxy/monitor-root.h"

enum {
	START_MS = 10000, /* from fork to exec */
	FD_PARKED = 64,   /* where descriptors wait while the final numbers are filled */
};

static const char want_maps = 'm', have_maps = 'g';

void spawn_pass(struct spawn *spawn, int from, int to)
{
	if (from < 0)
		return;
	assert(spawn->n_fds < SPAWN_FDS_MAX);
	assert(to == STDERR_FILENO || privsep_has_fd(spawn->row, to));
	spawn->fds[spawn->n_fds++] = (struct spawn_fd){ .from = from, .to = to };
}

/* --- in the child ----------------------------------------------------------------------------- */

/* Network, ipc, uts and mounts of its own; of the monitor's root it keeps all but the share. */
static int enter_qemu(const struct spawn *spawn, struct error *err)
{
	int r;

	if (unshare((int)privsep_row(PRIVSEP_QEMU)->namespaces & ~CLONE_NEWPID) < 0)
		return error_set(err, errno, "make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(err, errno, "make mounts private");
	if (umount2(LAUNCH_SHARE, MNT_DETACH) < 0)
		return error_set(err, errno, "leave %s", LAUNCH_SHARE);
	r = privsep_limit(PRIVSEP_QEMU, err);
	if (r == 0)
		r = privsep_drop(spawn->uid, spawn->uid, &spawn->kvm_gid,
				 spawn->kvm_gid != 0 ? 1 : 0, err);
	return r;
}

/* The row's capabilities in all sets that are not for children. */
static int bound_virtiofsd(enum privsep_process row, struct error *err)
{
	uint64_t keep = privsep_capabilities(row);
	int r;

	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned cap = 0; cap < 64; cap++)
		if ((keep & UINT64_C(1) << cap) != 0)
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, cap);
	r = capng_apply(CAPNG_SELECT_ALL);
	if (r < 0)
		return error_say(err, EPERM, "capng_apply failed with %d", r);
	return 0;
}

/* Waits until the monitor has written the id maps of our new user namespace. */
static int await_maps(int report, struct error *err)
{
	struct pollfd p = { .fd = report, .events = POLLIN };
	char answer = 0;

	if (send(report, &want_maps, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, START_MS) != 1 ||
	    recv(report, &answer, 1, 0) != 1 || answer != have_maps)
		return error_say(err, EPROTO, "the id maps were not written");
	return 0;
}

/* Root of a user namespace in which every id is itself. */
static int enter_user_namespace(int report, struct error *err)
{
	int r;

	if (unshare(CLONE_NEWUSER) < 0)
		return error_set(err, errno, "make a user namespace");
	r = await_maps(report, err);
	if (r < 0)
		return r;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_set(err, errno, "become the namespace's root");
	return 0;
}

static int enter_virtiofsd(const struct spawn *spawn, int report, struct error *err)
{
	const struct privsep_row *row = privsep_row(spawn->row);
	const unsigned long flags = MS_NOSUID | MS_NODEV;
	int r = 0;

	if ((row->namespaces & CLONE_NEWUSER) != 0)
		r = enter_user_namespace(report, err);
	if (r < 0)
		return r;
	if (setgroups(0, NULL) < 0)
		return error_set(err, errno, "set the groups");
	if (unshare(CLONE_NEWNS) < 0)
		return error_set(err, errno, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_set(err, errno, "make mounts slaves");
	/* The guest must not make names beside what was handed in; what was is not affected. */
	if (mount(NULL, LAUNCH_SHARE, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return error_set(err, errno, "make %s read-only", LAUNCH_SHARE);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "prctl");
	r = bound_virtiofsd(spawn->row, err);
	if (r == 0)
		r = filter_load(row->filter, spawn->seccomp_log, err);
	return r < 0 ? r : privsep_verify_bounds(spawn->row, err);
}

static int enter_worker(bool in_unit, struct error *err)
{
	enum privsep_process row = in_unit ? PRIVSEP_WORKER_UNIT : PRIVSEP_WORKER;
	int r = privsep_limit(row, err);

	return r < 0 ? r : privsep_verify(row, getuid(), getgid(), err);
}

/* Moves fd out of the way of the final numbers. */
static int park(int fd, struct error *err)
{
	int parked = fcntl(fd, F_DUPFD_CLOEXEC, FD_PARKED);

	return parked < 0 ? error_set(err, errno, "duplicate a descriptor") : parked;
}

/*
 * Leaves 0 and 1 as the monitor has them, on /dev/null, the descriptors asked for at their
 * numbers, and beyond them only the program at PRIVSEP_FD_PROGRAM and report, which exec closes.
 */
static int place_fds(const struct spawn *spawn, int *report, struct error *err)
{
	int parked[SPAWN_FDS_MAX], keep[SPAWN_FDS_MAX + 2];
	size_t n = 0;
	int r;

	r = privsep_place_program(spawn->program, err);
	if (r < 0)
		return r;
	*report = park(*report, err);
	if (*report < 0)
		return *report;
	for (size_t i = 0; i < spawn->n_fds; i++) {
		parked[i] = park(spawn->fds[i].from, err);
		if (parked[i] < 0)
			return parked[i];
	}
	for (size_t i = 0; i < spawn->n_fds; i++) {
		if (dup2(parked[i], spawn->fds[i].to) < 0)
			return error_set(err, errno, "place descriptor %d", spawn->fds[i].to);
		keep[n++] = spawn->fds[i].to;
	}
	keep[n++] = PRIVSEP_FD_PROGRAM;
	keep[n++] = *report;
	return privsep_close_others(keep, n, err);
}

/* Everything between fork and exec: returns only with an error. */
static int become(const struct spawn *spawn, int *report, struct error *err)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *const environment[] = { path, NULL };
	int r;

	r = privsep_quiet(err);
	if (r == 0)
		r = place_fds(spawn, report, err);
	if (r == 0 && spawn->row == PRIVSEP_QEMU)
		r = enter_qemu(spawn, err);
	else if (r == 0 &&
		 (spawn->row == PRIVSEP_VIRTIOFSD || spawn->row == PRIVSEP_VIRTIOFSD_MKNOD))
		r = enter_virtiofsd(spawn, *report, err);
	else if (r == 0)
		r = enter_worker(spawn->in_unit, err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return error_set(err, errno, "chdir /");
	if (spawn->row == PRIVSEP_QEMU)
		r = privsep_finish(PRIVSEP_QEMU, spawn->uid, spawn->seccomp_log, err);
	if (r < 0)
		return r;
	execveat(PRIVSEP_FD_PROGRAM, "", spawn->args, environment, AT_EMPTY_PATH);
	return error_set(err, errno, "exec");
}

static _Noreturn void child(const struct spawn *spawn, int report)
{
	struct error err = { 0 };

	become(spawn, &report, &err);
	if (write(report, &err, sizeof(err)) < 0) /* a call that every filter has */
		_exit(126);
	_exit(127);
}

/* --- in the parent ---------------------------------------------------------------------------- */

static int write_map(pid_t pid, const char *map, struct error *err)
{
	static const char identity[] = "0 0 4294967295";
	CLEANUP(fd_close) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, map);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, identity, sizeof(identity) - 1) < 0)
		return error_set(err, errno, "write %s", map);
	return 0;
}

/* Handles one message of the child's: 1 its exec has happened, 0 go on, or its error. */
static int serve(int report, pid_t pid, struct error *err)
{
	struct error message = { 0 };
	ssize_t n = recv(report, &message, sizeof(message), 0);
	int r;

	if (n == 0)
		return 1;
	if (n == sizeof(message)) {
		message.text[sizeof(message.text) - 1] = '\0';
		return error_say(err, message.num > 0 ? message.num : EIO, "%s", message.text);
	}
	if (n != 1 || *(const char *)&message != want_maps)
		return error_say(err, EPROTO, "its child's report cannot be understood");
	r = write_map(pid, "uid_map", err);
	if (r == 0)
		r = write_map(pid, "gid_map", err);
	if (r == 0 && send(report, &have_maps, 1, MSG_NOSIGNAL) != 1)
		r = error_set(err, errno, "answer the child");
	return r;
}

static int await_exec(int report, pid_t pid, struct error *err)
{
	int64_t deadline = deadline_in_ms(START_MS);
	struct pollfd p = { .fd = report, .events = POLLIN };
	int r = 0;

	while (r == 0) {
		int n = poll(&p, 1, deadline_left_ms(deadline));

		if (n == 0)
			r = error_set(err, ETIMEDOUT, "wait for its exec");
		else if (n > 0)
			r = serve(report, pid, err);
		else if (errno != EINTR)
			r = error_set(err, errno, "poll");
	}
	return r < 0 ? r : 0;
}

int spawn_start(const struct spawn *spawn, pid_t *ret_pid, struct error *err)
{
	CLEANUP(fd_close) int report = -1;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "start %s", spawn->name);
	report = pair[0];
	pid = fork();
	if (pid == 0)
		child(spawn, pair[1]);
	close(pair[1]);
	if (pid < 0)
		return error_set(err, errno, "start %s", spawn->name);
	r = await_exec(report, pid, err);
	if (r < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return error_prefix(err, "start %s", spawn->name);
	}
	*ret_pid = pid;
	return 0;
}
