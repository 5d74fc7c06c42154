/* kata-agent/ps.c: /proc files as processes can make them look. */
#include "kata-agent/ps.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define TAIL " S 7 1 1 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 555 1000 10 18446744073709551615 1"

Test(ps, stat)
{
	static const struct {
		const char *text, *name;
	} cases[] = {
		{ "42 (sh)" TAIL, "sh" },
		{ "42 (a b) c)" TAIL, "a b) c" },
		{ "42 ()" TAIL, "" },
		{ "42 (\n1 (x) R 1 2 3)" TAIL, "\n1 (x) R 1 2 3" },
		{ "42 (a name that is far too long)" TAIL, "a name that is " },
	};
	static const char *const bad[] = {
		"",
		"42",
		"42 (sh",
		"42 sh) S 1",
		("(sh)" TAIL),
		"42 (sh)S 7",
		"42 (sh) S",
		"42 (sh) S 7 1 1 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0",
		"42 (sh) S x 1 1 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 555",
	};
	struct ps_stat stat;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert(ps_parse_stat(cases[i].text, &stat) == 0, "%s", cases[i].text);
		cr_expect(stat.pid == 42 && stat.ppid == 7);
		cr_expect(stat.cpu_ticks == 42 && stat.start_ticks == 555);
		cr_expect_str_eq(stat.name, cases[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect(ps_parse_stat(bad[i], &stat) == -EBADMSG, "%s", bad[i]);
}

Test(ps, uid)
{
	uint32_t uid;

	cr_expect(ps_parse_uid("Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\n", &uid) == 0 && uid == 2);
	cr_expect(ps_parse_uid("Name:\tUid: 7 7\nUid:\t0\t0\t0\t0\n", &uid) == 0 && uid == 0);
	cr_expect(ps_parse_uid("Name:\tx\nUid:\t1\n", &uid) == -EBADMSG);
	cr_expect(ps_parse_uid("", &uid) == -EBADMSG);
}

Test(ps, command)
{
	char text[24];

	ps_format_command("a\0b c\0", 6, "name", text, sizeof(text));
	cr_expect_str_eq(text, "a b c");
	ps_format_command("", 0, "kworker", text, sizeof(text));
	cr_expect_str_eq(text, "[kworker]");
	ps_format_command("\0\0\0", 3, "zeros", text, sizeof(text));
	cr_expect_str_eq(text, "[zeros]");
	ps_format_command("0123456789012345678901234567890", 31, "n", text, sizeof(text));
	cr_expect_str_eq(text, "01234567890123456789012");
}

/* One that has gone meanwhile is left out. */
Test(ps, list)
{
	char dir[] = "/tmp/kata-test-ps-XXXXXX", path[64];
	CLEANUP(fd_close) int cgroup = -1;
	struct msg_ps_rows rows = { 0 };
	struct error err = { 0 };
	FILE *file;

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	file = fopen(path, "we");
	cr_assert(file != NULL);
	fprintf(file, "%d\n%d\n", 4194303, getpid());
	fclose(file);
	cgroup = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert(ps_list(cgroup, &rows, &err) == 0, "%s", err.text);
	cr_assert_eq(rows.n_rows, 1);
	cr_expect(rows.rows[0].pid == (uint32_t)getpid() &&
		  rows.rows[0].ppid == (uint32_t)getppid() && rows.rows[0].uid == geteuid());
	cr_expect(rows.rows[0].start_s > 1000000000 && rows.rows[0].command[0] != '\0');
	ps_free(&rows);
	ps_free(&rows);
	cr_expect(unlink(path) == 0);
	cr_assert(ps_list(cgroup, &rows, &err) == 0, "%s", err.text);
	cr_expect_eq(rows.n_rows, 0);
	ps_free(&rows);
	fd_close(&cgroup);
	cr_expect(ps_list(cgroup, &rows, &err) == -EBADF && err.text[0] != '\0');
	cr_expect(rmdir(dir) == 0);
}
