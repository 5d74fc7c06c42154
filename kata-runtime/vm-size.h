/* How large a VM has to be for its containers, and how large it may become. Pure. */
#ifndef KATA_RUNTIME_VM_SIZE_H
#define KATA_RUNTIME_VM_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "kata-runtime/config.h"
#include "kata-runtime/spec.h"

/* What the containers of a VM may use, all together. */
struct vm_demand {
	uint64_t memory;     /* bytes: the sum of their limits */
	uint64_t cpu_milli;  /* thousandths of a processor: the sum of their quotas */
	uint64_t cpu_single; /* the largest of these */
	bool unlimited;      /* one of them may use as much memory as there is */
};

struct vm_host {
	uint64_t memory_mib;
	uint32_t cpus;
};

struct vm_size {
	uint32_t memory_mib, vcpus;
};

/* What this host has. */
struct vm_host vm_size_host(void);

/* Adds a container: its limit of memory (0: none) and its quota (0: none). */
void vm_demand_add(struct vm_demand *demand, uint64_t memory, uint64_t cpu_milli);

/* The limits of a container in those terms; what they do not name stays. */
void vm_demand_limits(const struct spec_resources *limits, uint64_t *memory, uint64_t *cpu_milli);

/*
 * The size of a VM for that: the limits, what a guest needs for itself, and never less than the
 * configuration's default. As far as the host has it; -EINVAL for more than default_maxmemory or
 * default_maxvcpus, where those are set. Together, containers may have quotas beyond that.
 */
int vm_size_need(const struct vm_demand *demand, const struct config *config,
		 const struct vm_host *host, struct vm_size *ret, struct error *err);

/*
 * What such a VM can have beyond its size while it runs: MiB in steps of QEMU_PLUG_STEP_MIB, and
 * processors.
 */
void vm_size_more(const struct vm_size *size, const struct config *config,
		  const struct vm_host *host, struct vm_size *ret);

/*
 * What a guest needs besides its containers, so that their own limits are reached first: MiB, and
 * a part of the limits. Measured as size of the VM less MemAvailable of an idle guest (kernel 6.1):
 * 126 MiB of 617, 191 MiB of 2177; so 100 MiB and a 24th of the size, and a little more here.
 */
enum { VM_GUEST_MIB = 128, VM_GUEST_PART = 22 };

enum {
	/* More only when configured: addresses of some processors end at 2^39. */
	VM_PLUG_MAX_MIB = 1 << 18,
	/* For each possible processor a guest sets memory aside, 280 KiB of Debian's kernel. */
	VM_PLUG_VCPUS = 16,
};

#endif
