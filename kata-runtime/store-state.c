/* state.json as bytes: see store.h. Used by the store; the text may be anything at all. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"
#include "kata-runtime/store.h"

static const char *const status_names[STATUS_COUNT] = {
	[STATUS_CREATING] = "creating", [STATUS_CREATED] = "created",
	[STATUS_STARTING] = "starting", [STATUS_RUNNING] = "running",
	[STATUS_PAUSED] = "paused",     [STATUS_STOPPED] = "stopped",
};

const char *status_name(enum container_status status)
{
	return status_names[status];
}

/* The members that are texts, for making, writing and freeing them alike. */
enum { CONFIGURED_MAX = 64 };

static const struct {
	const char *name;
	size_t offset;
	bool optional; /* files of earlier releases have it not */
} texts[] = {
	{ "id", offsetof(struct state, id), false },
	{ "bundle", offsetof(struct state, bundle), false },
	{ "root", offsetof(struct state, root), false },
	{ "rootfs", offsetof(struct state, rootfs), false },
	{ "created", offsetof(struct state, created), false },
	{ "netns", offsetof(struct state, netns), false },
	{ "systemd_unit", offsetof(struct state, systemd_unit), true },
	{ "systemd_slice", offsetof(struct state, systemd_slice), true },
	{ "agent_link", offsetof(struct state, agent_link), true },
	{ "agent_link_reason", offsetof(struct state, agent_link_reason), true },
	{ "hypervisor", offsetof(struct state, asset_path[ASSET_HYPERVISOR]), true },
	{ "hypervisor_file", offsetof(struct state, asset_file[ASSET_HYPERVISOR]), true },
	{ "kernel", offsetof(struct state, asset_path[ASSET_KERNEL]), true },
	{ "kernel_file", offsetof(struct state, asset_file[ASSET_KERNEL]), true },
	{ "image", offsetof(struct state, asset_path[ASSET_IMAGE]), true },
	{ "image_file", offsetof(struct state, asset_file[ASSET_IMAGE]), true },
};

static char **text_at(const struct state *state, size_t i)
{
	return (char **)(void *)((char *)(uintptr_t)state + texts[i].offset);
}

void state_fini(struct state *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*text_at(state, i));
	json_strings_fini(&state->cgroups);
	for (uint32_t i = 0; i < state->n_annotations; i++) {
		free(state->annotations[i].name);
		free(state->annotations[i].value);
	}
	free(state->annotations);
	json_strings_fini(&state->configured);
	*state = (struct state){ 0 };
}

static int empty_texts(struct state *state, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char **text = text_at(state, i);

		if (*text == NULL)
			*text = strdup("");
		if (*text == NULL)
			return error_set(err, ENOMEM, "state");
	}
	return 0;
}

static int set_now(char **text, struct error *err)
{
	char date[32];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	if (asprintf(text, "%s.%09ldZ", date, now.tv_nsec) < 0) {
		*text = NULL;
		return error_set(err, ENOMEM, "state");
	}
	return 0;
}

int state_init(struct state *state, const struct store *store, const char *id, struct error *err)
{
	int r;

	*state = (struct state){ .status = STATUS_CREATING, .owner = getuid() };
	r = store_sid(store, id, state->sid, err);
	if (r < 0)
		return r;
	state->id = strdup(id);
	state->root = strdup(store->root);
	memcpy(state->sandbox, state->sid, SID_SIZE);
	r = set_now(&state->created, err);
	if (r == 0)
		r = empty_texts(state, err);
	if (r < 0)
		state_fini(state);
	return r;
}

int state_set_agent_link(struct state *state, const char *name, const char *reason,
			 struct error *err)
{
	free(state->agent_link);
	free(state->agent_link_reason);
	state->agent_link = strdup(name);
	state->agent_link_reason = strdup(reason);
	if (state->agent_link == NULL || state->agent_link_reason == NULL)
		return error_set(err, ENOMEM, "state");
	return 0;
}

/* --- writing -------------------------------------------------------------------------------- */

static void add_u64(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_ref(struct json_object *o, const char *name, const struct process_ref *ref)
{
	struct json_object *p = json_object_new_object();

	json_object_object_add(p, "pid", json_object_new_int(ref->pid));
	add_u64(p, "start_ticks", ref->start_ticks);
	json_object_object_add(o, name, p);
}

static void add_lists(struct json_object *o, const struct state *state)
{
	struct json_object *cgroups = json_object_new_array();
	struct json_object *annotations = json_object_new_object();
	struct json_object *configured = json_object_new_array();

	for (uint32_t i = 0; i < state->cgroups.count; i++)
		json_object_array_add(cgroups, json_object_new_string(state->cgroups.items[i]));
	for (uint32_t i = 0; i < state->n_annotations; i++)
		json_object_object_add(annotations, state->annotations[i].name,
				       json_object_new_string(state->annotations[i].value));
	for (uint32_t i = 0; i < state->configured.count; i++)
		json_object_array_add(configured,
				      json_object_new_string(state->configured.items[i]));
	json_object_object_add(o, "configured", configured);
	json_object_object_add(o, "cgroups", cgroups);
	json_object_object_add(o, "annotations", annotations);
}

/* What is not UTF-8 could be written, and not be read again. */
static bool can_be_written(const struct state *state)
{
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ok = ok && str_is_utf8(*text_at(state, i), strlen(*text_at(state, i)));
	for (uint32_t i = 0; i < state->cgroups.count; i++)
		ok = ok && str_is_utf8(state->cgroups.items[i], strlen(state->cgroups.items[i]));
	return ok; /* annotations come from a document that was checked */
}

int state_format(const struct state *state, char **ret_text, struct error *err)
{
	CLEANUP(json_freep) struct json_object *o = json_object_new_object();
	const char *text;

	if (o == NULL)
		return error_set(err, ENOMEM, "state");
	if (!can_be_written(state))
		return error_say(err, EILSEQ, "state of container %s: a path is not UTF-8",
				 state->id);
	json_object_object_add(o, "version", json_object_new_int(STATE_VERSION));
	json_object_object_add(o, "sid", json_object_new_string(state->sid));
	json_object_object_add(o, "sandbox", json_object_new_string(state->sandbox));
	json_object_object_add(o, "departed", json_object_new_boolean(state->departed));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_object_object_add(o, texts[i].name,
				       json_object_new_string(*text_at(state, i)));
	json_object_object_add(o, "status", json_object_new_string(status_name(state->status)));
	add_ref(o, "shim", &state->shim);
	add_ref(o, "monitor", &state->monitor);
	if (state->netmon.pid > 0)
		add_ref(o, "netmon", &state->netmon);
	add_u64(o, "uid_slot", state->uid_slot);
	add_u64(o, "uid_base", state->uid_base);
	add_u64(o, "handle", state->handle);
	add_u64(o, "guest_pid", state->guest_pid);
	add_u64(o, "owner", state->owner);
	add_u64(o, "memory_limit", state->memory_limit);
	add_u64(o, "cpu_milli", state->cpu_milli);
	add_u64(o, "cpu_quota", state->cpu_quota);
	add_u64(o, "cpu_period", state->cpu_period);
	json_object_object_add(o, "pause", json_object_new_boolean(state->pause));
	json_object_object_add(o, "terminal", json_object_new_boolean(state->terminal));
	json_object_object_add(o, "seccomp_log", json_object_new_boolean(state->seccomp_log));
	json_object_object_add(o, "paused", json_object_new_boolean(state->paused));
	add_lists(o, state);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL || asprintf(ret_text, "%s\n", text) < 0)
		return error_set(err, ENOMEM, "state");
	return 0;
}

/* --- reading -------------------------------------------------------------------------------- */

/* A member that must be there: what json_get_*() says, with 0 (absent) made an error. */
static int need(const struct json_at *at, const char *key, int r, struct error *err)
{
	if (r == 0)
		return json_error(at, err, "\"%s\" is missing", key);
	return r < 0 ? r : 0;
}

static int get_ref(const struct json_at *at, const char *key, struct process_ref *ref,
		   struct error *err)
{
	struct json_at member;
	uint64_t pid = 0;
	int r;

	if (!json_member(at, key, &member))
		return need(at, key, 0, err);
	r = json_need_object(&member, err);
	if (r == 0)
		r = need(&member, "pid", json_get_u64(&member, "pid", INT32_MAX, &pid, err), err);
	if (r == 0)
		r = need(&member, "start_ticks",
			 json_get_u64(&member, "start_ticks", UINT64_MAX, &ref->start_ticks, err),
			 err);
	ref->pid = (pid_t)pid;
	return r;
}

static int get_status(const struct json_at *at, enum container_status *ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int r = need(at, "status", json_get_string(at, "status", 16, &text, err), err);

	if (r < 0)
		return r;
	for (int i = 0; i < STATUS_COUNT; i++) {
		if (str_eq(status_names[i], text)) {
			*ret = (enum container_status)i;
			return 0;
		}
	}
	return json_error(at, err, "there is no status \"%s\"", text);
}

static int get_sid(const struct json_at *at, const char *key, char ret[SID_SIZE], struct error *err)
{
	CLEANUP(freep) char *sid = NULL;
	int r = need(at, key, json_get_string(at, key, SID_LEN, &sid, err), err);

	if (r == 0)
		r = sid_check(sid, err);
	if (r == 0)
		memcpy(ret, sid, SID_SIZE);
	return r;
}

static int get_texts(const struct json_at *at, uint64_t version, struct state *state,
		     struct error *err)
{
	int r = get_sid(at, "sid", state->sid, err);

	if (r == 0 && version > 1)
		r = get_sid(at, "sandbox", state->sandbox, err);
	else if (r == 0)
		memcpy(state->sandbox, state->sid, SID_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++) {
		r = json_get_string(at, texts[i].name, PATH_MAX, text_at(state, i), err);
		if (r == 0 && !texts[i].optional)
			r = need(at, texts[i].name, r, err);
		else if (r > 0)
			r = 0;
	}
	return r < 0 ? r : empty_texts(state, err);
}

static int get_numbers(const struct json_at *at, struct state *state, struct error *err)
{
	int r = need(at, "uid_slot",
		     json_get_u32(at, "uid_slot", UINT32_MAX, &state->uid_slot, err), err);

	if (r == 0)
		r = need(at, "uid_base",
			 json_get_u32(at, "uid_base", UINT32_MAX, &state->uid_base, err), err);
	if (r == 0)
		r = need(at, "handle", json_get_u64(at, "handle", UINT64_MAX, &state->handle, err),
			 err);
	if (r == 0)
		r = need(at, "guest_pid",
			 json_get_u32(at, "guest_pid", UINT32_MAX, &state->guest_pid, err), err);
	if (r == 0)
		r = need(at, "owner", json_get_u32(at, "owner", UINT32_MAX, &state->owner, err),
			 err);
	if (r == 0)
		r = need(at, "terminal", json_get_bool(at, "terminal", &state->terminal, err), err);
	/* What files of earlier releases have not. */
	if (r == 0)
		r = json_get_u64(at, "memory_limit", UINT64_MAX, &state->memory_limit, err);
	if (r >= 0)
		r = json_get_u64(at, "cpu_milli", UINT64_MAX, &state->cpu_milli, err);
	if (r >= 0)
		r = json_get_u64(at, "cpu_quota", UINT64_MAX, &state->cpu_quota, err);
	if (r >= 0)
		r = json_get_u64(at, "cpu_period", UINT64_MAX, &state->cpu_period, err);
	if (r >= 0)
		r = json_get_bool(at, "pause", &state->pause, err);
	if (r >= 0)
		r = json_get_bool(at, "paused", &state->paused, err);
	if (r >= 0)
		r = json_get_bool(at, "departed", &state->departed, err);
	if (r >= 0)
		r = json_get_bool(at, "seccomp_log", &state->seccomp_log, err);
	return r < 0 ? r : 0;
}

static int add_annotation(const struct json_at *member, void *userdata, struct error *err)
{
	struct state *state = userdata;
	struct spec_pair *pairs =
		reallocarray(state->annotations, state->n_annotations + 1UL, sizeof(*pairs));
	char *value;
	int r;

	if (pairs == NULL)
		return error_set(err, ENOMEM, "state");
	state->annotations = pairs;
	r = json_to_string(member, JSON_FILE_MAX, &value, err);
	if (r < 0)
		return r;
	pairs[state->n_annotations].value = value;
	pairs[state->n_annotations].name = strdup(member->key);
	state->n_annotations++;
	return pairs[state->n_annotations - 1].name != NULL ? 0 : error_set(err, ENOMEM, "state");
}

static int get_lists(const struct json_at *at, struct state *state, struct error *err)
{
	struct json_at annotations;
	int r = need(at, "cgroups",
		     json_get_strings(at, "cgroups", 64, PATH_MAX + 32, &state->cgroups, err), err);

	/* Files of earlier releases have it not. */
	if (r == 0)
		r = json_get_strings(at, "configured", CONFIGURED_MAX, 256, &state->configured,
				     err);
	if (r < 0)
		return r;
	if (!json_member(at, "annotations", &annotations))
		return need(at, "annotations", 0, err);
	r = json_need_object(&annotations, err);
	return r < 0 ? r : json_each(&annotations, add_annotation, state, err);
}

static int get_state(const struct json_at *at, struct state *state, struct error *err)
{
	struct json_at optional;
	uint64_t version = 0;
	int r = json_need_object(at, err);

	if (r == 0)
		r = need(at, "version", json_get_u64(at, "version", INT32_MAX, &version, err), err);
	if (r == 0 && (version < STATE_VERSION_OLDEST || version > STATE_VERSION))
		return json_error(at, err, "version is %" PRIu64 ", this program knows %d to %d",
				  version, STATE_VERSION_OLDEST, STATE_VERSION);
	if (r == 0)
		r = get_texts(at, version, state, err);
	if (r == 0)
		r = get_status(at, &state->status, err);
	if (r == 0)
		r = get_ref(at, "shim", &state->shim, err);
	if (r == 0)
		r = get_ref(at, "monitor", &state->monitor, err);
	if (r == 0 && json_member(at, "netmon", &optional))
		r = get_ref(at, "netmon", &state->netmon, err);
	if (r == 0)
		r = get_numbers(at, state, err);
	return r < 0 ? r : get_lists(at, state, err);
}

int state_parse(const char *file, const char *text, size_t len, struct state *ret,
		struct error *err)
{
	CLEANUP(json_freep) struct json_object *o = NULL;
	CLEANUP(state_fini) struct state state = { 0 };
	struct json_at at;
	int r = json_parse(file, text, len, false, &o, err);

	if (r < 0)
		return r;
	at = json_root(file, o);
	r = get_state(&at, &state, err);
	if (r < 0)
		return r;
	*ret = state;
	state = (struct state){ 0 };
	return 0;
}
