/* kata-runtime/events.c: runc's shape of statistics, and the interval's words. */
#include "kata-runtime/events.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

static const struct decoder_statistic values[] = {
	{ "cpu.stat:usage_usec", 30 },
	{ "cpu.stat:user_usec", 20 },
	{ "cpu.stat:system_usec", 10 },
	{ "cpu.stat:nr_periods", 4 },
	{ "cpu.stat:nr_throttled", 3 },
	{ "cpu.stat:throttled_usec", 2 },
	{ "memory.current", 1000 },
	{ "memory.max", 5000 },
	{ "memory.peak", 1500 },
	{ "memory.events:max", 6 },
	{ "memory.events:oom_kill", 2 },
	{ "memory.stat:file", 300 },
	{ "memory.stat:anon", 400 },
	{ "memory.swap.current", 50 },
	{ "memory.swap.max", 100 },
	{ "pids.current", 7 },
	{ "pids.max", UINT64_MAX },
	{ "io.stat:254:0:rbytes", 11 },
	{ "io.stat:254:0:wios", 12 },
	{ "hugetlb.2MB.current", 13 },
	{ "io.stat:x", 1 },
	{ "", 99 },
};

static const struct {
	const char *path, *value;
} expected[] = {
	{ "type", "stats" },
	{ "id", "c" },
	{ "data/cpu/usage/total", "30000" },
	{ "data/cpu/usage/kernel", "10000" },
	{ "data/cpu/usage/user", "20000" },
	{ "data/cpu/throttling/periods", "4" },
	{ "data/cpu/throttling/throttledPeriods", "3" },
	{ "data/cpu/throttling/throttledTime", "2000" },
	{ "data/memory/cache", "300" },
	{ "data/memory/usage/limit", "5000" },
	{ "data/memory/usage/usage", "1000" },
	{ "data/memory/usage/max", "1500" },
	{ "data/memory/usage/failcnt", "6" },
	{ "data/memory/swap/limit", "5100" },
	{ "data/memory/swap/usage", "1050" },
	{ "data/memory/raw/anon", "400" },
	{ "data/pids/current", "7" },
	{ "data/blkio/ioServiceBytesRecursive",
	  "[{\"major\":254,\"minor\":0,\"op\":\"Read\",\"value\":11}]" },
	{ "data/blkio/ioServicedRecursive",
	  "[{\"major\":254,\"minor\":0,\"op\":\"Write\",\"value\":12}]" },
	{ "data/hugetlb", "{\"2MB\":{\"usage\":13,\"max\":0,\"failcnt\":0}}" },
	{ "data/intel_rdt", "{}" },
};

static const char *text_at(struct json_object *o, const char *path)
{
	char copy[128], *rest = copy, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((key = strsep(&rest, "/")) != NULL)
		cr_assert(json_object_object_get_ex(o, key, &o), "%s of %s", key, path);
	if (json_object_get_type(o) == json_type_string)
		return json_object_get_string(o);
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
}

Test(events, statistics_in_runcs_shape)
{
	struct json_object *o = events_stats("c", values, ARRAY_SIZE(values));
	struct json_object *data, *pids, *unused;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		cr_expect_str_eq(text_at(o, expected[i].path), expected[i].value, "%s: %s",
				 expected[i].path, text_at(o, expected[i].path));
	cr_assert(json_object_object_get_ex(o, "data", &data));
	cr_expect(json_object_object_get_ex(data, "network_interfaces", &unused));
	cr_assert(json_object_object_get_ex(data, "pids", &pids));
	cr_expect(!json_object_object_get_ex(pids, "limit", &unused), "none");
	json_object_put(o);
}

Test(events, no_numbers_are_no_error)
{
	struct json_object *o = events_stats("c", NULL, 0);

	cr_expect_str_eq(text_at(o, "data/memory/usage/usage"), "0");
	cr_expect_str_eq(text_at(o, "data/memory/swap/limit"), "18446744073709551615");
	cr_expect_str_eq(text_at(o, "data/hugetlb"), "{}");
	json_object_put(o);
	cr_expect_eq(events_oom_kills(NULL, 0), 0);
	cr_expect_eq(events_oom_kills(values, ARRAY_SIZE(values)), 2);
	o = events_oom("c");
	cr_expect_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			 "{\"type\":\"oom\",\"id\":\"c\"}");
	json_object_put(o);
}

Test(events, intervals)
{
	static const struct {
		const char *text;
		int64_t ms; /* 0: refused */
	} cases[] = {
		{ "5s", 5000 }, { "500ms", 500 }, { "1m30s", 90000 }, { "1h", 3600000 },
		{ "", 0 },      { "5", 0 },       { "s", 0 },         { "0s", 0 },
		{ "-1s", 0 },   { "1.5s", 0 },    { "5 s", 0 },       { "99999999999999s", 0 },
		{ "1000h", 0 }, { "1d", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ms = 0;
		int r = events_parse_interval(cases[i].text, &ms);

		cr_expect_eq(r, cases[i].ms == 0 ? -EINVAL : 0, "%s", cases[i].text);
		cr_expect_eq(ms, cases[i].ms, "%s", cases[i].text);
	}
}
