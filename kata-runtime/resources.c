/*
 * Resource limits for the guest: see resources.h. Pure; used by create and update. The formulas
 * are those of opencontainers/cgroups, so that a container is weighed the same under runc.
 */
#include "kata-runtime/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

enum {
	SHARES_MIN = 2,
	SHARES_MAX = 262144,
	WEIGHT_MAX = 10000,
	PERIOD_DEFAULT_US = 100000,
	PERIOD_MIN_US = 1000, /* the kernel's, and of a quota, too */
	PERIOD_MAX_US = 1000000,
	BLKIO_MIN = 10,
	BLKIO_MAX = 1000,
	FIXED_VALUES = 16, /* beside hugepages and unified */
};

/* The lists have room for all. */
__attribute__((format(printf, 5, 6))) static int
add(struct resources *to, const char *file, bool can_miss, struct error *err, const char *fmt, ...)
{
	struct msg_cgroup_value *value = &to->values[to->n_values];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&value->value, fmt, args);
	va_end(args);
	if (n < 0) {
		value->value = NULL;
		return error_set(err, ENOMEM, "resources");
	}
	to->n_values++;
	value->can_miss = can_miss;
	value->file = strdup(file);
	return value->file != NULL ? 0 : error_set(err, ENOMEM, "resources");
}

/* 0 leaves the file alone. */
static int add_limit(struct resources *to, const char *file, int64_t limit, struct error *err)
{
	if (limit == 0)
		return 0;
	return limit < 0 ? add(to, file, false, err, "max")
			 : add(to, file, false, err, "%" PRId64, limit);
}

/* v1 counts memory and swap together, v2 swap alone. */
static int add_swap(struct resources *to, const struct spec_resources *limits, struct error *err)
{
	int64_t memory = limits->memory_limit, both = limits->memory_swap;

	if (both == 0)
		return memory < 0 ? add(to, "memory.swap.max", true, err, "max") : 0;
	if (both < 0)
		return add(to, "memory.swap.max", true, err, "max");
	if (memory <= 0)
		return error_say(err, EINVAL,
				 "memory.swap: a limit of swap needs one of memory beside it");
	if (both < memory)
		return error_say(err, EINVAL,
				 "memory.swap: the limit of memory and swap together (%" PRId64
				 ") is below that of memory (%" PRId64 ")",
				 both, memory);
	return add(to, "memory.swap.max", true, err, "%" PRId64, both - memory);
}

static int add_memory(struct resources *to, const struct spec_resources *limits, struct error *err)
{
	int r = add_swap(to, limits, err);

	if (r == 0)
		r = add_limit(to, "memory.max", limits->memory_limit, err);
	return r < 0 ? r : add_limit(to, "memory.low", limits->memory_reservation, err);
}

static uint64_t weight_of_shares(uint64_t shares)
{
	if (shares < SHARES_MIN)
		shares = SHARES_MIN;
	if (shares > SHARES_MAX)
		shares = SHARES_MAX;
	return 1 + (shares - SHARES_MIN) * (WEIGHT_MAX - 1) / (SHARES_MAX - SHARES_MIN);
}

/* A list of numbers and ranges; which of them there are is known in the guest alone. */
static bool is_list(const char *text)
{
	return text == NULL || text[strspn(text, "0123456789,-:/ \n")] == '\0';
}

/* What the kernel would refuse when the machine runs already. */
static int check_cpu(const struct spec_resources *limits, struct error *err)
{
	uint64_t period = limits->cpu_period;
	int64_t quota = limits->cpu_quota;

	if (quota > 0 && quota < PERIOD_MIN_US)
		return error_say(err, EINVAL, "cpu.quota: %" PRId64 " is below %d", quota,
				 PERIOD_MIN_US);
	if (period != 0 && (period < PERIOD_MIN_US || period > PERIOD_MAX_US))
		return error_say(err, EINVAL, "cpu.period: %" PRIu64 " is not from %d to %d",
				 period, PERIOD_MIN_US, PERIOD_MAX_US);
	if (limits->cpu_burst < 0)
		return error_say(err, EINVAL, "cpu.burst: %" PRId64 " is below 0",
				 limits->cpu_burst);
	if (quota > 0 && limits->cpu_burst > quota)
		return error_say(err, EINVAL,
				 "cpu.burst: %" PRId64 " is over the quota (%" PRId64 ")",
				 limits->cpu_burst, quota);
	if (limits->has_cpu_idle && limits->cpu_idle != 0 && limits->cpu_idle != 1)
		return error_say(err, EINVAL, "cpu.idle: %" PRId64 " is neither 0 nor 1",
				 limits->cpu_idle);
	if (!is_list(limits->cpus) || !is_list(limits->mems))
		return error_say(err, EINVAL, "cpu.%s: \"%s\" is no list of numbers",
				 is_list(limits->cpus) ? "mems" : "cpus",
				 is_list(limits->cpus) ? limits->mems : limits->cpus);
	return 0;
}

static int add_cpu(struct resources *to, const struct spec_resources *limits, struct error *err)
{
	uint64_t period = limits->cpu_period != 0 ? limits->cpu_period : PERIOD_DEFAULT_US;
	int r = check_cpu(limits, err);

	if (r == 0 && limits->cpu_shares != 0)
		r = add(to, "cpu.weight", false, err, "%" PRIu64,
			weight_of_shares(limits->cpu_shares));
	if (r == 0 && limits->cpu_quota > 0)
		r = add(to, "cpu.max", false, err, "%" PRId64 " %" PRIu64, limits->cpu_quota,
			period);
	if (r == 0 &&
	    (limits->cpu_quota < 0 || (limits->cpu_quota == 0 && limits->cpu_period != 0)))
		r = add(to, "cpu.max", false, err, "max %" PRIu64, period);
	if (r == 0 && limits->cpu_burst > 0)
		r = add(to, "cpu.max.burst", false, err, "%" PRId64, limits->cpu_burst);
	if (r == 0 && limits->has_cpu_idle)
		r = add(to, "cpu.idle", true, err, "%" PRId64, limits->cpu_idle);
	/* The host's processor and node numbers; the guest takes those that it has. */
	if (r == 0 && limits->cpus != NULL && limits->cpus[0] != '\0')
		r = add(to, "cpuset.cpus", true, err, "%s", limits->cpus);
	if (r == 0 && limits->mems != NULL && limits->mems[0] != '\0')
		r = add(to, "cpuset.mems", true, err, "%s", limits->mems);
	return r;
}

/* Only one of the two schedulers' files is there, if any. */
static int add_blkio(struct resources *to, const struct spec_resources *limits, struct error *err)
{
	uint32_t weight = limits->blkio_weight;
	int r;

	if (weight == 0)
		return 0;
	if (weight < BLKIO_MIN || weight > BLKIO_MAX)
		return error_say(err, EINVAL, "blockIO.weight: %u is not from %d to %d", weight,
				 BLKIO_MIN, BLKIO_MAX);
	r = add(to, "io.bfq.weight", true, err, "%u", weight);
	return r < 0 ? r
		     : add(to, "io.weight", true, err, "%u",
			   1 + (weight - BLKIO_MIN) * (WEIGHT_MAX - 1) / (BLKIO_MAX - BLKIO_MIN));
}

static int add_lists(struct resources *to, const struct spec_resources *limits, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < limits->n_hugepages; i++) {
		const struct spec_hugepage_limit *huge = &limits->hugepages[i];
		char file[64];

		if (str_format(file, sizeof(file), "hugetlb.%s.max", huge->size) < 0)
			return error_set(err, ENAMETOOLONG, "huge pages of %s", huge->size);
		/* Engines forbid all sizes of the host; the guest may have fewer of them. */
		r = add(to, file, huge->limit == 0, err, "%" PRIu64, huge->limit);
	}
	for (uint32_t i = 0; r == 0 && i < limits->n_unified; i++)
		r = add(to, limits->unified[i].name, false, err, "%s", limits->unified[i].value);
	return r;
}

static int make_device_rules(struct resources *to, const struct spec_resources *limits,
			     struct error *err)
{
	static char *const kinds[] = { "a", "b", "c" };

	to->device_rules = calloc(limits->n_device_rules + 1UL, sizeof(*to->device_rules));
	if (to->device_rules == NULL)
		return error_set(err, ENOMEM, "resources");
	to->n_device_rules = limits->n_device_rules;
	for (uint32_t i = 0; i < limits->n_device_rules; i++) {
		const struct spec_device_rule *rule = &limits->device_rules[i];

		to->device_rules[i] = (struct msg_device_rule){
			.allow = rule->allow,
			.kind = kinds[rule->type - 'a'],
			.major = rule->major,
			.minor = rule->minor,
			.access = rule->mknod * 1U + rule->read * 2U + rule->write * 4U,
		};
	}
	return 0;
}

int resources_make(const struct spec_resources *limits, struct resources *ret, struct error *err)
{
	size_t room = FIXED_VALUES + (size_t)limits->n_hugepages + limits->n_unified;
	int r;

	*ret = (struct resources){ .values = calloc(room, sizeof(*ret->values)) };
	if (ret->values == NULL)
		return error_set(err, ENOMEM, "resources");
	r = add_memory(ret, limits, err);
	if (r == 0)
		r = add_cpu(ret, limits, err);
	if (r == 0)
		r = add_limit(ret, "pids.max", limits->pids_limit, err);
	if (r == 0)
		r = add_blkio(ret, limits, err);
	if (r == 0)
		r = add_lists(ret, limits, err);
	if (r == 0)
		r = make_device_rules(ret, limits, err);
	if (r < 0)
		resources_fini(ret);
	return r;
}

void resources_complete(struct spec_resources *limits, struct resources_now *now)
{
	if (limits->memory_limit == 0 && limits->memory_swap > 0)
		limits->memory_limit = (int64_t)now->memory;
	if (limits->cpu_quota == 0 && limits->cpu_period != 0)
		limits->cpu_quota = (int64_t)now->cpu_quota;
	if (limits->cpu_quota != 0 && limits->cpu_period == 0)
		limits->cpu_period = now->cpu_period;
	if (limits->memory_limit != 0)
		now->memory = limits->memory_limit > 0 ? (uint64_t)limits->memory_limit : 0;
	if (limits->cpu_quota != 0)
		now->cpu_quota = limits->cpu_quota > 0 ? (uint64_t)limits->cpu_quota : 0;
	if (limits->cpu_period != 0)
		now->cpu_period = limits->cpu_period;
}

void resources_fini(struct resources *resources)
{
	for (uint32_t i = 0; i < resources->n_values; i++) {
		free(resources->values[i].file);
		free(resources->values[i].value);
	}
	free(resources->values);
	free(resources->device_rules);
	*resources = (struct resources){ 0 };
}
