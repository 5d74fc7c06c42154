/* kata-runtime/resources.c: limits of config.json as values of the guest's cgroup2. */
#include "kata-runtime/resources.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"
#include "kata-runtime/qemu-args.h"

/* The object as `update` gets it, which is that of config.json. */
static int load(const char *text, struct spec_resources *ret, struct error *err)
{
	CLEANUP(fd_close) int from = -1;
	int pair[2], r;

	cr_assert(pipe(pair) == 0);
	from = pair[0];
	cr_assert(write(pair[1], text, strlen(text)) == (ssize_t)strlen(text));
	close(pair[1]);
	r = spec_load_resources(from, "r", ret, err);
	return r;
}

/* "FILE=VALUE FILE?=VALUE": ? where the guest may refuse it. */
static void print(const struct resources *resources, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < resources->n_values && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s%s=%s", i > 0 ? ";" : "",
					 resources->values[i].file,
					 resources->values[i].can_miss ? "?" : "",
					 resources->values[i].value);
}

static const struct {
	const char *json, *wanted;
} conversions[] = {
	{ "{}", "" },
	{ "{\"memory\":{\"limit\":0,\"swap\":0},\"cpu\":{\"shares\":0,\"quota\":0,\"period\":0},"
	  "\"pids\":{\"limit\":0},\"blockIO\":{\"weight\":0}}",
	  "" },
	{ "{\"memory\":{\"limit\":67108864}}", "memory.max=67108864" },
	{ "{\"memory\":{\"limit\":-1}}", "memory.swap.max?=max;memory.max=max" },
	{ "{\"memory\":{\"limit\":100,\"swap\":300}}", "memory.swap.max?=200;memory.max=100" },
	{ "{\"memory\":{\"limit\":100,\"swap\":100}}", "memory.swap.max?=0;memory.max=100" },
	{ "{\"memory\":{\"limit\":100,\"swap\":-1}}", "memory.swap.max?=max;memory.max=100" },
	{ "{\"memory\":{\"swap\":-1}}", "memory.swap.max?=max" },
	{ "{\"memory\":{\"reservation\":5,\"kernel\":0}}", "memory.low=5" },
	{ "{\"memory\":{\"reservation\":-1}}", "memory.low=max" },
	{ "{\"cpu\":{\"shares\":1}}", "cpu.weight=1" },
	{ "{\"cpu\":{\"shares\":2}}", "cpu.weight=1" },
	{ "{\"cpu\":{\"shares\":100}}", "cpu.weight=4" },
	{ "{\"cpu\":{\"shares\":512}}", "cpu.weight=20" },
	{ "{\"cpu\":{\"shares\":1024}}", "cpu.weight=39" },
	{ "{\"cpu\":{\"shares\":262144}}", "cpu.weight=10000" },
	{ "{\"cpu\":{\"shares\":18446744073709551615}}", "cpu.weight=10000" },
	{ "{\"cpu\":{\"quota\":50000,\"period\":100000}}", "cpu.max=50000 100000" },
	{ "{\"cpu\":{\"quota\":50000}}", "cpu.max=50000 100000" },
	{ "{\"cpu\":{\"quota\":-1,\"period\":20000}}", "cpu.max=max 20000" },
	{ "{\"cpu\":{\"period\":20000}}", "cpu.max=max 20000" },
	{ "{\"cpu\":{\"burst\":7,\"idle\":1}}", "cpu.max.burst=7;cpu.idle?=1" },
	{ "{\"cpu\":{\"cpus\":\"0-3\",\"mems\":\"0\"}}", "cpuset.cpus?=0-3;cpuset.mems?=0" },
	{ "{\"cpu\":{\"cpus\":\"\",\"mems\":\"\"}}", "" },
	{ "{\"pids\":{\"limit\":20}}", "pids.max=20" },
	{ "{\"pids\":{\"limit\":-1}}", "pids.max=max" },
	{ "{\"blockIO\":{\"weight\":10}}", "io.bfq.weight?=10;io.weight?=1" },
	{ "{\"blockIO\":{\"weight\":1000}}", "io.bfq.weight?=1000;io.weight?=10000" },
	{ "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":9}]}", "hugetlb.2MB.max=9" },
	{ "{\"hugepageLimits\":[{\"pageSize\":\"1GB\",\"limit\":0}]}", "hugetlb.1GB.max?=0" },
	{ "{\"unified\":{\"memory.high\":\"1\",\"hugetlb.1GB.max\":\"0\"}}",
	  "memory.high=1;hugetlb.1GB.max=0" },
};

Test(resources, conversions)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversions); i++) {
		CLEANUP(spec_resources_fini) struct spec_resources limits;
		CLEANUP(resources_fini) struct resources resources = { 0 };
		struct error err = { 0 };
		char text[1024];

		cr_assert(load(conversions[i].json, &limits, &err) == 0, "%zu: %s", i, err.text);
		cr_assert(resources_make(&limits, &resources, &err) == 0, "%zu: %s", i, err.text);
		print(&resources, text, sizeof(text));
		cr_expect_str_eq(text, conversions[i].wanted, "%s gives %s", conversions[i].json,
				 text);
	}
}

Test(resources, completes_what_update_leaves_out)
{
	static const struct {
		const char *json;
		struct resources_now now;
		const char *wanted;
		struct resources_now then;
	} cases[] = {
		{ "{\"cpu\":{\"period\":50000}}",
		  { 0, 20000, 100000 },
		  "cpu.max=20000 50000",
		  { 0, 20000, 50000 } },
		{ "{\"cpu\":{\"quota\":7000}}",
		  { 0, 20000, 50000 },
		  "cpu.max=7000 50000",
		  { 0, 7000, 50000 } },
		{ "{\"cpu\":{\"quota\":-1}}", { 5, 20000, 0 }, "cpu.max=max 100000", { 5, 0, 0 } },
		{ "{\"cpu\":{\"period\":50000}}", { 0 }, "cpu.max=max 50000", { 0, 0, 50000 } },
		{ "{\"memory\":{\"swap\":300}}",
		  { 100, 0, 0 },
		  "memory.swap.max?=200;memory.max=100",
		  { 100, 0, 0 } },
		{ "{\"memory\":{\"limit\":-1}}",
		  { 100, 0, 0 },
		  "memory.swap.max?=max;memory.max=max",
		  { 0, 0, 0 } },
		{ "{\"pids\":{\"limit\":2}}", { 1, 2, 3 }, "pids.max=2", { 1, 2, 3 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(spec_resources_fini) struct spec_resources limits;
		CLEANUP(resources_fini) struct resources resources = { 0 };
		struct resources_now now = cases[i].now;
		struct error err = { 0 };
		char text[1024];

		cr_assert(load(cases[i].json, &limits, &err) == 0, "%zu: %s", i, err.text);
		resources_complete(&limits, &now);
		cr_assert(resources_make(&limits, &resources, &err) == 0, "%zu: %s", i, err.text);
		print(&resources, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].wanted, "%s gives %s", cases[i].json, text);
		cr_expect(now.memory == cases[i].then.memory &&
				  now.cpu_quota == cases[i].then.cpu_quota &&
				  now.cpu_period == cases[i].then.cpu_period,
			  "%s: %lu %lu %lu", cases[i].json, now.memory, now.cpu_quota,
			  now.cpu_period);
	}
}

static const struct {
	const char *json, *error;
} refused[] = {
	{ "[]", "r: expected an object" },
	{ "{\"memory\":{\"limit\":1.5}}", "r: memory.limit: expected a number" },
	{ "{\"memory\":{\"swap\":5}}",
	  "memory.swap: a limit of swap needs one of memory beside it" },
	{ "{\"memory\":{\"limit\":-1,\"swap\":5}}",
	  "memory.swap: a limit of swap needs one of memory beside it" },
	{ "{\"memory\":{\"limit\":6,\"swap\":5}}",
	  "memory.swap: the limit of memory and swap together (5) is below that of memory (6)" },
	{ "{\"cpu\":{\"idle\":2}}", "cpu.idle: 2 is neither 0 nor 1" },
	{ "{\"cpu\":{\"idle\":-1}}", "cpu.idle: -1 is neither 0 nor 1" },
	{ "{\"cpu\":{\"quota\":999}}", "cpu.quota: 999 is below 1000" },
	{ "{\"cpu\":{\"period\":999}}", "cpu.period: 999 is not from 1000 to 1000000" },
	{ "{\"cpu\":{\"period\":1000001}}", "cpu.period: 1000001 is not from 1000 to 1000000" },
	{ "{\"cpu\":{\"burst\":-1}}", "cpu.burst: -1 is below 0" },
	{ "{\"cpu\":{\"quota\":2000,\"burst\":2001}}", "cpu.burst: 2001 is over the quota (2000)" },
	{ "{\"cpu\":{\"cpus\":\"0-1,x\"}}", "cpu.cpus: \"0-1,x\" is no list of numbers" },
	{ "{\"cpu\":{\"cpus\":\"0\",\"mems\":\"all\"}}",
	  "cpu.mems: \"all\" is no list of numbers" },
	{ "{\"blockIO\":{\"weight\":9}}", "blockIO.weight: 9 is not from 10 to 1000" },
	{ "{\"blockIO\":{\"weight\":1001}}", "r: blockIO.weight: 1001 is over 1000" },
	{ "{\"hugepageLimits\":[{\"pageSize\":\"../x\"}]}",
	  "r: hugepageLimits[0].pageSize: expected a size as 2MB" },
	{ "{\"hugepageLimits\":[{}]}", "r: hugepageLimits[0].pageSize: expected a size as 2MB" },
	{ "{\"unified\":{\"cgroup.procs\":\"1\"}}",
	  "r: unified.cgroup.procs: expected the name of a controller's file" },
	{ "{\"unified\":{\"../memory.max\":\"1\"}}",
	  "r: unified.../memory.max: expected the name of a controller's file" },
	{ "{\"unified\":{\"tasks\":\"1\"}}",
	  "r: unified.tasks: expected the name of a controller's file" },
	{ "{\"devices\":[{\"access\":\"x\"}]}", "r: devices[0].access: expected letters of rwm" },
	{ "{\"devices\":[{\"allow\":true}]}", "r: devices[0].access: expected letters of rwm" },
	{ "{\"devices\":[{\"type\":\"x\",\"access\":\"r\"}]}",
	  "r: devices[0].type: expected a, b or c" },
};

Test(resources, refused_by_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		CLEANUP(spec_resources_fini) struct spec_resources limits;
		struct resources resources;
		struct error err = { 0 };
		int r = load(refused[i].json, &limits, &err);

		if (r == 0)
			r = resources_make(&limits, &resources, &err);
		cr_expect(r == -EINVAL, "%s gives %d", refused[i].json, r);
		cr_expect_str_eq(err.text, refused[i].error, "%s: %s", refused[i].json, err.text);
	}
}

Test(resources, device_rules_and_the_message)
{
	CLEANUP(spec_resources_fini) struct spec_resources limits;
	CLEANUP(resources_fini) struct resources resources = { 0 };
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct msg_create create = { 0 };
	struct error err = { 0 };
	const struct msg_device_rule *rules;

	cr_assert(
		load("{\"memory\":{\"limit\":5},\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
		     "{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rw\"},"
		     "{\"allow\":true,\"type\":\"b\",\"major\":8,\"minor\":-1,\"access\":\"m\"}]}",
		     &limits, &err) == 0,
		"%s", err.text);
	cr_assert(resources_make(&limits, &resources, &err) == 0);
	cr_assert(resources.n_device_rules == 3);
	rules = resources.device_rules;
	cr_expect(!rules[0].allow && str_eq(rules[0].kind, "a") && rules[0].access == 7);
	cr_expect(rules[0].major == UINT32_MAX && rules[0].minor == UINT32_MAX);
	cr_expect(rules[1].allow && str_eq(rules[1].kind, "c") && rules[1].access == 6);
	cr_expect(rules[1].major == 1 && rules[1].minor == 3);
	cr_expect(str_eq(rules[2].kind, "b") && rules[2].minor == UINT32_MAX &&
		  rules[2].access == 1);
	create = (struct msg_create){ .container = (char *)"c",
				      .rootfs = (char *)"r",
				      .process.cwd = (char *)"/",
				      .cgroup = resources.values,
				      .n_cgroup = resources.n_values,
				      .device_rules = resources.device_rules,
				      .n_device_rules = resources.n_device_rules };
	cr_expect(wire_encode(MSG_CREATE, &create, &out, &err) == 0, "%s", err.text);
}
