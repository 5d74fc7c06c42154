/* The agent's readers of /proc and of cgroups when memory runs out: see no-memory.h. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-agent/ps.h"
#include "kata-agent/stats.h"
#include "tests/unit/no-memory.h"

#if !SANITIZED

static int run_ps(const char *dir, size_t len, struct error *err)
{
	CLEANUP(fd_close) int cgroup = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(ps_free) struct msg_ps_rows rows = { 0 };

	(void)len;
	return ps_list(cgroup, &rows, err);
}

static int run_stats(const char *dir, size_t len, struct error *err)
{
	CLEANUP(fd_close) int cgroup = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(stats_free) struct msg_statistics statistics = { 0 };

	(void)len;
	return stats_read(cgroup, &statistics, err);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[96];
	CLEANUP(file_close) FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	cr_assert(file != NULL && fputs(text, file) >= 0, "%s", path);
}

Test(agent_no_memory, a_cgroup)
{
	static const char *const names[] = { "cgroup.procs", "cpu.stat", "io.stat" };
	char dir[] = "/tmp/kata-test-memory-XXXXXX", text[64], path[96];

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(text, sizeof(text), "%d\n%d\n%d\n", getpid(), getpid(), getppid());
	put(dir, "cgroup.procs", text);
	put(dir, "cpu.stat", "usage_usec 17\nuser_usec 4\n");
	put(dir, "io.stat", "254:0 rbytes=1 wbytes=2\n");
	try_each("ps", run_ps, dir, 0);
	try_each("stats", run_stats, dir, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		cr_expect(unlink(path) == 0);
	}
	cr_expect(rmdir(dir) == 0);
}

#else

Test(agent_no_memory, needs_another_build)
{
	cr_skip("the sanitizer has its own malloc");
}

#endif
