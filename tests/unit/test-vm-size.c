/* kata-runtime/vm-size.c: what containers ask for, and how large the VM gets for it. */
#include "kata-runtime/vm-size.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/cleanup.h"
#include "kata-runtime/qemu-args.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct config defaults(void)
{
	struct config config = { 0 };

	config.hypervisor.default_vcpus = 1;
	config.hypervisor.default_memory = 256;
	return config;
}

Test(vm_size, memory_of_one_container)
{
	static const struct {
		uint64_t limit_mib;
		uint32_t least, wanted;
		uint64_t host;
	} cases[] = {
		{ 0, 256, 256, 8192 },
		{ 64, 256, 256, 8192 },
		{ 512, 256, 513 + 128 + 23, 8192 },
		{ 2048, 256, 2049 + 128 + 93, 8192 },
		{ 6000, 256, 4096, 4096 },
		{ 1 << 30, 256, 2048, 2048 },
		{ 6000, 8000, 8000, 4096 },
		{ 0, 8000, 8000, 4096 },
		{ UINT64_MAX >> 20, 256, QEMU_MEMORY_MAX_MIB, UINT64_MAX },
	};
	struct config config = defaults();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_host host = { .memory_mib = cases[i].host, .cpus = 4 };
		struct vm_demand demand = { 0 };
		struct vm_size size;
		struct error err;

		config.hypervisor.default_memory = cases[i].least;
		vm_demand_add(&demand, MIB(cases[i].limit_mib), 0);
		cr_expect(vm_size_need(&demand, &config, &host, &size, &err) == 0);
		cr_expect(size.memory_mib == cases[i].wanted, "case %zu: %u", i, size.memory_mib);
		cr_expect(size.vcpus == 1);
	}
}

/* Those without a limit have what a VM without any has; the others add theirs. */
Test(vm_size, memory_of_several)
{
	struct vm_host host = { .memory_mib = 8192, .cpus = 4 };
	struct config config = defaults();
	struct vm_demand demand = { 0 };
	struct vm_size size;
	struct error err;

	vm_demand_add(&demand, 0, 0);
	vm_demand_add(&demand, MIB(48), 0);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == 0);
	cr_expect_eq(size.memory_mib, 256 + 49 + 2);
	vm_demand_add(&demand, 0, 0);
	vm_demand_add(&demand, MIB(512), 0);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == 0);
	cr_expect_eq(size.memory_mib, 256 + 561 + 25);
	demand = (struct vm_demand){ 0 };
	vm_demand_add(&demand, MIB(300), 0);
	vm_demand_add(&demand, MIB(300), 0);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == 0);
	cr_expect_eq(size.memory_mib, 128 + 601 + 27);
}

Test(vm_size, processors)
{
	static const struct {
		uint64_t first, second; /* thousandths */
		uint32_t least, host, wanted;
	} cases[] = {
		{ 0, 0, 1, 8, 1 },
		{ 500, 0, 1, 8, 1 },
		{ 1000, 0, 1, 8, 1 },
		{ 1001, 0, 1, 8, 2 },
		{ 4000, 0, 1, 8, 4 },
		{ 400, 400, 1, 8, 1 },
		{ 600, 600, 1, 8, 2 },
		{ 4000, 0, 1, 2, 2 },
		{ 0, 0, 3, 2, 3 },
		{ 5000, 9000, 3, 2, 3 },
		{ UINT64_MAX, UINT64_MAX, 1, 1000, QEMU_VCPUS_MAX },
	};
	struct config config = defaults();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_host host = { .memory_mib = 8192, .cpus = cases[i].host };
		struct vm_demand demand = { 0 };
		struct vm_size size;
		struct error err;

		config.hypervisor.default_vcpus = cases[i].least;
		vm_demand_add(&demand, 0, cases[i].first);
		vm_demand_add(&demand, 0, cases[i].second);
		cr_expect(vm_size_need(&demand, &config, &host, &size, &err) == 0);
		cr_expect(size.vcpus == cases[i].wanted, "case %zu: %u", i, size.vcpus);
	}
}

/* What the operator has set is not exceeded, nor cut in silence. */
Test(vm_size, configured_bounds)
{
	struct vm_host host = { .memory_mib = 512, .cpus = 1 };
	struct config config = defaults();
	struct vm_demand demand = { 0 };
	struct vm_size size, more;
	struct error err;

	config.hypervisor.default_maxmemory = 1024;
	config.hypervisor.default_maxvcpus = 3;
	vm_demand_add(&demand, MIB(700), 2500);
	vm_demand_add(&demand, MIB(100), 2500);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == 0, "%s", err.text);
	cr_expect(size.memory_mib == 801 + 36 + 128 && size.vcpus == 3);
	vm_size_more(&size, &config, &host, &more);
	cr_expect(more.memory_mib == 0 && more.vcpus == 0);
	vm_demand_add(&demand, MIB(100), 0);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "a VM of 1069 MiB is needed; hypervisor.default_maxmemory "
				   "allows 1024");
	demand = (struct vm_demand){ 0 };
	vm_demand_add(&demand, 0, 3001);
	cr_assert(vm_size_need(&demand, &config, &host, &size, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "a VM of 4 processors is needed; hypervisor.default_maxvcpus "
				   "allows 3");
	/* Also where the configuration contradicts itself. */
	config.hypervisor.default_memory = 2048;
	demand = (struct vm_demand){ 0 };
	cr_expect(vm_size_need(&demand, &config, &host, &size, &err) == -EINVAL);
}

Test(vm_size, more_while_it_runs)
{
	static const struct {
		struct vm_size size;
		uint32_t maxmemory, maxvcpus;
		struct vm_host host;
		struct vm_size wanted;
	} cases[] = {
		{ { 256, 1 }, 0, 0, { 8000, 2 }, { 60 * 128, 1 } },
		{ { 256, 1 }, 0, 0, { 300, 1 }, { 0, 0 } },
		{ { 9000, 4 }, 0, 0, { 8000, 2 }, { 0, 0 } },
		{ { 256, 1 }, 0, 0, { 1 << 24, 512 }, { VM_PLUG_MAX_MIB - 256, VM_PLUG_VCPUS } },
		{ { 256, 230 }, 0, 0, { 256, 512 }, { 0, 10 } },
		{ { 256, 1 }, 512, 64, { 128, 1 }, { 256, 63 } },
		{ { 256, 2 }, 383, 2, { 8000, 8 }, { 0, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config = defaults();
		struct vm_size more;

		config.hypervisor.default_maxmemory = cases[i].maxmemory;
		config.hypervisor.default_maxvcpus = cases[i].maxvcpus;
		vm_size_more(&cases[i].size, &config, &cases[i].host, &more);
		cr_expect(more.memory_mib == cases[i].wanted.memory_mib, "case %zu: %u MiB", i,
			  more.memory_mib);
		cr_expect(more.vcpus == cases[i].wanted.vcpus, "case %zu: %u", i, more.vcpus);
	}
}

Test(vm_size, limits)
{
	static const struct {
		struct spec_resources limits;
		uint64_t memory, cpu_milli;
	} cases[] = {
		{ { 0 }, 7, 8 },
		{ { .memory_limit = 4096, .cpu_quota = 150000 }, 4096, 1500 },
		{ { .memory_limit = -1, .cpu_quota = -1 }, 0, 0 },
		{ { .cpu_quota = 1000, .cpu_period = 1000000 }, 7, 1 },
		{ { .cpu_quota = 1001, .cpu_period = 1000000 }, 7, 2 },
		{ { .cpu_period = 1000 }, 7, 8 },
		{ { .cpu_quota = INT64_MAX, .cpu_period = 1 }, 7, UINT64_MAX / 1000 / 2 * 1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t memory = 7, cpu_milli = 8;

		vm_demand_limits(&cases[i].limits, &memory, &cpu_milli);
		cr_expect(memory == cases[i].memory && cpu_milli == cases[i].cpu_milli,
			  "case %zu: %lu %lu", i, memory, cpu_milli);
	}
}

Test(vm_size, host)
{
	struct vm_host host = vm_size_host();

	cr_expect(host.memory_mib > 100 && host.cpus >= 1);
}
