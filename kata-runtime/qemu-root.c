/*
 * Takes the host's files from QEMU: see qemu-root.h. Called by `create` in kata-runtime, as root.
 */
#include "kata-runtime/qemu-root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/privsep.h"
#include "common/process.h"

enum { WORK_MS = 5000, CHILDREN_MAX = 8 };

/* The real uid of a process, or -1 when it is gone. */
static uid_t uid_of(pid_t pid)
{
	CLEANUP(file_close) FILE *f = NULL;
	uid_t uid = (uid_t)-1;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f != NULL && uid == (uid_t)-1 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Uid: %u", &uid) != 1)
			uid = (uid_t)-1;
	return uid;
}

static int open_namespace(pid_t pid, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "QEMU's mounts") : fd;
}

/* What is done in it is done to everybody in it: it must be nobody else's. */
static int check_own(int namespace, const struct process_ref *monitor, struct error *err)
{
	const pid_t others[] = { getpid(), monitor->pid };
	struct stat ours, st;

	if (fstat(namespace, &ours) < 0)
		return error_set(err, errno, "QEMU's mounts");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		CLEANUP(fd_close) int fd = open_namespace(others[i], err);

		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0 || st.st_ino == ours.st_ino)
			return error_say(err, EPERM, "QEMU has no mounts of its own");
	}
	return 0;
}

/* In a child, since it cannot come back from the other namespace: exits with an errno. */
static noreturn void child(int namespace)
{
	struct error err = { 0 };

	if (setns(namespace, CLONE_NEWNS) < 0)
		_exit(errno);
	_exit(privsep_empty_root(&err) < 0 ? err.num : 0);
}

static int work(int namespace, struct error *err)
{
	pid_t pid = fork();
	int status, r;

	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		child(namespace);
	r = process_wait_child(pid, deadline_in_ms(WORK_MS), &status, err);
	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
				 "change the root");
	return 0;
}

int qemu_root_empty(const struct process_ref *monitor, uid_t uid, struct error *err)
{
	CLEANUP(fd_close) int namespace = -1;
	pid_t children[CHILDREN_MAX], qemu = 0;
	size_t count = process_children(monitor->pid, children, CHILDREN_MAX);
	int r;

	for (size_t i = 0; i < count && qemu == 0; i++)
		if (uid_of(children[i]) == uid)
			qemu = children[i];
	if (qemu == 0 || !process_alive(monitor->pid, monitor->start_ticks))
		return error_say(err, ESRCH, "QEMU has ended");
	namespace = open_namespace(qemu, err);
	if (namespace < 0)
		return namespace;
	/* The pid may have become another's before it was opened. */
	if (uid_of(qemu) != uid || !process_alive(monitor->pid, monitor->start_ticks))
		return error_say(err, ESRCH, "QEMU has ended");
	r = check_own(namespace, monitor, err);
	if (r == 0)
		r = work(namespace, err);
	return r < 0 ? error_prefix(err, "take the host's files from QEMU") : 0;
}
