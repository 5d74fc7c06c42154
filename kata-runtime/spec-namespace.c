/*
 * Namespaces in config.json, and what belongs to new ones: the maps of a user namespace, the
 * offsets of a time namespace. See spec.h. Reads only, owns nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-parse.h"

enum { NANOSECONDS = 1000000000 };

static const char *const namespace_names[NAMESPACE_TYPES] = {
	[NAMESPACE_PID] = "pid",   [NAMESPACE_NETWORK] = "network", [NAMESPACE_MOUNT] = "mount",
	[NAMESPACE_IPC] = "ipc",   [NAMESPACE_UTS] = "uts",         [NAMESPACE_CGROUP] = "cgroup",
	[NAMESPACE_TIME] = "time", [NAMESPACE_USER] = "user",
};

const char *spec_namespace_name(enum spec_namespace_type type)
{
	return namespace_names[type];
}

static int read_namespace(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = "type" };
	CLEANUP(freep) char *type = NULL;
	struct spec_namespace *ns;
	size_t i;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_string(at, "type", 32, &type, err)) < 0)
		return r;
	for (i = 0; i < NAMESPACE_TYPES; i++)
		if (type != NULL && str_eq(type, namespace_names[i]))
			break;
	if (i == NAMESPACE_TYPES)
		return json_error(&member, err, "expected the type of a namespace");
	ns = &spec->namespaces[i];
	if (ns->wanted)
		return json_error(&member, err, "this namespace is there twice");
	ns->wanted = true;
	r = json_get_string(at, "path", SPEC_PATH_MAX, &ns->path, err);
	if (r < 0)
		return r;
	member.key = "path";
	if (ns->path[0] != '\0' && ns->path[0] != '/')
		return json_error(&member, err, "expected an absolute path");
	if (ns->path[0] != '\0' && i == NAMESPACE_MOUNT)
		return json_error(&member, err, "joining a mount namespace is not supported");
	return 0;
}

static int read_list(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at list;
	int r;

	if (!json_member(at, "namespaces", &list))
		return 0;
	r = json_need_list(&list, 16, err);
	for (size_t i = 0; r == 0 && i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		r = read_namespace(&item, spec, err);
	}
	return r;
}

/* Whether a namespace of its own is asked for. */
static bool is_new(const struct spec *spec, enum spec_namespace_type type)
{
	return spec->namespaces[type].wanted && spec->namespaces[type].path[0] == '\0';
}

static bool overlap(uint32_t a, uint32_t b, const struct spec_id_map *m,
		    const struct spec_id_map *n)
{
	return (uint64_t)a < (uint64_t)b + n->size && (uint64_t)b < (uint64_t)a + m->size;
}

static int read_map(const struct json_at *at, const struct spec_id_map *before, uint32_t count,
		    struct spec_id_map *ret, struct error *err)
{
	int r = json_need_object(at, err);

	if (r < 0 ||
	    (r = json_get_u32(at, "containerID", UINT32_MAX - 1, &ret->container, err)) < 0 ||
	    (r = json_get_u32(at, "hostID", UINT32_MAX - 1, &ret->host, err)) < 0 ||
	    (r = json_get_u32(at, "size", UINT32_MAX, &ret->size, err)) < 0)
		return r;
	if (ret->size == 0)
		return json_error(at, err, "it maps nothing: size is 0");
	if ((uint64_t)ret->container + ret->size > UINT32_MAX ||
	    (uint64_t)ret->host + ret->size > UINT32_MAX)
		return json_error(at, err, "it goes beyond the greatest id");
	for (uint32_t i = 0; i < count; i++)
		if (overlap(ret->container, before[i].container, ret, &before[i]) ||
		    overlap(ret->host, before[i].host, ret, &before[i]))
			return json_error(at, err, "it overlaps with number %u of the list", i);
	return 0;
}

static int read_maps(const struct json_at *at, const char *key, const struct spec *spec,
		     struct spec_id_map **ret, uint32_t *ret_count, struct error *err)
{
	struct json_at list = { .file = at->file, .up = at, .key = key };
	bool wanted = is_new(spec, NAMESPACE_USER);
	void *items;
	int r;

	if (!json_member(at, key, &list) || !spec_says(&list))
		return wanted ? json_error(&list, err, "a new user namespace needs it") : 0;
	if (!wanted)
		return json_error(&list, err,
				  "linux.namespaces does not ask for a new user namespace");
	r = spec_new_items(&list, SPEC_ID_MAPS_MAX, sizeof(**ret), &items, ret_count, err);
	if (r < 0)
		return r;
	*ret = items;
	for (uint32_t i = 0; r == 0 && i < *ret_count; i++) {
		struct json_at item = json_item(&list, i);

		r = read_map(&item, *ret, i, &(*ret)[i], err);
	}
	return r;
}

static int read_offset(const struct json_at *at, const char *clock, char *text, size_t size,
		       struct error *err)
{
	struct json_at offset;
	uint32_t nanoseconds = 0;
	int64_t seconds = 0;
	size_t used = strlen(text);
	int r;

	if (!json_member(at, clock, &offset) || !spec_says(&offset))
		return 0;
	r = json_need_object(&offset, err);
	if (r < 0 || (r = json_get_i64(&offset, "secs", INT64_MIN, INT64_MAX, &seconds, err)) < 0 ||
	    (r = json_get_u32(&offset, "nanosecs", NANOSECONDS - 1, &nanoseconds, err)) < 0)
		return r;
	snprintf(text + used, size - used, "%s %lld %u\n", clock, (long long)seconds, nanoseconds);
	return 0;
}

static int note_clock(const struct json_at *member, void *userdata, struct error *err)
{
	(void)userdata;
	if (str_eq(member->key, "monotonic") || str_eq(member->key, "boottime"))
		return 0;
	return json_error(member, err, "expected the clock monotonic or boottime");
}

static int read_offsets(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at offsets;
	int r;

	if (!json_member(at, "timeOffsets", &offsets) || !spec_says(&offsets))
		return 0;
	r = json_need_object(&offsets, err);
	if (r < 0)
		return r;
	if (!is_new(spec, NAMESPACE_TIME))
		return json_error(&offsets, err,
				  "linux.namespaces does not ask for a new time namespace");
	r = json_each(&offsets, note_clock, NULL, err);
	if (r == 0)
		r = read_offset(&offsets, "monotonic", spec->time_offsets,
				sizeof(spec->time_offsets), err);
	if (r == 0)
		r = read_offset(&offsets, "boottime", spec->time_offsets,
				sizeof(spec->time_offsets), err);
	return r;
}

int spec_read_namespaces(const struct json_at *at, struct spec *spec, struct error *err)
{
	int r = read_list(at, spec, err);

	if (r == 0)
		r = read_maps(at, "uidMappings", spec, &spec->uid_map, &spec->n_uid_map, err);
	if (r == 0)
		r = read_maps(at, "gidMappings", spec, &spec->gid_map, &spec->n_gid_map, err);
	return r < 0 ? r : read_offsets(at, spec, err);
}
