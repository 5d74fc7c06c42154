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

/* Also for CLEANUP(). */
void resources_fini(struct resources *resources);

/*
 * The size of the VM in MiB for a container with that memory limit (bytes; below 1: none): the
 * limit, what a guest needs for itself, and never less than least_mib; as far as the host has it.
 */
uint32_t resources_vm_memory_mib(int64_t limit, uint32_t least_mib, uint64_t host_mib);

/*
 * What a guest needs besides its container, so that this one's own limit is reached first: MiB, and
 * a part of the limit. Measured as size of the VM less MemAvailable of an idle guest (kernel 6.1):
 * 126 MiB of 617, 191 MiB of 2177; so 100 MiB and a 24th of the size, and a little more here.
 */
enum { RESOURCES_GUEST_MIB = 128, RESOURCES_GUEST_PART = 22 };

#endif
