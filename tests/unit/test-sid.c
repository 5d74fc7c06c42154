/* kata-runtime/sid.c: stable names from root and id. */
#include "kata-runtime/sid.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

static void derive(const char *root, const char *id, char sid[SID_SIZE])
{
	struct error err = { 0 };

	cr_assert(sid_derive(root, id, 0, sid, &err) == 0, "%s", err.text);
	cr_assert(sid_check(sid, NULL) == 0, "%s", sid);
}

Test(sid, is_the_hash_of_root_and_id)
{
	char sid[SID_SIZE];

	/* printf '/proc\0box' | sha256sum */
	derive("/proc", "box", sid);
	cr_expect_str_eq(sid, "142429bec7a63aaa60ac75d31b737a6c", "%s", sid);
}

Test(sid, other_roots_and_ids_are_others)
{
	char a[SID_SIZE], b[SID_SIZE];

	derive("/proc", "ab", a);
	derive("/sys", "ab", b);
	cr_expect_str_neq(a, b);
	derive("/proc", "a", b);
	cr_expect_str_neq(a, b);
}

Test(sid, names_of_one_directory_are_one)
{
	char dir[] = "/tmp/kata-test-sid-XXXXXX", path[160], link[64], a[SID_SIZE], b[SID_SIZE];

	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	snprintf(link, sizeof(link), "%s/link", dir);
	cr_assert(symlink(dir, link) == 0);
	snprintf(path, sizeof(path), "%s/x/y", dir); /* not there yet */
	derive(path, "c", a);
	derive("x/y", "c", b);
	cr_expect_str_eq(a, b);
	snprintf(path, sizeof(path), "%s//x/./y//", link);
	derive(path, "c", b);
	cr_expect_str_eq(a, b);
	cr_assert(mkdir("x", 0700) == 0);
	derive("x/y", "c", b);
	cr_expect_str_eq(a, b);
	cr_assert(mkdir("x/y", 0700) == 0);
	derive(path, "c", b);
	cr_expect_str_eq(a, b);
	rmdir("x/y");
	rmdir("x");
	unlink(link);
	rmdir(dir);
}

Test(sid, refuses)
{
	static const char *const bad[] = { "", "0", "0123456789abcdef0123456789abcdeF",
					   "0123456789abcdef0123456789abcdef0",
					   "../3456789abcdef0123456789abcdef" };
	struct error err = { 0 };
	char sid[SID_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect(sid_check(bad[i], &err) == -EINVAL, "%s", bad[i]);
	cr_expect(sid_derive("/nowhere/../x", "a", 0, sid, &err) == -EINVAL);
	cr_expect(sid_derive("/proc/version/x", "a", 0, sid, &err) == -ENOTDIR);
	cr_expect(strstr(err.text, "ot a directory") == NULL, "%s", err.text);
}
