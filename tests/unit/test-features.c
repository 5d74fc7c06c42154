/* kata-runtime/features.c: it promises what config.json's reader takes, and nothing else. */
#include "kata-runtime/features.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "kata-runtime/spec-mount.h"
#include "kata-runtime/spec.h"

static struct json_object *at(struct json_object *o, const char *path)
{
	char copy[128], *rest = copy, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((key = strsep(&rest, "/")) != NULL)
		cr_assert(json_object_object_get_ex(o, key, &o), "%s of %s", key, path);
	return o;
}

static bool lists(struct json_object *o, const char *path, const char *word)
{
	struct json_object *list = at(o, path);

	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), word) == 0)
			return true;
	return false;
}

Test(features, has_the_members_of_the_specification)
{
	struct json_object *f = features_make();

	cr_expect_str_eq(json_object_get_string(at(f, "ociVersionMin")), "1.0.0");
	cr_expect_str_eq(json_object_get_string(at(f, "ociVersionMax")), "1.1.0");
	cr_expect_eq(json_object_array_length(at(f, "hooks")), HOOK_KINDS);
	cr_expect(lists(f, "hooks", "startContainer"));
	cr_expect(lists(f, "linux/namespaces", "network"));
	cr_expect(lists(f, "linux/capabilities", "CAP_SYS_ADMIN"));
	cr_expect(!lists(f, "linux/capabilities", "CAP_sys_admin"));
	cr_expect(json_object_get_boolean(at(f, "linux/cgroup/v2")));
	cr_expect(json_object_get_boolean(at(f, "linux/seccomp/enabled")));
	cr_expect(lists(f, "linux/seccomp/actions", "SCMP_ACT_ERRNO"));
	cr_expect(!lists(f, "linux/seccomp/actions", "SCMP_ACT_NOTIFY"), "it is refused");
	cr_expect(lists(f, "linux/seccomp/operators", "SCMP_CMP_MASKED_EQ"));
	cr_expect(lists(f, "linux/seccomp/archs", "SCMP_ARCH_X86_64"));
	cr_expect(lists(f, "linux/seccomp/supportedFlags", "SECCOMP_FILTER_FLAG_LOG"));
	cr_expect(!json_object_get_boolean(at(f, "linux/apparmor/enabled")));
	cr_expect(!json_object_get_boolean(at(f, "linux/selinux/enabled")));
	cr_expect(!json_object_get_boolean(at(f, "linux/mountExtensions/idmap/enabled")));
	cr_expect(lists(f, "potentiallyUnsafeConfigAnnotations", "io.katacontainers.config."));
	json_object_put(f);
}

/* Each option is taken as one that is no filesystem's own. */
Test(features, mount_options_are_those_of_the_parser)
{
	struct json_object *f = features_make(), *list = at(f, "mountOptions");

	cr_assert_gt(json_object_array_length(list), 30);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		char name[64];
		char *items[] = { name, NULL };
		struct spec_mount mount = { .destination = (char *)"/x",
					    .type = (char *)"tmpfs",
					    .source = (char *)"",
					    .options = { items, 1 } };
		struct mount_options options;
		struct error err = { 0 };

		snprintf(name, sizeof(name), "%s",
			 json_object_get_string(json_object_array_get_idx(list, i)));
		cr_assert_eq(mount_options_parse(&mount, &options, &err), 0, "%s", err.text);
		cr_expect_str_eq(options.data, "", "%s is handed to the filesystem", name);
		mount_options_fini(&options);
	}
	cr_expect(lists(f, "mountOptions", "rbind") && !lists(f, "mountOptions", "idmap"));
	json_object_put(f);
}
