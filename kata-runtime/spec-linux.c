/* The linux part of config.json: see spec.h. Reads only, owns nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/spec-mount.h"
#include "kata-runtime/spec-parse.h"

static int read_device(const struct json_at *at, struct spec_device *ret, struct error *err)
{
	struct json_at type = { .file = at->file, .up = at, .key = "type" };
	CLEANUP(freep) char *kind = NULL;
	int r = json_need_object(at, err);

	ret->mode = 0666;
	if (r < 0 || (r = spec_read_path(at, "path", &ret->path, err)) < 0 ||
	    (r = json_get_string(at, "type", 8, &kind, err)) < 0)
		return r;
	if (r == 0 || strlen(kind) != 1 || strchr("cubp", kind[0]) == NULL)
		return json_error(&type, err, "expected c, u, b or p");
	ret->kind = kind[0] == 'u' ? 'c' : kind[0];
	if ((r = json_get_u32(at, "major", 4095, &ret->major, err)) < 0 ||
	    (r = json_get_u32(at, "minor", 1048575, &ret->minor, err)) < 0 ||
	    (r = json_get_u32(at, "fileMode", UINT32_MAX, &ret->mode, err)) < 0 ||
	    (r = json_get_u32(at, "uid", UINT32_MAX - 1, &ret->uid, err)) < 0 ||
	    (r = json_get_u32(at, "gid", UINT32_MAX - 1, &ret->gid, err)) < 0)
		return r;
	ret->mode &= 0777; /* engines send stat's st_mode */
	return 0;
}

static int read_devices(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "devices", &list))
		return 0;
	r = spec_new_items(&list, SPEC_LIST_MAX, sizeof(*spec->devices), &items, &spec->n_devices,
			   err);
	if (r < 0)
		return r;
	spec->devices = items;
	for (uint32_t i = 0; r == 0 && i < spec->n_devices; i++) {
		struct json_at item = json_item(&list, i);

		r = read_device(&item, &spec->devices[i], err);
	}
	return r;
}

static int read_paths(const struct json_at *at, const char *key, struct wire_strings *ret,
		      struct error *err)
{
	struct json_at list = { .file = at->file, .up = at, .key = key };
	int r = json_get_strings(at, key, SPEC_LIST_MAX, SPEC_PATH_MAX, ret, err);

	for (uint32_t i = 0; r > 0 && i < ret->count; i++) {
		struct json_at item = { .file = at->file, .up = &list, .index = i };

		if (ret->items[i][0] != '/')
			return json_error(&item, err, "expected an absolute path");
	}
	return r;
}

static int read_personality(const struct json_at *at, struct spec *spec, struct error *err)
{
	static const struct spec_word domains[] = { { "LINUX", PER_LINUX },
						    { "LINUX32", PER_LINUX32 } };
	struct json_at member, domain, flags;
	int r;

	if (!json_member(at, "personality", &member) || !spec_says(&member))
		return 0;
	r = json_need_object(&member, err);
	if (r == 0)
		r = spec_get_word(&member, "domain", domains, ARRAY_SIZE(domains),
				  "LINUX or LINUX32", &spec->personality, err);
	if (r < 0)
		return r;
	domain = (struct json_at){ .file = at->file, .up = &member, .key = "domain" };
	if (r == 0)
		return json_error(&domain, err, "expected LINUX or LINUX32");
	/* The specification has the list and no flag that could stand in it. */
	if (json_member(&member, "flags", &flags) && spec_says(&flags))
		return json_error(&flags, err, "no flag of a personality is known");
	return 0;
}

/* What is asked of the host, and what no guest has. */
static int refuse(const struct json_at *at, struct error *err)
{
	static const struct {
		const char *key, *why;
	} refused[] = {
		{ "intelRdt", "a VM has no share of the host's caches that could be set" },
		{ "netDevices", "a device of the host's network cannot be moved into a VM" },
		{ "memoryPolicy", "the host's memory nodes are not those of the VM" },
	};
	struct json_at member;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (json_member(at, refused[i].key, &member) && spec_says(&member))
			return json_error(&member, err, "%s", refused[i].why);
	return 0;
}

static int read_propagation(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = "rootfsPropagation" };
	CLEANUP(freep) char *text = NULL;
	int r = json_get_string(at, "rootfsPropagation", 32, &text, err);

	if (r <= 0 || text[0] == '\0')
		return r < 0 ? r : 0;
	spec->root_propagation = mount_propagation(text);
	if (spec->root_propagation == 0)
		return json_error(&member, err,
				  "expected (r)private, (r)slave, (r)shared or (r)unbindable");
	return 0;
}

int spec_read_linux(const struct json_at *at, struct spec *spec, struct error *err)
{
	static const char *const known[] = {
		"namespaces", "uidMappings", "gidMappings",       "devices", "cgroupsPath",
		"resources",  "maskedPaths", "rootfsPropagation", "sysctl",  "readonlyPaths",
		"seccomp",    "timeOffsets", "personality",       NULL
	};
	static const char *const seccomp_known[] = { "defaultAction", "defaultErrnoRet",
						     "architectures", "flags",
						     "listenerPath",  "listenerMetadata",
						     "syscalls",      NULL };
	struct json_at member;
	int r = json_need_object(at, err);

	if (r < 0 || (r = refuse(at, err)) < 0 || (r = spec_read_namespaces(at, spec, err)) < 0 ||
	    (r = read_devices(at, spec, err)) < 0 ||
	    (r = read_paths(at, "maskedPaths", &spec->masked_paths, err)) < 0 ||
	    (r = read_paths(at, "readonlyPaths", &spec->readonly_paths, err)) < 0 ||
	    (r = read_propagation(at, spec, err)) < 0 ||
	    (r = read_personality(at, spec, err)) < 0 ||
	    (r = json_get_string(at, "cgroupsPath", SPEC_PATH_MAX, &spec->cgroups_path, err)) < 0)
		return r;
	if (json_member(at, "sysctl", &member) &&
	    (r = spec_read_pairs(&member, &spec->sysctl, &spec->n_sysctl, err)) < 0)
		return r;
	if (json_member(at, "resources", &member) &&
	    (r = spec_read_resources(&member, &spec->resources, err)) < 0)
		return r;
	if (json_member(at, "seccomp", &member) &&
	    ((r = spec_read_seccomp(&member, &spec->seccomp, err)) < 0 ||
	     (r = spec_note_unknown(&spec->unapplied, &member, seccomp_known, err)) < 0))
		return r;
	/* mountLabel, which SELinux would read, and what is newer than this. */
	return spec_note_unknown(&spec->unapplied, at, known, err);
}
