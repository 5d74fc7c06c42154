/*
 * The size of a VM: see vm-size.h. Used by create, before the VM is started, and by create and
 * update for one that runs (vm-grow.c), in kata-runtime's process.
 */
#include "kata-runtime/vm-size.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "kata-runtime/qemu-args.h"

enum { MIB_SHIFT = 20, MILLI = 1000, PERIOD_DEFAULT_US = 100000 };

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Sums stay far below what overflows; no host has as much. */
static uint64_t add(uint64_t a, uint64_t b)
{
	return least(a, UINT64_MAX / 4) + least(b, UINT64_MAX / 4);
}

struct vm_host vm_size_host(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);

	return (struct vm_host){ .memory_mib = bytes >> MIB_SHIFT,
				 .cpus = cpus > 0 ? (uint32_t)cpus : 1 };
}

void vm_demand_add(struct vm_demand *demand, uint64_t memory, uint64_t cpu_milli)
{
	demand->memory = add(demand->memory, memory);
	demand->cpu_milli = add(demand->cpu_milli, cpu_milli);
	demand->cpu_single = most(demand->cpu_single, cpu_milli);
	demand->unlimited = demand->unlimited || memory == 0;
}

void vm_demand_limits(const struct spec_resources *limits, uint64_t *memory, uint64_t *cpu_milli)
{
	uint64_t period = limits->cpu_period != 0 ? limits->cpu_period : PERIOD_DEFAULT_US;
	uint64_t quota = limits->cpu_quota > 0 ? (uint64_t)limits->cpu_quota : 0;

	if (limits->memory_limit != 0)
		*memory = limits->memory_limit > 0 ? (uint64_t)limits->memory_limit : 0;
	if (limits->cpu_quota != 0)
		*cpu_milli = (least(quota, UINT64_MAX / MILLI / 2) * MILLI + period - 1) / period;
}

static int need_memory(const struct vm_demand *demand, const struct config *config,
		       const struct vm_host *host, uint32_t *ret, struct error *err)
{
	uint32_t floor = config->hypervisor.default_memory,
		 bound = config->hypervisor.default_maxmemory;
	uint64_t mib = demand->memory > 0 ? (demand->memory >> MIB_SHIFT) + 1 : 0;
	uint64_t need = mib + mib / VM_GUEST_PART;

	need += demand->unlimited ? floor : VM_GUEST_MIB;
	if (bound != 0 && most(need, floor) > bound)
		return error_say(err, EINVAL,
				 "a VM of %" PRIu64 " MiB is needed; hypervisor.default_maxmemory "
				 "allows %u",
				 most(need, floor), bound);
	if (bound == 0)
		need = least(need, least(host->memory_mib, QEMU_MEMORY_MAX_MIB));
	*ret = (uint32_t)most(need, floor);
	return 0;
}

static int need_vcpus(const struct vm_demand *demand, const struct config *config,
		      const struct vm_host *host, uint32_t *ret, struct error *err)
{
	uint32_t floor = config->hypervisor.default_vcpus,
		 bound = config->hypervisor.default_maxvcpus;
	uint64_t single = most((demand->cpu_single + MILLI - 1) / MILLI, floor);

	if (bound != 0 && single > bound)
		return error_say(err, EINVAL,
				 "a VM of %" PRIu64 " processors is needed; "
				 "hypervisor.default_maxvcpus allows %u",
				 single, bound);
	if (bound == 0)
		bound = (uint32_t)least(most(host->cpus, floor), QEMU_VCPUS_MAX);
	*ret = (uint32_t)least(most((demand->cpu_milli + MILLI - 1) / MILLI, floor), bound);
	return 0;
}

int vm_size_need(const struct vm_demand *demand, const struct config *config,
		 const struct vm_host *host, struct vm_size *ret, struct error *err)
{
	struct vm_size size = { 0 };
	int r = need_memory(demand, config, host, &size.memory_mib, err);

	if (r == 0)
		r = need_vcpus(demand, config, host, &size.vcpus, err);
	if (r == 0)
		*ret = size;
	return r;
}

void vm_size_more(const struct vm_size *size, const struct config *config,
		  const struct vm_host *host, struct vm_size *ret)
{
	uint64_t memory = config->hypervisor.default_maxmemory;
	uint64_t vcpus = config->hypervisor.default_maxvcpus;

	if (memory == 0)
		memory = least(host->memory_mib, VM_PLUG_MAX_MIB);
	if (vcpus == 0)
		vcpus = least(least(host->cpus, QEMU_VCPUS_MAX), size->vcpus + VM_PLUG_VCPUS);
	memory = memory > size->memory_mib ? memory - size->memory_mib : 0;
	*ret = (struct vm_size){
		.memory_mib = (uint32_t)(memory / QEMU_PLUG_STEP_MIB * QEMU_PLUG_STEP_MIB),
		.vcpus = vcpus > size->vcpus ? (uint32_t)vcpus - size->vcpus : 0,
	};
}
