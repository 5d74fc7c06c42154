/*
 * Giving up rights: see privsep.h. Called by kata-proxy, kata-shim and the runtime's children
 * between their start and the first byte they read from a peer.
 */
#include "common/privsep.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define NS(name) ((unsigned)CLONE_NEW##name)

#define SECUREBITS \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Braces are opened and closed by different macros. */
/* clang-format off */
#define PROCESS(NAME, name, user, namespaces, root, filter, what) \
	static const struct privsep_line lines_##NAME[] = {
#define CAPABILITY(name, why) { PRIVSEP_LINE_CAPABILITY, #name, CAP_##name, 1, 0, why },
#define LIMIT(resource, value, why) \
	{ PRIVSEP_LINE_LIMIT, #resource, RLIMIT_##resource, 1, value, why },
#define FD(NAME, number, what) { PRIVSEP_LINE_FD, #NAME, number, 1, 0, what },
#define FDS(NAME, number, count, what) { PRIVSEP_LINE_FD, #NAME, number, count, 0, what },
#define HOLDS(kinds, why)
#define TRUST(what)
#define END { .kind = PRIVSEP_LINE_END } };
#include "common/privsep.def"
#include "common/privsep-undef.h"

#define PROCESS(NAME, name_, user_, namespaces_, root_, filter_, what_) \
	[PRIVSEP_##NAME] = { .name = name_, .what = what_, .user = user_, \
			     .namespaces = namespaces_, .root = root_, .filter = filter_, \
			     .lines = lines_##NAME,
#define CAPABILITY(name, why)
#define LIMIT(resource, value, why)
#define FD(NAME, number, what)
#define FDS(NAME, number, count, what)
#define HOLDS(kinds, why) .holds = (kinds), .holds_why = why,
#define TRUST(what) .trust = what,
#define END },
static const struct privsep_row rows[] = {
#include "common/privsep.def"
};
#include "common/privsep-undef.h"
/* clang-format on */

const struct privsep_row *privsep_row(enum privsep_process process)
{
	return &rows[process];
}

uint64_t privsep_capabilities(enum privsep_process process)
{
	uint64_t caps = 0;

	for (const struct privsep_line *l = rows[process].lines; l->kind != PRIVSEP_LINE_END; l++)
		if (l->kind == PRIVSEP_LINE_CAPABILITY)
			caps |= UINT64_C(1) << l->number;
	return caps;
}

bool privsep_has_fd(enum privsep_process process, int number)
{
	for (const struct privsep_line *l = rows[process].lines; l->kind != PRIVSEP_LINE_END; l++)
		if (l->kind == PRIVSEP_LINE_FD && number >= l->number &&
		    number < l->number + l->count)
			return true;
	return false;
}

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

int privsep_begin(enum privsep_process process, struct error *err)
{
	int keep[64] = { 0 };
	size_t count = 0;
	int r;

	for (const struct privsep_line *l = rows[process].lines; l->kind != PRIVSEP_LINE_END; l++)
		for (int i = 0; l->kind == PRIVSEP_LINE_FD && i < l->count; i++)
			keep[count++] = l->number + i;
	r = privsep_close_others(keep, count, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (fcntl(keep[i], F_SETFD, FD_CLOEXEC) < 0 && errno != EBADF)
			return error_set(err, errno, "descriptor %d", keep[i]);
	return r < 0 ? r : privsep_quiet(err);
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

/*
 * Makes dirfd, or an empty tmpfs, the root of the mount namespace and of whoever had the old one.
 */
static int change_root(int dirfd, struct error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	CLEANUP(fd_close) int here = -1;
	char path[64];

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

int privsep_show_processes(struct error *err)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount("proc", "/proc", "proc", flags, "hidepid=2") < 0 && errno != ENOENT &&
	    errno != EPERM)
		return error_set(err, errno, "mount the own processes");
	return 0;
}

int privsep_enter_root(int dirfd, struct error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return error_set(err, errno, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(err, errno, "make mounts private");
	return change_root(dirfd, err);
}

int privsep_empty_root(struct error *err)
{
	return change_root(-1, err);
}

int privsep_cut(enum privsep_process process, bool bounding, struct error *err)
{
	uint64_t keep = privsep_capabilities(process), has = 0;
	int r;

	if (geteuid() != 0)
		return 0;
	if (capng_get_caps_process() < 0)
		return error_say(err, EPERM, "the own capabilities cannot be read");
	for (unsigned cap = 0; cap < 64 && cap_valid(cap); cap++)
		if (capng_have_capability(CAPNG_PERMITTED, cap))
			has |= UINT64_C(1) << cap;
	bounding = bounding && (has & UINT64_C(1) << CAP_SETPCAP) != 0;
	capng_clear(bounding ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
	for (unsigned cap = 0; cap < 64; cap++)
		if ((keep & has & UINT64_C(1) << cap) != 0)
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED |
					     (bounding ? CAPNG_BOUNDING_SET : 0),
				     cap);
	r = capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	return r < 0 ? error_say(err, EPERM, "capng_apply failed with %d", r) : 0;
}

int privsep_place_program(int fd, struct error *err)
{
	struct rlimit given, wide;

	if (getrlimit(RLIMIT_NOFILE, &given) < 0)
		return error_set(err, errno, "getrlimit RLIMIT_NOFILE");
	wide = given;
	if (wide.rlim_cur <= PRIVSEP_FD_PROGRAM)
		wide.rlim_cur = PRIVSEP_FD_PROGRAM + 1;
	if (wide.rlim_max < wide.rlim_cur)
		wide.rlim_max = wide.rlim_cur;
	if (fd != PRIVSEP_FD_PROGRAM &&
	    (setrlimit(RLIMIT_NOFILE, &wide) < 0 || dup3(fd, PRIVSEP_FD_PROGRAM, O_CLOEXEC) < 0 ||
	     setrlimit(RLIMIT_NOFILE, &given) < 0))
		return error_set(err, errno, "place the program's descriptor");
	return 0;
}

int privsep_limit(enum privsep_process process, struct error *err)
{
	for (const struct privsep_line *l = rows[process].lines; l->kind != PRIVSEP_LINE_END; l++) {
		struct rlimit limit = { l->value, l->value };

		if (l->kind == PRIVSEP_LINE_LIMIT &&
		    setrlimit((__rlimit_resource_t)l->number, &limit) < 0)
			return error_set(err, errno, "setrlimit RLIMIT_%s", l->name);
	}
	return 0;
}

static int verify(uid_t uid, gid_t gid, uint64_t keep, int locked, struct error *err);

/* keep: capabilities that stay effective and permitted, in no set that an exec would look at. */
static int drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, uint64_t keep,
		struct error *err)
{
	int r;

	if (uid == 0 || gid == 0 || uid == (uid_t)-1 || gid == (gid_t)-1)
		return error_say(err, EINVAL, "a daemon cannot run as uid %u, gid %u", uid, gid);
	if (setgroups(count, groups) < 0)
		return error_set(err, errno, "set the groups");
	/* For good as well: root's uid, would it come back, is nobody's power. */
	if (prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0)
		return error_set(err, errno, "set the securebits");
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned cap = 0; cap < 64; cap++)
		if ((keep & UINT64_C(1) << cap) != 0)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap);
	r = capng_change_id((int)uid, (int)gid, CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
	if (r < 0)
		return error_say(err, EPERM, "capng_change_id(%u, %u) failed with %d", uid, gid, r);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "prctl");
	return verify(uid, gid, keep, SECUREBITS, err);
}

int privsep_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct error *err)
{
	return drop(uid, gid, groups, count, 0, err);
}

int privsep_drop_to(enum privsep_process process, uid_t uid, const gid_t *groups, size_t count,
		    struct error *err)
{
	return drop(uid, uid, groups, count, privsep_capabilities(process), err);
}

/*
 * No capability but those to keep, in the bounding set those of bounding. Asks the kernel directly:
 * libcap-ng reads that set from /proc, which the new root does not show, and its
 * capng_have_capabilities() ignores the permitted set.
 */
static int verify_capabilities(uint64_t keep, uint64_t bounding, struct error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, sets) < 0)
		return error_set(err, errno, "read the own capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		uint32_t own = (uint32_t)(keep >> (32 * i));

		if (((sets[i].effective | sets[i].permitted) & ~own) != 0 ||
		    sets[i].inheritable != 0)
			return error_say(err, EPERM, "capabilities are left: %08x %08x %08x",
					 sets[i].effective, sets[i].permitted, sets[i].inheritable);
	}
	for (unsigned long cap = 0; cap < 64; cap++) {
		int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r < 0 && cap > 0)
			break; /* the kernel knows no more */
		if (r != 0 && (bounding & UINT64_C(1) << cap) == 0)
			return error_say(err, EPERM, "capability %lu is left in the bounding set",
					 cap);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0)
			return error_say(err, EPERM, "capability %lu is left in the ambient set",
					 cap);
	}
	return 0;
}

/*
 * locked: the securebits that must be. Those that a unit of systemd's can have do not keep it from
 * raising ambient capabilities, of which it has none.
 */
static int verify(uid_t uid, gid_t gid, uint64_t keep, int locked, struct error *err)
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
	r = verify_capabilities(keep, 0, err);
	if (r < 0)
		return r;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return error_say(err, EPERM, "no_new_privs is not set");
	if ((prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & locked) != locked)
		return error_say(err, EPERM, "the securebits are not locked");
	return 0;
}

static int securebits_of(enum privsep_process process)
{
	return rows[process].user == USER_DYNAMIC ? SECBIT_NOROOT | SECBIT_NOROOT_LOCKED
						  : SECUREBITS;
}

int privsep_verify(enum privsep_process process, uid_t uid, gid_t gid, struct error *err)
{
	return verify(uid, gid, 0, securebits_of(process), err);
}

int privsep_verify_bounds(enum privsep_process process, struct error *err)
{
	uint64_t keep = privsep_capabilities(process);
	int r = verify_capabilities(keep, keep, err);

	if (r == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		r = error_say(err, EPERM, "no_new_privs is not set");
	if (r == 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
		r = error_say(err, EPERM, "there is no system call filter");
	return r < 0 ? error_prefix(err, "%s is not confined", rows[process].name) : 0;
}

/*
 * A root of its own shows in its mount, since nothing but the handed-in root is mounted read-only,
 * and in what it has not. QEMU loses the rest when it has started.
 */
static int verify_root(const struct privsep_row *row, struct error *err)
{
	static const char *const hidden[] = { "/usr", "/etc", "/dev", "/sys", NULL };
	static const char *const hidden_by_unit[] = { "/usr/bin/env", "/etc/passwd", NULL };
	static const char *const none[] = { NULL };
	const char *const *name = row->root == ROOT_UNIT                ? hidden_by_unit
				  : row->root == ROOT_QEMU || SANITIZED ? none
									: hidden;
	/* A unit has its devices in a mount of their own, and its root without that flag. */
	const unsigned long want = ST_RDONLY | ST_NOSUID | (row->root != ROOT_UNIT ? ST_NODEV : 0);
	struct statvfs st;

	if (row->root == ROOT_HOST)
		return 0;
	if (statvfs("/", &st) < 0)
		return error_set(err, errno, "look at the own root");
	if ((st.f_flag & want) != want)
		return error_say(err, EPERM, "the root is not the confined one: its flags are %lx",
				 st.f_flag);
	for (; *name != NULL; name++)
		if (access(*name, F_OK) == 0 || errno != ENOENT)
			return error_say(err, EPERM, "the root is not the confined one: it has %s",
					 *name);
	return 0;
}

static int verify_limits(const struct privsep_row *row, struct error *err)
{
	for (const struct privsep_line *l = row->lines; l->kind != PRIVSEP_LINE_END; l++) {
		struct rlimit limit;

		if (l->kind != PRIVSEP_LINE_LIMIT)
			continue;
		if (getrlimit((__rlimit_resource_t)l->number, &limit) < 0)
			return error_set(err, errno, "getrlimit RLIMIT_%s", l->name);
		if (limit.rlim_cur > l->value || limit.rlim_max > l->value)
			return error_say(err, EPERM, "RLIMIT_%s is left above %" PRIu64, l->name,
					 l->value);
	}
	return 0;
}

int privsep_finish(enum privsep_process process, uid_t uid, bool log, struct error *err)
{
	const struct privsep_row *row = &rows[process];
	int r = verify(uid, uid, privsep_capabilities(process), securebits_of(process), err);

	/* An exec makes a process dumpable again. */
	if (r == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		r = error_say(err, EPERM, "others of its user may look into it");
	if (r == 0)
		r = verify_root(row, err);
	if (r == 0)
		r = verify_limits(row, err);
	if (r == 0)
		r = filter_load(row->filter, log, err);
	if (r == 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != SECCOMP_MODE_FILTER)
		r = error_say(err, EPERM, "there is no system call filter");
	malloc_trim(0); /* what libseccomp took */
	return r < 0 ? error_prefix(err, "%s is not confined", row->name) : 0;
}
