/*
 * kata-runtime/spec*.c: every member that the runtime specification defines for Linux, up to 1.3,
 * and what becomes of it. Each is set in a document that has all of them; each is malformed once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/json.h"
#include "kata-runtime/spec.h"

enum fate {
	APPLIED, /* no word about it */
	NAMED,   /* left out, with a warning that names it */
	REFUSED, /* an error that names it */
};

#define HOOK(kind) \
	{ "hooks." kind "[].path", "\"/h\"", APPLIED }, \
		{ "hooks." kind "[].args", "[\"h\"]", APPLIED }, \
		{ "hooks." kind "[].env", "[\"A=1\"]", APPLIED }, \
	{ \
		"hooks." kind "[].timeout", "5", APPLIED \
	}
#define THROTTLE(kind) \
	{ \
		"linux.resources.blockIO." kind, "[{\"major\":8,\"minor\":0,\"rate\":9}]", REFUSED \
	}

/* [] stands for the first item of a list. tests/lint/compatibility reads the paths. */
static const struct {
	const char *path, *value;
	enum fate fate;
} members[] = {
	{ "ociVersion", "\"1.1.0\"", APPLIED },
	{ "hostname", "\"a\"", APPLIED },
	{ "domainname", "\"a\"", APPLIED },
	{ "annotations.x", "\"y\"", APPLIED },
	{ "root.path", "\"rootfs\"", APPLIED },
	{ "root.readonly", "true", APPLIED },
	{ "vm", "{\"kernel\":{\"path\":\"/k\"}}", REFUSED },
	{ "solaris", "{\"milestone\":\"a\"}", NAMED },
	{ "windows", "{\"layerFolders\":[\"a\"]}", NAMED },
	{ "zos", "{\"namespaces\":[]}", NAMED },
	{ "freebsd", "{\"devices\":[]}", NAMED },

	{ "process.terminal", "true", APPLIED },
	{ "process.consoleSize.height", "5", APPLIED },
	{ "process.consoleSize.width", "5", APPLIED },
	{ "process.user.uid", "5", APPLIED },
	{ "process.user.gid", "5", APPLIED },
	{ "process.user.umask", "18", APPLIED },
	{ "process.user.additionalGids", "[5]", APPLIED },
	{ "process.user.username", "\"a\"", NAMED },
	{ "process.args", "[\"a\"]", APPLIED },
	{ "process.commandLine", "\"a\"", NAMED },
	{ "process.env", "[\"A=1\"]", APPLIED },
	{ "process.cwd", "\"/a\"", APPLIED },
	{ "process.capabilities.bounding", "[\"CAP_KILL\"]", APPLIED },
	{ "process.capabilities.effective", "[\"CAP_KILL\"]", APPLIED },
	{ "process.capabilities.permitted", "[\"CAP_KILL\"]", APPLIED },
	{ "process.capabilities.inheritable", "[\"CAP_KILL\"]", APPLIED },
	{ "process.capabilities.ambient", "[\"CAP_KILL\"]", APPLIED },
	{ "process.rlimits[].type", "\"RLIMIT_CORE\"", APPLIED },
	{ "process.rlimits[].soft", "0", APPLIED },
	{ "process.rlimits[].hard", "9", APPLIED },
	{ "process.noNewPrivileges", "true", APPLIED },
	{ "process.oomScoreAdj", "-5", APPLIED },
	{ "process.apparmorProfile", "\"a\"", NAMED },
	{ "process.selinuxLabel", "\"a\"", NAMED },
	{ "process.scheduler.policy", "\"SCHED_DEADLINE\"", APPLIED },
	{ "process.scheduler.nice", "-5", APPLIED },
	{ "process.scheduler.priority", "0", APPLIED },
	{ "process.scheduler.flags", "[\"SCHED_FLAG_RECLAIM\"]", APPLIED },
	{ "process.scheduler.runtime", "2500", APPLIED },
	{ "process.scheduler.deadline", "3500", APPLIED },
	{ "process.scheduler.period", "4500", APPLIED },
	{ "process.ioPriority.class", "\"IOPRIO_CLASS_RT\"", APPLIED },
	{ "process.ioPriority.priority", "5", APPLIED },
	{ "process.execCPUAffinity", "{\"initial\":\"0\"}", REFUSED },
	{ "process.execCPUAffinity", "{\"final\":\"0\"}", REFUSED },

	{ "mounts[].destination", "\"/a\"", APPLIED },
	{ "mounts[].type", "\"bind\"", APPLIED },
	{ "mounts[].source", "\"/a\"", APPLIED },
	{ "mounts[].options", "[\"ro\"]", APPLIED },
	{ "mounts[].uidMappings", "[{\"containerID\":0,\"hostID\":1,\"size\":1}]", REFUSED },
	{ "mounts[].gidMappings", "[{\"containerID\":0,\"hostID\":1,\"size\":1}]", REFUSED },

	HOOK("prestart"),
	HOOK("createRuntime"),
	HOOK("createContainer"),
	HOOK("startContainer"),
	HOOK("poststart"),
	HOOK("poststop"),

	{ "linux.namespaces[].type", "\"user\"", APPLIED },
	{ "linux.namespaces[].path", "\"\"", APPLIED },
	{ "linux.uidMappings[].containerID", "5", APPLIED },
	{ "linux.uidMappings[].hostID", "5", APPLIED },
	{ "linux.uidMappings[].size", "5", APPLIED },
	{ "linux.gidMappings[].containerID", "5", APPLIED },
	{ "linux.gidMappings[].hostID", "5", APPLIED },
	{ "linux.gidMappings[].size", "5", APPLIED },
	{ "linux.timeOffsets.monotonic.secs", "-5", APPLIED },
	{ "linux.timeOffsets.monotonic.nanosecs", "5", APPLIED },
	{ "linux.timeOffsets.boottime.secs", "-5", APPLIED },
	{ "linux.timeOffsets.boottime.nanosecs", "5", APPLIED },
	{ "linux.devices[].path", "\"/dev/a\"", APPLIED },
	{ "linux.devices[].type", "\"b\"", APPLIED },
	{ "linux.devices[].major", "5", APPLIED },
	{ "linux.devices[].minor", "5", APPLIED },
	{ "linux.devices[].fileMode", "420", APPLIED },
	{ "linux.devices[].uid", "5", APPLIED },
	{ "linux.devices[].gid", "5", APPLIED },
	{ "linux.netDevices", "{\"eth0\":{\"name\":\"eth1\"}}", REFUSED },
	{ "linux.cgroupsPath", "\"/a\"", APPLIED },
	{ "linux.sysctl.x", "\"1\"", APPLIED },
	{ "linux.rootfsPropagation", "\"slave\"", APPLIED },
	{ "linux.maskedPaths", "[\"/a\"]", APPLIED },
	{ "linux.readonlyPaths", "[\"/a\"]", APPLIED },
	{ "linux.mountLabel", "\"a\"", NAMED },
	{ "linux.personality.domain", "\"LINUX32\"", APPLIED },
	{ "linux.personality.flags", "[\"a\"]", REFUSED },
	{ "linux.intelRdt", "{\"closID\":\"a\"}", REFUSED },
	{ "linux.intelRdt", "{\"enableCMT\":false}", REFUSED },
	{ "linux.memoryPolicy", "{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\"}", REFUSED },

	{ "linux.seccomp.defaultAction", "\"SCMP_ACT_TRACE\"", APPLIED },
	{ "linux.seccomp.defaultErrnoRet", "5", APPLIED },
	{ "linux.seccomp.architectures", "[\"SCMP_ARCH_X86\"]", APPLIED },
	{ "linux.seccomp.flags", "[\"SECCOMP_FILTER_FLAG_LOG\"]", APPLIED },
	{ "linux.seccomp.flags[]", "\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"", REFUSED },
	{ "linux.seccomp.listenerPath", "\"/a\"", REFUSED },
	{ "linux.seccomp.listenerMetadata", "\"a\"", REFUSED },
	{ "linux.seccomp.syscalls[].names", "[\"open\"]", APPLIED },
	{ "linux.seccomp.syscalls[].action", "\"SCMP_ACT_TRACE\"", APPLIED },
	{ "linux.seccomp.syscalls[].action", "\"SCMP_ACT_NOTIFY\"", REFUSED },
	{ "linux.seccomp.syscalls[].errnoRet", "5", APPLIED },
	{ "linux.seccomp.syscalls[].args[].index", "1", APPLIED },
	{ "linux.seccomp.syscalls[].args[].value", "1", APPLIED },
	{ "linux.seccomp.syscalls[].args[].valueTwo", "1", APPLIED },
	{ "linux.seccomp.syscalls[].args[].op", "\"SCMP_CMP_GE\"", APPLIED },

	{ "linux.resources.devices[].allow", "false", APPLIED },
	{ "linux.resources.devices[].type", "\"c\"", APPLIED },
	{ "linux.resources.devices[].major", "1", APPLIED },
	{ "linux.resources.devices[].minor", "3", APPLIED },
	{ "linux.resources.devices[].access", "\"rwm\"", APPLIED },
	{ "linux.resources.memory.limit", "1000000", APPLIED },
	{ "linux.resources.memory.reservation", "1000000", APPLIED },
	{ "linux.resources.memory.swap", "1000000", APPLIED },
	{ "linux.resources.memory.kernel", "1000000", NAMED },
	{ "linux.resources.memory.kernelTCP", "1000000", NAMED },
	{ "linux.resources.memory.swappiness", "0", NAMED },
	{ "linux.resources.memory.disableOOMKiller", "true", REFUSED },
	{ "linux.resources.memory.useHierarchy", "true", APPLIED },
	{ "linux.resources.memory.checkBeforeUpdate", "true", APPLIED },
	{ "linux.resources.cpu.shares", "1024", APPLIED },
	{ "linux.resources.cpu.quota", "50000", APPLIED },
	{ "linux.resources.cpu.burst", "5000", APPLIED },
	{ "linux.resources.cpu.period", "100000", APPLIED },
	{ "linux.resources.cpu.realtimeRuntime", "1000", REFUSED },
	{ "linux.resources.cpu.realtimePeriod", "1000", NAMED },
	{ "linux.resources.cpu.cpus", "\"0-1\"", APPLIED },
	{ "linux.resources.cpu.mems", "\"0\"", APPLIED },
	{ "linux.resources.cpu.idle", "1", APPLIED },
	{ "linux.resources.pids.limit", "10", APPLIED },
	{ "linux.resources.blockIO.weight", "10", APPLIED },
	{ "linux.resources.blockIO.leafWeight", "10", REFUSED },
	{ "linux.resources.blockIO.weightDevice", "[{\"major\":8,\"minor\":0,\"weight\":9}]",
	  REFUSED },
	THROTTLE("throttleReadBpsDevice"),
	THROTTLE("throttleWriteBpsDevice"),
	THROTTLE("throttleReadIOPSDevice"),
	THROTTLE("throttleWriteIOPSDevice"),
	{ "linux.resources.hugepageLimits[].pageSize", "\"1GB\"", APPLIED },
	{ "linux.resources.hugepageLimits[].limit", "5", APPLIED },
	{ "linux.resources.network.classID", "5", REFUSED },
	{ "linux.resources.network.priorities", "[{\"name\":\"eth0\",\"priority\":1}]", REFUSED },
	{ "linux.resources.rdma", "{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":1}}", REFUSED },
	{ "linux.resources.unified.x", "\"1\"", REFUSED }, /* no controller's file */
};

/* With ' for \". */
static const char document[] =
	"{'ociVersion':'1.2.0','root':{'path':'/r'},'hostname':'h','annotations':{},"
	"'process':{'args':['sh'],'cwd':'/','user':{},'capabilities':{},'consoleSize':{},"
	"'rlimits':[{'type':'RLIMIT_CPU','soft':1,'hard':2}],"
	"'scheduler':{'policy':'SCHED_DEADLINE','runtime':2000,'deadline':3000,'period':4000},"
	"'ioPriority':{'class':'IOPRIO_CLASS_BE'}},"
	"'mounts':[{'destination':'/m','type':'tmpfs','source':'tmpfs'}],"
	"'hooks':{'prestart':[{'path':'/a'}],'createRuntime':[{'path':'/a'}],"
	"'createContainer':[{'path':'/a'}],'startContainer':[{'path':'/a'}],"
	"'poststart':[{'path':'/a'}],'poststop':[{'path':'/a'}]},"
	"'linux':{'namespaces':[{'type':'user'},{'type':'uts'},{'type':'time'}],"
	"'uidMappings':[{'containerID':0,'hostID':1,'size':1}],"
	"'gidMappings':[{'containerID':0,'hostID':1,'size':1}],"
	"'timeOffsets':{'monotonic':{},'boottime':{}},"
	"'devices':[{'path':'/dev/x','type':'c'}],'sysctl':{},'personality':{'domain':'LINUX'},"
	"'seccomp':{'defaultAction':'SCMP_ACT_ERRNO','flags':['SECCOMP_FILTER_FLAG_LOG'],"
	"'syscalls':[{'names':['read'],'action':'SCMP_ACT_ERRNO',"
	"'args':[{'index':0,'value':1,'op':'SCMP_CMP_EQ'}]}]},"
	"'resources':{'devices':[{'allow':true,'access':'r'}],'memory':{},'cpu':{},'pids':{},"
	"'blockIO':{},'hugepageLimits':[{'pageSize':'2MB'}],'network':{},'unified':{}}}}";

static struct json_object *read_document(void)
{
	char text[sizeof(document)];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = document[i] == '\'' ? '"' : document[i];
	return json_tokener_parse(text);
}

/* Sets the member in the tree; *ret_place is its path with numbers of items. */
static void set(struct json_object *o, const char *path, const char *value, char *ret_place)
{
	struct json_object *new = json_tokener_parse(value), *next;
	char text[128], *rest = text;

	cr_assert(new != NULL, "%s", value);
	cr_assert_geq(str_format(text, sizeof(text), "%s", path), 0);
	ret_place[0] = '\0';
	while (rest != NULL) {
		char *key = strsep(&rest, "."), *list = strstr(key, "[]");

		if (list != NULL)
			*list = '\0';
		strcat(strcat(ret_place, ret_place[0] != '\0' ? "." : ""), key);
		if (rest == NULL && list == NULL) {
			json_object_object_add(o, key, new);
			return;
		}
		cr_assert(json_object_object_get_ex(o, key, &next), "%s in %s", key, path);
		o = next;
		if (list == NULL)
			continue;
		strcat(ret_place, "[0]");
		if (rest == NULL) {
			json_object_array_put_idx(o, 0, new);
			return;
		}
		o = json_object_array_get_idx(o, 0);
		cr_assert(o != NULL, "%s", path);
	}
}

static void collect(const char *what, void *userdata)
{
	strcat(strcat(userdata, what), " ");
}

/* What becomes of the document with that value; text is the error, or the warnings. */
static enum fate parse(const char *path, const char *value, char *ret_place, char text[1024])
{
	struct json_object *tree = read_document();
	struct spec *spec = NULL;
	struct error err = { 0 };
	const char *json;
	int r;

	cr_assert(tree != NULL);
	set(tree, path, value, ret_place);
	json = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN);
	r = spec_parse("f", "/b", json, strlen(json), &spec, &err);
	json_object_put(tree);
	text[0] = '\0';
	if (r < 0) {
		cr_assert_geq(str_format(text, 1024, "%s", err.text), 0);
		return REFUSED;
	}
	spec_warnings(spec, collect, text);
	spec_free(spec);
	return text[0] != '\0' ? NAMED : APPLIED;
}

/* "f: PLACE", and then the end of the place. */
static bool names(const char *text, const char *place)
{
	char begin[160];
	size_t len;

	cr_assert_geq(str_format(begin, sizeof(begin), "f: %s", place), 0);
	len = strlen(begin);
	return strncmp(text, begin, len) == 0 && (text[len] == ':' || text[len] == '[');
}

Test(spec_members, each_is_applied_named_or_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		char place[128], text[1024];
		enum fate fate = parse(members[i].path, members[i].value, place, text);

		cr_expect_eq(fate, members[i].fate, "%s = %s: %d, \"%s\"", members[i].path,
			     members[i].value, fate, text);
		if (fate == REFUSED)
			cr_expect(names(text, place), "%s: %s", place, text);
		if (fate == NAMED)
			cr_expect(strncmp(text, place, strlen(place)) == 0, "%s: %s", place, text);
	}
}

/* No member is a fraction. */
Test(spec_members, malformed_ones_are_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		char place[128], text[1024];
		enum fate fate = parse(members[i].path, "1.5", place, text);

		/* Of other systems nothing is known but the name. */
		if (fate != REFUSED && members[i].fate == NAMED)
			cr_expect(strncmp(text, place, strlen(place)) == 0, "%s: %s", place, text);
		else
			cr_expect(fate == REFUSED && names(text, place), "%s: %d, \"%s\"", place,
				  fate, text);
	}
}
