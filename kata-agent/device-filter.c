/*
 * Device rules as eBPF: see device-filter.h. The agent calls it once for each container, before
 * its first process exists.
 *
 * The kernel runs the program for each mknod and open with a struct bpf_cgroup_dev_ctx. It walks
 * the rules from the last to the first and keeps in a register which rights nobody has decided on
 * yet: a rule that allows takes its own out, and with none left the answer is yes; one that forbids
 * any of them answers no.
 */
#include "kata-agent/device-filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/ebpf.h"
#include "common/str.h"

enum { RIGHT_MKNOD = 1, RIGHT_READ = 2, RIGHT_WRITE = 4, RIGHTS_ALL = 7 };
enum { REG_RESULT = BPF_REG_0, REG_CTX = BPF_REG_1, REG_KIND = BPF_REG_2, REG_LEFT = BPF_REG_3 };
enum { REG_MAJOR = BPF_REG_4, REG_MINOR = BPF_REG_5, REG_DIFFERENCE = BPF_REG_6, REG_BITS };
enum { KIND_BITS = 16 }; /* access_type: kind below, rights above */

/* Most instructions of a rule, and of what stands before and behind all of them. */
enum { RULE_MAX = 16, FRAME_MAX = 8 };

/* runc's: nodes may be made, and these used: the default devices, and terminals. */
static const struct {
	const char *kind;
	uint32_t major, minor, access;
} defaults[] = {
	{ "a", DEVICE_ANY, DEVICE_ANY, RIGHT_MKNOD },
	{ "c", 1, 3, RIGHTS_ALL },
	{ "c", 1, 5, RIGHTS_ALL },
	{ "c", 1, 7, RIGHTS_ALL },
	{ "c", 1, 8, RIGHTS_ALL },
	{ "c", 1, 9, RIGHTS_ALL },
	{ "c", 5, 0, RIGHTS_ALL },
	{ "c", 5, 2, RIGHTS_ALL },
	{ "c", 136, DEVICE_ANY, RIGHTS_ALL },
};

struct program {
	struct bpf_insn *code;
	size_t count;
};

static void emit(struct program *p, unsigned code, unsigned dst, unsigned src, int16_t off,
		 int32_t imm)
{
	p->code[p->count++] = (struct bpf_insn){
		.code = (uint8_t)code,
		.dst_reg = dst & 0xfU,
		.src_reg = src & 0xfU,
		.off = off,
		.imm = imm,
	};
}

/* Takes the context apart: only 32 bit loads are allowed there. */
static void begin(struct program *p)
{
	const uint8_t load = BPF_LDX | BPF_MEM | BPF_W;

	emit(p, load, REG_KIND, REG_CTX, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(p, BPF_ALU | BPF_MOV | BPF_X, REG_LEFT, REG_KIND, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, REG_KIND, 0, 0, (1 << KIND_BITS) - 1);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, REG_LEFT, 0, 0, KIND_BITS);
	emit(p, load, REG_MAJOR, REG_CTX, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(p, load, REG_MINOR, REG_CTX, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static void answer(struct program *p, int32_t result)
{
	emit(p, BPF_ALU | BPF_MOV | BPF_K, REG_RESULT, 0, 0, result);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Adds the bits in which a register differs from a value to those found before. */
static void differ(struct program *p, unsigned reg, uint32_t value)
{
	emit(p, BPF_ALU | BPF_MOV | BPF_X, REG_BITS, reg, 0, 0);
	emit(p, BPF_ALU | BPF_XOR | BPF_K, REG_BITS, 0, 0, (int32_t)value);
	emit(p, BPF_ALU | BPF_OR | BPF_X, REG_DIFFERENCE, REG_BITS, 0, 0);
}

/*
 * One comparison for the whole rule, and not one for each number: what the kernel's verifier learns
 * of a number in one rule it would follow through all later ones, and give up. Jumps to what comes
 * behind the rule are filled in when its length is known.
 */
static int add_rule(struct program *p, const struct msg_device_rule *rule, struct error *err)
{
	const uint8_t unequal = BPF_JMP32 | BPF_JNE | BPF_K;
	size_t start = p->count;
	int32_t access = (int32_t)(rule->access & RIGHTS_ALL);

	if (rule->kind[0] == '\0' || strchr("abc", rule->kind[0]) == NULL)
		return error_say(err, EINVAL, "device rule: kind %s is none of a, b, c",
				 rule->kind);
	emit(p, BPF_ALU | BPF_MOV | BPF_K, REG_DIFFERENCE, 0, 0, 0);
	if (rule->kind[0] != 'a')
		differ(p, REG_KIND,
		       rule->kind[0] == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (rule->major != DEVICE_ANY)
		differ(p, REG_MAJOR, rule->major);
	if (rule->minor != DEVICE_ANY)
		differ(p, REG_MINOR, rule->minor);
	emit(p, unequal, REG_DIFFERENCE, 0, 0, 0);
	if (rule->allow) {
		emit(p, BPF_ALU | BPF_AND | BPF_K, REG_LEFT, 0, 0, ~access);
		emit(p, unequal, REG_LEFT, 0, 0, 0);
		answer(p, 1);
	} else {
		emit(p, BPF_JMP32 | BPF_JSET | BPF_K, REG_LEFT, 0, 1, access);
		emit(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		answer(p, 0);
	}
	for (size_t i = start; i < p->count; i++) {
		struct bpf_insn *at = &p->code[i];

		if (at->code == unequal || at->code == (BPF_JMP | BPF_JA))
			at->off = (int16_t)(p->count - i - 1);
	}
	return 0;
}

int device_filter_make(const struct msg_device_rule *rules, uint32_t count, struct bpf_insn **ret,
		       size_t *ret_count, struct error *err)
{
	size_t room = (ARRAY_SIZE(defaults) + count) * RULE_MAX + FRAME_MAX;
	struct program p = { .code = calloc(room, sizeof(*p.code)) };
	int r = 0;

	if (p.code == NULL)
		return error_set(err, ENOMEM, "device rules");
	begin(&p);
	for (size_t i = ARRAY_SIZE(defaults); r == 0 && i > 0; i--) {
		char kind[] = { defaults[i - 1].kind[0], '\0' };
		struct msg_device_rule rule = { .allow = true,
						.kind = kind,
						.major = defaults[i - 1].major,
						.minor = defaults[i - 1].minor,
						.access = defaults[i - 1].access };

		r = add_rule(&p, &rule, err);
	}
	for (uint32_t i = count; r == 0 && i > 0; i--)
		r = add_rule(&p, &rules[i - 1], err);
	if (r < 0) {
		free(p.code);
		return r;
	}
	answer(&p, 0);
	*ret = p.code;
	*ret_count = p.count;
	return 0;
}

int device_filter_attach(int cgroup, const struct msg_device_rule *rules, uint32_t count,
			 struct error *err)
{
	CLEANUP(freep) struct bpf_insn *code = NULL;
	size_t n;
	int r = device_filter_make(rules, count, &code, &n, err);

	return r < 0 ? r
		     : ebpf_attach(cgroup, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, code, n,
				   "the device rules", err);
}
