/* kata-agent/lookup.c: which file a command is, in runc's words, and where a user is at home. */
#include "kata-agent/lookup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

Test(lookup, program)
{
	static const struct {
		const char *name, *path;
		int r;
		const char *wanted;
	} cases[] = {
		{ "sh", "/nosuch:/bin", 0, "/bin/sh" },
		{ "sh", "/bin:/usr/bin", 0, "/bin/sh" },
		{ "/bin/sh", NULL, 0, "/bin/sh" },
		{ "passwd", "/etc:/nosuch", -ENOENT,
		  "exec: \"passwd\": executable file not found in $PATH" },
		{ "sh", NULL, -ENOENT, "exec: \"sh\": executable file not found in $PATH" },
		{ "sh", "", -ENOENT, "exec: \"sh\": executable file not found in $PATH" },
		{ "", "/bin", -ENOENT, "exec: \"\": executable file not found in $PATH" },
		{ "/etc", NULL, -EACCES, "exec: \"/etc\": permission denied" },
		{ "/etc/passwd", NULL, -EACCES, "exec: \"/etc/passwd\": permission denied" },
		{ "/nosuch/abs", NULL, -ENOENT,
		  "exec: \"/nosuch/abs\": stat /nosuch/abs: no such file or directory" },
		{ "./nosuch", "/bin", -ENOENT,
		  "exec: \"./nosuch\": stat ./nosuch: no such file or directory" },
		{ "/etc/passwd/x", NULL, -ENOTDIR,
		  "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[PATH_MAX] = "";
		struct error err = { .text = "" };
		int r = lookup_program(cases[i].name, cases[i].path, path, &err);

		cr_expect(r == cases[i].r, "%s: %d", cases[i].name, r);
		cr_expect_str_eq(r == 0 ? path : err.text, cases[i].wanted);
	}
}

Test(lookup, program_with_a_name_too_long)
{
	char path[PATH_MAX], name[2 * PATH_MAX];
	struct error err;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_expect(lookup_program(name, "/bin:/usr/bin", path, &err) == -ENOENT);
	name[0] = '/';
	cr_expect(lookup_program(name, "/bin", path, &err) == -ENAMETOOLONG);
}

Test(lookup, env)
{
	char *env[] = { "PATHS=no", "PATH=first", "A", "PATH=last", "EMPTY=", NULL };

	cr_expect_str_eq(lookup_env(env, "PATH"), "last");
	cr_expect_str_eq(lookup_env(env, "EMPTY"), "");
	cr_expect_null(lookup_env(env, "A"));
	cr_expect_null(lookup_env(env, "PAT"));
}

Test(lookup, home)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
				     "\n:::\n::::::\nx:x:-5:0::/minus:\nx:x: 5:0::/blank:\n"
				     "big:x:99999999999999999999:0::/big:\n"
				     "last:x:4294967295:0::/most:\n"
				     "nohome:x:6:6:::/bin/sh\n"
				     "noshell:x:7:7::/noshell\n"
				     "twice:x:0:0::/second:\n"
				     "longname:x:8:8::/0123456789012345678901234567890123456789:\n"
				     "end:x:9:9::/end:/bin/sh";
	static const struct {
		uid_t uid;
		const char *home;
	} cases[] = {
		{ 0, "/root" }, { 5, NULL },   { 6, NULL },  { 7, "/noshell" },
		{ 8, NULL },    { 9, "/end" }, { 10, NULL }, { UINT32_MAX, "/most" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char home[32];
		int r = lookup_home(passwd, sizeof(passwd) - 1, cases[i].uid, home, sizeof(home));

		cr_expect(r == (cases[i].home != NULL ? 0 : -ENOENT), "uid %u", cases[i].uid);
		if (r == 0)
			cr_expect_str_eq(home, cases[i].home);
	}
}

/* Cut anywhere, it stays within its bytes (ASan sees) and finds no other user. */
Test(lookup, home_in_a_cut_file)
{
	static const char text[] = "a:x:1:1::/one:/bin/sh\nb:x:2:2::/two:/bin/sh\n";

	for (size_t len = 0; len < sizeof(text); len++) {
		char *cut = malloc(len + 1), home[16];

		memcpy(cut, text, len);
		if (lookup_home(cut, len, 2, home, sizeof(home)) == 0)
			cr_expect(strncmp(home, "/two", strlen(home)) == 0);
		cr_expect(lookup_home(cut, len, 3, home, sizeof(home)) == -ENOENT);
		free(cut);
	}
}
