/* Resource limits: from the cgroup v1 terms of config.json to files of the guest's cgroup2. */
#ifndef KATA_RUNTIME_RESOURCES_H
#define KATA_RUNTIME_RESOURCES_H

#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-runtime/spec.h"

/* Limits as messages carry them; owns what it points to. */
struct resources {
	struct msg_cgroup_value *values;
	uint32_t n_values;
	struct msg_device_rule *device_rules;
	uint32_t n_device_rules;
};

/*
 * Converts as runc does: what is unset stays as it is, negative is "max". -EINVAL for a swap limit
 * without, or below, that of memory. On failure nothing is to be freed.
 */
int resources_make(const struct spec_resources *limits, struct resources *ret, struct error *err);

/* The limits of a container that the kernel takes together with others: 0 when there is none. */
struct resources_now {
	uint64_t memory, cpu_quota, cpu_period;
};

/*
 * For update: puts beside limits that are there those of now that the kernel takes together with
 * them, so that these stay as they are: a quota and its period, swap and memory. Then *now is what
 * will be.
 */
void resources_complete(struct spec_resources *limits, struct resources_now *now);

/* Also for CLEANUP(). */
void resources_fini(struct resources *resources);

#endif
