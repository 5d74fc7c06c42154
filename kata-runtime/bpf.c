/*
 * Counts what system call filters allow: see bpf.h. A program is run with the call's number and
 * architecture known and everything else unknown: at a comparison with something unknown both ways
 * are followed. Pure; called by `privs` and by tests.
 */
#include "kata-runtime/bpf.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE AUDIT_ARCH_X86_64
#endif

struct run {
	const struct bpf_program *program;
	uint32_t call;
	bool seen[BPF_MAXINSNS]; /* followed already, with the accumulator unknown */
};

struct value {
	uint32_t number;
	bool known;
};

static bool is_allowed(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		return true;
	default:
		return false;
	}
}

static struct value load(const struct run *run, const struct sock_filter *i)
{
	if (BPF_MODE(i->code) == BPF_IMM)
		return (struct value){ i->k, true };
	if (BPF_MODE(i->code) != BPF_ABS)
		return (struct value){ 0, false };
	if (i->k == offsetof(struct seccomp_data, nr))
		return (struct value){ run->call, true };
	if (i->k == offsetof(struct seccomp_data, arch))
		return (struct value){ ARCHITECTURE, true };
	return (struct value){ 0, false };
}

static struct value calculate(struct value a, const struct sock_filter *i)
{
	if (BPF_SRC(i->code) != BPF_K)
		return (struct value){ 0, false };
	switch (BPF_OP(i->code)) {
	case BPF_AND:
		a.number &= i->k;
		return a;
	case BPF_OR:
		a.number |= i->k;
		return a;
	default:
		return (struct value){ 0, false };
	}
}

static bool compare(struct value a, const struct sock_filter *i)
{
	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return a.number == i->k;
	case BPF_JGT:
		return a.number > i->k;
	case BPF_JGE:
		return a.number >= i->k;
	default:
		return (a.number & i->k) != 0;
	}
}

/* Whether some way from instruction at on ends in an action that lets the call through. */
static bool follow(struct run *run, size_t at, struct value a)
{
	while (at < run->program->len) {
		const struct sock_filter *i = &run->program->code[at++];

		switch (BPF_CLASS(i->code)) {
		case BPF_RET:
			return BPF_RVAL(i->code) != BPF_K || is_allowed(i->k);
		case BPF_LD:
			a = load(run, i);
			break;
		case BPF_ALU:
			a = calculate(a, i);
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA) {
				at += i->k;
			} else if (a.known && BPF_SRC(i->code) == BPF_K) {
				at += compare(a, i) ? i->jt : i->jf;
			} else {
				/* Jumps lead forward only, so this ends. */
				if (run->seen[at - 1])
					return false;
				run->seen[at - 1] = true;
				if (follow(run, at + i->jt, a))
					return true;
				at += i->jf;
			}
			break;
		default:
			break; /* index register and scratch memory: nothing above looks at them */
		}
	}
	return true; /* no end: not understood */
}

bool bpf_allows(const struct bpf_program *programs, size_t count, unsigned call)
{
	for (size_t i = 0; i < count; i++) {
		struct run run = { .program = &programs[i], .call = call };

		if (programs[i].len <= BPF_MAXINSNS && !follow(&run, 0, (struct value){ 0, false }))
			return false;
	}
	return true;
}

unsigned bpf_count_allowed(const struct bpf_program *programs, size_t count)
{
	unsigned allowed = 0;

	for (unsigned call = 0; call < BPF_CALLS; call++)
		allowed += bpf_allows(programs, count, call);
	return allowed;
}
