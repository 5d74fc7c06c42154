/* kata-agent/device-filter.c: its programs, run by a small interpreter, and taken by the kernel. */
#include "kata-agent/device-filter.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "common/cleanup.h"
#include "common/ebpf.h"

enum { MKNOD = 1, READ = 2, WRITE = 4 };

#define ANY DEVICE_ANY
#define KIND(k) ((char *)(k))
#define ALLOW(k, major, minor, access) \
	{ \
		true, KIND(k), major, minor, access \
	}
#define DENY(k, major, minor, access) \
	{ \
		false, KIND(k), major, minor, access \
	}

/* The instructions that the module uses; anything else ends the test. */
static uint64_t run(const struct bpf_insn *code, size_t count, struct bpf_cgroup_dev_ctx ctx)
{
	uint64_t reg[11] = { [1] = (uintptr_t)&ctx };

	for (size_t pc = 0; pc < count; pc++) {
		const struct bpf_insn *i = &code[pc];
		uint32_t dst = (uint32_t)reg[i->dst_reg], imm = (uint32_t)i->imm;
		bool jump = false;

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			cr_assert(reg[i->src_reg] == (uintptr_t)&ctx);
			memcpy(&dst, (const char *)&ctx + i->off, 4);
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			dst = (uint32_t)reg[i->src_reg];
			break;
		case BPF_ALU | BPF_MOV | BPF_K:
			dst = imm;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			dst &= imm;
			break;
		case BPF_ALU | BPF_XOR | BPF_K:
			dst ^= imm;
			break;
		case BPF_ALU | BPF_OR | BPF_X:
			dst |= (uint32_t)reg[i->src_reg];
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			dst >>= imm;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			jump = dst != imm;
			break;
		case BPF_JMP32 | BPF_JSET | BPF_K:
			jump = (dst & imm) != 0;
			break;
		case BPF_JMP | BPF_JA:
			jump = true;
			break;
		case BPF_JMP | BPF_EXIT:
			return reg[0];
		default:
			cr_assert(false, "instruction 0x%x at %zu", i->code, pc);
		}
		if (jump) {
			cr_assert(i->off >= 0);
			pc += (size_t)i->off;
		} else if (BPF_CLASS(i->code) != BPF_JMP && BPF_CLASS(i->code) != BPF_JMP32) {
			reg[i->dst_reg] = dst;
		}
	}
	cr_assert(false, "the program has no end");
	return 0;
}

static bool may(const struct msg_device_rule *rules, uint32_t n, char kind, uint32_t major,
		uint32_t minor, uint32_t access)
{
	CLEANUP(freep) struct bpf_insn *code = NULL;
	struct error err = { 0 };
	size_t count;
	uint32_t type = kind == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;

	cr_assert(device_filter_make(rules, n, &code, &count, &err) == 0, "%s", err.text);
	return run(code, count,
		   (struct bpf_cgroup_dev_ctx){ .access_type = access << 16 | type,
						.major = major,
						.minor = minor }) == 1;
}

Test(device_filter, default_devices)
{
	static const struct {
		char kind;
		uint32_t major, minor, access;
		bool wanted;
	} cases[] = {
		{ 'c', 1, 3, READ | WRITE, true },
		{ 'c', 1, 9, READ, true },
		{ 'c', 5, 0, READ | WRITE, true },
		{ 'c', 5, 2, READ | WRITE, true },
		{ 'c', 136, 7, READ, true },
		{ 'c', 1, 11, READ, false }, /* kmsg */
		{ 'c', 1, 1, WRITE, false },
		{ 'b', 1, 3, READ, false },
		{ 'b', 8, 0, READ, false },
		{ 'b', 8, 0, MKNOD, true },
		{ 'c', 10, 229, READ, false },
		{ 'c', 10, 229, MKNOD, true },
		{ 'c', 10, 229, MKNOD | READ, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect(may(NULL, 0, cases[i].kind, cases[i].major, cases[i].minor,
			      cases[i].access) == cases[i].wanted,
			  "case %zu", i);
}

static struct msg_device_rule rule_lists[][4] = {
	{ DENY("a", ANY, ANY, 7), ALLOW("c", 10, 229, 7), DENY("c", 10, 230, 7) },
	{ ALLOW("a", ANY, ANY, 7) }, /* --privileged */
	{ ALLOW("c", 10, ANY, READ), ALLOW("c", ANY, 229, WRITE), DENY("b", ANY, ANY, 7) },
	{ ALLOW("b", 8, ANY, 7), DENY("b", 8, 1, WRITE) },
	{ DENY("b", 8, 1, WRITE), ALLOW("b", 8, ANY, 7) },
	{ DENY("c", 1, 3, 7) }, /* a default device comes after it */
};

static const struct {
	unsigned list;
	char kind;
	uint32_t major, minor, access;
	bool wanted;
} ruled[] = {
	{ 0, 'c', 10, 229, READ | WRITE | MKNOD, true },
	{ 0, 'c', 10, 230, READ, false },
	{ 0, 'b', 10, 229, READ, false },
	{ 1, 'b', 8, 0, READ | WRITE, true },
	{ 1, 'c', 1, 11, READ, true },
	{ 2, 'c', 10, 229, READ | WRITE, true }, /* each right from another rule */
	{ 2, 'c', 10, 1, READ, true },
	{ 2, 'c', 10, 1, READ | WRITE, false },
	{ 2, 'c', 11, 229, WRITE, true },
	{ 2, 'c', 11, 229, READ, false },
	{ 2, 'b', 10, 229, READ, false },
	{ 3, 'b', 8, 0, READ | WRITE, true },
	{ 3, 'b', 8, 1, READ, true },
	{ 3, 'b', 8, 1, WRITE, false },
	{ 3, 'b', 8, 1, READ | WRITE, false },
	{ 4, 'b', 8, 1, READ | WRITE, true },
	{ 5, 'c', 1, 3, READ | WRITE, true },
};

Test(device_filter, the_last_rule_decides_for_each_right)
{
	for (size_t i = 0; i < ARRAY_SIZE(ruled); i++) {
		const struct msg_device_rule *list = rule_lists[ruled[i].list];
		uint32_t n = 0;

		while (n < 4 && list[n].kind != NULL)
			n++;
		cr_expect(may(list, n, ruled[i].kind, ruled[i].major, ruled[i].minor,
			      ruled[i].access) == ruled[i].wanted,
			  "case %zu", i);
	}
}

Test(device_filter, kinds_that_are_none)
{
	static const char *const kinds[] = { "", "p", "x" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct msg_device_rule rule = { .kind = KIND(kinds[i]) };
		struct bpf_insn *code;
		struct error err;
		size_t count;

		cr_expect(device_filter_make(&rule, 1, &code, &count, &err) == -EINVAL);
	}
}

static int load(const struct bpf_insn *code, size_t count, struct error *err)
{
	int fd = ebpf_load(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, code, count, "it", err);

	if (fd == -EPERM || fd == -ENOSYS)
		cr_skip_test("this kernel or user may not load BPF");
	return fd;
}

/* The verifier must not tire of as many rules as a message can hold. */
Test(device_filter, the_kernel_takes_it)
{
	enum { MANY = 1024 };
	static struct msg_device_rule rules[MANY];
	CLEANUP(freep) struct bpf_insn *code = NULL;
	CLEANUP(fd_close) int fd = -1;
	struct error err = { 0 };
	size_t count;

	for (uint32_t i = 0; i < MANY; i++)
		rules[i] = (struct msg_device_rule){ .allow = i % 3 != 0,
						     .kind = KIND(i % 2 ? "c" : "b"),
						     .major = i % 7 ? i : ANY,
						     .minor = i % 5 ? i : ANY,
						     .access = i % 8 };
	cr_assert(device_filter_make(rules, MANY, &code, &count, &err) == 0, "%s", err.text);
	fd = load(code, count, &err);
	cr_expect(fd >= 0, "%s", err.text);
}

static void ignore(int number)
{
	(void)number;
}

/* A busy agent is told of its children's ends while the verifier works: that stops the verifier. */
Test(device_filter, is_loaded_while_signals_come_in)
{
	const struct itimerval often = { .it_interval.tv_usec = 200, .it_value.tv_usec = 200 };
	const struct itimerval never = { 0 };
	CLEANUP(freep) struct bpf_insn *code = NULL;
	struct error err = { 0 };
	size_t count;

	cr_assert(device_filter_make(NULL, 0, &code, &count, &err) == 0, "%s", err.text);
	signal(SIGALRM, ignore);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 2000; i++) {
		CLEANUP(fd_close) int fd = load(code, count, &err);

		cr_assert(fd >= 0, "load %d: %s", i, err.text);
	}
	setitimer(ITIMER_REAL, &never, NULL);
}
