/* kata-agent/resolve.c: links of a hostile image never lead outside, and missing parts are made. */
#include "kata-agent/resolve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

static char dir[] = "/tmp/kata-test-resolve.XXXXXX";
static int root = -1;

static void make_tree(void)
{
	static const struct {
		const char *target, *name;
	} links[] = {
		{ "/etc", "absolute" },     { "../../../../etc", "upwards" },
		{ "loop", "loop" },         { "missing/deep", "dangling" },
		{ "/missing-too", "hole" }, { "dangling", "twice" },
		{ "etc/file", "to-file" },
	};

	cr_assert_not_null(mkdtemp(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert(mkdirat(root, "etc", 0755) == 0);
	cr_assert(close(openat(root, "etc/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		cr_assert(symlinkat(links[i].target, root, links[i].name) == 0);
}

static void remove_tree(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf -- %s", dir);
	cr_expect(system(command) == 0);
	fd_close(&root);
}

TestSuite(resolve, .init = make_tree, .fini = remove_tree);

/* Where a descriptor is, below the root. */
static const char *place(int fd)
{
	static char path[PATH_MAX];
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	cr_assert(n > 0);
	path[n] = '\0';
	cr_assert(str_starts(path, dir), "%s lies outside", path);
	return path + strlen(dir);
}

Test(resolve, open)
{
	static const struct {
		const char *path;
		int r;
		const char *place;
	} cases[] = {
		{ "/", 0, "" },
		{ "etc/file", 0, "/etc/file" },
		{ "/etc/../../../etc/file", 0, "/etc/file" },
		{ "absolute/file", 0, "/etc/file" },
		{ "upwards/file", 0, "/etc/file" },
		{ "to-file", 0, "/etc/file" },
		{ "loop", -ELOOP, NULL },
		{ "dangling", -ENOENT, NULL },
		{ "etc/file/x", -ENOTDIR, NULL },
		{ "", -ENOENT, NULL },
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(fd_close) int fd = resolve_open(root, cases[i].path, O_PATH, &err);

		if (cases[i].r < 0) {
			cr_expect(fd == cases[i].r, "%s: %d", cases[i].path, fd);
			continue;
		}
		cr_assert(fd >= 0, "%s: %s", cases[i].path, err.text);
		cr_expect_str_eq(place(fd), cases[i].place);
		cr_expect((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	}
}

Test(resolve, magic_links_are_refused)
{
	CLEANUP(fd_close) int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_expect(resolve_open(proc, "/self/root", O_PATH, NULL) == -ELOOP);
	cr_expect(resolve_open(proc, "/self/cwd/x", O_PATH, NULL) == -ELOOP);
	cr_expect(resolve_create(proc, "/self/root/x", true, NULL) == -ELOOP);
}

Test(resolve, create)
{
	static const struct {
		const char *path;
		bool directory;
		int r;
		const char *place;
	} cases[] = {
		{ "/", true, 0, "" },
		{ "new", true, 0, "/new" },
		{ "new//deep/er/", true, 0, "/new/deep/er" },
		{ "/a/b/file", false, 0, "/a/b/file" },
		{ "/a/b/file", false, 0, "/a/b/file" },
		{ "absolute/made", true, 0, "/etc/made" },
		{ "upwards/made/file", false, 0, "/etc/made/file" },
		{ "../../up", true, 0, "/up" },
		{ "x/../y", true, 0, "/y" },
		{ "dangling", true, 0, "/missing/deep" },
		{ "twice/more", false, 0, "/missing/deep/more" },
		{ "hole", false, 0, "/missing-too" },
		{ "loop/x", true, -ELOOP, NULL },
		{ "loop", false, -ELOOP, NULL },
		{ "etc/file/x", true, -ENOTDIR, NULL },
		{ "etc/file", true, -ENOTDIR, NULL },
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(fd_close)
		int fd = resolve_create(root, cases[i].path, cases[i].directory, &err);
		struct stat st;

		if (cases[i].r < 0) {
			cr_expect(fd == cases[i].r, "%s: %d", cases[i].path, fd);
			continue;
		}
		cr_assert(fd >= 0, "%s: %s", cases[i].path, err.text);
		cr_expect_str_eq(place(fd), cases[i].place);
		cr_expect(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) == cases[i].directory);
	}
}

Test(resolve, long_paths_are_refused)
{
	char path[2 * PATH_MAX];

	for (size_t i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 2 == 0 ? '/' : 'a';
	path[sizeof(path) - 1] = '\0';
	cr_expect(resolve_create(root, path, true, NULL) == -ENAMETOOLONG);
	cr_expect(resolve_open(root, path, O_PATH, NULL) == -ENAMETOOLONG);
	path[PATH_MAX - 1] = '\0';
	/* deeper than a tree is usually, not deeper than a path may be */
	path[2000] = '\0';
	cr_expect(close(resolve_create(root, path, true, NULL)) == 0);
}

Test(resolve, parent)
{
	static const struct {
		const char *path, *place, *name;
	} cases[] = {
		{ "file", "", "file" },
		{ "/dev/null", "/dev", "null" },
		{ "absolute/x", "/etc", "x" },
		{ "a/b//c", "/a/b", "c" },
	};
	static const char *const bad[] = { "", "/", "a/", "..", "a/..", "." };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *name;
		CLEANUP(fd_close) int fd = resolve_parent(root, cases[i].path, &name, NULL);

		cr_assert(fd >= 0);
		cr_expect_str_eq(place(fd), cases[i].place);
		cr_expect_str_eq(name, cases[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *name;

		cr_expect(resolve_parent(root, bad[i], &name, NULL) == -EINVAL, "%s", bad[i]);
	}
}
