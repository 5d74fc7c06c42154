/*
 * linux.resources of config.json, and the same object as the file of `update`: see spec.h. What the
 * guest's cgroup2 has no file for is refused when it is a real limit. Engines send 0 or -1 for "no
 * limit".
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-parse.h"

enum kind {
	LIMIT,  /* a number; real when over 0 */
	NUMBER, /* a number; real when not 0 */
	GIVEN,  /* a number; real when it is there */
	FLAG,   /* a bool; real when true */
	LIST,   /* a list; real when not empty */
	OBJECT  /* an object; real when not empty */
};

#define NO_BLOCK_DEVICE "the host's block devices are not in the VM"
#define NO_NETWORK_CLASS "cgroup2, which the guest has, knows no network classes"

/*
 * key NULL: the section itself. why NULL: nothing in the guest could differ by it, so it is named
 * and left out, as runc does on a host with cgroup2.
 */
static const struct {
	const char *section, *key;
	enum kind kind;
	const char *why;
} unapplied_limits[] = {
	{ "memory", "kernel", LIMIT, NULL },
	{ "memory", "kernelTCP", LIMIT, NULL },
	{ "memory", "swappiness", GIVEN, NULL },
	{ "memory", "disableOOMKiller", FLAG, "cgroup2, which the guest has, cannot do that" },
	{ "cpu", "realtimeRuntime", NUMBER, "the guest's kernel shares out no real-time" },
	{ "cpu", "realtimePeriod", LIMIT, NULL },
	{ "blockIO", "leafWeight", LIMIT, "cgroup2, which the guest has, knows no leaf weight" },
	{ "blockIO", "weightDevice", LIST, NO_BLOCK_DEVICE },
	{ "blockIO", "throttleReadBpsDevice", LIST, NO_BLOCK_DEVICE },
	{ "blockIO", "throttleWriteBpsDevice", LIST, NO_BLOCK_DEVICE },
	{ "blockIO", "throttleReadIOPSDevice", LIST, NO_BLOCK_DEVICE },
	{ "blockIO", "throttleWriteIOPSDevice", LIST, NO_BLOCK_DEVICE },
	{ "network", "classID", LIMIT, NO_NETWORK_CLASS },
	{ "network", "priorities", LIST, NO_NETWORK_CLASS },
	{ "rdma", NULL, OBJECT, "the guest has no rdma device" },
};

/* 1 when the value is a real limit. */
static int is_real(const struct json_at *at, enum kind kind, struct error *err)
{
	int64_t number;
	bool yes;
	int r;

	switch (kind) {
	case LIMIT:
	case NUMBER:
	case GIVEN:
		r = json_to_i64(at, INT64_MIN, INT64_MAX, &number, err);
		if (r < 0)
			return r;
		return kind == GIVEN || (kind == LIMIT ? number > 0 : number != 0);
	case FLAG:
		r = json_to_bool(at, &yes, err);
		return r < 0 ? r : yes;
	case LIST:
		r = json_need_list(at, SPEC_LIST_MAX, err);
		return r < 0 ? r : spec_says(at);
	case OBJECT:
		r = json_need_object(at, err);
		return r < 0 ? r : spec_says(at);
	}
	return 0;
}

/* useHierarchy: cgroup2 knows nothing else. */
static const struct {
	const char *section; /* "": all of it */
	const char *const known[16];
} sections[] = {
	{ "",
	  { "devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "rdma",
	    "unified" } },
	{ "memory",
	  { "limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness", "disableOOMKiller",
	    "useHierarchy", "checkBeforeUpdate" } },
	{ "cpu",
	  { "shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod", "cpus",
	    "mems", "idle" } },
	{ "pids", { "limit" } },
	{ "blockIO",
	  { "weight", "leafWeight", "weightDevice", "throttleReadBpsDevice",
	    "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice" } },
	{ "network", { "classID", "priorities" } },
};

/* What the specification has since got, wherever it stands. */
static int note_unknown(const struct json_at *at, struct wire_strings *unapplied, struct error *err)
{
	struct json_at section;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sections); i++) {
		if (sections[i].section[0] == '\0')
			section = *at;
		else if (!json_member(at, sections[i].section, &section))
			continue;
		r = json_need_object(&section, err);
		if (r == 0)
			r = spec_note_unknown(unapplied, &section, sections[i].known, err);
	}
	return r;
}

static int note_unapplied(const struct json_at *at, struct wire_strings *unapplied,
			  struct error *err)
{
	struct json_at section, member;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(unapplied_limits); i++) {
		if (!json_member(at, unapplied_limits[i].section, &section))
			continue;
		if (unapplied_limits[i].key == NULL) {
			member = section;
		} else {
			r = json_need_object(&section, err);
			if (r < 0)
				return r;
			if (!json_member(&section, unapplied_limits[i].key, &member))
				continue;
		}
		r = is_real(&member, unapplied_limits[i].kind, err);
		if (r > 0 && unapplied_limits[i].why != NULL)
			return json_error(&member, err, "%s", unapplied_limits[i].why);
		if (r > 0)
			r = spec_note(unapplied, &member, err);
	}
	return r < 0 ? r : 0;
}

/* A section's place: 1, or 0 when it is not there. */
static int find_section(const struct json_at *at, const char *name, struct json_at *ret,
			struct error *err)
{
	int r;

	if (!json_member(at, name, ret))
		return 0;
	r = json_need_object(ret, err);
	return r < 0 ? r : 1;
}

static int get_limit(const struct json_at *at, const char *key, int64_t *ret, struct error *err)
{
	return json_get_i64(at, key, INT64_MIN, INT64_MAX, ret, err);
}

static int read_memory(const struct json_at *at, struct spec_resources *ret, struct error *err)
{
	struct json_at memory;
	bool hierarchy;
	int r = find_section(at, "memory", &memory, err);

	if (r <= 0 || (r = get_limit(&memory, "limit", &ret->memory_limit, err)) < 0 ||
	    (r = get_limit(&memory, "reservation", &ret->memory_reservation, err)) < 0)
		return r;
	if ((r = get_limit(&memory, "swap", &ret->memory_swap, err)) < 0)
		return r;
	if ((r = json_get_bool(&memory, "useHierarchy", &hierarchy, err)) < 0)
		return r;
	return json_get_bool(&memory, "checkBeforeUpdate", &ret->check_before_update, err);
}

static int read_cpu(const struct json_at *at, struct spec_resources *ret, struct error *err)
{
	struct json_at cpu;
	int r = find_section(at, "cpu", &cpu, err);

	if (r <= 0 || (r = json_get_u64(&cpu, "shares", UINT64_MAX, &ret->cpu_shares, err)) < 0 ||
	    (r = json_get_u64(&cpu, "period", UINT64_MAX, &ret->cpu_period, err)) < 0 ||
	    (r = get_limit(&cpu, "quota", &ret->cpu_quota, err)) < 0 ||
	    (r = get_limit(&cpu, "burst", &ret->cpu_burst, err)) < 0 ||
	    (r = get_limit(&cpu, "idle", &ret->cpu_idle, err)) < 0)
		return r;
	ret->has_cpu_idle = r > 0;
	if ((r = json_get_string(&cpu, "cpus", SPEC_PATH_MAX, &ret->cpus, err)) < 0)
		return r;
	return json_get_string(&cpu, "mems", SPEC_PATH_MAX, &ret->mems, err);
}

static int read_hugepages(const struct json_at *at, struct spec_resources *ret, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "hugepageLimits", &list))
		return 0;
	r = spec_new_items(&list, 64, sizeof(*ret->hugepages), &items, &ret->n_hugepages, err);
	if (r < 0)
		return r;
	ret->hugepages = items;
	for (uint32_t i = 0; r >= 0 && i < ret->n_hugepages; i++) {
		struct json_at item = json_item(&list, i);
		struct json_at size = { .file = at->file, .up = &item, .key = "pageSize" };

		r = json_need_object(&item, err);
		if (r == 0)
			r = json_get_string(&item, "pageSize", 16, &ret->hugepages[i].size, err);
		if (r == 0 ||
		    (r > 0 &&
		     ret->hugepages[i].size[strspn(ret->hugepages[i].size, "0123456789KMGB")] !=
			     '\0'))
			return json_error(&size, err, "expected a size as 2MB");
		if (r > 0)
			r = json_get_u64(&item, "limit", UINT64_MAX, &ret->hugepages[i].limit, err);
	}
	return r;
}

/* Files of one's own cgroup only, and none that is not a limit. */
static int check_unified(const struct json_at *list, const struct spec_pair *pair,
			 struct error *err)
{
	struct json_at named = { .file = list->file, .up = list, .key = pair->name };

	if (strlen(pair->name) > 64 || strchr(pair->name, '.') == NULL || pair->name[0] == '.' ||
	    pair->name[strspn(pair->name, "abcdefghijklmnopqrstuvwxyz"
					  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] != '\0' ||
	    str_starts(pair->name, "cgroup."))
		return json_error(&named, err, "expected the name of a controller's file");
	if (strlen(pair->value) > SPEC_PATH_MAX)
		return json_error(&named, err, "the value is over %d bytes", SPEC_PATH_MAX);
	return 0;
}

static int read_unified(const struct json_at *at, struct spec_resources *ret, struct error *err)
{
	struct json_at list;
	int r;

	if (!json_member(at, "unified", &list))
		return 0;
	r = spec_read_pairs(&list, &ret->unified, &ret->n_unified, err);
	if (r == 0 && ret->n_unified > 256)
		return json_error(&list, err, "more than 256 members");
	for (uint32_t i = 0; r == 0 && i < ret->n_unified; i++)
		r = check_unified(&list, &ret->unified[i], err);
	return r;
}

/* A number of a device rule: none, or -1, is any. */
static int read_number(const struct json_at *at, const char *key, uint32_t *ret, struct error *err)
{
	int64_t number = -1;
	int r = json_get_i64(at, key, -1, UINT32_MAX - 1, &number, err);

	*ret = number < 0 ? SPEC_DEVICE_ANY : (uint32_t)number;
	return r < 0 ? r : 0;
}

static int read_access(const struct json_at *at, struct spec_device_rule *ret, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = "access" };
	CLEANUP(freep) char *access = NULL;
	int r = json_get_string(at, "access", 16, &access, err);

	if (r < 0)
		return r;
	if (r == 0 || access[0] == '\0' || access[strspn(access, "rwm")] != '\0')
		return json_error(&member, err, "expected letters of rwm");
	ret->mknod = strchr(access, 'm') != NULL;
	ret->read = strchr(access, 'r') != NULL;
	ret->write = strchr(access, 'w') != NULL;
	return 0;
}

static int read_device_rule(const struct json_at *at, struct spec_device_rule *ret,
			    struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = "type" };
	CLEANUP(freep) char *type = NULL;
	int r = json_need_object(at, err);

	if (r < 0 || (r = json_get_bool(at, "allow", &ret->allow, err)) < 0 ||
	    (r = json_get_string(at, "type", 8, &type, err)) < 0)
		return r;
	if (type != NULL && strlen(type) > 0 && (strlen(type) != 1 || !strchr("abc", type[0])))
		return json_error(&member, err, "expected a, b or c");
	ret->type = type != NULL && type[0] != '\0' ? type[0] : 'a';
	if ((r = read_number(at, "major", &ret->major, err)) < 0 ||
	    (r = read_number(at, "minor", &ret->minor, err)) < 0)
		return r;
	return read_access(at, ret, err);
}

static int read_device_rules(const struct json_at *at, struct spec_resources *ret,
			     struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "devices", &list))
		return 0;
	r = spec_new_items(&list, SPEC_LIST_MAX, sizeof(*ret->device_rules), &items,
			   &ret->n_device_rules, err);
	if (r < 0)
		return r;
	ret->device_rules = items;
	for (uint32_t i = 0; r == 0 && i < ret->n_device_rules; i++) {
		struct json_at item = json_item(&list, i);

		r = read_device_rule(&item, &ret->device_rules[i], err);
	}
	return r;
}

int spec_read_resources(const struct json_at *at, struct spec_resources *ret, struct error *err)
{
	struct json_at section;
	int r = json_need_object(at, err);

	if (r < 0 || (r = read_memory(at, ret, err)) < 0 || (r = read_cpu(at, ret, err)) < 0)
		return r;
	r = find_section(at, "pids", &section, err);
	if (r > 0)
		r = get_limit(&section, "limit", &ret->pids_limit, err);
	if (r >= 0 && (r = find_section(at, "blockIO", &section, err)) > 0)
		r = json_get_u32(&section, "weight", 1000, &ret->blkio_weight, err);
	if (r < 0 || (r = read_hugepages(at, ret, err)) < 0 ||
	    (r = read_unified(at, ret, err)) < 0 || (r = read_device_rules(at, ret, err)) < 0)
		return r;
	r = note_unapplied(at, &ret->unapplied, err);
	return r < 0 ? r : note_unknown(at, &ret->unapplied, err);
}

int spec_load_resources(int fd, const char *name, struct spec_resources *ret, struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	CLEANUP(freep) char *text = NULL;
	struct json_at root;
	size_t len;
	int r;

	*ret = (struct spec_resources){ 0 };
	r = json_read_fd(fd, name, &text, &len, err);
	if (r == 0)
		r = json_parse(name, text, len, false, &object, err);
	if (r < 0)
		return r;
	root = json_root(name, object);
	return spec_read_resources(&root, ret, err);
}

void spec_resources_fini(struct spec_resources *resources)
{
	free(resources->cpus);
	free(resources->mems);
	for (uint32_t i = 0; i < resources->n_hugepages; i++)
		free(resources->hugepages[i].size);
	free(resources->hugepages);
	spec_pairs_free(resources->unified, resources->n_unified);
	free(resources->device_rules);
	json_strings_fini(&resources->unapplied);
	*resources = (struct spec_resources){ 0 };
}
