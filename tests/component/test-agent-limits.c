/* kata-agent without a VM: what holds a container back, pauses and counts it; see test-agent.c. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/component/agent-stand.h"

TestSuite(agent_limits, .timeout = 120, .fini = rig_drop);

/* sethostname(2) fails with ENOTTY; all else is allowed. */
static struct sock_filter filter_code[] = {
	{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
	{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_sethostname },
	{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOTTY },
	{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
};

static struct msg_seccomp filter(void)
{
	return (struct msg_seccomp){ .program = { (uint8_t *)filter_code, sizeof(filter_code) } };
}

Test(agent_limits, seccomp_holds_for_every_process)
{
	const char *script = "grep -c '^Seccomp:.2' /proc/self/status; hostname x 2>&1; true";
	const char *first_script =
		"grep -c '^Seccomp:.2' /proc/self/status; hostname x 2>&1; sleep 1";
	const char *wanted = "1\nhostname: sethostname: Inappropriate ioctl for device\n";

	for (int with_nnp = 0; with_nnp < 2; with_nnp++) {
		struct stand s = stand();
		struct msg_create create = container(shell(first_script));
		struct msg_process further_one =
			process(ARGS(TEXT("sh"), TEXT("-c"), TEXT(script)));
		struct caller *first, *shim;

		create.seccomp = filter();
		create.process.no_new_privileges = further_one.no_new_privileges = with_nnp;
		first = run(&s, MSG_CREATE, &create);
		shim = run_further(&s, further_one);
		cr_expect(caller_wait_exit(shim) == 0);
		expect_text(shim, STREAM_STDOUT, wanted);
		cr_expect(caller_wait_exit(first) == 0);
		expect_text(first, STREAM_STDOUT, wanted);
		remove_container(&s);
		rig_stop(s.rig);
	}
}

Test(agent_limits, filters_that_are_none)
{
	struct stand s = stand();
	struct msg_create create = container(shell("true"));

	create.seccomp = filter();
	create.seccomp.program.len -= 1;
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL,
			 "seccomp: 31 bytes are no program");
	create.seccomp = filter();
	create.seccomp.flags = 1;
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL, "seccomp: flags 0x1");
	create.seccomp = filter();
	create.seccomp.program.len -= 8; /* it does not end */
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL,
			 "load the seccomp filter: Invalid argument");
	rig_stop(s.rig);
}

Test(agent_limits, kernel_parameters)
{
	struct msg_sysctl sysctls[] = { { TEXT("kernel/shmmax"), TEXT("123456") },
					{ TEXT("fs/mqueue/msg_max"), TEXT("11") },
					{ TEXT("kernel/domainname"), TEXT("x.example") } };
	struct msg_sysctl bad[] = { { TEXT("../sys/kernel/shmmax"), TEXT("1") } };
	struct msg_sysctl missing[] = { { TEXT("kernel/nosuch"), TEXT("1") } };
	struct stand s = stand();
	struct msg_create create = container(
		shell("cd /proc/sys; cat kernel/shmmax fs/mqueue/msg_max kernel/domainname"));
	struct caller *shim;

	create.sysctls = bad;
	create.n_sysctls = 1;
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL,
			 "kernel parameter ../sys/kernel/shmmax: no name of a kernel parameter");
	create.sysctls = missing;
	rig_pump(s.rig, 100); /* until what failed is taken away */
	caller_must_fail(s.runtime, MSG_CREATE, &create, ENOENT,
			 "kernel parameter kernel/nosuch: open it: not found");
	rig_pump(s.rig, 100);
	create.sysctls = sysctls;
	create.n_sysctls = ARRAY_SIZE(sysctls);
	shim = run(&s, MSG_CREATE, &create);
	cr_expect(caller_wait_exit(shim) == 0);
	expect_text(shim, STREAM_STDOUT, "123456\n11\nx.example\n");
	rig_stop(s.rig);
}

Test(agent_limits, device_rules)
{
	struct msg_device_rule rules[] = {
		{ .kind = TEXT("a"), .major = UINT32_MAX, .minor = UINT32_MAX, .access = 7 },
		{ .allow = true, .kind = TEXT("c"), .major = 10, .minor = 229, .access = 2 },
	};
	/* Nobody may know whether this kernel has the device: only the refusal is looked for. */
	const char *script = "cd /dev; mknod fuse c 10 229; mknod disk b 8 0\n"
			     "for f in fuse disk null; do\n"
			     "(: <$f) 2>&1 | grep -q 'not permitted' && echo $f not read; "
			     "(: >>$f) 2>&1 | grep -q 'not permitted' && echo $f not written\n"
			     "done; true";

	for (uint32_t n = 0; n <= ARRAY_SIZE(rules); n += ARRAY_SIZE(rules)) {
		struct stand s = stand();
		struct msg_create create = container(shell(script));
		struct caller *shim;

		create.device_rules = rules;
		create.n_device_rules = n;
		shim = run(&s, MSG_CREATE, &create);
		cr_expect(caller_wait_exit(shim) == 0);
		expect_text(shim, STREAM_STDOUT,
			    n == 0 ? "fuse not read\nfuse not written\n"
				     "disk not read\ndisk not written\n"
				   : "fuse not written\ndisk not read\ndisk not written\n");
		rig_stop(s.rig);
	}
}

/* Files that every cgroup2 hierarchy has are no limits; no others can be counted upon here. */
Test(agent_limits, limits_that_cannot_be)
{
	struct msg_cgroup_value values[] = { { TEXT("nosuch.max"), TEXT("1"), true },
					     { TEXT("nosuch.max"), TEXT("1"), false } };
	struct msg_cgroup_value path = { TEXT("../x.max"), TEXT("1"), true };
	struct msg_cgroup_value core = { TEXT("cgroup.procs"), TEXT("1"), true };
	struct stand s = stand();
	struct msg_create create = container(shell("sleep 100"));
	struct msg_update update = { .container = TEXT("c1"), .cgroup = values, .n_cgroup = 1 };

	create.cgroup = values;
	create.n_cgroup = 2;
	caller_must_fail(s.runtime, MSG_CREATE, &create, ENOENT,
			 "resource limit: set nosuch.max to \"1\": not found");
	create.n_cgroup = 1;
	run(&s, MSG_CREATE, &create);
	caller_must(s.runtime, MSG_UPDATE, &update);
	update.check_memory = true; /* no memory limit is among them */
	caller_must(s.runtime, MSG_UPDATE, &update);
	update.cgroup = &path;
	caller_must_fail(s.runtime, MSG_UPDATE, &update, EINVAL,
			 "resource limit ../x.max: no file of a limit");
	update.cgroup = &core;
	caller_must_fail(s.runtime, MSG_UPDATE, &update, EINVAL,
			 "resource limit cgroup.procs: no file of a limit");
	update.container = TEXT("c2");
	caller_must_fail(s.runtime, MSG_UPDATE, &update, ENOENT, "container c2 is not known");
	remove_container(&s);
	rig_stop(s.rig);
}

Test(agent_limits, pause_and_resume)
{
	struct stand s = stand();
	struct caller *shim = run_first(&s, shell("while :; do echo x; sleep 0.05; done"));
	struct msg_pause pause = { .container = TEXT("c1") };
	struct msg_resume resume = { .container = TEXT("c1") };
	size_t at;

	caller_expect(shim, "x\n");
	caller_must(s.runtime, MSG_PAUSE, &pause);
	rig_pump(s.rig, 100);
	at = buf_len(&shim->out[STREAM_STDOUT]);
	rig_pump(s.rig, 400);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) == at, "it ran on");
	caller_must(s.runtime, MSG_PAUSE, &pause);
	caller_must(s.runtime, MSG_RESUME, &resume);
	rig_pump(s.rig, 400);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) > at, "it stands still");
	caller_must(s.runtime, MSG_PAUSE, &pause);
	send_signal(&s, shim->handle, SIGKILL, false);
	cr_expect(caller_wait_exit(shim) == 128 + SIGKILL, "SIGKILL does not wait");
	caller_must_fail(s.runtime, MSG_PAUSE, &pause, ESRCH, "container not running");
	remove_container(&s);
	caller_must_fail(s.runtime, MSG_RESUME, &resume, ENOENT, "container c1 is not known");
	rig_stop(s.rig);
}

/* What has stopped is known until it is removed, and takes no further process. */
Test(agent_limits, a_stopped_container)
{
	struct stand s = stand();
	struct msg_exec exec = { .container = TEXT("c1"), .process = shell("true") };
	struct msg_stats stats = { .container = TEXT("c2") };
	struct caller *shim = run_first(&s, shell("exit 3"));

	cr_expect(caller_wait_exit(shim) == 3);
	caller_must_fail(s.runtime, MSG_EXEC, &exec, ESRCH, "container not running");
	caller_must_fail(s.runtime, MSG_STATS, &stats, ENOENT, "container c2 is not known");
	stats.container = TEXT("c1");
	cr_expect(caller_ask(s.runtime, MSG_STATS, &stats) == MSG_STATISTICS);
	remove_container(&s);
	rig_stop(s.rig);
}

/* Those of a machine that it has not booted are not its own. */
Test(agent_limits, processors_of_somebody_else)
{
	struct stand s = stand();
	const struct msg_online online = { .vcpus = 2 };

	caller_must_fail(s.runtime, MSG_ONLINE, &online, ENOTSUP,
			 "the processors are not the agent's");
	rig_stop(s.rig);
}

Test(agent_limits, a_paused_container_can_be_removed)
{
	struct stand s = stand();
	struct msg_pause pause = { .container = TEXT("c1") };

	run_first(&s, shell("sleep 100 & sleep 100"));
	caller_must(s.runtime, MSG_PAUSE, &pause);
	remove_container(&s);
	rig_stop(s.rig);
}

Test(agent_limits, ps)
{
	struct stand s = stand();
	struct msg_ps ps = { .container = TEXT("c1") };
	const struct msg_ps_rows *rows;
	struct msg_process p = process(ARGS(TEXT("sleep"), TEXT("1000")));
	uint32_t first;

	caller_must_fail(s.runtime, MSG_PS, &ps, ENOENT, "container c1 is not known");
	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1001"))));
	p.uid = 5;
	run_further(&s, p);
	cr_assert(caller_ask(s.runtime, MSG_PS, &ps) == MSG_PS_ROWS);
	rows = s.runtime->reply;
	cr_assert(rows->n_rows == 2);
	first = str_eq(rows->rows[0].command, "sleep 1001") ? 0 : 1;
	cr_expect_str_eq(rows->rows[first].command, "sleep 1001");
	cr_expect_str_eq(rows->rows[1 - first].command, "sleep 1000");
	cr_expect(rows->rows[first].uid == 0 && rows->rows[1 - first].uid == 5);
	cr_expect(rows->rows[first].ppid == 1, "the agent is pid 1 of its namespace");
	cr_expect(llabs((long long)rows->rows[first].start_s - (long long)time(NULL)) <= 30);
	rig_stop(s.rig);
}
