/*
 * linux.seccomp of config.json: see spec.h. Names of actions, architectures and comparisons become
 * libseccomp's numbers; names of system calls stay names, since some may be unknown here.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-parse.h"

enum { RULES_MAX = 4096, CONDITIONS_MAX = 32, ARCHITECTURES_MAX = 32, ERRNO_MAX = 65535 };

struct word {
	const char *name;
	uint32_t value;
};

static const struct word actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY }, /* last: it is known and refused */
};

static const struct word comparisons[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const struct word architectures[] = {
	{ "SCMP_ARCH_NATIVE", SCMP_ARCH_NATIVE },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
};

/* TSYNC says nothing for a process with one thread; it is taken and left out. */
static const struct word flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
};

const char *spec_seccomp_word(enum spec_seccomp_words kind, size_t i)
{
	static const struct {
		const struct word *words;
		size_t count;
	} kinds[] = {
		[SECCOMP_ACTIONS] = { actions, ARRAY_SIZE(actions) - 1 },
		[SECCOMP_OPERATORS] = { comparisons, ARRAY_SIZE(comparisons) },
		[SECCOMP_ARCHS] = { architectures, ARRAY_SIZE(architectures) },
		[SECCOMP_FLAGS] = { flags, ARRAY_SIZE(flags) },
	};

	return i < kinds[kind].count ? kinds[kind].words[i].name : NULL;
}

/* The member key as one of words; what names them in the error. */
static int read_word(const struct json_at *at, const char *key, const struct word *words,
		     size_t count, const char *what, uint32_t *ret, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = key };
	CLEANUP(freep) char *text = NULL;
	int r = json_get_string(at, key, 64, &text, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count && text != NULL; i++) {
		if (str_eq(words[i].name, text)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return json_error(&member, err, "expected %s", what);
}

/* The action and what it carries: an errno, which is EPERM when none is given. */
static int read_action(const struct json_at *at, const char *key, const char *errno_key,
		       uint32_t *ret, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = key };
	uint32_t action, number = EPERM;
	bool has_number;
	int r = read_word(at, key, actions, ARRAY_SIZE(actions), "the name of an action", &action,
			  err);

	if (r == 0)
		r = json_get_u32(at, errno_key, ERRNO_MAX, &number, err);
	if (r < 0)
		return r;
	/* It cannot be left out: who asks for a supervisor would wait for ever. */
	if (action == SCMP_ACT_NOTIFY)
		return json_error(&member, err, "seccomp notification is not supported");
	has_number = action == SCMP_ACT_ERRNO(0) || action == SCMP_ACT_TRACE(0);
	member.key = errno_key;
	if (r > 0 && !has_number) /* runc takes it, the specification does not */
		return json_error(&member, err, "its action returns no number");
	if (has_number)
		action |= number;
	*ret = action;
	return 0;
}

static int read_condition(const struct json_at *at, struct spec_seccomp_condition *ret,
			  struct error *err)
{
	uint32_t op = 0;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_u32(at, "index", 5, &ret->index, err)) < 0 ||
	    (r = json_get_u64(at, "value", UINT64_MAX, &ret->value, err)) < 0 ||
	    (r = json_get_u64(at, "valueTwo", UINT64_MAX, &ret->value_two, err)) < 0)
		return r;
	r = read_word(at, "op", comparisons, ARRAY_SIZE(comparisons), "the name of a comparison",
		      &op, err);
	ret->op = (int)op;
	return r;
}

static int read_rule(const struct json_at *at, struct spec_seccomp_rule *ret, struct error *err)
{
	struct json_at list, names = { .file = at->file, .up = at, .key = "names" };
	void *items;
	int r = json_need_object(at, err);

	if (r < 0 || (r = read_action(at, "action", "errnoRet", &ret->action, err)) < 0 ||
	    (r = json_get_strings(at, "names", SPEC_STRINGS_MAX, 256, &ret->names, err)) < 0)
		return r;
	if (ret->names.count == 0)
		return json_error(&names, err, "expected a list with a system call at least");
	if (!json_member(at, "args", &list))
		return 0;
	r = spec_new_items(&list, CONDITIONS_MAX, sizeof(*ret->conditions), &items,
			   &ret->n_conditions, err);
	if (r < 0)
		return r;
	ret->conditions = items;
	for (uint32_t i = 0; r == 0 && i < ret->n_conditions; i++) {
		struct json_at item = json_item(&list, i);

		r = read_condition(&item, &ret->conditions[i], err);
	}
	return r;
}

static int read_rules(const struct json_at *at, struct spec_seccomp *ret, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "syscalls", &list))
		return 0;
	r = spec_new_items(&list, RULES_MAX, sizeof(*ret->rules), &items, &ret->n_rules, err);
	if (r < 0)
		return r;
	ret->rules = items;
	for (uint32_t i = 0; r == 0 && i < ret->n_rules; i++) {
		struct json_at item = json_item(&list, i);

		r = read_rule(&item, &ret->rules[i], err);
	}
	return r;
}

/* One of words for each string of a list. */
static int read_words(const struct json_at *list, const struct word *words, size_t count,
		      const char *what, uint32_t *ret_values, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_count(list); i++) {
		struct json_at item = json_item(list, i);
		CLEANUP(freep) char *text = NULL;
		size_t k = 0;

		r = json_to_string(&item, 64, &text, err);
		if (r < 0)
			return r;
		while (k < count && !str_eq(words[k].name, text))
			k++;
		if (k == count)
			return json_error(&item, err, "expected %s", what);
		ret_values[i] = words[k].value;
	}
	return r;
}

static int read_architectures(const struct json_at *at, struct spec_seccomp *ret, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "architectures", &list))
		return 0;
	r = spec_new_items(&list, ARCHITECTURES_MAX, sizeof(uint32_t), &items,
			   &ret->n_architectures, err);
	if (r < 0)
		return r;
	ret->architectures = items;
	return read_words(&list, architectures, ARRAY_SIZE(architectures),
			  "the name of an architecture", ret->architectures, err);
}

/* Without the member runc sets SPEC_ALLOW; an empty list means none. */
static int read_flags(const struct json_at *at, struct spec_seccomp *ret, struct error *err)
{
	uint32_t values[16] = { 0 };
	struct json_at list;
	int r;

	ret->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	if (!json_member(at, "flags", &list))
		return 0;
	r = json_need_list(&list, ARRAY_SIZE(values), err);
	if (r == 0)
		r = read_words(&list, flags, ARRAY_SIZE(flags),
			       "the name of a filter flag that can be set here", values, err);
	ret->flags = 0;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		ret->flags |= values[i];
	return r;
}

static int refuse_listener(const struct json_at *at, const char *key, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = key };
	CLEANUP(freep) char *text = NULL;
	int r = json_get_string(at, key, SPEC_STRING_MAX, &text, err);

	if (r > 0 && text[0] != '\0')
		return json_error(&member, err, "seccomp notification is not supported");
	return r < 0 ? r : 0;
}

int spec_read_seccomp(const struct json_at *at, struct spec_seccomp *ret, struct error *err)
{
	int r = json_need_object(at, err);

	if (r < 0 || !spec_says(at))
		return r;
	if ((r = refuse_listener(at, "listenerPath", err)) < 0 ||
	    (r = refuse_listener(at, "listenerMetadata", err)) < 0)
		return r;
	if ((r = read_rules(at, ret, err)) < 0 || (r = read_architectures(at, ret, err)) < 0 ||
	    (r = read_flags(at, ret, err)) < 0)
		return r;
	ret->wanted = true;
	return read_action(at, "defaultAction", "defaultErrnoRet", &ret->default_action, err);
}

void spec_seccomp_fini(struct spec_seccomp *seccomp)
{
	for (uint32_t i = 0; i < seccomp->n_rules; i++) {
		json_strings_fini(&seccomp->rules[i].names);
		free(seccomp->rules[i].conditions);
	}
	free(seccomp->rules);
	free(seccomp->architectures);
	*seccomp = (struct spec_seccomp){ 0 };
}
