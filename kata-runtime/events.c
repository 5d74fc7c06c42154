/*
 * From a cgroup2's numbers to runc's statistics: see events.h. Called by `events`; pure. runc's
 * shape is that of the first cgroups, and so some numbers are put together: swap counts memory
 * too, times are nanoseconds.
 */
#include "kata-runtime/events.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { NS_PER_US = 1000 };

struct numbers {
	const struct decoder_statistic *values;
	uint32_t count;
};

static bool find(const struct numbers *n, const char *name, uint64_t *ret)
{
	for (uint32_t i = 0; i < n->count; i++) {
		if (str_eq(n->values[i].name, name)) {
			*ret = n->values[i].value;
			return true;
		}
	}
	return false;
}

static uint64_t number(const struct numbers *n, const char *name)
{
	uint64_t value = 0;

	find(n, name, &value);
	return value;
}

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *cpu(const struct numbers *n)
{
	struct json_object *o = json_object_new_object(), *usage = json_object_new_object();
	struct json_object *throttling = json_object_new_object();

	add(usage, "total", number(n, "cpu.stat:usage_usec") * NS_PER_US);
	add(usage, "kernel", number(n, "cpu.stat:system_usec") * NS_PER_US);
	add(usage, "user", number(n, "cpu.stat:user_usec") * NS_PER_US);
	add(throttling, "periods", number(n, "cpu.stat:nr_periods"));
	add(throttling, "throttledPeriods", number(n, "cpu.stat:nr_throttled"));
	add(throttling, "throttledTime", number(n, "cpu.stat:throttled_usec") * NS_PER_US);
	json_object_object_add(o, "usage", usage);
	json_object_object_add(o, "throttling", throttling);
	return o;
}

static struct json_object *entry(uint64_t limit, uint64_t usage, uint64_t max, uint64_t failcnt)
{
	struct json_object *o = json_object_new_object();

	add(o, "limit", limit);
	add(o, "usage", usage);
	add(o, "max", max);
	add(o, "failcnt", failcnt);
	return o;
}

static struct json_object *raw(const struct numbers *n)
{
	const char prefix[] = "memory.stat:";
	struct json_object *o = json_object_new_object();

	for (uint32_t i = 0; i < n->count; i++)
		if (str_starts(n->values[i].name, prefix))
			add(o, n->values[i].name + strlen(prefix), n->values[i].value);
	return o;
}

static struct json_object *memory(const struct numbers *n)
{
	uint64_t usage = number(n, "memory.current"), limit = number(n, "memory.max");
	uint64_t swap = number(n, "memory.swap.current"), swap_limit = UINT64_MAX;
	struct json_object *o = json_object_new_object();

	find(n, "memory.swap.max", &swap_limit);
	if (swap_limit != UINT64_MAX && limit != UINT64_MAX)
		swap_limit += limit;
	else
		swap_limit = UINT64_MAX;
	add(o, "cache", number(n, "memory.stat:file"));
	json_object_object_add(
		o, "usage",
		entry(limit, usage, number(n, "memory.peak"), number(n, "memory.events:max")));
	json_object_object_add(o, "swap", entry(swap_limit, usage + swap, 0, 0));
	json_object_object_add(o, "kernel", entry(0, number(n, "memory.stat:kernel"), 0, 0));
	json_object_object_add(o, "kernelTCP", entry(0, number(n, "memory.stat:sock"), 0, 0));
	json_object_object_add(o, "raw", raw(n));
	return o;
}

static struct json_object *pids(const struct numbers *n)
{
	struct json_object *o = json_object_new_object();
	uint64_t limit = number(n, "pids.max");

	add(o, "current", number(n, "pids.current"));
	if (limit != UINT64_MAX)
		add(o, "limit", limit);
	return o;
}

/* Entries of one of runc's lists from "io.stat:MAJOR:MINOR:KEY". */
static struct json_object *io_list(const struct numbers *n, const char *read, const char *write)
{
	const struct {
		const char *key, *op;
	} ops[] = { { read, "Read" }, { write, "Write" } };
	struct json_object *list = json_object_new_array();
	unsigned major, minor;
	char key[32];

	for (uint32_t i = 0; i < n->count; i++) {
		if (sscanf(n->values[i].name, "io.stat:%u:%u:%31s", &major, &minor, key) != 3)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
			struct json_object *o;

			if (!str_eq(key, ops[k].key))
				continue;
			o = json_object_new_object();
			add(o, "major", major);
			add(o, "minor", minor);
			json_object_object_add(o, "op", json_object_new_string(ops[k].op));
			add(o, "value", n->values[i].value);
			json_object_array_add(list, o);
		}
	}
	return list;
}

static struct json_object *blkio(const struct numbers *n)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ioServiceBytesRecursive", io_list(n, "rbytes", "wbytes"));
	json_object_object_add(o, "ioServicedRecursive", io_list(n, "rios", "wios"));
	return o;
}

static struct json_object *hugetlb(const struct numbers *n)
{
	static const char *const sizes[] = { "2MB", "1GB" };
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char current[48], max[48], events[48];
		struct json_object *item;
		uint64_t usage;

		snprintf(current, sizeof(current), "hugetlb.%s.current", sizes[i]);
		snprintf(max, sizeof(max), "hugetlb.%s.max", sizes[i]);
		snprintf(events, sizeof(events), "hugetlb.%s.events:max", sizes[i]);
		if (!find(n, current, &usage))
			continue;
		item = json_object_new_object();
		add(item, "usage", usage);
		add(item, "max", number(n, max));
		add(item, "failcnt", number(n, events));
		json_object_object_add(o, sizes[i], item);
	}
	return o;
}

static struct json_object *event(const char *type, const char *id)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "type", json_object_new_string(type));
	json_object_object_add(o, "id", json_object_new_string(id));
	return o;
}

struct json_object *events_stats(const char *id, const struct decoder_statistic *values,
				 uint32_t count)
{
	const struct numbers n = { values, count };
	struct json_object *o = event("stats", id), *data = json_object_new_object();

	json_object_object_add(data, "cpu", cpu(&n));
	json_object_object_add(data, "cpuset", json_object_new_object());
	json_object_object_add(data, "memory", memory(&n));
	json_object_object_add(data, "pids", pids(&n));
	json_object_object_add(data, "blkio", blkio(&n));
	json_object_object_add(data, "hugetlb", hugetlb(&n));
	json_object_object_add(data, "intel_rdt", json_object_new_object());
	json_object_object_add(data, "network_interfaces", NULL);
	json_object_object_add(o, "data", data);
	return o;
}

struct json_object *events_oom(const char *id)
{
	return event("oom", id);
}

uint64_t events_oom_kills(const struct decoder_statistic *values, uint32_t count)
{
	const struct numbers n = { values, count };

	return number(&n, "memory.events:oom_kill");
}

/* The milliseconds of a unit, and its length in *ret_len; 0 when it is none. */
static int64_t unit_ms(const char *unit, size_t *ret_len)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (str_starts(unit, units[i].name)) {
			*ret_len = strlen(units[i].name);
			return units[i].ms;
		}
	}
	return 0;
}

int events_parse_interval(const char *text, int64_t *ret_ms)
{
	int64_t total = 0;

	while (*text != '\0') {
		size_t digits = strspn(text, "0123456789"), len = 0;
		char part[16];
		uint64_t value;
		int64_t unit;

		if (str_format(part, sizeof(part), "%.*s", (int)digits, text) < 0 ||
		    str_to_u64(part, 1000000, &value) < 0)
			return -EINVAL;
		unit = unit_ms(text + digits, &len);
		if (unit == 0)
			return -EINVAL;
		total += (int64_t)value * unit;
		text += digits + len;
	}
	if (total <= 0 || total > INT_MAX)
		return -EINVAL;
	*ret_ms = total;
	return 0;
}
