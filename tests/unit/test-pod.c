/* kata-runtime/pod.h: which VM a container belongs to. Containers here are files and processes. */
#include "kata-runtime/pod.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"

Test(pod, namespace_paths)
{
	static const struct {
		const char *path, *name;
		pid_t pid;
	} cases[] = {
		{ "/proc/42/ns/net", "net", 42 },
		{ "/proc/2147483647/ns/pid", "pid", INT32_MAX },
		{ "/proc/2147483648/ns/pid", "pid", 0 },
		{ "/proc/99999999999999999999/ns/pid", "pid", 0 },
		{ "/proc/42/ns/net", "pid", 0 },
		{ "/proc/self/ns/net", "net", 0 },
		{ "/proc/42/ns/net/", "net", 0 },
		{ "/proc/42/ns/", "", 42 },
		{ "/proc/42x/ns/net", "net", 0 },
		{ "/proc//ns/net", "net", 0 },
		{ "/proc/-1/ns/net", "net", 0 },
		{ "/run/netns/x", "net", 0 },
		{ "", "net", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(pod_namespace_pid(cases[i].path, cases[i].name), cases[i].pid, "%s",
			     cases[i].path);
}

static struct spec *make_spec(const char *annotations, const char *namespaces)
{
	struct error err = { 0 };
	struct spec *spec = NULL;
	char text[2048];
	int n = snprintf(text, sizeof(text),
			 "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"},"
			 "\"root\":{\"path\":\"/r\"},\"annotations\":{%s},"
			 "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}%s]}}",
			 annotations, namespaces);

	cr_assert(spec_parse("config.json", "/bundle", text, (size_t)n, &spec, &err) == 0, "%s",
		  err.text);
	return spec;
}

Test(pod, annotations)
{
	static const struct {
		const char *annotations, *sandbox; /* sandbox NULL: not a member */
		const char *error;                 /* or a part of what is wrong */
	} cases[] = {
		{ "", NULL, NULL },
		{ "\"other\":\"container\"", NULL, NULL },
		{ "\"io.kubernetes.cri.container-type\":\"sandbox\","
		  "\"io.kubernetes.cri.sandbox-id\":\"s\"",
		  NULL, NULL },
		{ "\"io.kubernetes.cri.container-type\":\"container\","
		  "\"io.kubernetes.cri.sandbox-id\":\"s\"",
		  "s", NULL },
		{ "\"io.kubernetes.cri-o.ContainerType\":\"sandbox\"", NULL, NULL },
		{ "\"io.kubernetes.cri-o.ContainerType\":\"container\","
		  "\"io.kubernetes.cri-o.SandboxID\":\"infra\"",
		  "infra", NULL },
		{ "\"io.kubernetes.docker.type\":\"podsandbox\"", NULL, NULL },
		{ "\"io.kubernetes.docker.type\":\"container\",\"io.kubernetes.sandbox.id\":\"d\"",
		  "d", NULL },
		{ "\"io.kubernetes.cri.container-type\":\"container\"", NULL,
		  "io.kubernetes.cri.sandbox-id is missing" },
		{ "\"io.kubernetes.cri.container-type\":\"container\","
		  "\"io.kubernetes.cri.sandbox-id\":\"\"",
		  NULL, "io.kubernetes.cri.sandbox-id is missing" },
		{ "\"io.kubernetes.cri-o.ContainerType\":\"Container\"", NULL,
		  "io.kubernetes.cri-o.ContainerType is \"Container\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec *spec = make_spec(cases[i].annotations, "");
		const char *sandbox = NULL, *key;
		struct error err = { 0 };
		int r = pod_annotated(spec, &sandbox, &key, &err);

		if (cases[i].error != NULL)
			cr_expect(r == -EINVAL && strstr(err.text, cases[i].error) != NULL,
				  "%s: %s", cases[i].annotations, err.text);
		else
			cr_expect_eq(r,
				     cases[i].sandbox != NULL                            ? 1
				     : strstr(cases[i].annotations, "sandbox\"") != NULL ? 2
											 : 0,
				     "%s: %s", cases[i].annotations, err.text);
		if (cases[i].sandbox != NULL)
			cr_expect_str_eq(sandbox, cases[i].sandbox);
		spec_free(spec);
	}
}

/* --- with containers ------------------------------------------------------------------------- */

static char dir[] = "/tmp/kata-test-pod-XXXXXX";
static struct store store;
static pid_t shims[2];

/* A process that stands in for a container and for its VM, with a network of its own. */
static pid_t sleeper(void)
{
	int pair[2];
	char byte;
	pid_t pid;

	cr_assert(pipe(pair) == 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(pair[1], "+", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pair[1]);
	cr_assert(read(pair[0], &byte, 1) == 1);
	close(pair[0]);
	return pid;
}

/* sandbox NULL: the first of a VM. */
static void add(const char *id, const char *sandbox, pid_t pid)
{
	CLEANUP(state_fini) struct state state = { 0 };
	struct error err = { 0 };

	cr_assert(state_init(&state, &store, id, &err) == 0, "%s", err.text);
	cr_assert(store_create(&store, id, state.sid, &err) == 0, "%s", err.text);
	state.status = STATUS_RUNNING;
	state.shim.pid = state.monitor.pid = pid;
	cr_assert(process_start_time(pid, &state.shim.start_ticks, &err) == 0);
	state.monitor.start_ticks = state.shim.start_ticks;
	if (sandbox != NULL) {
		cr_assert(store_sid(&store, sandbox, state.sandbox, &err) == 0);
		cr_assert(store_join(&store, &state, &err) == 0, "%s", err.text);
	}
	cr_assert(store_write_state(&store, &state, &err) == 0, "%s", err.text);
}

static void make_containers(void)
{
	struct error err = { 0 };
	char base[64], root[64];

	if (geteuid() != 0)
		cr_skip("needs root");
	cr_assert(mkdtemp(dir) != NULL);
	snprintf(base, sizeof(base), "%s/b", dir);
	snprintf(root, sizeof(root), "%s/c", dir);
	cr_assert(store_open(&store, root, base, true, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(shims); i++)
		shims[i] = sleeper();
	add("one", NULL, shims[0]);
	add("two", NULL, shims[1]);
}

static void remove_containers(void)
{
	static const char *const ids[] = { "one", "two", "member" };
	struct store_lock none = STORE_LOCK_NONE;
	char sid[SID_SIZE], path[64];

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (store_sid(&store, ids[i], sid, NULL) == 0)
			store_remove(&store, ids[i], sid, &none, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(shims); i++) {
		kill(shims[i], SIGKILL);
		waitpid(shims[i], NULL, 0);
	}
	for (size_t i = 0; i < 5; i++) {
		static const char *const left[] = { "b/s", "b/l", "b", "c", "" };

		snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
		cr_expect(rmdir(path) == 0, "%s: %s", path, strerror(errno));
	}
}

/* Namespaces of two containers by the pids of their shims, in the network of one. */
static int find(const char *annotations, const char *format, pid_t a, pid_t b, pid_t network,
		struct pod *ret, struct error *err)
{
	CLEANUP(fd_close) int netns = -1;
	char namespaces[512], path[64];
	struct spec *spec;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", network);
	netns = network > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(namespaces, sizeof(namespaces), format, a, b);
#pragma GCC diagnostic pop
	spec = make_spec(annotations, namespaces);
	r = pod_find(&store, spec, netns, ret, err);
	spec_free(spec);
	return r;
}

#define NET ",{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"}"
#define OWN_NET ",{\"type\":\"network\"}"
#define PID ",{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"}"
#define IPC ",{\"type\":\"ipc\",\"path\":\"/proc/%d/ns/ipc\"}"
#define MEMBER_OF(id) \
	"\"io.kubernetes.cri.container-type\":\"container\"," \
	"\"io.kubernetes.cri.sandbox-id\":\"" id "\""

Test(pod, members_are_found, .init = make_containers, .fini = remove_containers)
{
	struct error err = { 0 };
	struct pod pod;

	cr_assert(find("", OWN_NET, 0, 0, 0, &pod, &err) == 0, "%s", err.text);
	cr_expect(!pod.member && str_eq(pod.pid_of, ""));
	pod_fini(&pod);
	cr_assert(find("", NET PID, shims[0], shims[0], shims[0], &pod, &err) == 0, "%s", err.text);
	cr_expect(pod.member && str_eq(pod.sandbox.id, "one") && str_eq(pod.pid_of, "one"));
	cr_expect(str_eq(pod.ipc_of, "") && str_eq(pod.uts_of, ""));
	pod_fini(&pod);
	cr_assert(find(MEMBER_OF("two"), NET, shims[1], 0, shims[1], &pod, &err) == 0, "%s",
		  err.text);
	cr_expect(pod.member && str_eq(pod.sandbox.id, "two"));
	pod_fini(&pod);
	/* A member of a member is one of the same VM. */
	add("member", "one", shims[0]);
	cr_assert(find(MEMBER_OF("member"), IPC, shims[0], 0, shims[0], &pod, &err) == 0, "%s",
		  err.text);
	cr_expect(pod.member && str_eq(pod.sandbox.id, "one"));
	pod_fini(&pod);
}

Test(pod, what_cannot_be_joined, .init = make_containers, .fini = remove_containers)
{
	struct error err = { 0 };
	struct pod pod;

	cr_expect(find("", NET, getpid(), 0, getpid(), &pod, &err) == -ENOTSUP);
	cr_expect(strstr(err.text, "which is no running container of kata-runtime") != NULL, "%s",
		  err.text);
	cr_expect(find("", OWN_NET PID, shims[0], 0, 0, &pod, &err) == -ENOTSUP);
	cr_expect(strstr(err.text, "container one, but not its network") != NULL, "%s", err.text);
	cr_expect(find("", NET PID, shims[0], shims[1], shims[0], &pod, &err) == -ENOTSUP);
	cr_expect(strstr(err.text, "containers one and two are in different VMs") != NULL, "%s",
		  err.text);
	cr_expect(find(MEMBER_OF("two"), NET, shims[0], 0, shims[0], &pod, &err) == -ENOTSUP);
	cr_expect(find(MEMBER_OF("none"), OWN_NET, 0, 0, 0, &pod, &err) == -ENOENT);
	cr_expect(strstr(err.text, "sandbox-id: container does not exist: none") != NULL, "%s",
		  err.text);
	cr_expect(find(MEMBER_OF("../x"), OWN_NET, 0, 0, 0, &pod, &err) == -EINVAL);
	kill(shims[0], SIGKILL);
	waitpid(shims[0], NULL, 0);
	cr_expect(find(MEMBER_OF("one"), OWN_NET, 0, 0, 0, &pod, &err) == -ESRCH);
	cr_expect(strstr(err.text, "container one, whose VM is to be shared, is not running") !=
			  NULL,
		  "%s", err.text);
}

Test(pod, others_of_a_vm, .init = make_containers, .fini = remove_containers)
{
	CLEANUP(state_fini) struct state one = { 0 }, member = { 0 };
	struct error err = { 0 };
	char sid[SID_SIZE];

	cr_assert(store_sid(&store, "one", sid, &err) == 0);
	cr_assert(store_read_state(&store, sid, &one, &err) == 0);
	cr_expect(pod_is_first(&one) && !pod_has_others(&store, &one, NULL));
	add("member", "one", shims[1]);
	cr_assert(store_sid(&store, "member", sid, &err) == 0);
	cr_assert(store_read_state(&store, sid, &member, &err) == 0);
	cr_expect(!pod_is_first(&member));
	cr_expect(pod_has_others(&store, &one, NULL) && pod_has_others(&store, &member, NULL));
	cr_expect(pod_others_run(&store, &one) && pod_others_run(&store, &member));
	kill(shims[1], SIGKILL);
	waitpid(shims[1], NULL, 0);
	cr_expect(pod_has_others(&store, &one, NULL) && !pod_others_run(&store, &one));
	cr_assert(store_depart(&store, &one, &err) == 0, "%s", err.text);
	cr_expect(!pod_has_others(&store, &member, NULL) && !pod_others_run(&store, &member));
	cr_assert(store_remove(&store, "one", one.sid, &(struct store_lock)STORE_LOCK_NONE, &err) ==
		  0);
	cr_expect(!pod_has_others(&store, &member, NULL));
}
