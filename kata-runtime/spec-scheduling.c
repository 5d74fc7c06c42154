/* process.scheduler and process.ioPriority of config.json: see spec.h. Reads only, owns nothing. */
#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-parse.h"

enum { DEADLINE_RUNTIME_MIN_NS = 1024 }; /* the kernel's */

static const struct spec_word policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL }, { "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },        { "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_IDLE", SCHED_IDLE },    { "SCHED_DEADLINE", SCHED_DEADLINE },
	{ "SCHED_ISO", UINT32_MAX }, /* reserved, and in no kernel */
};

static const struct spec_word flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};

static const struct spec_word classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
};

static int read_flags(const struct json_at *at, uint32_t *ret, struct error *err)
{
	struct json_at list;
	int r;

	if (!json_member(at, "flags", &list))
		return 0;
	r = json_need_list(&list, ARRAY_SIZE(flags), err);
	for (size_t i = 0; r == 0 && i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);
		CLEANUP(freep) char *text = NULL;
		size_t k = 0;

		r = json_to_string(&item, 64, &text, err);
		if (r < 0)
			return r;
		while (k < ARRAY_SIZE(flags) && !str_eq(flags[k].name, text))
			k++;
		if (k == ARRAY_SIZE(flags))
			return json_error(&item, err, "expected the name of a scheduler's flag");
		*ret |= flags[k].value;
	}
	return r;
}

/* What the kernel would refuse when the machine runs already. */
static int check_scheduler(const struct json_at *at, const struct spec_scheduler *s,
			   struct error *err)
{
	bool fixed = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
	bool deadline = s->policy == SCHED_DEADLINE;
	struct json_at member = { .file = at->file, .up = at };

	member.key = "priority";
	if (fixed && s->priority == 0)
		return json_error(&member, err, "SCHED_FIFO and SCHED_RR need one from 1 to 99");
	if (!fixed && s->priority != 0)
		return json_error(&member, err, "it belongs to SCHED_FIFO and SCHED_RR");
	member.key = s->runtime != 0 ? "runtime" : s->deadline != 0 ? "deadline" : "period";
	if (!deadline && (s->runtime != 0 || s->deadline != 0 || s->period != 0))
		return json_error(&member, err, "it belongs to SCHED_DEADLINE");
	member.key = "runtime";
	if (deadline && s->runtime < DEADLINE_RUNTIME_MIN_NS)
		return json_error(&member, err, "SCHED_DEADLINE needs %d nanoseconds at least",
				  DEADLINE_RUNTIME_MIN_NS);
	member.key = "deadline";
	if (deadline && s->deadline < s->runtime)
		return json_error(&member, err, "it is below the runtime");
	member.key = "period";
	if (deadline && s->period != 0 && s->period < s->deadline)
		return json_error(&member, err, "it is below the deadline");
	return 0;
}

static int read_scheduler(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	struct spec_scheduler *s = &ret->scheduler;
	struct json_at member, policy;
	int64_t nice = 0;
	int r;

	if (!json_member(at, "scheduler", &member) || !spec_says(&member))
		return 0;
	r = json_need_object(&member, err);
	if (r == 0)
		r = spec_get_word(&member, "policy", policies, ARRAY_SIZE(policies),
				  "the name of a scheduling policy", &s->policy, err);
	if (r < 0)
		return r;
	policy = (struct json_at){ .file = at->file, .up = &member, .key = "policy" };
	if (r == 0 || s->policy == UINT32_MAX)
		return json_error(&policy, err, "expected the name of a scheduling policy");
	if ((r = json_get_i64(&member, "nice", -20, 19, &nice, err)) < 0 ||
	    (r = json_get_u32(&member, "priority", 99, &s->priority, err)) < 0 ||
	    (r = json_get_u64(&member, "runtime", UINT64_MAX, &s->runtime, err)) < 0 ||
	    (r = json_get_u64(&member, "deadline", UINT64_MAX, &s->deadline, err)) < 0 ||
	    (r = json_get_u64(&member, "period", UINT64_MAX, &s->period, err)) < 0)
		return r;
	s->nice = (int32_t)nice;
	ret->has_scheduler = true;
	r = read_flags(&member, &s->flags, err);
	return r < 0 ? r : check_scheduler(&member, s, err);
}

static int read_io_priority(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	uint32_t class = 0, priority = 0;
	struct json_at member, name;
	int r;

	if (!json_member(at, "ioPriority", &member) || !spec_says(&member))
		return 0;
	r = json_need_object(&member, err);
	if (r == 0)
		r = spec_get_word(&member, "class", classes, ARRAY_SIZE(classes),
				  "the name of an I/O class", &class, err);
	if (r < 0)
		return r;
	name = (struct json_at){ .file = at->file, .up = &member, .key = "class" };
	if (r == 0)
		return json_error(&name, err, "expected the name of an I/O class");
	r = json_get_u32(&member, "priority", 7, &priority, err);
	if (r < 0)
		return r;
	ret->io_priority = class << IOPRIO_CLASS_SHIFT | priority;
	return 0;
}

int spec_read_scheduling(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	int r = read_scheduler(at, ret, err);

	return r < 0 ? r : read_io_priority(at, ret, err);
}
