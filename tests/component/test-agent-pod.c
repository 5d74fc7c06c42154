/* kata-agent without a VM: containers of one pod; see test-agent.c. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/component/agent-stand.h"

TestSuite(agent_pod, .timeout = 120, .fini = rig_drop);

/* A further container with the same root as c1, that shares with c1 what is named. */
static struct msg_create member(const char *name, bool pid, bool ipc, bool uts,
				struct msg_process first)
{
	struct msg_create c = container(first);

	c.container = TEXT(name);
	c.pid_of = TEXT(pid ? "c1" : "");
	c.ipc_of = TEXT(ipc ? "c1" : "");
	c.uts_of = TEXT(uts ? "c1" : "");
	return c;
}

static void expect_member(struct stand *s, struct msg_create create, int code, const char *wanted)
{
	struct caller *shim = run(s, MSG_CREATE, &create);
	struct msg_remove message = { .container = create.container };
	int ended = caller_wait_exit(shim);

	cr_expect(ended == code, "%s: code %d", create.container, ended);
	expect_text(shim, STREAM_STDOUT, wanted);
	caller_close(shim, CLOSE_DONE);
	caller_must(s->runtime, MSG_REMOVE, &message);
}

Test(agent_pod, containers_share_what_they_are_told_to)
{
	const char *look = "hostname; cat /dev/shm/x 2>/dev/null; read -r name </proc/1/comm; "
			   "echo $name";
	const char *list =
		"for n in pid ipc uts; do readlink /proc/self/ns/$n; done >>/dev/shm/list";
	struct stand s = stand();
	struct msg_create first = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_create create;

	first.hostname = TEXT("pod");
	run(&s, MSG_CREATE, &first);
	expect_script(&s, "echo shared >/dev/shm/x", "");
	expect_member(&s, member("c2", true, true, true, shell(look)), 0, "pod\nshared\nsleep\n");
	create = member("c3", false, false, false, shell(look));
	create.hostname = TEXT("own");
	expect_member(&s, create, 0, "own\nsh\n");
	expect_member(&s, member("c4", true, true, true, shell(list)), 0, "");
	expect_script(&s, list, "");
	expect_script(&s,
		      "head -n 3 /dev/shm/list >/dev/shm/a; grep -cxFf /dev/shm/a /dev/shm/list",
		      "6\n");
	rig_stop(s.rig);
}

Test(agent_pod, container_ends_whole_in_a_shared_pid_namespace)
{
	struct stand s = stand();
	struct caller *shim;
	struct msg_create create;

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	create = member("c2", true, false, false,
			shell("sleep 777 </dev/null >/dev/null 2>&1 & exit 3"));
	shim = run(&s, MSG_CREATE, &create);
	cr_expect(caller_wait_exit(shim) == 3);
	expect_script(&s,
		      "for i in $(seq 1 50); do ps | grep -q '[s]leep 777' || break; sleep 0.1; "
		      "done; ps | grep -c '[s]leep 777'; ps | grep -c '[s]leep 1000'",
		      "0\n1\n");
	rig_stop(s.rig);
}

/* The other one's root by way of /proc: as a working directory it would be a way out. */
Test(agent_pod, a_working_directory_in_another_container_is_refused)
{
	struct stand s = stand();
	struct msg_process sleeper = process(ARGS(TEXT("sleep"), TEXT("1000")));
	struct msg_create create = member("c2", true, false, false, sleeper);
	struct msg_exec exec = { .container = TEXT("c2"), .process = shell("pwd") };

	run_first(&s, sleeper);
	run(&s, MSG_CREATE, &create);
	exec.process.cwd = TEXT("/proc/1/root/tmp");
	caller_must_fail(s.runtime, MSG_EXEC, &exec, EINVAL,
			 "working directory /proc/1/root/tmp lies outside the container");
	rig_stop(s.rig);
}

Test(agent_pod, shares_nothing_with_what_does_not_run)
{
	struct stand s = stand();
	struct msg_create create = member("c2", false, true, false, shell("exit 0"));
	struct msg_remove message = { .container = TEXT("c2") };
	struct caller *shim;

	caller_must_fail(s.runtime, MSG_CREATE, &create, ENOENT,
			 "share the namespaces of a container: container c1 is not known");
	shim = run_first(&s, shell("exit 0"));
	cr_expect(caller_wait_exit(shim) == 0);
	caller_must_fail(s.runtime, MSG_CREATE, &create, ESRCH,
			 "share the namespaces of a container: container c1 is not running");
	caller_must_fail(s.runtime, MSG_REMOVE, &message, ENOENT, "container c2 is not known");
	remove_container(&s);
	rig_stop(s.rig);
}
