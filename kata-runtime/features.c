/*
 * The features document: see features.h. Called by `features`, which docker runs for every
 * registered runtime when it starts: nothing is looked at but our own tables.
 */
#include "kata-runtime/features.h"

#include <cap-ng.h>
#include <ctype.h>
#include <json-c/json.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdio.h>

#include "config.h"
#include "kata-runtime/config.h"
#include "kata-runtime/spec-mount.h"
#include "kata-runtime/spec.h"
#include "kata-runtime/systemd-property.h"

static void add_text(struct json_object *list, const char *text)
{
	json_object_array_add(list, json_object_new_string(text));
}

static void add_flag(struct json_object *o, const char *key, bool yes)
{
	json_object_object_add(o, key, json_object_new_boolean(yes));
}

/* {"enabled": yes} */
static struct json_object *enabled(bool yes)
{
	struct json_object *o = json_object_new_object();

	add_flag(o, "enabled", yes);
	return o;
}

static struct json_object *hooks(void)
{
	struct json_object *list = json_object_new_array();

	for (unsigned kind = 0; kind < HOOK_KINDS; kind++)
		add_text(list, spec_hook_kind_name(kind));
	return list;
}

static struct json_object *mount_options(void)
{
	struct json_object *list = json_object_new_array();
	const char *name;

	for (size_t i = 0; (name = mount_option_name(i)) != NULL; i++)
		add_text(list, name);
	return list;
}

static struct json_object *namespaces(void)
{
	struct json_object *list = json_object_new_array();

	for (unsigned type = 0; type < NAMESPACE_TYPES; type++)
		add_text(list, spec_namespace_name(type));
	return list;
}

/* The guest's kernel decides in the end; it drops what it does not know. */
static struct json_object *capabilities(void)
{
	struct json_object *list = json_object_new_array();
	char name[64];

	for (unsigned i = 0; i <= CAP_LAST_CAP; i++) {
		const char *known = capng_capability_to_name(i);

		if (known == NULL)
			continue;
		snprintf(name, sizeof(name), "CAP_%s", known);
		for (char *p = name; *p != '\0'; p++)
			*p = (char)toupper((unsigned char)*p);
		add_text(list, name);
	}
	return list;
}

static struct json_object *seccomp_words(enum spec_seccomp_words kind)
{
	struct json_object *list = json_object_new_array();
	const char *name;

	for (size_t i = 0; (name = spec_seccomp_word(kind, i)) != NULL; i++)
		add_text(list, name);
	return list;
}

static struct json_object *seccomp(void)
{
	struct json_object *o = enabled(true);

	json_object_object_add(o, "actions", seccomp_words(SECCOMP_ACTIONS));
	json_object_object_add(o, "operators", seccomp_words(SECCOMP_OPERATORS));
	json_object_object_add(o, "archs", seccomp_words(SECCOMP_ARCHS));
	json_object_object_add(o, "knownFlags", seccomp_words(SECCOMP_FLAGS));
	json_object_object_add(o, "supportedFlags", seccomp_words(SECCOMP_FLAGS));
	return o;
}

/* On the host; in the guest it is always the second version. */
static struct json_object *cgroup(void)
{
	struct json_object *o = json_object_new_object();

	add_flag(o, "v1", true);
	add_flag(o, "v2", true);
	add_flag(o, "systemd", true);
	add_flag(o, "systemdUser", false);
	add_flag(o, "rdma", false);
	return o;
}

static struct json_object *linux_part(void)
{
	struct json_object *o = json_object_new_object();
	struct json_object *extensions = json_object_new_object();

	json_object_object_add(o, "namespaces", namespaces());
	json_object_object_add(o, "capabilities", capabilities());
	json_object_object_add(o, "cgroup", cgroup());
	json_object_object_add(o, "seccomp", seccomp());
	/* The guest has neither of these, and no control over the host's caches. */
	json_object_object_add(o, "apparmor", enabled(false));
	json_object_object_add(o, "selinux", enabled(false));
	json_object_object_add(o, "intelRdt", enabled(false));
	json_object_object_add(extensions, "idmap", enabled(false));
	json_object_object_add(o, "mountExtensions", extensions);
	return o;
}

static struct json_object *annotations(void)
{
	struct json_object *o = json_object_new_object();
	const struct scmp_version *version = seccomp_version();
	char text[48] = "";

	if (version != NULL)
		snprintf(text, sizeof(text), "%u.%u.%u", version->major, version->minor,
			 version->micro);
	json_object_object_add(o, "io.github.seccomp.libseccomp.version",
			       json_object_new_string(text));
	json_object_object_add(o, "io.katacontainers.runtime.version",
			       json_object_new_string(KATA_VERSION));
	/* The name that engines look for. */
	json_object_object_add(o, "org.opencontainers.runc.checkpoint.enabled",
			       json_object_new_string("false"));
	return o;
}

struct json_object *features_make(void)
{
	struct json_object *o = json_object_new_object();
	struct json_object *unsafe = json_object_new_array();

	json_object_object_add(o, "ociVersionMin", json_object_new_string("1.0.0"));
	json_object_object_add(o, "ociVersionMax", json_object_new_string("1.1.0"));
	json_object_object_add(o, "hooks", hooks());
	json_object_object_add(o, "mountOptions", mount_options());
	json_object_object_add(o, "linux", linux_part());
	json_object_object_add(o, "annotations", annotations());
	json_object_array_add(unsafe, json_object_new_string(CONFIG_ANNOTATIONS));
	json_object_array_add(unsafe, json_object_new_string(SYSTEMD_PROPERTY));
	json_object_object_add(o, "potentiallyUnsafeConfigAnnotations", unsafe);
	return o;
}
