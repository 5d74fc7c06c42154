/* kata-runtime/weak.c: each weaker setting is named, and nothing else is. */
#include "kata-runtime/weak.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/cleanup.h"

Test(weak, each_alone)
{
	static const struct {
		const char *text;
		enum launch_link link;
		bool tcg;
		const char *key, *value; /* NULL: nothing is weaker */
	} cases[] = {
		{ "{}", LAUNCH_LINK_VIRTIO_SERIAL, false, NULL, NULL },
		/* What is logged, or how a machine is made, is no matter of its guards. */
		{ "{\"hypervisor\":{\"enable_debug\":true,\"default_vcpus\":2,"
		  "\"shared_fs\":\"virtio-fs\",\"agent_link\":\"virtio-serial\"},"
		  "\"runtime\":{\"uid_mode\":\"private\",\"seccomp\":\"kill\","
		  "\"disable_new_netns\":false}}",
		  LAUNCH_LINK_VIRTIO_SERIAL, false, NULL, NULL },
		{ "{\"runtime\":{\"uid_mode\":\"shared\"}}", LAUNCH_LINK_VIRTIO_SERIAL, false,
		  "runtime.uid_mode", "shared" },
		{ "{\"runtime\":{\"seccomp\":\"log\"}}", LAUNCH_LINK_VIRTIO_SERIAL, false,
		  "runtime.seccomp", "log" },
		{ "{\"hypervisor\":{\"shared_fs\":\"virtio-fs-mknod\"}}", LAUNCH_LINK_VIRTIO_SERIAL,
		  false, "hypervisor.shared_fs", "virtio-fs-mknod" },
		{ "{\"hypervisor\":{\"enable_annotations\":[\"kernel_params\"]}}",
		  LAUNCH_LINK_VIRTIO_SERIAL, false, "hypervisor.enable_annotations", "not empty" },
		/* Without an annotation that is taken nobody can choose from them. */
		{ "{\"hypervisor\":{\"valid_kernel_paths\":[\"/k/*\"]}}", LAUNCH_LINK_VIRTIO_SERIAL,
		  false, NULL, NULL },
		{ "{\"runtime\":{\"disable_new_netns\":true,\"internetworking_model\":\"none\"}}",
		  LAUNCH_LINK_VIRTIO_SERIAL, false, "runtime.disable_new_netns", "true" },
		{ "{}", LAUNCH_LINK_VHOST_USER_VSOCK, false, "hypervisor.agent_link",
		  "vhost-user-vsock" },
		{ "{}", LAUNCH_LINK_VHOST_VSOCK, false, "hypervisor.agent_link", "vhost-vsock" },
		{ "{}", LAUNCH_LINK_VIRTIO_SERIAL, true, "hypervisor.accelerator", "tcg" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(config_fini) struct config config = { 0 };
		struct weak weak[WEAK_MAX];
		struct error err = { 0 };

		cr_assert(config_parse("c.json", cases[i].text, strlen(cases[i].text), &config,
				       &err) == 0,
			  "%s", err.text);
		cr_assert_eq(weak_list(&(struct weak_facts){ &config, cases[i].link, cases[i].tcg },
				       weak),
			     cases[i].key != NULL, "case %zu", i);
		if (cases[i].key == NULL)
			continue;
		cr_assert_str_eq(weak[0].key, cases[i].key);
		cr_assert_str_eq(weak[0].value, cases[i].value);
		cr_assert(strlen(weak[0].why) > 10);
	}
}

Test(weak, paths_that_annotations_choose_from)
{
	static const char *const keys[] = { "valid_hypervisor_paths", "valid_kernel_paths",
					    "valid_initrd_paths", "valid_virtio_fs_daemon_paths" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		CLEANUP(config_fini) struct config config = { 0 };
		struct weak weak[WEAK_MAX];
		struct error err = { 0 };
		char text[200];

		snprintf(text, sizeof(text),
			 "{\"hypervisor\":{\"enable_annotations\":[\".*\"],\"%s\":[\"/k/*\"]}}",
			 keys[i]);
		cr_assert(config_parse("c.json", text, strlen(text), &config, &err) == 0, "%s",
			  err.text);
		cr_assert_eq(weak_list(&(struct weak_facts){ .config = &config }, weak), 2);
		cr_assert_str_eq(weak[1].key, "hypervisor.valid_*_paths");
	}
}
