/* Processes in config.json and in the file of `exec`: see spec.h. Reads only, owns nothing. */
#include <cap-ng.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-parse.h"

static const struct {
	const char *name;
	uint32_t resource;
} rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static int read_groups(const struct json_at *user, struct spec_process *ret, struct error *err)
{
	struct json_at list;
	uint64_t gid;
	void *items;
	int r;

	if (!json_member(user, "additionalGids", &list))
		return 0;
	r = spec_new_items(&list, 65536, sizeof(*ret->groups), &items, &ret->n_groups, err);
	if (r < 0)
		return r;
	ret->groups = items;
	for (uint32_t i = 0; i < ret->n_groups; i++) {
		struct json_at item = json_item(&list, i);

		r = json_to_u64(&item, UINT32_MAX - 1, &gid, err);
		if (r < 0)
			return r;
		ret->groups[i] = (uint32_t)gid;
	}
	return 0;
}

static int read_user(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	static const char *const known[] = { "uid", "gid", "umask", "additionalGids", NULL };
	struct json_at user;
	int r;

	if (!json_member(at, "user", &user))
		return 0;
	r = json_need_object(&user, err);
	if (r < 0)
		return r;
	if ((r = json_get_u32(&user, "uid", UINT32_MAX - 1, &ret->uid, err)) < 0 ||
	    (r = json_get_u32(&user, "gid", UINT32_MAX - 1, &ret->gid, err)) < 0 ||
	    (r = json_get_u32(&user, "umask", 0777, &ret->umask, err)) < 0)
		return r;
	ret->has_umask = r > 0;
	r = read_groups(&user, ret, err);
	return r < 0 ? r : spec_note_unknown(&ret->unapplied, &user, known, err);
}

static int read_capability_set(const struct json_at *at, const char *key, uint64_t *ret,
			       struct spec_process *process, struct error *err)
{
	struct json_at list;
	int r, number;

	if (!json_member(at, key, &list))
		return 0;
	r = json_need_list(&list, 256, err);
	for (size_t i = 0; r == 0 && i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);
		CLEANUP(freep) char *name = NULL;

		r = json_to_string(&item, 64, &name, err);
		if (r < 0)
			return r;
		number = -1;
		if (str_starts(name, "CAP_") &&
		    name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0')
			number = capng_name_to_capability(name + 4);
		if (number >= 0 && number < 64) {
			*ret |= UINT64_C(1) << number;
		} else {
			/* The guest's kernel may be newer than this program: the name tells. */
			struct json_at named = { .file = at->file, .up = &list, .key = name };

			r = spec_note(&process->unapplied, &named, err);
		}
	}
	return r;
}

static int read_capabilities(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	struct spec_capabilities *sets = &ret->capabilities;
	struct json_at member;
	int r;

	if (!json_member(at, "capabilities", &member))
		return 0;
	r = json_need_object(&member, err);
	if (r < 0)
		return r;
	ret->has_capabilities = true;
	if ((r = read_capability_set(&member, "bounding", &sets->bounding, ret, err)) < 0 ||
	    (r = read_capability_set(&member, "effective", &sets->effective, ret, err)) < 0 ||
	    (r = read_capability_set(&member, "permitted", &sets->permitted, ret, err)) < 0 ||
	    (r = read_capability_set(&member, "inheritable", &sets->inheritable, ret, err)) < 0 ||
	    (r = read_capability_set(&member, "ambient", &sets->ambient, ret, err)) < 0)
		return r;
	return 0;
}

static int read_rlimit(const struct json_at *at, struct spec_rlimit *ret, struct error *err)
{
	struct json_at type = { .file = at->file, .up = at, .key = "type" };
	CLEANUP(freep) char *name = NULL;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_string(at, "type", 64, &name, err)) < 0 ||
	    (r = json_get_u64(at, "soft", UINT64_MAX, &ret->soft, err)) < 0 ||
	    (r = json_get_u64(at, "hard", UINT64_MAX, &ret->hard, err)) < 0)
		return r;
	if (ret->soft > ret->hard)
		return json_error(at, err, "the soft limit is over the hard limit");
	for (size_t i = 0; name != NULL && i < ARRAY_SIZE(rlimit_names); i++)
		if (str_eq(name, rlimit_names[i].name)) {
			ret->resource = rlimit_names[i].resource;
			return 0;
		}
	return json_error(&type, err, "expected the name of a resource limit");
}

static int read_rlimits(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "rlimits", &list))
		return 0;
	r = spec_new_items(&list, ARRAY_SIZE(rlimit_names), sizeof(*ret->rlimits), &items,
			   &ret->n_rlimits, err);
	if (r < 0)
		return r;
	ret->rlimits = items;
	for (uint32_t i = 0; i < ret->n_rlimits; i++) {
		struct json_at item = json_item(&list, i);

		r = read_rlimit(&item, &ret->rlimits[i], err);
		if (r < 0)
			return r;
		for (uint32_t j = 0; j < i; j++)
			if (ret->rlimits[j].resource == ret->rlimits[i].resource)
				return json_error(&item, err, "this limit is there twice");
	}
	return 0;
}

static int read_console_size(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	struct json_at size;
	int r;

	if (!json_member(at, "consoleSize", &size))
		return 0;
	r = json_need_object(&size, err);
	if (r < 0 || (r = json_get_u32(&size, "height", 65535, &ret->rows, err)) < 0 ||
	    (r = json_get_u32(&size, "width", 65535, &ret->columns, err)) < 0)
		return r;
	return 0;
}

/* Of the host's processors, before and behind the move into the cgroup of a further process. */
static int refuse_affinity(const struct json_at *at, struct error *err)
{
	struct json_at member;

	if (json_member(at, "execCPUAffinity", &member) && spec_says(&member))
		return json_error(&member, err, "the host's processors are not those of the VM");
	return 0;
}

/* Profiles of security modules: named when they ask for something. */
static int note_labels(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	struct json_at member;
	int r = json_get_string(at, "apparmorProfile", 4096, &text, err);

	if (r > 0 && text[0] != '\0' && !str_eq(text, "unconfined") &&
	    json_member(at, "apparmorProfile", &member))
		r = spec_note(&ret->unapplied, &member, err);
	if (r < 0)
		return r;
	r = json_get_string(at, "selinuxLabel", 4096, &text, err);
	if (r > 0 && text[0] != '\0' && json_member(at, "selinuxLabel", &member))
		r = spec_note(&ret->unapplied, &member, err);
	return r < 0 ? r : 0;
}

int spec_read_process(const struct json_at *at, struct spec_process *ret, struct error *err)
{
	static const char *const known[] = { "terminal",
					     "consoleSize",
					     "user",
					     "args",
					     "env",
					     "cwd",
					     "capabilities",
					     "rlimits",
					     "noNewPrivileges",
					     "oomScoreAdj",
					     "apparmorProfile",
					     "selinuxLabel",
					     "scheduler",
					     "ioPriority",
					     NULL };
	struct json_at args = { .file = at->file, .up = at, .key = "args" };
	int64_t score = 0;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_bool(at, "terminal", &ret->terminal, err)) < 0 ||
	    (r = read_console_size(at, ret, err)) < 0 || (r = read_user(at, ret, err)) < 0 ||
	    (r = json_get_strings(at, "args", SPEC_STRINGS_MAX, SPEC_STRING_MAX, &ret->args, err)) <
		    0 ||
	    (r = json_get_strings(at, "env", SPEC_STRINGS_MAX, SPEC_STRING_MAX, &ret->env, err)) <
		    0)
		return r;
	if (ret->args.count == 0)
		return json_error(&args, err, "expected a list with a program at least");
	if ((r = spec_read_path(at, "cwd", &ret->cwd, err)) < 0 ||
	    (r = read_capabilities(at, ret, err)) < 0 || (r = read_rlimits(at, ret, err)) < 0 ||
	    (r = json_get_bool(at, "noNewPrivileges", &ret->no_new_privileges, err)) < 0 ||
	    (r = json_get_i64(at, "oomScoreAdj", -1000, 1000, &score, err)) < 0)
		return r;
	ret->has_oom_score_adj = r > 0;
	ret->oom_score_adj = (int32_t)score;
	r = refuse_affinity(at, err);
	if (r == 0)
		r = spec_read_scheduling(at, ret, err);
	if (r == 0)
		r = note_labels(at, ret, err);
	return r < 0 ? r : spec_note_unknown(&ret->unapplied, at, known, err);
}

int spec_parse_process(const char *name, const char *text, size_t len, struct spec_process **ret,
		       struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	CLEANUP(spec_process_freep) struct spec_process *process = NULL;
	struct json_at root;
	int r = json_parse(name, text, len, false, &object, err);

	if (r < 0)
		return r;
	process = calloc(1, sizeof(*process));
	if (process == NULL)
		return error_set(err, ENOMEM, "parse %s", name);
	root = json_root(name, object);
	r = spec_read_process(&root, process, err);
	if (r < 0)
		return r;
	*ret = steal_ptr(&process);
	return 0;
}

int spec_load_process(const char *file, struct spec_process **ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int r = json_read_file(file, &text, &len, err);

	return r < 0 ? r : spec_parse_process(file, text, len, ret, err);
}
