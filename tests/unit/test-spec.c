/* kata-runtime/spec*.c: config.json as engines send it, and what is refused. */
#include "kata-runtime/spec.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"
#include "tests/unit/srcdir.h"

/* The least documents, with more members of one of their objects. */
#define PROCESS "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"}"
#define DOCUMENT(more) \
	"{\"ociVersion\":\"1.0.2\"," PROCESS ",\"root\":{\"path\":\"rootfs\"}," more "}"
#define WITH_PROCESS(more) \
	"{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"/r\"},\"process\":{\"args\":[\"sh\"]," \
	"\"cwd\":\"/\"," more "}}"
#define WITH_LINUX(more) DOCUMENT("\"linux\":{" more "}")

#define LIMIT(section, more) WITH_LINUX("\"resources\":{\"" section "\":{" more "}}")
#define UTS_NS "\"linux\":{\"namespaces\":[{\"type\":\"uts\"}]}"
#define USER_NS "\"namespaces\":[{\"type\":\"user\"}]"
#define MAP(container, host, size) \
	"{\"containerID\":" container ",\"hostID\":" host ",\"size\":" size "}"

static int parse(const char *text, struct spec **ret, struct error *err)
{
	return spec_parse("config.json", "/b", text, strlen(text), ret, err);
}

Test(spec, refuses)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "[]", "config.json: expected an object" },
		{ "{}",
		  "config.json: ociVersion: expected a version 1.x of the runtime specification" },
		{ "{\"ociVersion\":\"2.0\"}",
		  "config.json: ociVersion: expected a version 1.x of the "
		  "runtime specification" },
		{ "{\"ociVersion\":\"1.0\"}", "config.json: process is missing" },
		{ "{\"ociVersion\":\"1.0\"," PROCESS "}", "config.json: root is missing" },
		{ "{\"ociVersion\":\"1.0\"," PROCESS ",\"root\":{}}",
		  "config.json: root.path: expected a path" },
		{ DOCUMENT("\"hostname\":1"), "config.json: hostname: expected a string" },
		{ DOCUMENT("\"hostname\":\"x\""),
		  "config.json: hostname: unable to set hostname without a private UTS namespace" },
		{ DOCUMENT("\"domainname\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"ipc\"}]}"),
		  "config.json: domainname: unable to set domainname without a private UTS "
		  "namespace" },
		{ DOCUMENT("\"mounts\":{}"), "config.json: mounts: expected a list" },
		{ DOCUMENT("\"mounts\":[1]"), "config.json: mounts[0]: expected an object" },
		{ DOCUMENT("\"mounts\":[{}]"), "config.json: mounts[0]: destination is missing" },
		{ DOCUMENT("\"mounts\":[{\"destination\":\"/a\",\"options\":[1]}]"),
		  "config.json: mounts[0].options[0]: expected a string" },
		{ DOCUMENT("\"mounts\":[{\"destination\":\"/a\",\"uidMappings\":[{}]}]"),
		  "config.json: mounts[0].uidMappings: id-mapped mounts are not supported" },
		{ DOCUMENT("\"hooks\":[]"), "config.json: hooks: expected an object" },
		{ DOCUMENT("\"hooks\":{\"prestart\":[{\"path\":\"a\"}]}"),
		  "config.json: hooks.prestart[0].path: expected an absolute path" },
		{ DOCUMENT("\"hooks\":{\"poststop\":[{\"path\":\"/a\",\"timeout\":-1}]}"),
		  "config.json: hooks.poststop[0].timeout: expected an unsigned number" },
		{ DOCUMENT("\"annotations\":{\"a\":1}"),
		  "config.json: annotations.a: expected a string" },
		{ DOCUMENT("\"annotations\":{\"\":\"x\"}"),
		  "config.json: annotations.: a name is empty" },

		{ WITH_PROCESS("\"args\":[]"),
		  "config.json: line 1: the key \"args\" is there twice" },
		{ WITH_PROCESS("\"terminal\":1"),
		  "config.json: process.terminal: expected true or false" },
		{ WITH_PROCESS("\"user\":{\"uid\":\"0\"}"),
		  "config.json: process.user.uid: expected an unsigned number" },
		{ WITH_PROCESS("\"user\":{\"uid\":4294967295}"),
		  "config.json: process.user.uid: 4294967295 is over 4294967294" },
		{ WITH_PROCESS("\"user\":{\"umask\":512}"),
		  "config.json: process.user.umask: 512 is over 511" },
		{ WITH_PROCESS("\"user\":{\"additionalGids\":[1,-1]}"),
		  "config.json: process.user.additionalGids[1]: expected an unsigned number" },
		{ WITH_PROCESS("\"consoleSize\":{\"height\":65536}"),
		  "config.json: process.consoleSize.height: 65536 is over 65535" },
		{ WITH_PROCESS("\"env\":\"A=1\""), "config.json: process.env: expected a list" },
		{ WITH_PROCESS("\"capabilities\":{\"bounding\":\"CAP_KILL\"}"),
		  "config.json: process.capabilities.bounding: expected a list" },
		{ WITH_PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]"),
		  "config.json: process.rlimits[0].type: expected the name of a resource limit" },
		{ WITH_PROCESS("\"rlimits\":[{\"soft\":1,\"hard\":1}]"),
		  "config.json: process.rlimits[0].type: expected the name of a resource limit" },
		{ WITH_PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]"),
		  "config.json: process.rlimits[0]: the soft limit is over the hard limit" },
		{ WITH_PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},"
			       "{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]"),
		  "config.json: process.rlimits[1]: this limit is there twice" },
		{ WITH_PROCESS("\"oomScoreAdj\":1001"),
		  "config.json: process.oomScoreAdj: expected a number from -1000 to 1000" },
		{ "{\"ociVersion\":\"1.0\",\"process\":{\"args\":[\"a\"],\"cwd\":\"a\"}}",
		  "config.json: process.cwd: expected an absolute path" },
		{ "{\"ociVersion\":\"1.0\",\"process\":{\"args\":[\"a\"]}}",
		  "config.json: process.cwd: expected an absolute path" },
		{ "{\"ociVersion\":\"1.0\",\"process\":{\"args\":[],\"cwd\":\"/\"}}",
		  "config.json: process.args: expected a list with a program at least" },

		{ WITH_LINUX("\"namespaces\":[{\"type\":\"user\"}]"),
		  "config.json: linux.uidMappings: a new user namespace needs it" },
		{ WITH_LINUX(USER_NS ",\"uidMappings\":[" MAP("0", "1", "1") "]"),
		  "config.json: linux.gidMappings: a new user namespace needs it" },
		{ WITH_LINUX(USER_NS ",\"uidMappings\":[" MAP("0", "1", "0") "]"),
		  "config.json: linux.uidMappings[0]: it maps nothing: size is 0" },
		{ WITH_LINUX(USER_NS ",\"uidMappings\":[" MAP("0", "4294967290", "9") "]"),
		  "config.json: linux.uidMappings[0]: it goes beyond the greatest id" },
		{ WITH_LINUX(USER_NS ",\"uidMappings\":[" MAP("0", "1000",
							      "10") "," MAP("9", "2000", "10") "]"),
		  "config.json: linux.uidMappings[1]: it overlaps with number 0 of the list" },
		{ WITH_LINUX(USER_NS ",\"uidMappings\":[" MAP("0", "1000", "10") "," MAP(
			  "10", "1009", "10") "]"),
		  "config.json: linux.uidMappings[1]: it overlaps with number 0 of the list" },
		{ WITH_LINUX("\"timeOffsets\":{\"boottime\":{\"secs\":1}}"),
		  "config.json: linux.timeOffsets: linux.namespaces does not ask for a new time "
		  "namespace" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"real\":{}}"),
		  "config.json: linux.timeOffsets.real: expected the clock monotonic or boottime" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"monotonic\":"
			     "{\"nanosecs\":1000000000}}"),
		  "config.json: linux.timeOffsets.monotonic.nanosecs: 1000000000 is over "
		  "999999999" },
		{ WITH_LINUX("\"personality\":{\"flags\":[\"x\"]}"),
		  "config.json: linux.personality.domain: expected LINUX or LINUX32" },
		{ WITH_LINUX("\"personality\":{\"domain\":\"SVR4\"}"),
		  "config.json: linux.personality.domain: expected LINUX or LINUX32" },
		{ WITH_LINUX("\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"x\"]}"),
		  "config.json: linux.personality.flags: no flag of a personality is known" },
		{ WITH_LINUX("\"intelRdt\":{\"closID\":\"a\"}"),
		  "config.json: linux.intelRdt: a VM has no share of the host's caches that could "
		  "be set" },
		{ WITH_LINUX("\"netDevices\":{\"eth0\":{}}"),
		  "config.json: linux.netDevices: a device of the host's network cannot be moved "
		  "into a VM" },
		{ DOCUMENT("\"vm\":{\"a\":1}"), "config.json: vm: the machine is chosen by "
						"configuration.json, not by the bundle" },
		{ DOCUMENT("\"domainname\":7"), "config.json: domainname: expected a string" },
		{ DOCUMENT("\"hooks\":{\"poststop\":[{\"path\":\"/a\",\"timeout\":0}]}"),
		  "config.json: hooks.poststop[0].timeout: expected a number greater than 0" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_X\"}"),
		  "config.json: process.scheduler.policy: expected the name of a scheduling "
		  "policy" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_ISO\"}"),
		  "config.json: process.scheduler.policy: expected the name of a scheduling "
		  "policy" },
		{ WITH_PROCESS("\"scheduler\":{\"nice\":1}"),
		  "config.json: process.scheduler.policy: expected the name of a scheduling "
		  "policy" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":100}"),
		  "config.json: process.scheduler.priority: 100 is over 99" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_RR\",\"flags\":[\"x\"]}"),
		  "config.json: process.scheduler.flags[0]: expected the name of a scheduler's "
		  "flag" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_RR\"}"),
		  "config.json: process.scheduler.priority: SCHED_FIFO and SCHED_RR need one from "
		  "1 to 99" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"),
		  "config.json: process.scheduler.priority: it belongs to SCHED_FIFO and "
		  "SCHED_RR" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":1,"
			       "\"period\":1}"),
		  "config.json: process.scheduler.period: it belongs to SCHED_DEADLINE" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"deadline\":5000}"),
		  "config.json: process.scheduler.runtime: SCHED_DEADLINE needs 1024 nanoseconds "
		  "at "
		  "least" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":2000,"
			       "\"deadline\":1999}"),
		  "config.json: process.scheduler.deadline: it is below the runtime" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":2000,"
			       "\"deadline\":3000,\"period\":2999}"),
		  "config.json: process.scheduler.period: it is below the deadline" },
		{ WITH_PROCESS("\"ioPriority\":{\"priority\":1}"),
		  "config.json: process.ioPriority.class: expected the name of an I/O class" },
		{ WITH_PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":8}"),
		  "config.json: process.ioPriority.priority: 8 is over 7" },
		{ LIMIT("memory", "\"disableOOMKiller\":true"),
		  "config.json: linux.resources.memory.disableOOMKiller: cgroup2, which the guest "
		  "has, cannot do that" },
		{ LIMIT("cpu", "\"realtimeRuntime\":1"),
		  "config.json: linux.resources.cpu.realtimeRuntime: the guest's kernel shares out "
		  "no real-time" },
		{ LIMIT("blockIO", "\"leafWeight\":10"),
		  "config.json: linux.resources.blockIO.leafWeight: cgroup2, which the guest has, "
		  "knows no leaf weight" },
		{ LIMIT("blockIO", "\"weightDevice\":[{}]"),
		  "config.json: linux.resources.blockIO.weightDevice: the host's block devices are "
		  "not in the VM" },
		{ LIMIT("blockIO", "\"throttleReadBpsDevice\":[{}]"),
		  "config.json: linux.resources.blockIO.throttleReadBpsDevice: the host's block "
		  "devices are not in the VM" },
		{ LIMIT("network", "\"classID\":1"),
		  "config.json: linux.resources.network.classID: cgroup2, which the guest has, "
		  "knows "
		  "no network classes" },
		{ LIMIT("rdma", "\"mlx\":{\"hcaHandles\":1}"),
		  "config.json: linux.resources.rdma: the guest has no rdma device" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"x\"}]"),
		  "config.json: linux.namespaces[0].type: expected the type of a namespace" },
		{ WITH_LINUX("\"namespaces\":[{}]"),
		  "config.json: linux.namespaces[0].type: expected the type of a namespace" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]"),
		  "config.json: linux.namespaces[1].type: this namespace is there twice" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"ipc\",\"path\":\"x\"}]"),
		  "config.json: linux.namespaces[0].path: expected an absolute path" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"mount\",\"path\":\"/x\"}]"),
		  "config.json: linux.namespaces[0].path: joining a mount namespace is not "
		  "supported" },
		{ WITH_LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]"),
		  "config.json: linux.uidMappings: linux.namespaces does not ask for a new user "
		  "namespace" },
		{ WITH_LINUX("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"x\"}]"),
		  "config.json: linux.devices[0].type: expected c, u, b or p" },
		{ WITH_LINUX("\"devices\":[{\"path\":\"dev/x\",\"type\":\"c\"}]"),
		  "config.json: linux.devices[0].path: expected an absolute path" },
		{ WITH_LINUX("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":4096}]"),
		  "config.json: linux.devices[0].major: 4096 is over 4095" },
		{ WITH_LINUX("\"maskedPaths\":[\"/a\",\"b\"]"),
		  "config.json: linux.maskedPaths[1]: expected an absolute path" },
		{ WITH_LINUX("\"rootfsPropagation\":\"x\""),
		  "config.json: linux.rootfsPropagation: expected (r)private, (r)slave, (r)shared "
		  "or "
		  "(r)unbindable" },
		{ WITH_LINUX("\"cgroupsPath\":1"),
		  "config.json: linux.cgroupsPath: expected a string" },
		{ WITH_LINUX("\"resources\":{\"memory\":{\"limit\":\"1\"}}"),
		  "config.json: linux.resources.memory.limit: expected a number" },
		{ WITH_LINUX("\"resources\":{\"cpu\":1}"),
		  "config.json: linux.resources.cpu: expected an object" },
		{ WITH_LINUX("\"seccomp\":{\"listenerPath\":\"/s\"}"),
		  "config.json: linux.seccomp.listenerPath: seccomp notification is not "
		  "supported" },
		{ WITH_LINUX("\"seccomp\":{\"syscalls\":[{\"names\":[\"a\"],\"action\":"
			     "\"SCMP_ACT_NOTIFY\"}]}"),
		  "config.json: linux.seccomp.syscalls[0].action: seccomp notification is not "
		  "supported" },
		{ WITH_LINUX("\"seccomp\":{\"syscalls\":[{\"names\":[\"a\"],\"action\":"
			     "\"SCMP_ACT_ALLOW\",\"errnoRet\":1}]}"),
		  "config.json: linux.seccomp.syscalls[0].errnoRet: its action returns no number" },
		{ WITH_LINUX("\"sysctl\":{\"a\":1}"),
		  "config.json: linux.sysctl.a: expected a string" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec *spec = NULL;
		struct error err = { 0 };
		int r = parse(cases[i].text, &spec, &err);

		cr_expect(r == -EINVAL && spec == NULL, "case %zu: accepted %s", i, cases[i].text);
		cr_expect_str_eq(err.text, cases[i].error, "case %zu: %s", i, err.text);
		spec_free(spec);
	}
}

static void collect(const char *what, void *userdata)
{
	char *all = userdata;

	strcat(strcat(all, what), " ");
}

Test(spec, names_what_is_not_applied)
{
	static const struct {
		const char *text, *warnings;
	} cases[] = {
		{ DOCUMENT("\"hostname\":\"x\"," UTS_NS), "" },
		{ DOCUMENT("\"domainname\":\"x\"," UTS_NS), "" },
		{ DOCUMENT("\"hostname\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"uts\","
			   "\"path\":\"/proc/1/ns/uts\"}]}"),
		  "" },
		{ DOCUMENT("\"domainname\":\"\",\"windows\":null,\"vm\":{}"), "" },
		{ DOCUMENT("\"zos\":{\"a\":1}"), "zos " },
		{ DOCUMENT("\"hooks\":{\"startContainer\":[{\"path\":\"/"
			   "a\"}],\"prestart\":[{\"path\":\"/a\"}],"
			   "\"later\":[{}]}"),
		  "hooks.later " },
		{ WITH_PROCESS("\"apparmorProfile\":\"p\",\"selinuxLabel\":\"l\""),
		  "process.apparmorProfile process.selinuxLabel " },
		{ WITH_PROCESS("\"apparmorProfile\":\"unconfined\",\"selinuxLabel\":\"\""), "" },
		{ WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":1}"), "" },
		{ WITH_PROCESS("\"execCPUAffinity\":{}"), "" },
		{ WITH_PROCESS("\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_NEWER\","
			       "\"kill\",\"CAP_kill\"]}"),
		  "process.capabilities.bounding.CAP_NEWER process.capabilities.bounding.kill "
		  "process.capabilities.bounding.CAP_kill " },
		{ WITH_LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"},\"personality\":"
			     "{\"domain\":\"LINUX32\"},\"intelRdt\":{},\"timeOffsets\":{}"),
		  "" },
		{ WITH_LINUX("\"seccomp\":null,\"mountLabel\":\"\""), "" },
		{ WITH_LINUX("\"mountLabel\":\"l\",\"newer\":1"), "linux.mountLabel linux.newer " },
		{ WITH_LINUX("\"sysctl\":{\"net.core.somaxconn\":\"1\"}"), "" },
		{ WITH_LINUX("\"namespaces\":[{\"type\":\"time\"}]"), "" },
		{ WITH_LINUX(
			  "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],"
			  "\"memory\":{\"limit\":0,\"swap\":-1,\"disableOOMKiller\":false,"
			  "\"swappiness\":null},\"cpu\":{\"shares\":1024,\"quota\":-1,\"period\":"
			  "100000,\"cpus\":\"\"},\"pids\":{\"limit\":-1},\"blockIO\":{\"weight\":0,"
			  "\"weightDevice\":[]},\"hugepageLimits\":null,\"network\":{},\"rdma\":{},"
			  "\"unified\":{}}"),
		  "" },
		{ WITH_LINUX("\"resources\":{\"memory\":{\"limit\":1,\"swap\":1,\"kernel\":5,"
			     "\"swappiness\":0},\"cpu\":{\"shares\":2,\"quota\":1,\"cpus\":\"0\"},"
			     "\"pids\":{\"limit\":1},"
			     "\"hugepageLimits\":[{\"pageSize\":\"2MB\"}],"
			     "\"unified\":{\"a.b\":\"b\"}}"),
		  "linux.resources.memory.kernel linux.resources.memory.swappiness " },
		/* useHierarchy: the guest's cgroup2 knows nothing else. */
		{ WITH_LINUX(
			  "\"resources\":{\"memory\":{\"useHierarchy\":true,\"checkBeforeUpdate\":"
			  "true,\"newer\":1},\"cpu\":{\"realtimePeriod\":9,\"newer\":1},\"pids\":{"
			  "\"newer\":1},\"blockIO\":{\"newer\":1,\"weight\":10},\"newer\":{\"a\":1}"
			  "}"),
		  "linux.resources.cpu.realtimePeriod linux.resources.newer "
		  "linux.resources.memory.newer "
		  "linux.resources.cpu.newer linux.resources.pids.newer "
		  "linux.resources.blockIO.newer " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec *spec = NULL;
		struct error err = { 0 };
		char all[4096] = "";

		cr_assert(parse(cases[i].text, &spec, &err) == 0, "case %zu: %s", i, err.text);
		spec_warnings(spec, collect, all);
		cr_expect_str_eq(all, cases[i].warnings, "case %zu: %s", i, all);
		spec_free(spec);
	}
}

Test(spec, reads_every_part)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };
	const struct spec_process *p;

	cr_assert(
		parse("{\"ociVersion\":\"1.2.0\",\"process\":{\"terminal\":true,\"consoleSize\":"
		      "{\"height\":3,\"width\":4},\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,"
		      "\"additionalGids\":[5,6]},\"args\":[\"a\",\"\"],\"env\":[\"A=\xc3\xa4\"],"
		      "\"cwd\":\"/w\",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
		      "\"ambient\":[\"CAP_CHECKPOINT_RESTORE\"]},\"rlimits\":[{\"type\":"
		      "\"RLIMIT_NOFILE\",\"soft\":7,\"hard\":18446744073709551615}],"
		      "\"noNewPrivileges\":true,\"oomScoreAdj\":-999},\"root\":{\"path\":\"fs\","
		      "\"readonly\":true},\"hostname\":\"h\",\"mounts\":[{\"destination\":\"/m\","
		      "\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"ro\",\"size=1m\"]},"
		      "{\"destination\":\"rel\"}],\"annotations\":{\"k\":\"v\",\"k.2\":\"\"},"
		      "\"hooks\":{\"poststart\":[{\"path\":\"/"
		      "h\",\"args\":[\"x\"],\"env\":[\"E=1\"],"
		      "\"timeout\":9}]},\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":"
		      "\"/n\"},{\"type\":\"pid\"},{\"type\":\"uts\"}],\"devices\":[{\"path\":\"/"
		      "dev/"
		      "fuse\",\"type\":\"u\","
		      "\"major\":10,\"minor\":229,\"fileMode\":8630,\"uid\":1,\"gid\":2},"
		      "{\"path\":\"/dev/p\",\"type\":\"p\"}],\"maskedPaths\":[\"/a\"],"
		      "\"readonlyPaths\":[\"/b\",\"/c\"],\"rootfsPropagation\":\"rslave\","
		      "\"cgroupsPath\":\"/docker/x\",\"uidMappings\":[],\"gidMappings\":null}}",
		      &spec, &err) == 0,
		"%s", err.text);
	p = &spec->process;
	cr_expect(p->terminal && p->rows == 3 && p->columns == 4);
	cr_expect(p->uid == 1 && p->gid == 2 && p->has_umask && p->umask == 022);
	cr_expect(p->n_groups == 2 && p->groups[0] == 5 && p->groups[1] == 6);
	cr_expect(p->args.count == 2 && str_eq(p->args.items[0], "a") && p->args.items[1][0] == 0);
	cr_expect(p->args.items[2] == NULL);
	cr_expect(p->env.count == 1 && str_eq(p->env.items[0], "A=\xc3\xa4"));
	cr_expect_str_eq(p->cwd, "/w");
	cr_expect(p->has_capabilities && p->capabilities.bounding == (1 | 1 << 5));
	cr_expect(p->capabilities.ambient == UINT64_C(1) << 40 && p->capabilities.effective == 0);
	cr_expect(p->n_rlimits == 1 && p->rlimits[0].resource == RLIMIT_NOFILE);
	cr_expect(p->rlimits[0].soft == 7 && p->rlimits[0].hard == UINT64_MAX);
	cr_expect(p->no_new_privileges && p->has_oom_score_adj && p->oom_score_adj == -999);
	cr_expect_str_eq(spec->root_path, "/b/fs");
	cr_expect(spec->root_readonly);
	cr_expect_str_eq(spec->hostname, "h");
	cr_expect(spec->n_mounts == 2 && spec->mounts[0].options.count == 2);
	cr_expect_str_eq(spec->mounts[0].source, "t");
	cr_expect_str_eq(spec->mounts[1].destination, "/rel");
	cr_expect_str_eq(spec->mounts[1].type, "");
	cr_expect_str_eq(spec_annotation(spec, "k"), "v");
	cr_expect_str_eq(spec_annotation(spec, "k.2"), "");
	cr_expect(spec_annotation(spec, "k.3") == NULL);
	cr_expect(spec->hooks[HOOK_POSTSTART].count == 1);
	cr_expect(spec->hooks[HOOK_POSTSTART].items[0].timeout_s == 9);
	cr_expect_str_eq(spec->hooks[HOOK_POSTSTART].items[0].env.items[0], "E=1");
	cr_expect(spec->namespaces[NAMESPACE_NETWORK].wanted);
	cr_expect_str_eq(spec->namespaces[NAMESPACE_NETWORK].path, "/n");
	cr_expect(spec->namespaces[NAMESPACE_PID].wanted &&
		  !spec->namespaces[NAMESPACE_IPC].wanted);
	cr_expect_str_eq(spec->namespaces[NAMESPACE_IPC].path, "");
	cr_expect(spec->n_devices == 2 && spec->devices[0].kind == 'c');
	cr_expect(spec->devices[0].major == 10 && spec->devices[0].minor == 229);
	cr_expect(spec->devices[0].mode == 0666 && spec->devices[1].mode == 0666);
	cr_expect(spec->masked_paths.count == 1 && spec->readonly_paths.count == 2);
	cr_expect(spec->root_propagation == (MS_SLAVE | MS_REC));
	cr_expect_str_eq(spec->cgroups_path, "/docker/x");
}

Test(spec, reads_what_belongs_to_new_namespaces)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };

	cr_assert(
		parse(DOCUMENT(
			      "\"domainname\":\"d\",\"linux\":{\"namespaces\":[{\"type\":\"user\"},"
			      "{\"type\":\"uts\"},{\"type\":\"time\"}],\"uidMappings\":[" MAP(
				      "0", "100000",
				      "10") "," MAP("10", "5",
						    "1") "],\"gidMappings\":[" MAP("0", "7",
										   "429496728"
										   "0") "],"
											"\"tim"
											"eOffs"
											"ets\""
											":{"
											"\"boo"
											"ttime"
											"\":{"
											"\"sec"
											"s\":"
											"-5,"
											"\"nan"
											"osecs"
											"\":6}"
											",\"mo"
											"noton"
											"ic\":"
											"{\"se"
											"cs\":"
											"1}},"
											"\"per"
											"sonal"
											"ity\""
											":{"
											"\"dom"
											"ain\""
											":\"LI"
											"NUX32"
											"\"}"
											"}"),
		      &spec, &err) == 0,
		"%s", err.text);
	cr_expect(spec->namespaces[NAMESPACE_USER].wanted &&
		  spec->namespaces[NAMESPACE_TIME].wanted);
	cr_expect(spec->n_uid_map == 2 && spec->uid_map[1].container == 10 &&
		  spec->uid_map[1].host == 5 && spec->uid_map[1].size == 1);
	cr_expect(spec->n_gid_map == 1 && spec->gid_map[0].size == 4294967280);
	cr_expect_str_eq(spec->time_offsets, "monotonic 1 0\nboottime -5 6\n");
	cr_expect_eq(spec->personality, 8);
	cr_expect_str_eq(spec->domainname, "d");
}

Test(spec, reads_scheduling)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };

	cr_assert(parse(WITH_PROCESS("\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-3,"
				     "\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},\"ioPriority\":{"
				     "\"class\":\"IOPRIO_CLASS_IDLE\"}"),
			&spec, &err) == 0,
		  "%s", err.text);
	cr_expect(spec->process.has_scheduler && spec->process.scheduler.policy == 3);
	cr_expect(spec->process.scheduler.nice == -3 && spec->process.scheduler.flags == 1);
	cr_expect_eq(spec->process.io_priority, 3 << 13);
}

Test(spec, what_is_missing_is_empty)
{
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };

	cr_assert(
		parse(DOCUMENT(
			      "\"annotations\":null,\"hooks\":null,\"mounts\":null,\"linux\":null"),
		      &spec, &err) == 0,
		"%s", err.text);
	cr_expect_str_eq(spec->hostname, "");
	cr_expect_str_eq(spec->cgroups_path, "");
	cr_expect(!spec->process.has_umask && !spec->process.has_oom_score_adj);
	cr_expect(!spec->process.has_capabilities && spec->root_propagation == 0);
}

Test(spec, every_prefix_of_a_document_is_refused)
{
	const char *text = WITH_LINUX("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\"}]");
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };

	for (size_t len = 0; len < strlen(text); len++)
		cr_expect(spec_parse("f", "/b", text, len, &spec, &err) < 0, "%zu bytes", len);
	cr_assert(spec_parse("f", "/b", text, strlen(text), &spec, &err) == 0);
}

Test(spec, samples_of_engines)
{
	CLEANUP(dir_close) DIR *dir = opendir(TEST_SRCDIR "/tests/unit/samples");
	unsigned specs = 0, processes = 0;
	struct dirent *entry;
	char path[4096];

	cr_assert(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		struct spec_process *process = NULL;
		struct spec *spec = NULL;
		struct error err = { 0 };
		char *text;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", TEST_SRCDIR "/tests/unit/samples",
			 entry->d_name);
		if (strstr(entry->d_name, ".process.") != NULL) {
			cr_expect(spec_load_process(path, &process, &err) == 0, "%s", err.text);
			processes++;
		} else {
			cr_assert(json_read_file(path, &text, &len, &err) == 0, "%s", err.text);
			cr_expect(spec_parse(path, "/b", text, len, &spec, &err) == 0, "%s",
				  err.text);
			free(text);
			specs++;
		}
		spec_process_free(process);
		spec_free(spec);
	}
	cr_assert(specs >= 8 && processes >= 3);
}

Test(spec, docker_sample)
{
	const char *path = TEST_SRCDIR "/tests/unit/samples/docker-plain.json";
	CLEANUP(spec_freep) struct spec *spec = NULL;
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	char all[4096] = "";
	size_t len;

	cr_assert(json_read_file(path, &text, &len, &err) == 0, "%s", err.text);
	cr_assert(spec_parse(path, "/b", text, len, &spec, &err) == 0, "%s", err.text);
	cr_expect(spec->hooks[HOOK_PRESTART].count == 1);
	cr_expect(spec->namespaces[NAMESPACE_NETWORK].wanted);
	cr_expect(str_starts(spec->cgroups_path, "/docker/"));
	cr_expect(spec->process.capabilities.bounding == 0xa80425fb);
	spec_warnings(spec, collect, all);
	cr_expect(strstr(all, "hooks.") == NULL && strstr(all, "linux.") == NULL, "%s", all);
	cr_expect(spec->seccomp.wanted && spec->seccomp.n_rules > 10);
	cr_expect(spec->seccomp.n_architectures == 3);
	cr_expect(spec->resources.n_device_rules == 8 && spec->n_sysctl == 2);
}

Test(spec, loads_a_bundle)
{
	char dir[] = "/tmp/kata-test-spec-XXXXXX", path[64];
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct error err = { 0 };
	FILE *file;

	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	cr_assert(spec_load(".", &spec, &err) == -ENOENT);
	cr_assert(strstr(err.text, "config.json") != NULL && strstr(err.text, "o such") == NULL);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	file = fopen(path, "we");
	fputs(DOCUMENT("\"hostname\":\"x\"," UTS_NS), file);
	fclose(file);
	cr_assert(spec_load(".", &spec, &err) == 0, "%s", err.text);
	cr_expect_str_eq(spec->bundle, dir);
	cr_expect(str_starts(spec->root_path, dir) && strstr(spec->root_path, "/rootfs") != NULL);
	unlink(path);
	rmdir(dir);
}

Test(spec, process_file)
{
	struct spec_process *process = NULL;
	struct error err = { 0 };
	const char *text = "{\"args\":[\"a\"],\"cwd\":\"/\",\"selinuxLabel\":\"l\"}";
	char all[256] = "";

	cr_assert(spec_parse_process("p", text, strlen(text), &process, &err) == 0);
	spec_process_warnings(process, collect, all);
	cr_expect_str_eq(all, "selinuxLabel ");
	spec_process_free(process);
	process = NULL;
	text = "{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"gid\":true}}";
	cr_assert(spec_parse_process("p", text, strlen(text), &process, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "p: user.gid: expected an unsigned number");
}
