/*
 * Giving up rights. Every step is done in a forked child, which reports by its exit status and a
 * sentence on a pipe; what needs root is skipped without it.
 */
#include "common/privsep.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { TEST_ID = 3999990, CHILD_SECONDS = 20 };

/* What the child wants to be read; sent with its end. */
static char report[2048];

/* Ends the child as failed when the condition does not hold. */
#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			snprintf(report, sizeof(report), "line %d: %s (%s)", __LINE__, #condition, \
				 strerror(errno)); \
			return 1; \
		} \
	} while (0)

/* The same for a call that fills err. */
#define CHECK_DONE(call) \
	do { \
		if ((call) < 0) { \
			snprintf(report, sizeof(report), "line %d: %s", __LINE__, err.text); \
			return 1; \
		} \
	} while (0)

/* Runs step in a child and asserts that it returned 0. */
static void run_child(int (*step)(void *), void *data)
{
	int ends[2], status;
	pid_t pid;

	cr_assert(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0) {
		int r;

		alarm(CHILD_SECONDS); /* a step that hangs ends the child, not the test run */
		if (dup2(ends[1], 2) < 0)
			_exit(3);
		r = step(data);
		if (write(2, report, strlen(report)) < 0)
			_exit(4);
		_exit(r);
	}
	close(ends[1]);
	memset(report, 0, sizeof(report));
	for (ssize_t n, used = 0;
	     (n = read(ends[0], report + used, sizeof(report) - 1 - (size_t)used)) > 0;)
		used += n;
	close(ends[0]);
	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: %s", status, report);
}

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root to have rights that can be given up");
}

static void need_namespaces(void)
{
	pid_t pid;
	int status;

	need_root();
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS | CLONE_NEWPID) < 0 ||
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0);
	cr_assert(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		cr_skip_test("root here may make no mount or pid namespace");
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* --- close_others ----------------------------------------------------------------------------- */

static int keep_some(void *data)
{
	const int keep[] = { 40, 5, 1, 5, -1, 9 };
	struct error err = { 0 };
	int null = open("/dev/null", O_RDONLY);

	(void)data;
	CHECK(null >= 0);
	for (int fd = 3; fd < 60; fd++)
		CHECK(fd == null || dup2(null, fd) == fd);
	CHECK_DONE(privsep_close_others(keep, ARRAY_SIZE(keep), &err));
	for (int fd = 0; fd < 200; fd++)
		CHECK(is_open(fd) == (fd <= 2 || fd == 5 || fd == 9 || fd == 40));
	return 0;
}

static int keep_none(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK(dup2(2, 3) == 3 && dup2(2, 700) == 700);
	CHECK_DONE(privsep_close_others(NULL, 0, &err));
	CHECK(is_open(2) && !is_open(3) && !is_open(700));
	return 0;
}

/* Neighbours, and one that is not open at all: no range may be turned round. */
static int keep_neighbours(void *data)
{
	const int keep[] = { 3, 4, 5, 77 };
	struct error err = { 0 };

	(void)data;
	for (int fd = 3; fd < 8; fd++)
		CHECK(dup2(2, fd) == fd);
	CHECK_DONE(privsep_close_others(keep, ARRAY_SIZE(keep), &err));
	CHECK(is_open(3) && is_open(4) && is_open(5) && !is_open(6) && !is_open(7));
	return 0;
}

static int keep_too_many(void *data)
{
	int keep[65] = { 0 };
	struct error err = { 0 };

	(void)data;
	CHECK(dup2(2, 20) == 20);
	CHECK(privsep_close_others(keep, ARRAY_SIZE(keep), &err) == -EINVAL);
	CHECK(is_open(20));
	return 0;
}

Test(privsep, close_others)
{
	run_child(keep_some, NULL);
	run_child(keep_none, NULL);
	run_child(keep_neighbours, NULL);
	run_child(keep_too_many, NULL);
}

/* --- quiet ------------------------------------------------------------------------------------ */

static void nothing(int signum)
{
	(void)signum;
}

static int quiet(void *data)
{
	struct error err = { 0 };
	struct sigaction action;
	struct rlimit core;
	sigset_t set;

	(void)data;
	umask(0);
	signal(SIGTERM, nothing);
	signal(SIGHUP, SIG_IGN);
	sigfillset(&set);
	CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
	CHECK_DONE(privsep_quiet(&err));
	CHECK(umask(0) == 077);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	CHECK(sigprocmask(SIG_SETMASK, NULL, &set) == 0);
	for (int s = 1; s < NSIG; s++)
		CHECK(sigismember(&set, s) != 1);
	for (int s = 1; s < NSIG; s++)
		CHECK(sigaction(s, NULL, &action) < 0 ||
		      action.sa_handler == (s == SIGPIPE ? SIG_IGN : SIG_DFL));
	return 0;
}

Test(privsep, quiet)
{
	run_child(quiet, NULL);
}

/* --- enter_root ------------------------------------------------------------------------------- */

/* The root is the directory wanted: read-only, nosuid, nodev, noexec, and nothing leads out. */
static int check_root(const char *marker)
{
	struct statvfs fs;

	CHECK(statvfs("/", &fs) == 0);
	CHECK((fs.f_flag & ST_RDONLY) && (fs.f_flag & ST_NOSUID));
	CHECK((fs.f_flag & ST_NODEV) && (fs.f_flag & ST_NOEXEC));
	CHECK(access("/proc", F_OK) < 0 && errno == ENOENT);
	CHECK(access("/usr", F_OK) < 0 && errno == ENOENT);
	CHECK(access("../../etc", F_OK) < 0 && errno == ENOENT);
	CHECK(open("/new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EROFS);
	CHECK(access("/marker", F_OK) == (marker != NULL ? 0 : -1));
	return 0;
}

static int enter_empty(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK_DONE(privsep_enter_root(-1, &err));
	return check_root(NULL);
}

struct place {
	char dir[64];
	bool own_mounts; /* the descriptor is opened before a mount namespace is made */
	bool own_pids;   /* a pid namespace, with the /proc of the old one */
};

/* In the pid namespace, as its first process. */
static int enter_place_now(const struct place *place, int dirfd)
{
	struct error err = { 0 };
	struct stat before, after;

	CHECK(fstat(dirfd, &before) == 0);
	if (place->own_mounts)
		CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK_DONE(privsep_enter_root(dirfd, &err));
	CHECK(stat("/", &after) == 0 && after.st_ino == before.st_ino);
	if (check_root("marker") != 0)
		return 1;
	/* Rights are given up and verified where no /proc can be read. */
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err));
	return 0;
}

static int enter_place(void *data)
{
	const struct place *place = data;
	int dirfd = open(place->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), status;
	pid_t pid;

	CHECK(dirfd >= 0);
	if (!place->own_pids)
		return enter_place_now(place, dirfd);
	CHECK(unshare(CLONE_NEWPID) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int r = getpid() != 1 || enter_place_now(place, dirfd);

		if (r != 0 && write(2, report, strlen(report)) < 0)
			_exit(4);
		_exit(r);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

Test(privsep, enter_empty_root)
{
	need_namespaces();
	run_child(enter_empty, NULL);
}

Test(privsep, enter_directory)
{
	struct place place = { .dir = "/tmp/test-privsep-XXXXXX" };
	char marker[96];
	int fd;

	need_namespaces();
	cr_assert(mkdtemp(place.dir) != NULL);
	cr_assert(str_format(marker, sizeof(marker), "%s/marker", place.dir) == 0);
	fd = open(marker, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	close(fd);
	for (unsigned i = 0; i < 4; i++) {
		place.own_mounts = i & 1;
		place.own_pids = i & 2;
		run_child(enter_place, &place);
	}
	unlink(marker);
	rmdir(place.dir);
}

/* As the first process of a pid namespace, with another one of the same user in it. */
static int show_processes_now(const char *dir)
{
	int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error err = { 0 };
	struct statvfs fs;
	pid_t other;

	CHECK(dirfd >= 0);
	CHECK_DONE(privsep_enter_root(dirfd, &err));
	CHECK_DONE(privsep_show_processes(&err));
	CHECK(statvfs("/proc", &fs) == 0);
	CHECK((fs.f_flag & ST_RDONLY) && (fs.f_flag & ST_NOSUID));
	CHECK((fs.f_flag & ST_NODEV) && (fs.f_flag & ST_NOEXEC));
	other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		if (privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	CHECK(access("/proc/1/stat", F_OK) == 0 && access("/proc/2/stat", F_OK) == 0);
	CHECK(access("/proc/3/stat", F_OK) < 0); /* nothing of the host's */
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err));
	CHECK(access("/proc/1/stat", F_OK) == 0);
	for (int i = 0; i < 200 && access("/proc/2/stat", F_OK) == 0; i++)
		usleep(10000); /* until it has dropped */
	CHECK(access("/proc/2/stat", F_OK) < 0);
	return 0;
}

static int show_processes(void *data)
{
	int status;
	pid_t pid;

	CHECK(unshare(CLONE_NEWPID) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int r = getpid() != 1 || show_processes_now(data);

		if (r != 0 && write(2, report, strlen(report)) < 0)
			_exit(4);
		_exit(r);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

/* Where there is no place for it the root is as it is. */
static int show_nowhere(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK_DONE(privsep_enter_root(-1, &err));
	CHECK_DONE(privsep_show_processes(&err));
	CHECK(access("/proc", F_OK) < 0 && errno == ENOENT);
	return 0;
}

Test(privsep, the_own_processes_are_shown)
{
	char dir[] = "/tmp/test-privsep-XXXXXX", proc[64];

	need_namespaces();
	cr_assert(mkdtemp(dir) != NULL && chmod(dir, 0755) == 0);
	cr_assert(str_format(proc, sizeof(proc), "%s/proc", dir) == 0);
	cr_assert(mkdir(proc, 0555) == 0);
	run_child(show_processes, dir);
	run_child(show_nowhere, NULL);
	rmdir(proc);
	rmdir(dir);
}

/* The name leads to another directory by now: a mount lies over it. */
static int enter_covered(void *data)
{
	const struct place *place = data;
	struct error err = { 0 };
	int dirfd = open(place->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK(dirfd >= 0);
	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("/tmp", place->dir, NULL, MS_BIND, NULL) == 0); /* of the same file system */
	CHECK(privsep_enter_root(dirfd, &err) == -ESTALE);
	CHECK(mount("tmpfs", place->dir, "tmpfs", 0, "size=4k") == 0);
	CHECK(privsep_enter_root(dirfd, &err) == -ESTALE);
	CHECK(err.num == ESTALE && strstr(err.text, place->dir) != NULL);
	return 0;
}

static int enter_no_directory(void *data)
{
	struct error err = { 0 };
	int fd = open("/dev/null", O_PATH | O_CLOEXEC);

	(void)data;
	CHECK(fd >= 0);
	CHECK(privsep_enter_root(fd, &err) == -ENOTDIR);
	CHECK(privsep_enter_root(900, &err) < 0 && err.text[0] != '\0');
	return 0;
}

Test(privsep, enter_root_refuses)
{
	struct place place = { .dir = "/tmp/test-privsep-XXXXXX" };

	need_namespaces();
	cr_assert(mkdtemp(place.dir) != NULL);
	run_child(enter_covered, &place);
	run_child(enter_no_directory, NULL);
	rmdir(place.dir);
}

/* --- drop and verify -------------------------------------------------------------------------- */

static int drop(void *data)
{
	const gid_t groups[] = { TEST_ID + 1, TEST_ID + 2 };
	struct error err = { 0 };
	gid_t got[8];

	(void)data;
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID + 5, groups, 2, &err));
	CHECK_DONE(privsep_verify(PRIVSEP_WORKER, TEST_ID, TEST_ID + 5, &err));
	CHECK(getgroups(8, got) == 2 && got[0] == groups[0] && got[1] == groups[1]);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0 && errno == EPERM);
	CHECK((prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & SECBIT_NOROOT) != 0);
	CHECK(setresuid(0, 0, 0) < 0 && errno == EPERM);
	CHECK(setresgid(0, 0, 0) < 0 && errno == EPERM);
	CHECK(setgroups(0, NULL) < 0 && errno == EPERM);
	CHECK(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err) < 0); /* no way on, and no crash */
	return 0;
}

static int drop_no_groups(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err));
	CHECK(getgroups(0, NULL) == 0);
	return 0;
}

static int drop_to_root(void *data)
{
	static const struct {
		uid_t uid;
		gid_t gid;
	} bad[] = { { 0, 0 },
		    { 0, TEST_ID },
		    { TEST_ID, 0 },
		    { UINT32_MAX, TEST_ID },
		    { TEST_ID, UINT32_MAX } };
	struct error err = { 0 };

	(void)data;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK(privsep_drop(bad[i].uid, bad[i].gid, NULL, 0, &err) == -EINVAL);
		CHECK(geteuid() == 0 && getegid() == 0);
	}
	return 0;
}

Test(privsep, drop)
{
	need_root();
	run_child(drop, NULL);
	run_child(drop_no_groups, NULL);
	run_child(drop_to_root, NULL);
}

/* What may be left over, one thing a case. */
enum left {
	LEFT_NOTHING,
	LEFT_REAL_UID,
	LEFT_SAVED_UID,
	LEFT_REAL_GID,
	LEFT_SAVED_GID,
	LEFT_GROUP,
	LEFT_PERMITTED,
	LEFT_INHERITABLE,
	LEFT_BOUNDING_FIRST,
	LEFT_BOUNDING_LAST,
	LEFT_AMBIENT,
	LEFT_PRIVS,
	LEFT_NOROOT,
	LEFT_COUNT,
};

static const struct {
	const char *name, *text; /* text: what privsep_verify() must say */
} lefts[LEFT_COUNT] = {
	[LEFT_NOTHING] = { "nothing", NULL },
	[LEFT_REAL_UID] = { "real uid", "uid is 0/" },
	[LEFT_SAVED_UID] = { "saved uid", "/0, not" },
	[LEFT_REAL_GID] = { "real gid", "gid is 0/" },
	[LEFT_SAVED_GID] = { "saved gid", "/0, not" },
	[LEFT_GROUP] = { "group", "group 0 is left" },
	[LEFT_PERMITTED] = { "permitted", "capabilities are left" },
	[LEFT_INHERITABLE] = { "inheritable", "capabilities are left" },
	[LEFT_BOUNDING_FIRST] = { "bounding 0", "capability 0 is left in the bounding set" },
	[LEFT_BOUNDING_LAST] = { "bounding 38", "capability 38 is left in the bounding set" },
	[LEFT_AMBIENT] = { "ambient", "capabilities are left" }, /* it implies permitted */
	[LEFT_PRIVS] = { "no_new_privs", "no_new_privs is not set" },
	[LEFT_NOROOT] = { "securebits", "the securebits are not locked" },
};

/* Keeps of effective and permitted what the masks say, and sets inheritable, of the first 32. */
static int set_caps(uint32_t effective, uint32_t permitted, uint32_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &head, sets) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		sets[i].effective &= i == 0 || effective == UINT32_MAX ? effective : 0;
		sets[i].permitted &= i == 0 || permitted == UINT32_MAX ? permitted : 0;
		sets[i].inheritable = i == 0 ? inheritable : 0;
	}
	return (int)syscall(SYS_capset, &head, sets);
}

/* By hand what privsep_drop() does, but for one thing. */
static int drop_but(enum left left)
{
	const uint32_t chown = 1U << CAP_CHOWN, all = UINT32_MAX;
	const uint32_t inherit = left == LEFT_INHERITABLE || left == LEFT_AMBIENT ? chown : 0;
	uid_t uid = TEST_ID;
	int keep = left == LEFT_BOUNDING_FIRST ? 0 : left == LEFT_BOUNDING_LAST ? 38 : -1;

	CHECK(setgroups(left == LEFT_GROUP, (gid_t[]){ 0 }) == 0);
	CHECK(set_caps(all, all, inherit) == 0);
	CHECK(prctl(PR_SET_SECUREBITS,
		    SECBIT_NOROOT | (left == LEFT_NOROOT ? 0 : SECBIT_NOROOT_LOCKED) |
			    (left == LEFT_AMBIENT ? 0 : SECBIT_NO_CAP_AMBIENT_RAISE) |
			    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		    0, 0, 0) == 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		CHECK(cap == keep || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0);
	CHECK(setresgid(left == LEFT_REAL_GID ? 0 : uid, uid, left == LEFT_SAVED_GID ? 0 : uid) ==
	      0);
	CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	CHECK(setresuid(left == LEFT_REAL_UID ? 0 : uid, uid, left == LEFT_SAVED_UID ? 0 : uid) ==
	      0);
	CHECK(set_caps(0, left == LEFT_PERMITTED || left == LEFT_AMBIENT ? chown : 0, inherit) ==
	      0);
	CHECK(left != LEFT_AMBIENT ||
	      prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
	CHECK(left == LEFT_PRIVS || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	return 0;
}

static int verify_left(void *data)
{
	enum left left = *(enum left *)data;
	struct error err = { 0 };
	int r;

	if (drop_but(left) != 0)
		return 1;
	r = privsep_verify(PRIVSEP_WORKER, TEST_ID, TEST_ID, &err);
	if (left == LEFT_NOTHING
		    ? r == 0
		    : r == -EPERM && err.num == EPERM && strstr(err.text, lefts[left].text) != NULL)
		return 0;
	snprintf(report, sizeof(report), "%s is left: %d %s", lefts[left].name, r, err.text);
	return 1;
}

Test(privsep, verify_finds_what_is_left)
{
	need_root();
	for (enum left left = 0; left < LEFT_COUNT; left++)
		run_child(verify_left, &left);
}

/* Whole and well dropped, but into other ids than wanted. */
static int verify_other(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err));
	CHECK(privsep_verify(PRIVSEP_WORKER, TEST_ID + 1, TEST_ID, &err) == -EPERM);
	CHECK(privsep_verify(PRIVSEP_WORKER, TEST_ID, TEST_ID + 1, &err) == -EPERM);
	CHECK(privsep_verify(PRIVSEP_WORKER, 0, 0, &err) == -EPERM);
	return 0;
}

static int verify_root(void *data)
{
	struct error err = { 0 };

	(void)data;
	CHECK(privsep_verify(PRIVSEP_WORKER, 0, 0, &err) == -EPERM);
	CHECK(str_starts(err.text, "uid is 0/0/0"));
	return 0;
}

Test(privsep, verify_ids)
{
	need_root();
	run_child(verify_other, NULL);
	run_child(verify_root, NULL);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Which step of the decoder's row is left out. */
enum missing {
	MISSING_NOTHING,
	MISSING_ROOT,
	MISSING_EMPTY_ROOT,
	MISSING_LIMIT,
	MISSING_DUMPABLE,
	MISSING_COUNT
};

/* The host's root, that looks like one of our own by its flags. */
static int disguise_root(void)
{
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;

	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			       mount(NULL, "/", NULL, flags, NULL) < 0
		       ? -1
		       : 0;
}

static int finish(void *data)
{
	static const char *const texts[MISSING_COUNT] = {
		[MISSING_ROOT] = "its flags are",
		[MISSING_EMPTY_ROOT] = "it has /usr",
		[MISSING_LIMIT] = "RLIMIT_CORE",
		[MISSING_DUMPABLE] = "may look into it",
	};
	enum missing missing = *(enum missing *)data;
	struct error err = { 0 };

	/* Higher than the row's in either case. */
	CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){ 4096, 4096 }) == 0);
	if (missing == MISSING_EMPTY_ROOT)
		CHECK(disguise_root() == 0);
	else if (missing != MISSING_ROOT)
		CHECK_DONE(privsep_enter_root(-1, &err));
	if (missing != MISSING_LIMIT)
		CHECK_DONE(privsep_limit(PRIVSEP_DECODER, &err));
	CHECK_DONE(privsep_drop(TEST_ID, TEST_ID, NULL, 0, &err));
	if (missing == MISSING_DUMPABLE)
		CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	if (missing == MISSING_NOTHING) {
		CHECK_DONE(privsep_finish(PRIVSEP_DECODER, TEST_ID, false, &err));
		return 0;
	}
	CHECK(privsep_finish(PRIVSEP_DECODER, TEST_ID, false, &err) == -EPERM);
	CHECK(strstr(err.text, "decoder is not confined: ") == err.text);
	CHECK(strstr(err.text, texts[missing]) != NULL);
	return 0;
}

Test(privsep, finish_refuses_what_is_not_confined)
{
	need_namespaces();
	for (enum missing m = MISSING_NOTHING; m < MISSING_COUNT; m++)
		if (!SANITIZED || m != MISSING_EMPTY_ROOT) /* whose root has libraries */
			run_child(finish, &m);
}

/* What netmon keeps, and one capability more than that. */
static int finish_with_a_capability(void *data)
{
	enum privsep_process process = *(enum privsep_process *)data;
	struct error err = { 0 };

	CHECK_DONE(privsep_limit(PRIVSEP_NETMON, &err));
	CHECK_DONE(privsep_drop_to(process, TEST_ID, NULL, 0, &err));
	if (process == PRIVSEP_NETMON) {
		CHECK_DONE(privsep_finish(PRIVSEP_NETMON, TEST_ID, false, &err));
		return 0;
	}
	CHECK(privsep_finish(PRIVSEP_NETMON, TEST_ID, false, &err) == -EPERM);
	CHECK(strstr(err.text, "netmon is not confined: capabilities are left") == err.text);
	return 0;
}

Test(privsep, finish_takes_the_rows_capabilities_and_no_others)
{
	enum privsep_process processes[] = { PRIVSEP_NETMON, PRIVSEP_RUNTIME_WAIT };

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
		run_child(finish_with_a_capability, &processes[i]);
}

/* What virtiofsd's start may leave out. */
enum unbound { UNBOUND_NOTHING, UNBOUND_SET, UNBOUND_PRIVS, UNBOUND_FILTER, UNBOUND_COUNT };

static int verify_bounds(void *data)
{
	static const char *const texts[UNBOUND_COUNT] = {
		[UNBOUND_SET] = "capabilities are left",
		[UNBOUND_PRIVS] = "no_new_privs is not set",
		[UNBOUND_FILTER] = "there is no system call filter",
	};
	enum unbound unbound = *(enum unbound *)data;
	struct error err = { 0 };
	int r;

	if (unbound != UNBOUND_SET)
		CHECK_DONE(privsep_cut(PRIVSEP_VIRTIOFSD, true, &err));
	if (unbound != UNBOUND_PRIVS)
		CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (unbound != UNBOUND_FILTER && unbound != UNBOUND_PRIVS)
		CHECK_DONE(filter_load(FILTER_VIRTIOFSD, false, &err));
	r = privsep_verify_bounds(PRIVSEP_VIRTIOFSD, &err);
	if (unbound == UNBOUND_NOTHING)
		CHECK_DONE(r);
	else
		CHECK(r == -EPERM && strstr(err.text, texts[unbound]) != NULL);
	return 0;
}

Test(privsep, verify_bounds_finds_what_is_left)
{
	need_root();
	for (enum unbound u = 0; u < UNBOUND_COUNT; u++)
		run_child(verify_bounds, &u);
}

static uint64_t effective(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { 0 };

	syscall(SYS_capget, &head, sets);
	return sets[0].effective | (uint64_t)sets[1].effective << 32;
}

static int cut(void *data)
{
	bool bounding = *(bool *)data;
	uint64_t keep = privsep_capabilities(PRIVSEP_READER), had = effective();
	struct error err = { 0 };

	CHECK_DONE(privsep_cut(PRIVSEP_READER, bounding, &err));
	CHECK(effective() == (keep & had));
	CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == (bounding ? 0 : 1));
	/* More than there is is not asked for. */
	CHECK_DONE(privsep_cut(PRIVSEP_RUNTIME, true, &err));
	CHECK((effective() & ~keep) == 0);
	return 0;
}

Test(privsep, cut)
{
	bool cases[] = { true, false };

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		run_child(cut, &cases[i]);
}

Test(privsep, every_row_is_complete)
{
	for (enum privsep_process p = 0; p < PRIVSEP_COUNT; p++) {
		const struct privsep_row *row = privsep_row(p);
		int last = -1;

		cr_expect(row->name != NULL && row->what != NULL && row->trust != NULL);
		for (const struct privsep_line *l = row->lines; l->kind != PRIVSEP_LINE_END; l++) {
			cr_expect_not_null(l->why, "%s: %s", row->name, l->name);
			if (l->kind != PRIVSEP_LINE_FD)
				continue;
			cr_expect_gt(l->number, last, "%s: %s", row->name, l->name);
			cr_expect(privsep_has_fd(p, l->number) &&
				  privsep_has_fd(p, l->number + l->count - 1));
			cr_expect_lt(l->number + l->count, PRIVSEP_FD_PROGRAM);
			last = l->number + l->count - 1;
		}
		cr_expect(!privsep_has_fd(p, last + 1));
	}
}
