/*
 * The bundle's config.json: see spec.h. This file holds the document's outer part, memory and
 * warnings; spec-process.c reads processes, spec-linux.c, spec-resources.c and spec-seccomp.c the
 * rest. The text comes from the container manager, who is trusted; what image authors put into it
 * is not.
 */
#include "kata-runtime/spec.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"
#include "kata-runtime/spec-parse.h"

static const char *const hook_kinds[HOOK_KINDS] = {
	[HOOK_PRESTART] = "prestart",
	[HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer",
	[HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",
	[HOOK_POSTSTOP] = "poststop",
};

const char *spec_hook_kind_name(enum spec_hook_kind kind)
{
	return hook_kinds[kind];
}

bool spec_says(const struct json_at *at)
{
	switch (json_object_get_type(at->value)) {
	case json_type_null:
		return false;
	case json_type_string:
		return json_object_get_string_len(at->value) > 0;
	case json_type_object:
		return json_object_object_length(at->value) > 0;
	case json_type_array:
		return json_count(at) > 0;
	case json_type_boolean:
	case json_type_double:
	case json_type_int:
		break;
	}
	return true;
}

int spec_note(struct wire_strings *unapplied, const struct json_at *at, struct error *err)
{
	char place[256];

	if (unapplied->count >= SPEC_UNAPPLIED_MAX)
		return 0; /* the first ones say enough */
	json_place(at, place, sizeof(place));
	if (json_strings_add(unapplied, place) < 0)
		return error_set(err, ENOMEM, "parse %s", at->file);
	return 0;
}

struct note_context {
	struct wire_strings *unapplied;
	const char *const *known;
};

static int note_if_unknown(const struct json_at *member, void *userdata, struct error *err)
{
	struct note_context *c = userdata;

	if (!spec_says(member))
		return 0;
	for (const char *const *k = c->known; *k != NULL; k++)
		if (str_eq(*k, member->key))
			return 0;
	return spec_note(c->unapplied, member, err);
}

int spec_note_unknown(struct wire_strings *unapplied, const struct json_at *at,
		      const char *const *known, struct error *err)
{
	struct note_context c = { unapplied, known };

	return json_each(at, note_if_unknown, &c, err);
}

int spec_get_word(const struct json_at *at, const char *key, const struct spec_word *words,
		  size_t count, const char *what, uint32_t *ret, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = key };
	CLEANUP(freep) char *text = NULL;
	int r = json_get_string(at, key, 64, &text, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (str_eq(words[i].name, text)) {
			*ret = words[i].value;
			return 1;
		}
	}
	return json_error(&member, err, "expected %s", what);
}

int spec_read_path(const struct json_at *at, const char *key, char **ret, struct error *err)
{
	struct json_at member = { .file = at->file, .up = at, .key = key };
	int r = json_get_string(at, key, SPEC_PATH_MAX, ret, err);

	if (r < 0)
		return r;
	if (r == 0 || (*ret)[0] != '/')
		return json_error(&member, err, "expected an absolute path");
	return 0;
}

int spec_new_items(const struct json_at *at, size_t max, size_t item_size, void **ret_items,
		   uint32_t *ret_count, struct error *err)
{
	int r = json_need_list(at, max, err);

	if (r < 0)
		return r;
	*ret_items = calloc(json_count(at) + 1, item_size);
	if (*ret_items == NULL)
		return error_set(err, ENOMEM, "parse %s", at->file);
	*ret_count = (uint32_t)json_count(at);
	return 0;
}

void spec_pairs_free(struct spec_pair *pairs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		free(pairs[i].name);
		free(pairs[i].value);
	}
	free(pairs);
}

struct pairs {
	struct spec_pair *items;
	uint32_t *count;
};

static int read_pair(const struct json_at *member, void *userdata, struct error *err)
{
	struct pairs *pairs = userdata;
	struct spec_pair *pair = &pairs->items[*pairs->count];
	int r;

	if (member->key[0] == '\0')
		return json_error(member, err, "a name is empty");
	r = json_to_string(member, SPEC_STRING_MAX, &pair->value, err);
	if (r < 0)
		return r;
	++*pairs->count;
	pair->name = strdup(member->key);
	return pair->name == NULL ? error_set(err, ENOMEM, "parse %s", member->file) : 0;
}

int spec_read_pairs(const struct json_at *at, struct spec_pair **ret, uint32_t *ret_count,
		    struct error *err)
{
	struct pairs pairs = { .count = ret_count };
	int r = json_need_object(at, err);

	if (r < 0)
		return r;
	if (json_object_object_length(at->value) > SPEC_STRINGS_MAX)
		return json_error(at, err, "more than %d members", SPEC_STRINGS_MAX);
	pairs.items =
		calloc((size_t)json_object_object_length(at->value) + 1, sizeof(*pairs.items));
	if (pairs.items == NULL)
		return error_set(err, ENOMEM, "parse %s", at->file);
	*ret = pairs.items;
	return json_each(at, read_pair, &pairs, err);
}

static int read_root(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at root, path;
	CLEANUP(freep) char *text = NULL;
	char joined[PATH_MAX];
	int r;

	if (!json_member(at, "root", &root))
		return json_error(at, err, "root is missing");
	r = json_need_object(&root, err);
	if (r < 0)
		return r;
	r = json_get_bool(&root, "readonly", &spec->root_readonly, err);
	if (r < 0)
		return r;
	r = json_get_string(&root, "path", SPEC_PATH_MAX, &text, err);
	if (r < 0)
		return r;
	path = (struct json_at){ .file = at->file, .up = &root, .key = "path" };
	if (r == 0 || text[0] == '\0')
		return json_error(&path, err, "expected a path");
	if (text[0] == '/') {
		spec->root_path = steal_ptr(&text);
		return 0;
	}
	if (str_format(joined, sizeof(joined), "%s/%s", spec->bundle, text) < 0)
		return json_error(&path, err, "too long");
	spec->root_path = strdup(joined);
	return spec->root_path == NULL ? error_set(err, ENOMEM, "parse %s", at->file) : 0;
}

static int read_mount(const struct json_at *at, struct spec_mount *mount, struct error *err)
{
	struct json_at member;
	char *text = NULL;
	int r = json_need_object(at, err);

	if (r < 0)
		return r;
	if ((json_member(at, "uidMappings", &member) && spec_says(&member)) ||
	    (json_member(at, "gidMappings", &member) && spec_says(&member)))
		return json_error(&member, err, "id-mapped mounts are not supported");
	r = json_get_string(at, "destination", SPEC_PATH_MAX - 1, &mount->destination, err);
	if (r < 0)
		return r;
	if (r == 0 || mount->destination[0] == '\0')
		return json_error(at, err, "destination is missing");
	if (mount->destination[0] != '/') {
		/* Against the specification, but what runc takes: from the root. */
		text = mount->destination;
		if (asprintf(&mount->destination, "/%s", text) < 0)
			mount->destination = NULL;
		free(text);
		if (mount->destination == NULL)
			return error_set(err, ENOMEM, "parse %s", at->file);
	}
	if ((r = json_get_string(at, "type", 64, &mount->type, err)) < 0 ||
	    (r = json_get_string(at, "source", SPEC_PATH_MAX, &mount->source, err)) < 0 ||
	    (r = json_get_strings(at, "options", 256, SPEC_PATH_MAX, &mount->options, err)) < 0)
		return r;
	if (mount->type == NULL)
		mount->type = strdup("");
	if (mount->source == NULL)
		mount->source = strdup("");
	if (mount->type == NULL || mount->source == NULL)
		return error_set(err, ENOMEM, "parse %s", at->file);
	return 0;
}

static int read_mounts(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at list;
	void *items;
	int r;

	if (!json_member(at, "mounts", &list))
		return 0;
	r = spec_new_items(&list, SPEC_LIST_MAX, sizeof(*spec->mounts), &items, &spec->n_mounts,
			   err);
	if (r < 0)
		return r;
	spec->mounts = items;
	for (uint32_t i = 0; r == 0 && i < spec->n_mounts; i++) {
		struct json_at item = json_item(&list, i);

		r = read_mount(&item, &spec->mounts[i], err);
	}
	return r;
}

static int read_hook(const struct json_at *at, struct spec_hook *hook, struct error *err)
{
	struct json_at timeout = { .file = at->file, .up = at };
	int r = json_need_object(at, err);

	if (r < 0)
		return r;
	if ((r = spec_read_path(at, "path", &hook->path, err)) < 0 ||
	    (r = json_get_strings(at, "args", SPEC_STRINGS_MAX, SPEC_STRING_MAX, &hook->args,
				  err)) < 0 ||
	    (r = json_get_strings(at, "env", SPEC_STRINGS_MAX, SPEC_STRING_MAX, &hook->env, err)) <
		    0 ||
	    (r = json_get_u32(at, "timeout", 86400, &hook->timeout_s, err)) < 0)
		return r;
	timeout.key = "timeout";
	if (r > 0 && hook->timeout_s == 0)
		return json_error(&timeout, err, "expected a number greater than 0");
	return 0;
}

static int read_hooks(const struct json_at *at, struct spec *spec, struct error *err)
{
	static const char *known[HOOK_KINDS + 1];
	struct json_at hooks, list;
	void *items;
	int r;

	if (!json_member(at, "hooks", &hooks))
		return 0;
	memcpy(known, hook_kinds, sizeof(hook_kinds));
	r = spec_note_unknown(&spec->unapplied, &hooks, known, err);
	for (size_t kind = 0; r == 0 && kind < HOOK_KINDS; kind++) {
		struct spec_hooks *to = &spec->hooks[kind];

		if (!json_member(&hooks, hook_kinds[kind], &list))
			continue;
		r = spec_new_items(&list, SPEC_LIST_MAX, sizeof(*to->items), &items, &to->count,
				   err);
		if (r < 0)
			return r;
		to->items = items;
		for (uint32_t i = 0; r == 0 && i < to->count; i++) {
			struct json_at item = json_item(&list, i);

			r = read_hook(&item, &to->items[i], err);
		}
	}
	return r;
}

static int read_version(const struct json_at *at, struct spec *spec, struct error *err)
{
	struct json_at version = { .file = at->file, .up = at, .key = "ociVersion" };
	int r = json_get_string(at, "ociVersion", 64, &spec->oci_version, err);

	if (r < 0)
		return r;
	if (r == 0 || !str_starts(spec->oci_version, "1."))
		return json_error(&version, err,
				  "expected a version 1.x of the runtime specification");
	return 0;
}

/* Which machine a container gets is the configuration's matter, not the bundle's. */
static int refuse_vm(const struct json_at *at, struct error *err)
{
	struct json_at vm;

	if (json_member(at, "vm", &vm) && spec_says(&vm))
		return json_error(&vm, err,
				  "the machine is chosen by configuration.json, not by the bundle");
	return 0;
}

/* runc's words: without a namespace of the container's own the names would be those of others. */
static int check_names(const struct json_at *at, const struct spec *spec, struct error *err)
{
	const char *key = spec->hostname[0] != '\0' ? "hostname" : "domainname";
	struct json_at name = { .file = at->file, .up = at, .key = key };

	if (spec->namespaces[NAMESPACE_UTS].wanted ||
	    (spec->hostname[0] == '\0' && spec->domainname[0] == '\0'))
		return 0;
	return json_error(&name, err, "unable to set %s without a private UTS namespace", key);
}

static int read_document(const struct json_at *at, struct spec *spec, struct error *err)
{
	static const char *const known[] = { "ociVersion", "process", "root",        "hostname",
					     "mounts",     "hooks",   "annotations", "linux",
					     "domainname", NULL };
	struct json_at member;
	int r = json_need_object(at, err);

	if (r < 0 || (r = read_version(at, spec, err)) < 0)
		return r;
	if (!json_member(at, "process", &member))
		return json_error(at, err, "process is missing");
	if ((r = spec_read_process(&member, &spec->process, err)) < 0 ||
	    (r = read_root(at, spec, err)) < 0 ||
	    (r = json_get_string(at, "hostname", 64, &spec->hostname, err)) < 0 ||
	    (r = json_get_string(at, "domainname", 64, &spec->domainname, err)) < 0 ||
	    (r = refuse_vm(at, err)) < 0 || (r = read_mounts(at, spec, err)) < 0 ||
	    (r = read_hooks(at, spec, err)) < 0 ||
	    (r = spec_note_unknown(&spec->unapplied, at, known, err)) < 0)
		return r;
	if (json_member(at, "annotations", &member)) {
		r = spec_read_pairs(&member, &spec->annotations, &spec->n_annotations, err);
		if (r < 0)
			return r;
	}
	if (json_member(at, "linux", &member) && (r = spec_read_linux(&member, spec, err)) < 0)
		return r;
	return check_names(at, spec, err);
}

int spec_parse(const char *name, const char *bundle, const char *text, size_t len,
	       struct spec **ret, struct error *err)
{
	CLEANUP(json_freep) struct json_object *object = NULL;
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct json_at root;
	int r = json_parse(name, text, len, false, &object, err);

	if (r < 0)
		return r;
	spec = calloc(1, sizeof(*spec));
	if (spec == NULL)
		return error_set(err, ENOMEM, "parse %s", name);
	spec->bundle = strdup(bundle);
	spec->hostname = strdup("");
	spec->domainname = strdup("");
	spec->cgroups_path = strdup("");
	if (spec->bundle == NULL || spec->hostname == NULL || spec->domainname == NULL ||
	    spec->cgroups_path == NULL)
		return error_set(err, ENOMEM, "parse %s", name);
	for (size_t i = 0; i < NAMESPACE_TYPES; i++) {
		spec->namespaces[i].path = strdup("");
		if (spec->namespaces[i].path == NULL)
			return error_set(err, ENOMEM, "parse %s", name);
	}
	root = json_root(name, object);
	r = read_document(&root, spec, err);
	if (r < 0)
		return r;
	*ret = steal_ptr(&spec);
	return 0;
}

int spec_load(const char *bundle, struct spec **ret, struct error *err)
{
	CLEANUP(freep) char *absolute = realpath(bundle, NULL);
	CLEANUP(freep) char *text = NULL;
	char path[PATH_MAX];
	size_t len;
	int r;

	if (absolute == NULL)
		return error_set(err, errno, "bundle %s", bundle);
	if (str_format(path, sizeof(path), "%s/config.json", absolute) < 0)
		return error_set(err, ENAMETOOLONG, "bundle %s", bundle);
	r = json_read_file(path, &text, &len, err);
	if (r < 0)
		return r;
	return spec_parse(path, absolute, text, len, ret, err);
}

const char *spec_annotation(const struct spec *spec, const char *name)
{
	for (uint32_t i = 0; i < spec->n_annotations; i++)
		if (str_eq(spec->annotations[i].name, name))
			return spec->annotations[i].value;
	return NULL;
}

void spec_process_warnings(const struct spec_process *process, spec_warn_fn *warn, void *userdata)
{
	for (uint32_t i = 0; i < process->unapplied.count; i++)
		warn(process->unapplied.items[i], userdata);
}

void spec_resources_warnings(const struct spec_resources *resources, spec_warn_fn *warn,
			     void *userdata)
{
	for (uint32_t i = 0; i < resources->unapplied.count; i++)
		warn(resources->unapplied.items[i], userdata);
}

void spec_warnings(const struct spec *spec, spec_warn_fn *warn, void *userdata)
{
	spec_process_warnings(&spec->process, warn, userdata);
	spec_resources_warnings(&spec->resources, warn, userdata);
	for (uint32_t i = 0; i < spec->unapplied.count; i++)
		warn(spec->unapplied.items[i], userdata);
}

static void hooks_fini(struct spec_hooks *hooks)
{
	for (uint32_t i = 0; i < hooks->count; i++) {
		free(hooks->items[i].path);
		json_strings_fini(&hooks->items[i].args);
		json_strings_fini(&hooks->items[i].env);
	}
	free(hooks->items);
}

static void spec_process_fini(struct spec_process *process)
{
	free(process->groups);
	json_strings_fini(&process->args);
	json_strings_fini(&process->env);
	free(process->cwd);
	free(process->rlimits);
	json_strings_fini(&process->unapplied);
}

void spec_process_free(struct spec_process *process)
{
	if (process == NULL)
		return;
	spec_process_fini(process);
	free(process);
}

void spec_free(struct spec *spec)
{
	if (spec == NULL)
		return;
	free(spec->bundle);
	free(spec->oci_version);
	spec_process_fini(&spec->process);
	free(spec->root_path);
	free(spec->hostname);
	free(spec->domainname);
	for (uint32_t i = 0; i < spec->n_mounts; i++) {
		free(spec->mounts[i].destination);
		free(spec->mounts[i].type);
		free(spec->mounts[i].source);
		json_strings_fini(&spec->mounts[i].options);
	}
	free(spec->mounts);
	for (size_t kind = 0; kind < HOOK_KINDS; kind++)
		hooks_fini(&spec->hooks[kind]);
	spec_pairs_free(spec->annotations, spec->n_annotations);
	for (size_t i = 0; i < NAMESPACE_TYPES; i++)
		free(spec->namespaces[i].path);
	free(spec->uid_map);
	free(spec->gid_map);
	free(spec->cgroups_path);
	for (uint32_t i = 0; i < spec->n_devices; i++)
		free(spec->devices[i].path);
	free(spec->devices);
	json_strings_fini(&spec->masked_paths);
	json_strings_fini(&spec->readonly_paths);
	spec_pairs_free(spec->sysctl, spec->n_sysctl);
	spec_resources_fini(&spec->resources);
	spec_seccomp_fini(&spec->seccomp);
	json_strings_fini(&spec->unapplied);
	free(spec);
}
