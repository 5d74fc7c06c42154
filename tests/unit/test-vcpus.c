/* kata-agent/vcpus.c: with a directory that looks like the kernel's. */
#include "kata-agent/vcpus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Makes DIR/NAME, and in it "online" with that text, unless that is NULL. */
static void make(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cr_assert(mkdir(path, 0755) == 0);
	if (text == NULL)
		return;
	snprintf(path, sizeof(path), "%s/%s/online", dir, name);
	file = fopen(path, "we");
	cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void drop(const char *dir)
{
	static const char *const names[] = { "cpu0",  "cpu1",    "cpu2", "cpu3",
					     "cpu10", "cpufreq", "cpu" };
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s/online", dir, names[i]);
		unlink(path);
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
	cr_expect(rmdir(dir) == 0);
}

/* One that cannot go offline counts, what is no processor does not; one change at a time. */
Test(vcpus, step_by_step)
{
	char dir[] = "/tmp/kata-vcpus-XXXXXX";
	uint32_t online = 0;
	struct error err;

	cr_assert(mkdtemp(dir) != NULL);
	make(dir, "cpu0", NULL);
	make(dir, "cpu1", "0\n");
	make(dir, "cpu2", "1\n");
	make(dir, "cpu3", NULL); /* just plugged */
	make(dir, "cpu10", "0\n");
	make(dir, "cpufreq", "0\n");
	make(dir, "cpu", "0\n");
	cr_expect(vcpus_step(dir, &online, &err) == 1 && online == 3);
	cr_expect(vcpus_step(dir, &online, &err) == 1 && online == 4);
	cr_expect(vcpus_step(dir, &online, &err) == 0 && online == 4);
	drop(dir);
}

Test(vcpus, errors)
{
	char dir[] = "/tmp/kata-vcpus-XXXXXX", path[64];
	struct vcpus vcpus = { .dir = NULL };
	struct client_request request = { 0 };
	uint32_t online = 7;
	struct error err;

	cr_expect(vcpus_step("/nowhere", &online, &err) == -ENOENT && online == 0);
	cr_expect(vcpus_online(&vcpus, 2, &request, &err) == -ENOTSUP);
	cr_assert(mkdtemp(dir) != NULL);
	make(dir, "cpu1", NULL);
	snprintf(path, sizeof(path), "%s/cpu1/online", dir);
	cr_assert(mkdir(path, 0755) == 0);
	cr_expect(vcpus_step(dir, &online, &err) == -EISDIR);
	cr_expect_str_eq(err.text, "bring cpu1 online: Is a directory");
	cr_expect(rmdir(path) == 0);
	drop(dir);
}

/* What the kernel can never have is not waited for. */
Test(vcpus, possible)
{
	static const struct {
		const char *list;
		int r; /* of three */
	} cases[] = {
		{ "0\n", 1 },   { "0-1\n", 1 }, { "0,2\n", 0 },
		{ "0-2\n", 0 }, { "\n", 0 },    { "0-x\n", 0 },
	};
	char dir[] = "/tmp/kata-vcpus-XXXXXX", path[64];
	struct client_request request = { 0 };
	struct vcpus vcpus;
	struct error err;
	uv_loop_t loop;

	cr_assert(mkdtemp(dir) != NULL && uv_loop_init(&loop) == 0);
	make(dir, "cpu0", NULL);
	make(dir, "cpu1", "0\n");
	snprintf(path, sizeof(path), "%s/possible", dir);
	vcpus_init(&vcpus, &loop, dir);
	vcpus_online(&vcpus, 2, &request, &err);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		FILE *file = fopen(path, "we");

		cr_assert(file != NULL && fputs(cases[i].list, file) >= 0 && fclose(file) == 0);
		cr_expect_eq(vcpus_online(&vcpus, 3, &request, &err), cases[i].r, "%s",
			     cases[i].list);
		vcpus.wanted = 0;
	}
	unlink(path);
	vcpus_stop(&vcpus);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_expect(uv_loop_close(&loop) == 0);
	drop(dir);
}

static void on_closed_check(uv_handle_t *handle, void *arg)
{
	*(int *)arg += !uv_is_closing(handle);
}

/* A client that waits for a processor that does not come is forgotten without an answer. */
Test(vcpus, waiting)
{
	char dir[] = "/tmp/kata-vcpus-XXXXXX";
	struct client_request request = { .client = (struct client *)&request };
	struct vcpus vcpus;
	struct error err;
	uv_loop_t loop;
	int open = 0;

	cr_assert(mkdtemp(dir) != NULL && uv_loop_init(&loop) == 0);
	make(dir, "cpu0", NULL);
	make(dir, "cpu1", "0\n");
	vcpus_init(&vcpus, &loop, dir);
	cr_expect(vcpus_online(&vcpus, 1, &request, &err) == 1);
	cr_expect(vcpus_online(&vcpus, 2, &request, &err) == 1);
	cr_expect(vcpus_online(&vcpus, 3, &request, &err) == 0);
	cr_expect(vcpus.wanted == 3 && uv_is_active((uv_handle_t *)&vcpus.timer));
	vcpus_forget(&vcpus, request.client);
	make(dir, "cpu2", "0\n");
	cr_expect(uv_run(&loop, UV_RUN_DEFAULT) == 0);
	cr_expect(vcpus.wanted == 0);
	vcpus_stop(&vcpus);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_walk(&loop, on_closed_check, &open);
	cr_expect(open == 0 && uv_loop_close(&loop) == 0);
	drop(dir);
}
