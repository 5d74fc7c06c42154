/*
 * The parsers of kata-runtime when memory runs out: each allocation of each of them fails once.
 * What comes is -ENOMEM with words, or the result, when nobody needed that piece. Here malloc and
 * its kin are this program's own, so it does nothing where a sanitizer has them.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/json.h"
#include "kata-runtime/spec-mount.h"
#include "kata-runtime/spec.h"
#include "kata-runtime/store.h"
#include "tests/unit/no-memory.h"
#include "tests/unit/srcdir.h"

#if !SANITIZED

/* json-c's own parser ends by a signal where memory is short, and a verb with it. */
struct json_object *json_tokener_parse_ex(struct json_tokener *tokener, const char *text, int len)
{
	struct json_object *(*real)(struct json_tokener *, const char *, int);
	unsigned kept = fail_at;
	struct json_object *object;

	fail_at = 0;
	*(void **)&real = dlsym(RTLD_NEXT, "json_tokener_parse_ex");
	cr_assert(real != NULL);
	object = real(tokener, text, len);
	fail_at = kept;
	return object;
}

static char *read_text(const char *path, size_t *ret_len)
{
	CLEANUP(file_close) FILE *file = fopen(path, "re");
	char *text = calloc(1, 65536);

	cr_assert(file != NULL && text != NULL, "%s", path);
	*ret_len = fread(text, 1, 65535, file);
	cr_assert(*ret_len > 0);
	return text;
}

static void ignore(const char *what, void *userdata)
{
	*(size_t *)userdata += strlen(what);
}

static int run_spec(const char *text, size_t len, struct error *err)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	size_t sum = 0;
	int r = spec_parse("config.json", "/b", text, len, &spec, err);

	if (r < 0)
		return r;
	spec_warnings(spec, ignore, &sum);
	for (uint32_t i = 0; r == 0 && i < spec->n_mounts; i++) {
		struct mount_options options = { 0 };

		r = mount_options_parse(&spec->mounts[i], &options, err);
		if (r == 0)
			mount_options_fini(&options);
	}
	return r;
}

static int run_process(const char *text, size_t len, struct error *err)
{
	CLEANUP(spec_process_freep) struct spec_process *process = NULL;

	return spec_parse_process("process.json", text, len, &process, err);
}

static int run_config(const char *text, size_t len, struct error *err)
{
	CLEANUP(config_fini) struct config config = { 0 };

	return config_parse("c.json", text, len, &config, err);
}

static int run_state(const char *text, size_t len, struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	CLEANUP(state_fini) struct state made = { 0 };
	const struct store store = { .base = "/nonexistent", .root = "/nonexistent/c" };
	int r = state_parse("state.json", text, len, &state, err);

	if (r == 0)
		r = state_init(&made, &store, "box", err);
	return r < 0 ? r : state_set_agent_link(&made, "name", "reason", err);
}

static int run_mounts(const char *text, size_t len, struct error *err)
{
	CLEANUP(cgroup_mounts_fini) struct cgroup_mounts mounts = { .count = 0 };
	CLEANUP(cgroup_fini) struct cgroup cgroup = { .count = 0 };
	CLEANUP(cgroup_fini) struct cgroup loaded = { .count = 0 };
	struct wire_strings saved = { 0 };
	CLEANUP(freep) char *path = NULL;
	int r = cgroup_parse_mounts(text, &mounts, err);

	(void)len;
	if (r == 0)
		r = cgroup_path("system.slice:docker:abc", "0123456789abcdef", &path, err);
	if (r == 0)
		r = cgroup_plan_on(&mounts, path, true, &cgroup, err);
	if (r == 0)
		r = cgroup_save(&cgroup, &saved, err);
	if (r == 0)
		r = cgroup_load(&saved, false, &loaded, err);
	json_strings_fini(&saved);
	return r;
}

Test(no_memory, specs)
{
	static const char *const names[] = {
		"docker-privileged", "docker-plain", "podman-pod-member",
		"cri-sandbox",       "spec-default", "docker-readonly-tmpfs-vol-device-nnp"
	};
	char path[512];
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(freep) char *text = NULL;

		snprintf(path, sizeof(path), "%s/tests/unit/samples/%s.json", TEST_SRCDIR,
			 names[i]);
		text = read_text(path, &len);
		try_each(names[i], run_spec, text, len);
	}
}

Test(no_memory, spec_with_everything)
{
	static const char text[] =
		"{ \"ociVersion\": \"1.0.2\", \"root\": { \"path\": \"rootfs\", \"readonly\": true "
		"},"
		" \"hostname\": \"h\", \"domainname\": \"d\","
		" \"process\": { \"cwd\": \"/\", \"args\": [\"sh\"], \"env\": [\"A=b\"],"
		" \"user\": { \"uid\": 1, \"gid\": 2, \"additionalGids\": [3, 4] },"
		" \"rlimits\": [{ \"type\": \"RLIMIT_NOFILE\", \"hard\": 9, \"soft\": 8 }],"
		" \"ioPriority\": { \"class\": \"IOPRIO_CLASS_BE\", \"priority\": 3 },"
		" \"scheduler\": { \"policy\": \"SCHED_OTHER\", \"nice\": 3 } },"
		" \"annotations\": { \"a\": \"b\" },"
		" \"hooks\": { \"poststop\": [{ \"path\": \"/h\", \"args\": [\"h\"],"
		" \"env\": [\"C=d\"], \"timeout\": 3 }] },"
		" \"mounts\": [{ \"destination\": \"/t\", \"type\": \"tmpfs\", \"source\": \"t\","
		" \"options\": [\"size=1m\", \"nosuid\"] }],"
		" \"linux\": { \"cgroupsPath\": \"/c\", \"sysctl\": { \"net.ipv4.ip_forward\": "
		"\"1\" },"
		" \"namespaces\": [{ \"type\": \"mount\" }, { \"type\": \"uts\" },"
		" { \"type\": \"network\", \"path\": \"/n\" }],"
		" \"maskedPaths\": [\"/m\"], \"readonlyPaths\": [\"/r\"],"
		" \"devices\": [{ \"path\": \"/dev/x\", \"type\": \"c\", \"major\": 1, \"minor\": "
		"3 }],"
		" \"resources\": { \"devices\": [{ \"allow\": false, \"access\": \"rwm\" },"
		" { \"allow\": true, \"type\": \"c\", \"major\": 1, \"minor\": 3, \"access\": "
		"\"rw\" }],"
		" \"memory\": { \"limit\": 67108864, \"swap\": 134217728 },"
		" \"cpu\": { \"shares\": 512, \"quota\": 5000, \"period\": 1000, \"cpus\": \"0\","
		" \"mems\": \"0\" }, \"pids\": { \"limit\": 9 },"
		" \"blockIO\": { \"weight\": 100 },"
		" \"hugepageLimits\": [{ \"pageSize\": \"2MB\", \"limit\": 5 }],"
		""
		" \"unified\": { \"memory.high\": \"5\" } } } }";

	try_each("everything", run_spec, text, sizeof(text) - 1);
}

Test(no_memory, others)
{
	static const struct {
		const char *path;
		int (*run)(const char *text, size_t len, struct error *err);
	} files[] = {
		{ "tests/unit/samples/docker-exec-it.process.json", run_process },
		{ "tests/unit/samples/cri-execsync.process.json", run_process },
		{ "tests/fuzz/corpus/config/35bb8ea4f06b", run_config },
		{ "tests/fuzz/corpus/state/2c27e8f34d0e", run_state },
	};
	static const char lists[] =
		"{ \"hypervisor\": { \"enable_annotations\": [\"a.*\", \"b\"], "
		"\"valid_kernel_paths\":"
		" [\"/boot/*\"], \"accelerator\": \"tcg\", \"kernel_params\": \"x\" } }";
	static const char mounts[] =
		"30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		"31 23 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
		"32 23 0:28 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n";

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP(freep) char *text = NULL;
		char path[512];
		size_t len;

		snprintf(path, sizeof(path), "%s/%s", TEST_SRCDIR, files[i].path);
		text = read_text(path, &len);
		try_each(files[i].path, files[i].run, text, len);
	}
	try_each("lists", run_config, lists, sizeof(lists) - 1);
	try_each("mounts", run_mounts, mounts, sizeof(mounts) - 1);
}

#else

Test(no_memory, needs_another_build)
{
	cr_skip("the sanitizer has its own malloc");
}

#endif
