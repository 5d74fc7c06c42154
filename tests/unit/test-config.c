/* kata-runtime/config*.c: what is read from where, what is refused, and that its texts agree. */
#include "kata-runtime/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/config-keys.h"
#include "kata-runtime/json.h"
#include "tests/unit/srcdir.h"

static int parse(const char *text, struct config *ret, struct error *err)
{
	return config_parse("c.json", text, strlen(text), ret, err);
}

Test(config, refuses)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "[]", "c.json: expected an object" },
		{ "{\"hypervisor\":{}", "c.json: line 1: unexpected end of data" },
		{ "{\n\"hypervisor\": {\n\"default_vcpus\" 1 }}",
		  "c.json: line 3: object property name separator ':' expected" },
		{ "{\"hypervisors\":{}}", "c.json: hypervisors: unknown section" },
		{ "{\"hypervisor\":[]}", "c.json: hypervisor: expected an object" },
		{ "{\"hypervisor\":{\"defaultvcpus\":1}}",
		  "c.json: hypervisor.defaultvcpus: unknown key" },
		{ "{\"shim\":{\"kernel\":\"/k\"}}", "c.json: shim.kernel: unknown key" },
		{ "{\"hypervisor\":{\"default_vcpus\":\"1\"}}",
		  "c.json: hypervisor.default_vcpus: expected a number from 1 to 240" },
		{ "{\"hypervisor\":{\"default_vcpus\":0}}",
		  "c.json: hypervisor.default_vcpus: expected a number from 1 to 240" },
		{ "{\"hypervisor\":{\"default_memory\":127}}",
		  "c.json: hypervisor.default_memory: expected a number from 128 to 1048576" },
		{ "{\"hypervisor\":{\"default_memory\":1e3}}",
		  "c.json: hypervisor.default_memory: expected a number from 128 to 1048576" },
		{ "{\"hypervisor\":{\"default_memory\":null}}",
		  "c.json: hypervisor.default_memory: expected a number from 128 to 1048576" },
		{ "{\"hypervisor\":{\"enable_debug\":1}}",
		  "c.json: hypervisor.enable_debug: expected true or false" },
		{ "{\"hypervisor\":{\"accelerator\":\"KVM\"}}",
		  "c.json: hypervisor.accelerator: expected one of \"auto\", \"kvm\", \"tcg\"" },
		{ "{\"hypervisor\":{\"virtio_fs_cache\":true}}",
		  "c.json: hypervisor.virtio_fs_cache: expected one of \"none\", \"auto\", "
		  "\"always\"" },
		{ "{\"hypervisor\":{\"path\":\"qemu\"}}",
		  "c.json: hypervisor.path: expected an absolute path" },
		{ "{\"hypervisor\":{\"path\":7}}", "c.json: hypervisor.path: expected a string" },
		{ "{\"hypervisor\":{\"enable_annotations\":\".*\"}}",
		  "c.json: hypervisor.enable_annotations: expected a list" },
		{ "{\"hypervisor\":{\"enable_annotations\":[\"a\",\"(\"]}}",
		  "c.json: hypervisor.enable_annotations[1]: \"(\" is no regular expression: "
		  "Unmatched ( or \\(" },
		{ "{\"hypervisor\":{\"enable_annotations\":[\"a{9}\"]}}",
		  "c.json: hypervisor.enable_annotations[0]: counts in braces are not supported" },
		{ "{\"hypervisor\":{\"valid_kernel_paths\":[\"boot/*\"]}}",
		  "c.json: hypervisor.valid_kernel_paths[0]: expected an absolute path" },
		{ "{\"hypervisor\":{\"virtio_fs_daemon\":\"x\"}}",
		  "c.json: hypervisor.virtio_fs_daemon: expected \"auto\" or an absolute path" },
		{ "{\"hypervisor\":{\"kernel_params\":\"a\\nb\"}}",
		  "c.json: hypervisor.kernel_params: a control character is not allowed" },
		{ "{\"runtime\":{\"uid_range\":\"100000\"}}",
		  "c.json: runtime.uid_range: expected START:COUNT, two numbers" },
		{ "{\"runtime\":{\"log_target\":\"syslog\"}}",
		  "c.json: runtime.log_target: expected one of \"auto\", \"journal\", \"file\"" },
		{ "{\"hypervisor\":{\"shared_fs\":\"none\"}}",
		  "c.json: hypervisor.shared_fs: expected one of \"virtio-fs\", "
		  "\"virtio-fs-mknod\"" },
		{ "{\"hypervisor\":{\"shared_fs\":\"virtio-9p\"}}",
		  "c.json: hypervisor.shared_fs: expected one of \"virtio-fs\", "
		  "\"virtio-fs-mknod\"" },
		{ "{\"runtime\":{\"uid_mode\":\"host\"}}",
		  "c.json: runtime.uid_mode: expected one of \"private\", \"shared\"" },
		{ "{\"runtime\":{\"seccomp\":\"off\"}}",
		  "c.json: runtime.seccomp: expected one of \"kill\", \"log\"" },
		{ "{\"agent\":{},\"agent\":{}}",
		  "c.json: line 1: the key \"agent\" is there twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config = { 0 };
		struct error err = { 0 };

		cr_expect(parse(cases[i].text, &config, &err) == -EINVAL, "case %zu", i);
		cr_expect_str_eq(err.text, cases[i].error, "case %zu: %s", i, err.text);
		cr_expect(config.source == NULL);
	}
}

Test(config, every_key_is_read)
{
	CLEANUP(config_fini) struct config c = { 0 };
	struct error err = { 0 };

	cr_assert(parse("{\"hypervisor\":{\"path\":\"/q\",\"kernel\":\"/k\",\"initrd\":\"/i\","
			"\"kernel_params\":\"a=b\",\"accelerator\":\"tcg\",\"default_vcpus\":3,"
			"\"default_memory\":512,\"virtio_fs_daemon\":\"/v\",\"virtio_fs_cache\":"
			"\"always\",\"enable_debug\":true},\"proxy\":{\"path\":\"/"
			"p\",\"enable_debug\":"
			"true},\"shim\":{\"path\":\"/s\",\"enable_debug\":true},\"agent\":"
			"{\"enable_debug\":true},\"runtime\":{\"enable_debug\":true,\"log_target\":"
			"\"file\",\"log_dir\":\"/l\",\"uid_range\":\"100000:8\","
			"\"create_container_timeout\":5}}",
			&c, &err) == 0,
		  "%s", err.text);
	cr_expect_str_eq(c.hypervisor.path, "/q");
	cr_expect_str_eq(c.hypervisor.kernel, "/k");
	cr_expect_str_eq(c.hypervisor.initrd, "/i");
	cr_expect_str_eq(c.hypervisor.kernel_params, "a=b");
	cr_expect(c.hypervisor.accelerator == ACCELERATOR_TCG && c.hypervisor.default_vcpus == 3);
	cr_expect(c.hypervisor.default_memory == 512 && c.hypervisor.enable_debug);
	cr_expect_str_eq(c.hypervisor.virtio_fs_daemon, "/v");
	cr_expect(c.hypervisor.virtio_fs_cache == VIRTIO_FS_CACHE_ALWAYS);
	cr_expect_str_eq(c.proxy.path, "/p");
	cr_expect_str_eq(c.shim.path, "/s");
	cr_expect(c.proxy.enable_debug && c.shim.enable_debug && c.agent.enable_debug);
	cr_expect(c.runtime.enable_debug && c.runtime.log_target == LOG_TARGET_FILE);
	cr_expect_str_eq(c.runtime.log_dir, "/l");
	cr_expect_str_eq(c.runtime.uid_range, "100000:8");
	cr_expect(c.runtime.create_container_timeout == 5);
	cr_expect_str_eq(c.source, "c.json");
}

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	config_print(config, out);
	fclose(out);
	return text;
}

Test(config, print_is_read_again)
{
	CLEANUP(config_fini) struct config a = { 0 }, b = { 0 };
	CLEANUP(freep) char *first = NULL, *second = NULL;
	struct error err = { 0 };

	cr_assert(
		parse("{\"hypervisor\":{\"kernel_params\":\"x \\\"y\\\" \\\\\",\"default_memory\":"
		      "300}}",
		      &a, &err) == 0);
	first = print(&a);
	cr_assert(parse(first, &b, &err) == 0, "%s", err.text);
	second = print(&b);
	cr_assert_str_eq(first, second);
	cr_assert(strstr(first, "\"default_memory\":300") != NULL);
}

Test(config, shipped_file_is_the_defaults)
{
	const char *path = TEST_SRCDIR "/kata-runtime/configuration.json";
	CLEANUP(config_fini) struct config shipped = { 0 }, defaults = { 0 };
	CLEANUP(freep) char *a = NULL, *b = NULL, *text = NULL;
	struct error err = { 0 };
	char name[64];
	size_t len;

	cr_assert(json_read_file(path, &text, &len, &err) == 0, "%s", err.text);
	cr_assert(config_parse(path, text, len, &shipped, &err) == 0, "%s", err.text);
	cr_assert(parse("{}", &defaults, &err) == 0);
	a = print(&shipped);
	b = print(&defaults);
	cr_assert_str_eq(a, b);
	for (const struct config_key *key = config_keys; key->name != NULL; key++) {
		snprintf(name, sizeof(name), "\"%s\":", key->name);
		cr_expect(strstr(text, name) != NULL, "%s is not in the shipped file", key->name);
	}
}

/* The part of the manual page between .SH KEYS and the next .SH is config_document()'s. */
Test(config, manual_page_has_every_key)
{
	const char *path = TEST_SRCDIR "/kata-runtime/kata-configuration.5";
	CLEANUP(freep) char *page = NULL, *keys = NULL;
	struct error err = { 0 };
	FILE *out;
	size_t len;

	out = open_memstream(&keys, &len);
	config_document(out);
	fclose(out);
	cr_assert(json_read_file(path, &page, &len, &err) == 0, "%s", err.text);
	cr_assert(strstr(page, keys) != NULL, "the page's section KEYS should be:\n%s", keys);
}

/* --- annotations --- */

#define HYPERVISOR(name) CONFIG_ANNOTATIONS "hypervisor." name
#define LETS(list) "{\"hypervisor\":{\"enable_annotations\":[" list "],\"kernel_params\":\"a\"}}"

Test(config, annotations)
{
	static const struct {
		const char *file, *name, *value;
		uint32_t vcpus; /* 1: nothing was changed */
	} cases[] = {
		{ "{}", HYPERVISOR("default_vcpus"), "4", 1 },
		{ LETS("\"default_vcpus\""), HYPERVISOR("default_vcpus"), "4", 4 },
		{ LETS("\"hypervisor.default_vcpus\""), HYPERVISOR("default_vcpus"), "4", 4 },
		{ LETS("\"x\",\".*\""), HYPERVISOR("default_vcpus"), "4", 4 },
		{ LETS("\"x|default_(vcpus|memory)\""), HYPERVISOR("default_vcpus"), "4", 4 },
		/* The whole name, and a name that there is. */
		{ LETS("\"vcpus\",\"default\",\"\",\"default_v\""), HYPERVISOR("default_vcpus"),
		  "4", 1 },
		{ LETS("\"runtime.*\""), HYPERVISOR("default_vcpus"), "4", 1 },
		{ LETS("\".*\""), HYPERVISOR("default_vcpu"), "4", 1 },
		{ LETS("\".*\""), HYPERVISOR("enable_annotations"), "4", 1 },
		{ LETS("\".*\""), "io.katacontainers.config_path", "/etc/passwd", 1 },
		{ LETS("\".*\""), "hypervisor.default_vcpus", "4", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(config_fini) struct config c = { 0 };
		struct spec_pair pair = { (char *)cases[i].name, (char *)cases[i].value };
		struct wire_strings taken = { &pair.name, 1 };
		struct error err = { 0 };

		cr_assert(parse(cases[i].file, &c, &err) == 0, "%s", err.text);
		cr_expect(config_takes(&c, pair.name) == (cases[i].vcpus != 1), "case %zu", i);
		cr_assert(config_annotate(&c, &pair, 1, NULL, &err) == 0, "%s", err.text);
		cr_expect(c.hypervisor.default_vcpus == cases[i].vcpus, "case %zu: %u", i,
			  c.hypervisor.default_vcpus);
		/* What a VM was made with stays so, whatever the files say later. */
		config_fini(&c);
		cr_assert(parse("{}", &c, &err) == 0, "%s", err.text);
		taken.count = cases[i].vcpus != 1;
		cr_assert(config_annotate(&c, &pair, 1, &taken, &err) == 0, "%s", err.text);
		cr_expect(c.hypervisor.default_vcpus == cases[i].vcpus, "case %zu again", i);
	}
}

Test(config, annotations_of_each_type)
{
	CLEANUP(config_fini) struct config c = { 0 };
	struct spec_pair pairs[] = {
		{ HYPERVISOR("kernel_params"), "b=1 c" },
		{ HYPERVISOR("default_max_memory"), "2048" },
		{ HYPERVISOR("virtio_fs_cache"), "always" },
		{ HYPERVISOR("initrd"), "/usr/bin/env" },
		{ CONFIG_ANNOTATIONS "runtime.disable_new_netns", "true" },
		{ CONFIG_ANNOTATIONS "runtime.internetworking_model", "none" },
	};
	struct error err = { 0 };

	cr_assert(parse("{\"hypervisor\":{\"enable_annotations\":[\".*\"],\"kernel_params\":\"a\","
			"\"valid_initrd_paths\":[\"/x\",\"/usr/*/en[v]\"]}}",
			&c, &err) == 0,
		  "%s", err.text);
	cr_assert(config_annotate(&c, pairs, ARRAY_SIZE(pairs), NULL, &err) == 0, "%s", err.text);
	cr_expect_str_eq(c.hypervisor.kernel_params, "a b=1 c");
	cr_expect(c.hypervisor.default_maxmemory == 2048);
	cr_expect(c.hypervisor.virtio_fs_cache == VIRTIO_FS_CACHE_ALWAYS);
	cr_expect_str_eq(c.hypervisor.initrd, "/usr/bin/env");
	cr_expect(c.runtime.disable_new_netns && c.runtime.internetworking_model == MODEL_NONE);
}

Test(config, annotations_that_are_refused)
{
	static const struct {
		const char *name, *value, *error;
	} cases[] = {
		{ "default_vcpus", "0", "expected a number from 1 to 240" },
		{ "default_vcpus", "two", "expected a number from 1 to 240" },
		{ "default_vcpus", "2 ", "expected a number from 1 to 240" },
		{ "default_vcpus", "-1", "expected a number from 1 to 240" },
		{ "default_vcpus", "", "expected a number from 1 to 240" },
		{ "default_memory", "99999999999999999999",
		  "expected a number from 128 to 1048576" },
		{ "virtio_fs_cache", "x", "expected one of \"none\", \"auto\", \"always\"" },
		{ "kernel_params", "a\nb", "a control character is not allowed" },
		/* Of no list, not below it, by a link, by dots, and what is not there. */
		{ "path", "/usr/bin/env",
		  "/usr/bin/env is no file that the configuration's list of valid paths has" },
		{ "kernel", "/usr/lib/os-release",
		  "/usr/lib/os-release is no file that the configuration's list of valid paths "
		  "has" },
		{ "kernel", "/etc/mtab",
		  "/etc/mtab is no file that the configuration's list of valid paths has" },
		{ "kernel", "/etc/../etc/passwd",
		  "/etc/../etc/passwd is no file that the configuration's list of valid paths "
		  "has" },
		{ "kernel", "/etc/nosuch",
		  "/etc/nosuch is no file that the configuration's list of valid paths has" },
		{ "kernel", "passwd",
		  "passwd is no file that the configuration's list of valid paths has" },
		{ "virtio_fs_daemon", "auto",
		  "auto is no file that the configuration's list of valid paths has" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(config_fini) struct config c = { 0 };
		struct error err = { 0 };
		char name[128], wanted[512];
		struct spec_pair pair = { name, (char *)cases[i].value };

		cr_assert(parse("{\"hypervisor\":{\"enable_annotations\":[\".*\"],"
				"\"valid_kernel_paths\":[\"/etc/*\"]}}",
				&c, &err) == 0,
			  "%s", err.text);
		snprintf(name, sizeof(name), "%s%s", HYPERVISOR(""), cases[i].name);
		snprintf(wanted, sizeof(wanted), "config.json: annotations.%s: %s", name,
			 cases[i].error);
		cr_expect(config_annotate(&c, &pair, 1, NULL, &err) == -EINVAL, "case %zu", i);
		cr_expect_str_eq(err.text, wanted, "case %zu: %s", i, err.text);
	}
}

/* --- files --- */

static char dir[] = "/tmp/kata-test-config-XXXXXX";

static void make_dir(void)
{
	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	cr_assert(mkdir("etc", 0755) == 0 && mkdir("etc/configuration.d", 0755) == 0);
	cr_assert(mkdir("usr", 0755) == 0);
}

static void remove_dir(void)
{
	static const char *const files[] = { "etc/configuration.json",
					     "usr/configuration.json",
					     "etc/configuration.d/10-a.json",
					     "etc/configuration.d/9-b.json",
					     "etc/configuration.d/.hidden.json",
					     "etc/configuration.d/10-a.json.bak",
					     "only.json" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(files[i]);
	rmdir("etc/configuration.d");
	rmdir("etc");
	rmdir("usr");
	cr_expect(rmdir(dir) == 0);
}

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "we");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
	cr_assert(chmod(path, mode) == 0);
}

static int load(const char *only, struct config *ret, struct error *err)
{
	return config_load_from("etc", "usr", only, ret, err);
}

Test(config, no_file_means_defaults, .init = make_dir, .fini = remove_dir)
{
	CLEANUP(config_fini) struct config c = { 0 };
	struct error err = { 0 };

	cr_assert(load(NULL, &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_memory == 256 && str_eq(c.source, ""));
	cr_expect(c.hypervisor.virtio_fs_daemon[0] == '/');
}

Test(config, order_of_files, .init = make_dir, .fini = remove_dir)
{
	struct config c = { 0 };
	struct error err = { 0 };

	put("usr/configuration.json",
	    "{\"hypervisor\":{\"default_memory\":300,\"default_vcpus\":2}}", 0644);
	cr_assert(load(NULL, &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_memory == 300 && c.hypervisor.default_vcpus == 2);
	config_fini(&c);

	/* /etc's replaces the shipped one, it does not add to it. */
	put("etc/configuration.json", "{\"hypervisor\":{\"default_memory\":400}}", 0600);
	cr_assert(load(NULL, &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_memory == 400 && c.hypervisor.default_vcpus == 1);
	config_fini(&c);

	put("etc/configuration.d/9-b.json", "{\"hypervisor\":{\"default_memory\":509}}", 0644);
	put("etc/configuration.d/10-a.json",
	    "{\"hypervisor\":{\"default_memory\":510,\"default_vcpus\":4}} // x", 0644);
	put("etc/configuration.d/.hidden.json", "{", 0644);
	put("etc/configuration.d/10-a.json.bak", "{", 0644);
	cr_assert(load(NULL, &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_memory == 509 && c.hypervisor.default_vcpus == 4);
	cr_expect_str_eq(c.source, "etc/configuration.json, etc/configuration.d/10-a.json, "
				   "etc/configuration.d/9-b.json");
	config_fini(&c);

	put("only.json", "{\"hypervisor\":{\"default_vcpus\":7}}", 0644);
	cr_assert(load("only.json", &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_memory == 256 && c.hypervisor.default_vcpus == 7);
	config_fini(&c);
}

Test(config, bad_files, .init = make_dir, .fini = remove_dir)
{
	struct config c = { 0 };
	struct error err = { 0 };

	cr_expect(load("only.json", &c, &err) == -ENOENT);
	cr_expect_str_eq(err.text, "open only.json: not found");
	put("only.json", "{}", 0664);
	cr_expect(load("only.json", &c, &err) == -EACCES);
	cr_expect_str_eq(err.text, "only.json: mode 0664 lets others than its owner write it");
	put("only.json", "{}", 0646);
	cr_expect(load("only.json", &c, &err) == -EACCES);
	cr_expect(load("etc", &c, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "etc: not a regular file");
	if (geteuid() == 0) {
		put("only.json", "{}", 0600);
		cr_assert(chown("only.json", 65534, 0) == 0);
		cr_expect(load("only.json", &c, &err) == -EACCES);
		cr_expect_str_eq(err.text, "only.json: belongs to uid 65534, expected root");
	}
	cr_expect(load("only.json/x", &c, &err) == -ENOTDIR);
	cr_expect_str_eq(err.text, "open only.json/x: a part of the path is no directory");
	put("etc/configuration.d/9-b.json", "{\"a\":1}", 0644);
	cr_expect(load(NULL, &c, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "etc/configuration.d/9-b.json: a: unknown section");
	cr_assert(chmod("etc/configuration.d", 0777) == 0);
	cr_expect(load(NULL, &c, &err) == -EACCES);
	put("etc/configuration.json", "{\"b\":1}", 0644);
	cr_expect(load(NULL, &c, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "etc/configuration.json: b: unknown section");
	cr_expect(c.source == NULL);
}

/* Directories of it that are none. */
Test(config, bad_directories, .init = make_dir, .fini = remove_dir)
{
	char deep[PATH_MAX + 1];
	struct config c = { 0 };
	struct error err = { 0 };

	memset(deep, 'x', PATH_MAX);
	deep[PATH_MAX] = '\0';
	cr_expect(config_load_from(deep, "usr", NULL, &c, &err) == -ENAMETOOLONG);
	cr_expect(config_load_from("etc", deep, NULL, &c, &err) == -ENAMETOOLONG);
	cr_assert(config_load_from("nowhere", "usr", NULL, &c, &err) == 0, "%s", err.text);
	config_fini(&c);
	cr_assert(rmdir("etc/configuration.d") == 0);
	put("etc/configuration.d", "{}", 0644);
	cr_expect(load(NULL, &c, &err) == -ENOTDIR);
	cr_expect_str_eq(err.text, "open etc/configuration.d: a part of the path is no directory");
	cr_assert(unlink("etc/configuration.d") == 0);
}

/* As the verbs do it with --kata-config. */
Test(config, a_named_file_alone, .init = make_dir, .fini = remove_dir)
{
	CLEANUP(config_fini) struct config c = { 0 };
	struct error err = { 0 };

	put("only.json", "{\"hypervisor\":{\"default_vcpus\":7}}", 0644);
	cr_assert(config_load("only.json", &c, &err) == 0, "%s", err.text);
	cr_expect(c.hypervisor.default_vcpus == 7 && str_eq(c.source, "only.json"));
}
