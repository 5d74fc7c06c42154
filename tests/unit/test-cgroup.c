/* kata-runtime/cgroup*.c: paths, plans, and as root real cgroups under a name of our own. */
#include "kata-runtime/cgroup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/json.h"

Test(cgroup, paths)
{
	static const struct {
		const char *text, *path; /* path NULL: refused */
	} cases[] = {
		{ "", "/kata/SID" },
		{ "/docker/abc", "/docker/abc" },
		{ "/default//t2/", "/default/t2" },
		{ "libpod_parent/libpod-x", "/libpod_parent/libpod-x" },
		{ "/a:b:c", "/a:b:c" },
		{ "a:b", "/a:b" },
		{ "system.slice:docker:abc", "/system.slice/docker-abc.scope" },
		{ ":docker:abc", "/system.slice/docker-abc.scope" },
		{ "machine.slice:libpod:abc", "/machine.slice/libpod-abc.scope" },
		{ "kubepods-burstable-pod1.slice:cri:x",
		  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
		  "cri-x.scope" },
		{ "-.slice:p:x", "/p-x.scope" },
		{ "system.slice::x", "/system.slice/x.scope" },
		{ "user.slice:p:x.slice", "/user.slice/x.slice" },
		{ "/", NULL },
		{ "//", NULL },
		{ "/a/../b", NULL },
		{ "..", NULL },
		{ "/a/./b", NULL },
		{ "docker:p:x", NULL },
		{ "a--b.slice:p:x", NULL },
		{ "-a.slice:p:x", NULL },
		{ "a-.slice:p:x", NULL },
		{ ".slice:p:x", NULL },
		{ "system.slice:../p:x", NULL },
		{ "system.slice:p:../x", NULL },
		{ "system.slice:p:", NULL },
		{ "../x.slice:p:y", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *path = NULL;
		struct error err = { 0 };
		int r = cgroup_path(cases[i].text, "SID", &path, &err);

		if (cases[i].path == NULL) {
			cr_expect(r == -EINVAL && path == NULL, "%s", cases[i].text);
			cr_expect(strstr(err.text, "cgroup path") != NULL, "%s", err.text);
		} else {
			cr_assert(r == 0, "%s: %s", cases[i].text, err.text);
			cr_expect_str_eq(path, cases[i].path, "%s: %s", cases[i].text, path);
		}
	}
}

Test(cgroup, mounts)
{
	CLEANUP(cgroup_mounts_fini) struct cgroup_mounts m = { .count = 0 };
	struct error err = { 0 };

	cr_assert(cgroup_parse_mounts(
			  "25 1 0:22 / / rw - ext4 /dev/sda rw\n"
			  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup "
			  "cgroup rw,cpu,cpuacct\n"
			  "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
			  "35 31 0:33 / /sys/fs/cgroup/a\\040b\\134 rw - cgroup cgroup "
			  "rw,name=cpusets\n"
			  "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
			  "90 25 0:31 / /mnt/again rw - cgroup cgroup rw,cpuset\n"
			  "91 25 0:99 / /mnt/x rw - tmpfs cgroup rw,cpuset\n"
			  "92 25 0:98 / relative rw - cgroup cgroup rw,cpuset\n"
			  "broken\n - cgroup\n1 2 3 - cgroup x y",
			  &m, &err) == 0,
		  "%s", err.text);
	cr_assert(m.count == 4);
	cr_expect_str_eq(m.items[0].path, "/sys/fs/cgroup/cpu,cpuacct");
	cr_expect(!m.items[0].v2 && !m.items[0].cpuset);
	cr_expect(m.items[1].cpuset);
	cr_expect_str_eq(m.items[2].path, "/sys/fs/cgroup/a b\\");
	cr_expect(!m.items[2].cpuset);
	cr_expect(m.items[3].v2 && str_eq(m.items[3].path, "/sys/fs/cgroup/unified"));
}

Test(cgroup, plan_counts_what_is_missing)
{
	char dir[] = "/tmp/kata-test-cgroup-XXXXXX", path[64];
	struct cgroup_mounts mounts = { .count = 1 };
	struct wire_strings saved = { 0 };
	struct cgroup cg, loaded;
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL);
	mounts.items[0].path = dir;
	snprintf(path, sizeof(path), "%s/a", dir);
	cr_assert(mkdir(path, 0700) == 0);
	cr_assert(cgroup_plan_on(&mounts, "/a/b/c", false, &cg, &err) == 0, "%s", err.text);
	cr_assert(cg.count == 1 && cg.dirs[0].levels == 2 && cg.dirs[0].base == strlen(dir));
	cr_assert(cgroup_save(&cg, &saved, &err) == 0);
	cr_assert(cgroup_load(&saved, false, &loaded, &err) == 0, "%s", err.text);
	cr_assert(loaded.count == 1 && loaded.dirs[0].levels == 2);
	cr_expect(loaded.dirs[0].base == strlen(dir) && !loaded.dirs[0].v2);
	cr_expect_str_eq(loaded.dirs[0].path, cg.dirs[0].path);
	/* Only what was not there before is removed. */
	cr_assert(cgroup_create(&cg, &err) == 0, "%s", err.text);
	cr_assert(cgroup_remove(&loaded, deadline_in_ms(100), &err) == 0, "%s", err.text);
	cr_assert(rmdir(path) == 0);
	cgroup_fini(&loaded);
	cgroup_fini(&cg);
	json_strings_fini(&saved);
	rmdir(dir);
}

/* Whoever made it, and however the others went. */
Test(cgroup, our_own_parent_goes_with_the_last_child)
{
	char dir[] = "/tmp/kata-test-cgroup-XXXXXX";
	struct cgroup_mounts mounts = { .count = 1 };
	struct error err = { 0 };
	struct cgroup cg[4];

	cr_assert(mkdtemp(dir) != NULL);
	mounts.items[0].path = dir;
	for (unsigned i = 0; i < ARRAY_SIZE(cg); i++) {
		char path[32];

		/* The second two in a parent of somebody else's. */
		snprintf(path, sizeof(path), "%s/%u", i < 2 ? CGROUP_OWN : "/other", i);
		cr_assert(cgroup_plan_on(&mounts, path, false, &cg[i], &err) == 0, "%s", err.text);
		cr_expect_eq(cg[i].dirs[0].levels, 2 - i % 2);
		cr_assert(cgroup_create(&cg[i], &err) == 0, "%s", err.text);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(cg); i++) {
		cr_assert(cgroup_remove(&cg[i], deadline_in_ms(100), &err) == 0, "%s", err.text);
		cgroup_fini(&cg[i]);
	}
	cr_assert(chdir(dir) == 0);
	cr_expect(access("kata", F_OK) < 0);
	cr_expect(rmdir("other") == 0 && rmdir(dir) == 0);
}

/* A neighbour removes the parent whenever it is empty. */
Test(cgroup, a_parent_goes_while_its_child_is_made)
{
	char dir[] = "/dev/shm/kata-test-cgroup-XXXXXX", parent[64];
	struct cgroup_mounts mounts = { .count = 1 };
	struct error err = { 0 };
	struct cgroup cg;
	pid_t neighbour;
	int64_t end;

	cr_assert(mkdtemp(dir) != NULL);
	mounts.items[0].path = dir;
	snprintf(parent, sizeof(parent), "%s/a", dir);
	cr_assert(cgroup_plan_on(&mounts, "/a/b", false, &cg, &err) == 0, "%s", err.text);
	neighbour = fork();
	if (neighbour == 0) {
		alarm(10);
		for (;; usleep(200))
			rmdir(parent);
	}
	end = deadline_in_ms(2000);
	for (int i = 0; deadline_left_ms(end) > 0; i++) {
		cr_assert(cgroup_create(&cg, &err) == 0, "%d: %s", i, err.text);
		cr_assert(rmdir(cg.dirs[0].path) == 0);
	}
	kill(neighbour, SIGKILL);
	waitpid(neighbour, NULL, 0);
	rmdir(parent);
	cr_expect(rmdir(dir) == 0);
	/* What is missing for good is told. */
	cr_expect(cgroup_create(&cg, &err) == -ENOENT);
	cr_expect(str_starts(err.text, "make cgroup /dev/shm/"), "%s", err.text);
	cgroup_fini(&cg);
}

Test(cgroup, load_refuses)
{
	static const char *const bad[] = {
		"",
		"1",
		"1 2 -",
		"x 14 - /sys/fs/cgroup/a",
		"1 x - /sys/fs/cgroup/a",
		"1 14 z /sys/fs/cgroup/a",
		"1 14 -- /sys/fs/cgroup/a",
		"2 14 - /sys/fs/cgroup/a", /* more than lie below the mount */
		"1 13 - /sys/fs/cgroup/a",
		"0 14 - /sys/fs/cgroup",
		"1 99 - /sys/fs/cgroup/a",
		"1 14 - sys/fs/cgroup//a",
		"1 14 - /sys/fs/cgroup/a/",
		"1 14 - /sys/fs/cgroup/../../../etc",
		"-1 14 - /sys/fs/cgroup/a",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *items[] = { bad[i], NULL };
		struct wire_strings strings = { .items = (char **)items, .count = 1 };
		struct cgroup cg = { .count = 0 };
		struct error err = { 0 };

		cr_expect(cgroup_load(&strings, false, &cg, &err) == -EBADMSG, "%s", bad[i]);
		cr_expect(cg.count == 0);
	}
}

/* --- real ones --- */

/* Of v2, or a hierarchy of v1; the directory where these are mounted may be read-only. */
static bool real_cgroups(void)
{
	return geteuid() == 0 && (access("/sys/fs/cgroup/cgroup.procs", W_OK) == 0 ||
				  access("/sys/fs/cgroup/pids/cgroup.procs", W_OK) == 0);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(60);
		for (;;)
			pause();
	}
	return pid;
}

/* Whether the cgroups of a process all end in name. */
static size_t count_memberships(pid_t pid, const char *name)
{
	CLEANUP(file_close) FILE *file = NULL;
	char path[64], line[4096];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	file = fopen(path, "re");
	cr_assert(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		n += strstr(line, name) != NULL;
	return n;
}

Test(cgroup, made_joined_killed_and_removed)
{
	char path[64];
	struct cgroup cg;
	struct error err = { 0 };
	struct stat st;
	pid_t pid, inner;
	int status;

	if (!real_cgroups())
		cr_skip("needs root and cgroups");
	snprintf(path, sizeof(path), "/kata-test-%d/a/leaf", getpid());
	cr_assert(cgroup_plan(path, "x", false, &cg, &err) == 0, "%s", err.text);
	cr_assert(cg.count > 0);
	for (size_t i = 0; i < cg.count; i++)
		cr_expect(cg.dirs[i].levels == 3 && stat(cg.dirs[i].path, &st) < 0);
	cr_assert(cgroup_create(&cg, &err) == 0, "%s", err.text);
	cr_assert(cgroup_create(&cg, &err) == 0, "a second time: %s", err.text);
	pid = sleeper();
	inner = sleeper();
	cr_assert(cgroup_join(&cg, pid, &err) == 0, "%s", err.text);
	cr_expect(count_memberships(pid, path) == cg.count);
	/* A cgroup that the container's manager made below, with a process in it. */
	{
		struct cgroup below;
		char deeper[80];

		snprintf(deeper, sizeof(deeper), "%s/sub", path);
		cr_assert(cgroup_plan(deeper, "x", false, &below, &err) == 0);
		cr_assert(cgroup_create(&below, &err) == 0, "%s", err.text);
		cr_assert(cgroup_join(&below, inner, &err) == 0, "%s", err.text);
		cgroup_fini(&below);
	}
	cr_expect(cgroup_remove(&cg, deadline_in_ms(5000), &err) == 0, "%s", err.text);
	cr_expect(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
	cr_expect(waitpid(inner, &status, 0) == inner && WTERMSIG(status) == SIGKILL);
	for (size_t i = 0; i < cg.count; i++) {
		cg.dirs[i].path[cg.dirs[i].base + strlen("/kata-test-") + 1] = '\0';
		cr_expect(stat(cg.dirs[i].path, &st) < 0 && errno == ENOENT);
	}
	cr_expect(cgroup_remove(&cg, deadline_in_ms(100), &err) == 0, "again: %s", err.text);
	cgroup_fini(&cg);
}

/* Somebody removes what is empty, whenever he looks. */
Test(cgroup, the_first_process_gets_in)
{
	char path[64];
	struct cgroup cg;
	struct error err = { 0 };
	pid_t other;
	int64_t end;

	if (!real_cgroups())
		cr_skip("needs root and cgroups");
	snprintf(path, sizeof(path), "/kata-test-%d/leaf", getpid());
	cr_assert(cgroup_plan(path, "x", false, &cg, &err) == 0, "%s", err.text);
	other = fork();
	if (other == 0) {
		alarm(10);
		for (size_t i = 0;; i++, usleep(50))
			rmdir(cg.dirs[i % cg.count].path);
	}
	end = deadline_in_ms(2000);
	for (int i = 0; deadline_left_ms(end) > 0; i++) {
		pid_t pid = sleeper();

		cr_expect(cgroup_enter(&cg, pid, &err) == 0, "%d: %s", i, err.text);
		cr_expect(count_memberships(pid, path) == cg.count);
		cr_assert(cgroup_remove(&cg, deadline_in_ms(5000), &err) == 0, "%s", err.text);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	cgroup_fini(&cg);
}

Test(cgroup, what_others_use_stays)
{
	char path[80], parent[64];
	struct cgroup one, two, top;
	struct error err = { 0 };
	struct stat st;
	pid_t pid;

	if (!real_cgroups())
		cr_skip("needs root and cgroups");
	snprintf(parent, sizeof(parent), "/kata-test-shared-%d", getpid());
	snprintf(path, sizeof(path), "%s/one", parent);
	cr_assert(cgroup_plan(path, "x", false, &one, &err) == 0);
	cr_assert(cgroup_create(&one, &err) == 0, "%s", err.text);
	snprintf(path, sizeof(path), "%s/two", parent);
	cr_assert(cgroup_plan(path, "x", false, &two, &err) == 0);
	cr_expect(one.dirs[0].levels == 2 && two.dirs[0].levels == 1);
	cr_assert(cgroup_create(&two, &err) == 0, "%s", err.text);
	pid = sleeper();
	cr_assert(cgroup_join(&two, pid, &err) == 0, "%s", err.text);

	cr_expect(cgroup_remove(&one, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	cr_expect(stat(two.dirs[0].path, &st) == 0 && kill(pid, 0) == 0);
	/* A directory that is not ours: neither removed nor emptied. */
	two.dirs[0].levels = 0;
	cr_expect(cgroup_remove(&two, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	cr_expect(stat(two.dirs[0].path, &st) == 0);
	two.dirs[0].levels = 1;
	cr_expect(cgroup_remove(&two, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	waitpid(pid, NULL, 0);
	/* What was left empty is taken over. */
	cr_assert(cgroup_plan(parent, "x", false, &top, &err) == 0);
	cr_expect(top.dirs[0].levels == 1);
	cr_expect(cgroup_remove(&top, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	cr_expect(stat(top.dirs[0].path, &st) < 0);
	cgroup_fini(&one);
	cgroup_fini(&two);
	cgroup_fini(&top);
}

/* Where processes were moved to first and then away again nobody else removes it. */
static void remove_first_move(const char *one)
{
	int len = (int)(strrchr(one, '/') - one);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s/kata-x", len, one);
	rmdir(path);
	path[len] = '\0';
	cr_expect(rmdir(path) == 0 || errno == ENOENT, "%s: %m", path);
}

Test(cgroup, processes_move_beside)
{
	char path[64], wanted[80];
	struct cgroup cg, beside, again;
	struct error err = { 0 };
	struct stat st;
	pid_t pid;

	if (!real_cgroups())
		cr_skip("needs root and cgroups");
	snprintf(path, sizeof(path), "/kata-test-move-%d/one", getpid());
	snprintf(wanted, sizeof(wanted), "/kata-test-move-%d/kata-x", getpid());
	cr_assert(cgroup_plan(path, "x", false, &cg, &err) == 0);
	cr_assert(cgroup_create(&cg, &err) == 0, "%s", err.text);
	pid = sleeper();
	cr_assert(cgroup_join(&cg, pid, &err) == 0, "%s", err.text);
	cr_assert(cgroup_move_beside(&cg, "kata-x", &beside, &err) == 0, "%s", err.text);
	cr_expect(count_memberships(pid, wanted) == cg.count);
	cr_expect(cgroup_remove(&cg, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	cr_expect(stat(cg.dirs[0].path, &st) < 0 && kill(pid, 0) == 0);
	/* Again, when what was to be moved is gone. */
	cr_assert(cgroup_move_beside(&cg, "kata-x", &again, &err) == 0, "%s", err.text);
	cr_expect(count_memberships(pid, wanted) == cg.count);
	/* A directory that is not ours keeps its processes. */
	cgroup_fini(&again);
	beside.dirs[0].levels = 0;
	cr_assert(cgroup_move_beside(&beside, "kata-y", &again, &err) == 0, "%s", err.text);
	cr_expect_str_eq(again.dirs[0].path, beside.dirs[0].path);
	beside.dirs[0].levels = cg.dirs[0].levels;
	cgroup_fini(&beside);
	cr_assert(cgroup_move_beside(&again, "kata-y", &beside, &err) == 0, "%s", err.text);
	beside.dirs[0].levels = cg.dirs[0].levels;
	again.dirs[0].levels = cg.dirs[0].levels;
	cr_expect(cgroup_remove(&again, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	cr_expect(cgroup_remove(&beside, deadline_in_ms(1000), &err) == 0, "%s", err.text);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < cg.count; i++)
		remove_first_move(cg.dirs[i].path);
	cgroup_fini(&again);
	cgroup_fini(&beside);
	cgroup_fini(&cg);
}

Test(cgroup, joining_what_is_gone)
{
	char path[64];
	struct cgroup cg;
	struct error err = { 0 };

	snprintf(path, sizeof(path), "/kata-test-gone-%d", getpid());
	cr_assert(cgroup_plan(path, "x", true, &cg, &err) == 0);
	cr_expect(cgroup_join(&cg, getpid(), &err) == 0);
	cg.lenient = false;
	if (cg.count > 0)
		cr_expect(cgroup_join(&cg, getpid(), &err) == -ENOENT);
	cr_expect(strstr(err.text, "o such file") == NULL);
	cgroup_fini(&cg);
}

Test(cgroup, systemds_form_is_wanted_with_its_option)
{
	static const struct {
		const char *path;
		bool taken;
	} cases[] = {
		{ "", true },          { "system.slice:docker:1", true },
		{ ":kata:1", true },   { "/docker/1", false },
		{ "docker/1", false }, { "a:b", false },
		{ "/a:b:c", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };

		cr_expect_eq(cgroup_check_systemd(cases[i].path, &err),
			     cases[i].taken ? 0 : -EINVAL, "%s", cases[i].path);
		cr_expect(cases[i].taken || strstr(err.text, "SLICE:PREFIX:NAME") != NULL);
	}
}

/* Writes a file of a directory that stands for a cgroup. */
static void put(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(cgroup, the_hosts_oom_kills_are_counted)
{
	char dir[] = "/tmp/kata-test-cgroup-XXXXXX", path[64];
	struct cgroup cgroup = { .dirs = { { .path = dir } }, .count = 1 };

	cr_assert(mkdtemp(dir) != NULL);
	cr_expect(!cgroup_oom_killed(&cgroup), "there is no file");
	put(dir, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	cr_expect(!cgroup_oom_killed(&cgroup));
	put(dir, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
	cr_expect(cgroup_oom_killed(&cgroup));
	cgroup.dirs[0].v2 = true;
	cr_expect(!cgroup_oom_killed(&cgroup), "v2 has another file");
	put(dir, "memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 1\noom_group_kill 0\n");
	cr_expect(cgroup_oom_killed(&cgroup));
	snprintf(path, sizeof(path), "%s/memory.oom_control", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/memory.events", dir);
	unlink(path);
	rmdir(dir);
}

Test(cgroup, what_systemd_is_asked_for)
{
	static const struct {
		const char *path, *unit, *slice; /* unit NULL: refused */
	} cases[] = {
		{ "system.slice:docker:abc", "docker-abc.scope", "system.slice" },
		{ ":docker:abc", "docker-abc.scope", "system.slice" },
		{ "kubepods-pod1.slice:cri:x", "cri-x.scope", "kubepods-pod1.slice" },
		{ "a.slice::x", "x.scope", "a.slice" },
		{ "user.slice:p:x.slice", "", NULL },
		{ "/docker/abc", "", NULL },
		{ "", "", NULL },
		{ "system.slice:p:", NULL, NULL },
		{ "system.slice:p/q:x", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		struct cgroup_scope scope;
		int r = cgroup_parse_scope(cases[i].path, &scope, &err);

		cr_expect_eq(r, cases[i].unit != NULL ? 0 : -EINVAL, "%s: %s", cases[i].path,
			     err.text);
		cr_expect(cases[i].unit == NULL || str_eq(scope.unit, cases[i].unit), "%s: %s",
			  cases[i].path, scope.unit);
		cr_expect(cases[i].slice == NULL || str_eq(scope.slice, cases[i].slice), "%s: %s",
			  cases[i].path, scope.slice);
	}
}

/* Two hierarchies, one of which systemd keeps: what is above the scope there is not ours. */
Test(cgroup, what_systemd_makes_is_not_ours)
{
	char dir[] = "/tmp/kata-test-cgroup-XXXXXX", theirs[64], ours[64], path[80];
	struct cgroup_mounts mounts = { .count = 2 };
	struct error err = { 0 };
	struct stat st;
	struct cgroup cg;

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(theirs, sizeof(theirs), "%s/systemds", dir);
	snprintf(ours, sizeof(ours), "%s/ours", dir);
	cr_assert(mkdir(theirs, 0700) == 0 && mkdir(ours, 0700) == 0);
	mounts.items[0].path = theirs;
	mounts.items[1].path = ours;
	cr_assert(cgroup_plan_on(&mounts, "/a.slice/x.scope", false, &cg, &err) == 0);
	cr_expect(cg.dirs[0].levels == 2 && cg.dirs[1].levels == 2);
	cgroup_keep_leaves(&cg);
	cr_expect(cg.dirs[0].levels == 1 && cg.dirs[1].levels == 1);
	snprintf(path, sizeof(path), "%s/a.slice", theirs);
	cr_assert(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/a.slice/x.scope", theirs);
	cr_assert(mkdir(path, 0700) == 0);
	cr_expect(cgroup_plan_again(&cg, &err) == 0, "%s", err.text);
	cr_expect(cg.dirs[0].levels == 1 && cg.dirs[1].levels == 2);
	cr_assert(cgroup_create(&cg, &err) == 0, "%s", err.text);
	cr_assert(cgroup_remove(&cg, deadline_in_ms(100), &err) == 0, "%s", err.text);
	cr_expect(stat(path, &st) < 0);
	*strrchr(path, '/') = '\0';
	cr_expect(rmdir(path) == 0, "the slice is gone");
	cr_expect(rmdir(theirs) == 0 && rmdir(ours) == 0 && rmdir(dir) == 0);
	/* What was somebody else's before stays so. */
	cg.dirs[0].levels = 0;
	cr_expect(cgroup_plan_again(&cg, &err) == 0 && cg.dirs[0].levels == 0);
	cgroup_fini(&cg);
}
