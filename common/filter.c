/*
 * From seccomp.def to the kernel: see filter.h. Called by every process that faces somebody, once
 * it has given up everything else; and in the child that becomes QEMU, right before its exec.
 */
#include "common/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/privsep.h"

/* Any of these in clone's flags makes a namespace. */
#define CLONE_FLAGS_NEW \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

/* What libseccomp needs for a line. */
struct match {
	int call, answer;
	unsigned count;
	struct scmp_arg_cmp conditions[2];
};

#define IS(n, v) \
	{ \
		n, SCMP_CMP_EQ, v, 0 \
	}
#define NOT(n, v) \
	{ \
		n, SCMP_CMP_NE, v, 0 \
	}
#define BITS(n, mask, v) \
	{ \
		n, SCMP_CMP_MASKED_EQ, mask, v \
	}
#define MOST(n, v) \
	{ \
		n, SCMP_CMP_LE, v, 0 \
	}

#define RULE(kind_, call_, text_, why_, ...) \
	{ .kind = (kind_), \
	  .call = #call_, \
	  .condition = (text_), \
	  .why = (why_), \
	  .match = &(const struct match){ .call = SCMP_SYS(call_), __VA_ARGS__ } },

#define FILTER(NAME, name, what) static const struct filter_rule rules_##NAME[] = {
#define ALLOW(call_, why) RULE(FILTER_RULE_ALLOW, call_, "", why)
#define WHEN(call_, a, why) RULE(FILTER_RULE_ALLOW, call_, #a, why, .count = 1, .conditions = { a })
#define WHEN2(call_, a, b, why) \
	RULE(FILTER_RULE_ALLOW, call_, #a " and " #b, why, .count = 2, .conditions = { a, b })
#define ANSWER(call_, number, why) \
	RULE(FILTER_RULE_ANSWER, call_, "answers " #number, why, .answer = number)
#define REFUSE(call_, why) RULE(FILTER_RULE_REFUSE, call_, "kills", why)
#define REFUSE_WHEN(call_, a, why) \
	RULE(FILTER_RULE_REFUSE, call_, "kills when " #a, why, .count = 1, .conditions = { a })
#define ALSO(NAME, why_) { .kind = FILTER_RULE_ALSO, .also = FILTER_##NAME, .why = (why_) },
#define END \
	{ \
		.kind = FILTER_RULE_END \
	} \
	} \
	;
#include "common/seccomp.def"
#include "common/privsep-undef.h"

static const struct {
	const char *name, *what;
	const struct filter_rule *rules;
} filters[] = {
#define FILTER(NAME, name, what) [FILTER_##NAME] = { #name, what, rules_##NAME },
#define ALLOW(call, why)
#define WHEN(call, condition, why)
#define WHEN2(call, condition, other, why)
#define ANSWER(call, number, why)
#define REFUSE(call, why)
#define REFUSE_WHEN(call, condition, why)
#define ALSO(NAME, why)
#define END
#include "common/seccomp.def"
#include "common/privsep-undef.h"
};

const char *filter_name(enum filter filter)
{
	return filters[filter].name;
}

const char *filter_what(enum filter filter)
{
	return filters[filter].what;
}

const struct filter_rule *filter_rules(enum filter filter)
{
	return filters[filter].rules;
}

static uint32_t action_of(const struct filter_rule *rule, uint32_t refusal)
{
	const struct match *match = rule->match;

	switch (rule->kind) {
	case FILTER_RULE_ANSWER:
		return SCMP_ACT_ERRNO((uint32_t)match->answer);
	case FILTER_RULE_REFUSE:
		return refusal;
	default:
		return SCMP_ACT_ALLOW;
	}
}

/* A line that a wider one makes superfluous is no error. */
static int add_rules(scmp_filter_ctx context, enum filter filter, uint32_t refusal,
		     struct error *err)
{
	int r = 0;

	for (const struct filter_rule *rule = filters[filter].rules;
	     r == 0 && rule->kind != FILTER_RULE_END; rule++) {
		const struct match *match = rule->match;

		if (rule->kind == FILTER_RULE_ALSO) {
			r = add_rules(context, rule->also, refusal, err);
			continue;
		}
		if (SANITIZED && refusal == SCMP_ACT_LOG && rule->kind == FILTER_RULE_ANSWER)
			continue; /* such a program opens its libraries */
		r = seccomp_rule_add_array(context, action_of(rule, refusal), match->call,
					   match->count, match->conditions);
		if (r < 0 && r != -EEXIST)
			return error_set(err, -r, "filter %s: %s", filters[filter].name,
					 rule->call);
		r = 0;
	}
	return r;
}

static void context_free(scmp_filter_ctx *context)
{
	if (*context != NULL)
		seccomp_release(*context);
}

/* Whether the row names what is refused: its first line does, or the row that line takes in. */
static bool names_refused(enum filter filter)
{
	const struct filter_rule *first = filters[filter].rules;

	return first->kind == FILTER_RULE_ALSO ? names_refused(first->also)
					       : first->kind == FILTER_RULE_REFUSE;
}

/* The kernel logs what kills anyway; SCMP_FLTATR_CTL_LOG would log each answered call too. */
static int make(enum filter filter, bool log, scmp_filter_ctx *ret, struct error *err)
{
	static const struct {
		enum scmp_filter_attr attribute;
		uint32_t value;
	} attributes[] = {
		{ SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS },
		{ SCMP_FLTATR_CTL_TSYNC, 1 },
		{ SCMP_FLTATR_CTL_OPTIMIZE, 2 }, /* a tree: the number is found in few steps */
	};
	uint32_t refusal = log ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;
	CLEANUP(context_free)
	scmp_filter_ctx context = seccomp_init(names_refused(filter) ? SCMP_ACT_ALLOW : refusal);
	int r = 0;

	if (context == NULL)
		return error_set(err, ENOMEM, "filter %s", filters[filter].name);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(attributes); i++)
		r = seccomp_attr_set(context, attributes[i].attribute, attributes[i].value);
	if (r < 0)
		return error_set(err, -r, "filter %s", filters[filter].name);
	r = add_rules(context, filter, refusal, err);
	if (r == 0)
		*ret = steal_ptr(&context);
	return r;
}

int filter_load(enum filter filter, bool log, struct error *err)
{
	CLEANUP(context_free) scmp_filter_ctx context = NULL;
	int r = make(filter, log || SANITIZED, &context, err);

	if (r == 0) {
		r = seccomp_load(context);
		if (r < 0)
			r = error_set(err, -r, "load the filter %s", filters[filter].name);
	}
	return r;
}

int filter_export(enum filter filter, int fd, struct error *err)
{
	CLEANUP(context_free) scmp_filter_ctx context = NULL;
	int r = make(filter, false, &context, err);

	if (r == 0) {
		r = seccomp_export_bpf(context, fd);
		if (r < 0)
			r = error_set(err, -r, "write the filter %s", filters[filter].name);
	}
	return r;
}
