/*
 * Counting what filters allow, tried on the rows of seccomp.def: the counts are the promise that
 * docs/security.md makes.
 */
#include <criterion/criterion.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/filter.h"
#include "kata-runtime/bpf.h"

static struct bpf_program program_of(enum filter filter)
{
	CLEANUP(fd_close) int fd = memfd_create("bpf", MFD_CLOEXEC);
	struct bpf_program program;
	struct error err = { 0 };
	off_t size;

	cr_assert_eq(filter_export(filter, fd, &err), 0, "%s", err.text);
	size = lseek(fd, 0, SEEK_END);
	program.len = (size_t)size / sizeof(*program.code);
	program.code = malloc((size_t)size);
	cr_assert(program.code != NULL && pread(fd, program.code, (size_t)size, 0) == size);
	return program;
}

static const struct {
	enum filter filter;
	unsigned most;
} limits[] = {
	{ FILTER_DECODER, 25 }, { FILTER_WORKER, 40 },  { FILTER_SHIM, 45 },
	{ FILTER_QEMU, 71 },    { FILTER_MONITOR, 72 },
};

Test(bpf, counts_the_rows)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct bpf_program program = program_of(limits[i].filter);
		unsigned count = bpf_count_allowed(&program, 1);

		cr_expect_leq(count, limits[i].most, "%s: %u", filter_name(limits[i].filter),
			      count);
		cr_expect_geq(count, 15, "%s: %u", filter_name(limits[i].filter), count);
		cr_log_info("%s: %u", filter_name(limits[i].filter), count);
		cr_expect(!bpf_allows(&program, 1, SYS_ptrace));
		cr_expect(!bpf_allows(&program, 1, SYS_io_uring_setup));
		cr_expect(!bpf_allows(&program, 1, SYS_mount));
		cr_expect(bpf_allows(&program, 1, SYS_exit_group));
		cr_expect_eq(bpf_allows(&program, 1, SYS_openat), limits[i].filter == FILTER_QEMU);
		free(program.code);
	}
}

/*
 * What accel/kvm and target/i386/kvm of QEMU call beside what TCG does, where no test has KVM: the
 * machine and its processors, their wake-up, memory and interrupts, AMX, machine checks.
 */
Test(bpf, qemu_may_use_kvm)
{
	static const int calls[] = {
		SYS_ioctl,          SYS_mmap,       SYS_munmap,        SYS_madvise,
		SYS_eventfd2,       SYS_tgkill,     SYS_rt_sigpending, SYS_rt_sigtimedwait,
		SYS_rt_sigprocmask, SYS_arch_prctl, SYS_prctl,         SYS_clock_nanosleep
	};
	struct bpf_program program = program_of(FILTER_QEMU);

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		cr_expect(bpf_allows(&program, 1, calls[i]), "%d", calls[i]);
	free(program.code);
}

Test(bpf, filters_add_up)
{
	struct bpf_program both[] = { program_of(FILTER_MONITOR), program_of(FILTER_WORKER) };
	unsigned worker = bpf_count_allowed(&both[1], 1);

	cr_expect_eq(bpf_count_allowed(both, 2), worker);
	cr_expect_gt(bpf_count_allowed(both, 1), worker);
	free(both[0].code);
	free(both[1].code);
}

Test(bpf, follows_both_ways_at_the_unknown)
{
	struct sock_filter by_argument[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_filter by_number[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 9, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter endless[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0) };

	cr_expect_eq(bpf_count_allowed(&(struct bpf_program){ by_argument, 4 }, 1), BPF_CALLS);
	cr_expect_eq(bpf_count_allowed(&(struct bpf_program){ by_number, 4 }, 1), 10);
	cr_expect_eq(bpf_count_allowed(&(struct bpf_program){ endless, 1 }, 1), BPF_CALLS);
	cr_expect_eq(bpf_count_allowed(NULL, 0), BPF_CALLS);
}
