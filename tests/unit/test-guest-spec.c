/* kata-runtime/guest-spec.h: what of a bundle goes to the guest. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"
#include "kata-runtime/guest-spec.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/spec.h"

/* Whose namespaces the containers below share: of none, unless a test says so. */
static struct pod pod = { .pid_of = (char *)"", .ipc_of = (char *)"", .uts_of = (char *)"" };

/* A config.json with more mounts, and other parts replaced when not NULL. */
static int make(const char *mounts, const char *linux_part, struct spec **ret_spec,
		struct guest_spec *ret, struct error *err)
{
	char text[8192];
	int n = snprintf(text, sizeof(text),
			 "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/w\","
			 "\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[9,10]},"
			 "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":5,\"hard\":6}]},"
			 "\"root\":{\"path\":\"/r\",\"readonly\":true},"
			 "\"mounts\":[%s],\"linux\":{%s}}",
			 mounts, linux_part);

	cr_assert(n > 0 && (size_t)n < sizeof(text));
	cr_assert_eq(spec_parse("config.json", "/bundle", text, (size_t)n, ret_spec, err), 0, "%s",
		     err->text);
	return guest_spec_make(*ret_spec, "c1", &pod, ret, err);
}

Test(guest_spec, process_and_root)
{
	struct error err = { 0 };
	struct guest_spec g;
	struct spec *spec;

	cr_assert_eq(make("", "\"maskedPaths\":[\"/proc/kcore\"]", &spec, &g, &err), 0);
	cr_expect_str_eq(g.create.container, "c1");
	cr_expect_str_eq(g.create.rootfs, "c1/rootfs");
	cr_expect(g.create.readonly);
	cr_expect_str_eq(g.create.process.cwd, "/w");
	cr_expect_eq(g.create.process.uid, 7);
	cr_expect_eq(g.create.process.n_groups, 2);
	cr_expect_eq(g.create.process.groups[1].gid, 10);
	cr_expect_eq(g.create.process.rlimits[0].hard, 6);
	cr_expect_eq(g.create.masked_paths.count, 1);
	cr_assert_eq(g.n_shares, 1);
	cr_expect_str_eq(g.shares[0].source, "/r");
	cr_expect_str_eq(g.shares[0].name, "c1/rootfs");
	cr_expect(!g.shares[0].readonly, "mount points are still to be made in it");
	guest_spec_fini(&g);
	spec_free(spec);
}

Test(guest_spec, mounts)
{
	unsigned long size = 64UL << 20;
	struct error err = { 0 };
	struct statfs fs;
	char data[64];
	struct guest_spec g;
	struct spec *spec;

	cr_assert_eq(
		make("{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
		     "\"options\":[\"nosuid\"]},"
		     "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/etc\","
		     "\"options\":[\"rbind\",\"ro\",\"rprivate\"]},"
		     "{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"/dev/shm\","
		     "\"options\":[\"rbind\"]},"
		     "{\"destination\":\"/f\",\"source\":\"/etc/passwd\",\"options\":[\"bind\"]},"
		     "{\"destination\":\"/all\",\"source\":\"/"
		     "etc\",\"options\":[\"rbind\",\"rro\"]}",
		     "", &spec, &g, &err),
		0, "%s", err.text);
	cr_assert_eq(g.create.n_mounts, 5);
	cr_expect_str_eq(g.create.mounts[0].type, "proc");
	cr_expect_eq(g.create.mounts[0].flags, MS_NOSUID);
	cr_expect_str_eq(g.create.mounts[1].type, "share");
	cr_expect_str_eq(g.create.mounts[1].source, "c1/m1");
	cr_expect_eq(g.create.mounts[1].propagation, MS_PRIVATE | MS_REC);
	cr_expect_str_eq(g.create.mounts[2].type, "tmpfs", "shared memory is the guest's own");
	if (statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		size = (unsigned long)fs.f_blocks * (unsigned long)fs.f_bsize;
	snprintf(data, sizeof(data), "mode=1777,size=%lu", size);
	cr_expect_str_eq(g.create.mounts[2].data, data, "as large as the host's");
	cr_expect_str_eq(g.create.mounts[3].source, "c1/m3");
	cr_expect_eq(g.create.mounts[4].all_set, MOUNT_ATTR_RDONLY);
	cr_assert_eq(g.n_shares, 4);
	cr_expect(g.shares[3].readonly, "all of it");
	cr_expect_str_eq(g.shares[1].source, "/etc");
	cr_expect(g.shares[1].readonly, "held on the host, against the guest's root too");
	cr_expect(!g.shares[2].readonly);
	guest_spec_fini(&g);
	spec_free(spec);
}

Test(guest_spec, namespaces)
{
	struct error err = { 0 };
	struct guest_spec g;
	struct spec *spec;

	cr_assert_eq(
		make("",
		     "\"namespaces\":[{\"type\":\"user\"},{\"type\":\"time\"}],\"uidMappings\":[{"
		     "\"containerID\":0,\"hostID\":1000,\"size\":5}],\"gidMappings\":[{"
		     "\"containerID\":1,\"hostID\":2000,\"size\":6}],\"timeOffsets\":{"
		     "\"boottime\":{\"secs\":7}},\"personality\":{\"domain\":\"LINUX32\"}",
		     &spec, &g, &err),
		0, "%s", err.text);
	cr_expect(g.create.user_namespace && g.create.time_namespace);
	cr_expect(g.create.n_uid_map == 1 && g.create.uid_map[0].host == 1000);
	cr_expect(g.create.n_gid_map == 1 && g.create.gid_map[0].size == 6);
	cr_expect_str_eq(g.create.time_offsets, "boottime 7 0\n");
	cr_expect_eq(g.create.personality, 8);
	guest_spec_fini(&g);
	spec_free(spec);
}

/* What is made can be sent. */
Test(guest_spec, can_be_encoded)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct error err = { 0 };
	struct guest_spec g;
	struct spec *spec;

	cr_assert_eq(
		make("{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}",
		     "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":1,\"minor\":3}]",
		     &spec, &g, &err),
		0);
	cr_assert_eq(wire_encode(MSG_CREATE, &g.create, &out, &err), 0, "%s", err.text);
	guest_spec_fini(&g);
	spec_free(spec);
}

Test(guest_spec, limits)
{
	struct error err = { 0 };
	struct guest_spec g;
	struct spec *spec;

	cr_assert_eq(make("",
			  "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"resources\":{\"pids\":"
			  "{\"limit\":5},\"devices\":[{\"allow\":true,\"access\":\"r\"}]},"
			  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_LOG\",\"flags\":[]}",
			  &spec, &g, &err),
		     0, "%s", err.text);
	cr_assert_eq(g.create.n_sysctls, 1);
	cr_expect_str_eq(g.create.sysctls[0].path, "net/ipv4/ip_forward");
	cr_expect_str_eq(g.create.sysctls[0].value, "1");
	cr_assert_eq(g.create.n_cgroup, 1);
	cr_expect_str_eq(g.create.cgroup[0].file, "pids.max");
	cr_expect_eq(g.create.n_device_rules, 1);
	cr_expect(g.create.seccomp.program.len > 0 && g.create.seccomp.program.len % 8 == 0);
	cr_expect_eq(g.create.seccomp.flags, 0);
	guest_spec_fini(&g);
	spec_free(spec);
}

static const struct {
	const char *mounts, *linux_part, *named;
} refused[] = {
	{ "{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/dev/null\"}", "", "/dev/null" },
	{ "{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/proc\"}", "", "proc" },
	{ "{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/sys\"}", "", "sysfs" },
	{ "{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/nosuch/dir\"}", "",
	  "/nosuch/dir" },
	{ "", "\"sysctl\":{\"vm.swappiness\":\"1\"}", "\"vm.swappiness\" is not in a separate" },
	{ "", "\"resources\":{\"memory\":{\"swap\":5}}",
	  "linux.resources: memory.swap: a limit of swap" },
	{ "", "\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}]", "pid namespace" },
	{ "", "\"namespaces\":[{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}]",
	  "user namespace" },
	{ "", "\"namespaces\":[{\"type\":\"ipc\",\"path\":\"/proc/1/ns/ipc\"}]", "ipc namespace" },
};

Test(guest_spec, refused_by_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct guest_spec g = { 0 };
		struct error err = { 0 };
		struct spec *spec;

		cr_expect_lt(make(refused[i].mounts, refused[i].linux_part, &spec, &g, &err), 0,
			     "row %zu", i);
		cr_expect(strstr(err.text, refused[i].named) != NULL, "row %zu: %s", i, err.text);
		cr_expect(strcasestr(err.text, "no such file") == NULL, "row %zu: %s", i, err.text);
		spec_free(spec);
	}
}
