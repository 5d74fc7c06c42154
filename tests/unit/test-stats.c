/* kata-agent/stats.c: the forms of cgroup2's files. */
#include "kata-agent/stats.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static void expect(const struct msg_statistics *s, const char *name, uint64_t value)
{
	for (uint32_t i = 0; i < s->n_values; i++) {
		if (strcmp(s->values[i].name, name) == 0) {
			cr_expect_eq(s->values[i].value, value, "%s", name);
			return;
		}
	}
	cr_expect(false, "%s is missing", name);
}

Test(stats, every_form_of_a_file)
{
	CLEANUP(stats_free) struct msg_statistics s = { 0 };

	cr_assert_eq(stats_parse("memory.current", "4096\n", &s), 0);
	cr_assert_eq(stats_parse("memory.max", "max\n", &s), 0);
	cr_assert_eq(stats_parse("cpu.stat", "usage_usec 17\nuser_usec 4\n", &s), 0);
	cr_assert_eq(stats_parse("io.stat",
				 "254:0 rbytes=1 wbytes=18446744073709551615\n8:16 \n"
				 "7:1 rios=5\n",
				 &s),
		     0);
	expect(&s, "memory.current", 4096);
	expect(&s, "memory.max", UINT64_MAX);
	expect(&s, "cpu.stat:usage_usec", 17);
	expect(&s, "cpu.stat:user_usec", 4);
	expect(&s, "io.stat:254:0:rbytes", 1);
	expect(&s, "io.stat:254:0:wbytes", UINT64_MAX);
	expect(&s, "io.stat:7:1:rios", 5);
	cr_expect_eq(s.n_values, 7);
}

Test(stats, what_is_no_number_is_left_out)
{
	CLEANUP(stats_free) struct msg_statistics s = { 0 };
	char many[32768] = "";

	cr_assert_eq(stats_parse("f",
				 "\n\nx\nkey\nkey -1\nkey 1x\nkey 18446744073709551616\n"
				 "e k=\ne =x\ne k\ne new k=x\n",
				 &s),
		     0);
	cr_expect_eq(s.n_values, 0);
	for (size_t i = 0; i < 3 * STATS_MAX; i++)
		memcpy(many + i * 4, "k 1\n", 5);
	cr_assert_eq(stats_parse("f", many, &s), 0);
	cr_expect_eq(s.n_values, STATS_MAX);
}

Test(stats, files_that_are_missing_are_missing)
{
	CLEANUP(stats_free) struct msg_statistics s = { 0 };
	char dir[] = "/tmp/kata-test-stats-XXXXXX";
	struct error err = { 0 };
	int fd, file;

	cr_assert_neq(mkdtemp(dir), NULL);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file = openat(fd, "pids.max", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(write(file, "max\n", 4), 4);
	cr_assert_eq(stats_read(fd, &s, &err), 0, "%s", err.text);
	cr_expect_eq(s.n_values, 1);
	expect(&s, "pids.max", UINT64_MAX);
	close(file);
	unlinkat(fd, "pids.max", 0);
	close(fd);
	rmdir(dir);
}
