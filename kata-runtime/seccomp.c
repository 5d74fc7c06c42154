/*
 * Seccomp profiles: see seccomp.h. libseccomp compiles on the host, where the file is trusted; the
 * agent only loads the result. Called by create.
 *
 * Before libseccomp's program stands a stub as runc's: a system call that is newer than all that
 * the profile names gives ENOSYS instead of the profile's refusal, so that a libc which tries a new
 * call first falls back to the old one.
 */
#include "kata-runtime/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { ARGUMENTS = 6, ACTION_MASK = 0x7fff0000, X32_BIT = 0x40000000 };

static void context_release(scmp_filter_ctx *context)
{
	if (*context != NULL)
		seccomp_release(*context);
}

static int refused(int r, const char *what, struct error *err)
{
	return error_set(err, r == -ENOMEM ? ENOMEM : EINVAL, "linux.seccomp: %s", what);
}

static int add_architectures(scmp_filter_ctx context, const struct spec_seccomp *profile,
			     struct error *err)
{
	for (uint32_t i = 0; i < profile->n_architectures; i++) {
		int r = seccomp_arch_add(context, profile->architectures[i]);

		if (r < 0 && r != -EEXIST)
			return refused(r, "an architecture that this machine does not have", err);
	}
	return 0;
}

/*
 * Conditions on different arguments must all hold. Two on one argument cannot be said in one rule
 * of libseccomp; then each is a rule of its own, and one that holds is enough: runc's meaning.
 */
static bool has_doubles(const struct spec_seccomp_rule *rule)
{
	unsigned seen = 0;

	for (uint32_t i = 0; i < rule->n_conditions; i++) {
		if ((seen & 1U << rule->conditions[i].index) != 0)
			return true;
		seen |= 1U << rule->conditions[i].index;
	}
	return false;
}

static int add_call(scmp_filter_ctx context, const struct spec_seccomp_rule *rule, int number)
{
	struct scmp_arg_cmp compare[ARGUMENTS];
	unsigned count = 0;
	bool each = has_doubles(rule);

	for (uint32_t i = 0; i < rule->n_conditions; i++) {
		const struct spec_seccomp_condition *c = &rule->conditions[i];
		int r;

		compare[count++] = (struct scmp_arg_cmp){ .arg = c->index,
							  .op = (enum scmp_compare)c->op,
							  .datum_a = c->value,
							  .datum_b = c->value_two };
		if (!each)
			continue;
		r = seccomp_rule_add_array(context, rule->action, number, 1, compare);
		if (r < 0)
			return r;
		count = 0;
	}
	return each ? 0 : seccomp_rule_add_array(context, rule->action, number, count, compare);
}

static int add_rules(scmp_filter_ctx context, const struct spec_seccomp *profile, struct error *err)
{
	for (uint32_t i = 0; i < profile->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &profile->rules[i];

		if (rule->action == profile->default_action)
			continue; /* says nothing, and libseccomp refuses it */
		for (uint32_t k = 0; k < rule->names.count; k++) {
			int number = seccomp_syscall_resolve_name(rule->names.items[k]);
			int r;

			if (number == __NR_SCMP_ERROR)
				continue;
			r = add_call(context, rule, number);
			if (r < 0)
				return refused(r, rule->names.items[k], err);
		}
	}
	return 0;
}

/* --- the stub ------------------------------------------------------------------------------- */

static int emit(struct buf *program, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k,
		struct error *err)
{
	const struct sock_filter instruction = { code, jt, jf, k };

	if (buf_append(program, &instruction, sizeof(instruction)) < 0)
		return error_set(err, ENOMEM, "linux.seccomp");
	return 0;
}

static int emit_all(struct buf *program, const struct buf *more, struct error *err)
{
	if (buf_len(more) > 0 && buf_append(program, buf_at(more), buf_len(more)) < 0)
		return error_set(err, ENOMEM, "linux.seccomp");
	return 0;
}

/* The greatest number that the profile names, whatever it says about it; -1: none. */
static int last_call(const struct spec_seccomp *profile, uint32_t architecture)
{
	int last = -1;

	for (uint32_t i = 0; i < profile->n_rules; i++) {
		const struct wire_strings *names = &profile->rules[i].names;

		for (uint32_t k = 0; k < names->count; k++) {
			int number =
				seccomp_syscall_resolve_name_arch(architecture, names->items[k]);

			if (number > last)
				last = number;
		}
	}
	return last;
}

static bool has_architecture(const struct spec_seccomp *profile, uint32_t architecture)
{
	for (uint32_t i = 0; i < profile->n_architectures; i++)
		if (profile->architectures[i] == architecture)
			return true;
	return architecture == seccomp_arch_native();
}

/* Numbers from least to the end: those over the last call give ENOSYS. */
static int emit_range(struct buf *program, uint32_t least, int last, struct error *err)
{
	int r;

	if (last < 0)
		return 0;
	r = emit(program, BPF_JMP | BPF_JGT | BPF_K, 0, 1, least | (uint32_t)last, err);
	return r < 0 ? r : emit(program, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS, err);
}

/* One architecture of the kernel's: its calls, and behind the x32 bit those of x32. */
static int emit_architecture(struct buf *stub, uint32_t audit, int last, int last_x32,
			     struct error *err)
{
	CLEANUP(buf_fini) struct buf low = { 0 };
	CLEANUP(buf_fini) struct buf high = { 0 };
	size_t n_low, n_high, body;
	int r = emit_range(&low, 0, last, err);

	if (r == 0)
		r = emit_range(&high, X32_BIT, last_x32, err);
	n_low = buf_len(&low) / sizeof(struct sock_filter);
	n_high = buf_len(&high) / sizeof(struct sock_filter);
	if (r < 0 || n_low + n_high == 0)
		return r;
	/* number, is x32?, x32's, past the others', the others' */
	body = 3 + n_low + n_high;
	r = emit(stub, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)body, audit, err);
	if (r == 0)
		r = emit(stub, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr),
			 err);
	if (r == 0)
		r = emit(stub, BPF_JMP | BPF_JGE | BPF_K, 0, (uint8_t)(n_high + 1), X32_BIT, err);
	if (r == 0)
		r = emit_all(stub, &high, err);
	if (r == 0)
		r = emit(stub, BPF_JMP | BPF_JA, 0, 0, (uint32_t)n_low, err);
	if (r == 0)
		r = emit_all(stub, &low, err);
	return r;
}

/* A profile that lets unknown calls pass needs none; one that says ENOSYS has it. */
static bool needs_stub(const struct spec_seccomp *profile)
{
	switch (profile->default_action & (SCMP_ACT_KILL_PROCESS | ACTION_MASK)) {
	case SCMP_ACT_ALLOW:
	case SCMP_ACT_LOG:
	case SCMP_ACT_TRACE(0):
		return false;
	default:
		return profile->default_action != SCMP_ACT_ERRNO(ENOSYS);
	}
}

/* Each part but the last leaves the number in the accumulator, so each loads the architecture. */
static int emit_stub(struct buf *program, const struct spec_seccomp *profile, struct error *err)
{
	static const struct {
		uint32_t scmp, audit, x32;
	} known[] = {
		{ SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, SCMP_ARCH_X32 },
		{ SCMP_ARCH_X86, AUDIT_ARCH_I386, 0 },
		{ SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0 },
		{ SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0 },
	};
	int r = 0;

	if (!needs_stub(profile))
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(known); i++) {
		bool x32 = known[i].x32 != 0 && has_architecture(profile, known[i].x32);

		if (!has_architecture(profile, known[i].scmp))
			continue;
		r = emit(program, BPF_LD | BPF_W | BPF_ABS, 0, 0,
			 offsetof(struct seccomp_data, arch), err);
		if (r == 0)
			r = emit_architecture(program, known[i].audit,
					      last_call(profile, known[i].scmp),
					      x32 ? last_call(profile, known[i].x32) : -1, err);
	}
	return r;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* libseccomp writes to a descriptor only (2.6 could do without). */
static int export(scmp_filter_ctx context, struct buf *program, struct error *err)
{
	CLEANUP(fd_close) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return error_set(err, errno, "memory for a seccomp program");
	r = seccomp_export_bpf(context, fd);
	if (r < 0)
		return refused(r, "the profile cannot be compiled", err);
	for (off_t at = 0;;) {
		uint8_t *to = buf_reserve(program, SECCOMP_PROGRAM_MAX);
		ssize_t n;

		if (to == NULL)
			return error_set(err, ENOMEM, "linux.seccomp");
		n = pread(fd, to, SECCOMP_PROGRAM_MAX, at);
		if (n < 0)
			return error_set(err, errno, "read a seccomp program");
		if (n == 0)
			return 0;
		buf_commit(program, (size_t)n);
		at += n;
	}
}

int seccomp_compile(const struct spec_seccomp *profile, struct buf *ret, struct error *err)
{
	CLEANUP(context_release) scmp_filter_ctx context = NULL;
	int r;

	if (!profile->wanted)
		return 0;
	context = seccomp_init(profile->default_action);
	if (context == NULL)
		return refused(-EINVAL, "the default action", err);
	r = add_architectures(context, profile, err);
	if (r == 0)
		r = add_rules(context, profile, err);
	if (r == 0)
		r = emit_stub(ret, profile, err);
	if (r == 0)
		r = export(context, ret, err);
	if (r < 0)
		return r;
	if (buf_len(ret) > SECCOMP_PROGRAM_MAX)
		return error_say(err, E2BIG,
				 "linux.seccomp: the profile makes %zu instructions; the kernel "
				 "takes %d",
				 buf_len(ret) / sizeof(struct sock_filter), BPF_MAXINSNS);
	return 0;
}
