/*
 * Giving up rights: see privsep.h. Called by kata-proxy, kata-shim and the runtime's children
 * between their start and the first byte they read from a peer.
 */
#include "common/privsep.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

static int compare_fds(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

int privsep_close_others(const int *keep, size_t count, struct error *err)
{
	int sorted[64];
	unsigned next = 3;

	if (count > ARRAY_SIZE(sorted))
		return error_say(err, EINVAL, "too many descriptors to keep");
	if (count > 0)
		memcpy(sorted, keep, count * sizeof(int));
	qsort(sorted, count, sizeof(int), compare_fds);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i] < (int)next)
			continue; /* 0 to 2, or named twice */
		if ((unsigned)sorted[i] > next && close_range(next, (unsigned)sorted[i] - 1, 0) < 0)
			return error_set(err, errno, "close inherited descriptors");
		next = (unsigned)sorted[i] + 1;
	}
	if (close_range(next, ~0U, 0) < 0)
		return error_set(err, errno, "close inherited descriptors");
	return 0;
}

int privsep_quiet(struct error *err)
{
	struct rlimit none = { 0, 0 };
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return error_set(err, errno, "setrlimit RLIMIT_CORE");
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &action, NULL); /* fails for KILL, STOP and the libc's own */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return 0;
}

/*
 * dirfd was opened in another mount namespace, and the kernel refuses to bind from there: opens the
 * same directory again by the name it has in ours. Returns an O_PATH descriptor.
 */
static int reopen_here(int dirfd, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char link[64], path[PATH_MAX];
	struct stat want, got;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return error_set(err, errno, "find the name of the new root");
	path[n] = '\0';
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "open the new root %s", path);
	if (fstat(dirfd, &want) < 0 || fstat(fd, &got) < 0)
		return error_set(err, errno, "look at the new root %s", path);
	if (want.st_dev != got.st_dev || want.st_ino != got.st_ino)
		return error_say(err, ESTALE, "%s is not the new root that was meant", path);
	return steal_fd(&fd);
}

int privsep_enter_root(int dirfd, struct error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	CLEANUP(fd_close) int here = -1;
	char path[64];

	if (unshare(CLONE_NEWNS) < 0)
		return error_set(err, errno, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(err, errno, "make mounts private");
	if (dirfd >= 0) {
		here = reopen_here(dirfd, err);
		if (here < 0)
			return here;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", here);
		/* A bind on itself would hide nothing: the new root is a mount on /proc's side. */
		if (mount(path, "/proc", NULL, MS_BIND, NULL) < 0)
			return error_set(err, errno, "bind the new root");
	} else if (mount("tmpfs", "/proc", "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") < 0) {
		return error_set(err, errno, "mount an empty root");
	}
	if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return error_set(err, errno, "pivot into the new root");
	if (umount2(".", MNT_DETACH) < 0)
		return error_set(err, errno, "detach the old root");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return error_set(err, errno, "make the new root read-only");
	if (chdir("/") < 0)
		return error_set(err, errno, "enter the new root");
	return 0;
}

int privsep_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct error *err)
{
	int r;

	if (uid == 0 || gid == 0 || uid == (uid_t)-1 || gid == (gid_t)-1)
		return error_say(err, EINVAL, "a daemon cannot run as uid %u, gid %u", uid, gid);
	if (setgroups(count, groups) < 0)
		return error_set(err, errno, "set the groups");
	capng_clear(CAPNG_SELECT_ALL);
	r = capng_change_id((int)uid, (int)gid, CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
	if (r < 0)
		return error_say(err, EPERM, "capng_change_id(%u, %u) failed with %d", uid, gid, r);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "prctl");
	return privsep_verify(uid, gid, err);
}

/*
 * No capability in any set. Asks the kernel directly: libcap-ng reads the bounding set from /proc,
 * which the new root does not show, and its capng_have_capabilities() ignores the permitted set.
 */
static int verify_capabilities(struct error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, sets) < 0)
		return error_set(err, errno, "read the own capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0)
			return error_say(err, EPERM, "capabilities are left: %08x %08x %08x",
					 sets[i].effective, sets[i].permitted, sets[i].inheritable);
	for (unsigned long cap = 0; cap < 64; cap++) {
		int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r < 0 && cap > 0)
			break; /* the kernel knows no more */
		if (r != 0)
			return error_say(err, EPERM, "capability %lu is left in the bounding set",
					 cap);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0)
			return error_say(err, EPERM, "capability %lu is left in the ambient set",
					 cap);
	}
	return 0;
}

int privsep_verify(uid_t uid, gid_t gid, struct error *err)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid, groups[64];
	int count, r;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return error_set(err, errno, "read the own ids");
	if (ruid != uid || euid != uid || suid != uid || uid == 0)
		return error_say(err, EPERM, "uid is %u/%u/%u, not %u", ruid, euid, suid, uid);
	if (rgid != gid || egid != gid || sgid != gid || gid == 0)
		return error_say(err, EPERM, "gid is %u/%u/%u, not %u", rgid, egid, sgid, gid);
	count = getgroups(ARRAY_SIZE(groups), groups);
	if (count < 0)
		return error_set(err, errno, "read the own groups");
	for (int i = 0; i < count; i++)
		if (groups[i] == 0)
			return error_say(err, EPERM, "group 0 is left");
	r = verify_capabilities(err);
	if (r < 0)
		return r;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return error_say(err, EPERM, "no_new_privs is not set");
	return 0;
}
