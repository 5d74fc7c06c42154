/*
 * kata-agent without a VM: what a container is made of, and a rootfs that means harm; see
 * test-agent.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "common/cleanup.h"
#include "tests/component/agent-stand.h"

TestSuite(agent_container, .timeout = 120, .fini = rig_drop);

/* --- what a container is made of -------------------------------------------------------------- */

Test(agent_container, surroundings_of_a_process)
{
	struct stand s = stand();
	struct msg_process p = shell("echo $$; id -u; id -g; id -G; echo $HOME $A; "
				     "cd /proc/self/cwd; readlink /proc/self/cwd; umask; hostname; "
				     "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs)' "
				     "/proc/self/status; cat /proc/self/oom_score_adj; ulimit -n;"
				     "ls /proc/self/fd | wc -l; readlink /proc/self/fd/3");
	struct msg_group groups[] = { { 7 }, { 8 } };
	struct msg_rlimit limits[] = { { RLIMIT_NOFILE, 99, 100 } };
	struct msg_create create;
	struct caller *shim;

	p.uid = p.gid = 1000;
	p.groups = groups;
	p.n_groups = 2;
	p.rlimits = limits;
	p.n_rlimits = 1;
	p.cwd = TEXT("/made/by/us");
	p.has_umask = true;
	p.umask = 027;
	p.has_oom_score_adj = true;
	p.oom_score_adj = 500;
	p.no_new_privileges = true;
	p.capabilities = (struct msg_capabilities){ .bounding = 0x421,
						    .effective = 0x400,
						    .permitted = 0x420,
						    .inheritable = 0x400,
						    .ambient = 0x400 };
	create = container(p);
	create.hostname = TEXT("inside");
	shim = run(&s, MSG_CREATE, &create);
	cr_expect(caller_wait_exit(shim) != 99);
	/* after exec of a program without file capabilities only the ambient set is left */
	expect_text(shim, STREAM_STDOUT,
		    "1\n1000\n1000\n1000 7 8\n/home b c\n/made/by/us\n0027\ninside\n"
		    "CapInh:\t0000000000000400\nCapPrm:\t0000000000000400\n"
		    "CapEff:\t0000000000000400\nCapBnd:\t0000000000000421\n"
		    "CapAmb:\t0000000000000400\nNoNewPrivs:\t1\n500\n99\n4\n");
	rig_stop(s.rig);
}

Test(agent_container, no_capabilities_unless_asked_for)
{
	struct stand s = stand();
	struct msg_process p = shell("grep -E '^Cap' /proc/self/status; echo $HOME");
	struct caller *shim;

	p.has_capabilities = false;
	shim = run_first(&s, p);
	caller_wait_exit(shim);
	expect_text(shim, STREAM_STDOUT,
		    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
		    "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
		    "CapAmb:\t0000000000000000\n/root\n");
	rig_stop(s.rig);
}

Test(agent_container, namespaces_of_a_further_process)
{
	struct stand s = stand();
	const char *script = "for n in pid mnt ipc uts cgroup net; do "
			     "readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done | "
			     "while read a && read b; do [ $a = $b ] && echo same; done; "
			     "cat /proc/self/cgroup | grep '^0:'; cat /proc/1/cgroup | grep '^0:'";
	struct msg_process sleeper = process(ARGS(TEXT("sleep"), TEXT("1000")));

	sleeper.capabilities.effective = sleeper.capabilities.permitted |= 1 << 19;
	run_first(&s, sleeper);
	expect_script(&s, "readlink /proc/1/ns/pid >/dev/null", "");
	expect_script(&s, script, "same\nsame\nsame\nsame\nsame\nsame\n0::/\n0::/\n");
	rig_stop(s.rig);
}

Test(agent_container, devices_and_kernel_mounts)
{
	struct stand s = stand();

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	expect_script(&s, "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty",
		      "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\n"
		      "urandom 1:9 666\ntty 5:0 666\n");
	expect_script(&s,
		      "cd /dev; for l in fd stdin stdout stderr ptmx core; do readlink $l; done",
		      "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n"
		      "pts/ptmx\n/proc/kcore\n");
	expect_script(&s, "echo x >/dev/null; echo y >/dev/shm/f; cat /dev/shm/f", "y\n");
	expect_script(&s, "ls /sys/fs/cgroup/cgroup.procs; touch /sys/x 2>/dev/null || echo ro",
		      "/sys/fs/cgroup/cgroup.procs\nro\n");
	/* nothing but the container's own mounts is in sight */
	expect_script(&s, "grep -c . /proc/self/mounts", "8\n");
	rig_stop(s.rig);
}

Test(agent_container, masked_and_readonly_paths)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	create.masked_paths = strings(
		ARGS(TEXT("/masked"), TEXT("/secret"), TEXT("/nowhere"), TEXT("/proc/timer_list")));
	create.readonly_paths = strings(ARGS(TEXT("/proc/sys"), TEXT("/etc"), TEXT("/nowhere")));
	create.readonly = true;
	run(&s, MSG_CREATE, &create);
	expect_script(&s, "ls /masked; cat /secret /proc/timer_list; stat -c %t:%T /secret",
		      "1:3\n");
	expect_script(&s,
		      "touch /masked/x 2>/dev/null || echo ro; touch /etc/x 2>/dev/null || "
		      "echo ro; touch /x 2>/dev/null || echo ro; touch /dev/x && echo rw",
		      "ro\nro\nro\nrw\n");
	expect_script(&s, "echo 1 2>/dev/null >/proc/sys/vm/drop_caches || echo ro", "ro\n");
	rig_stop(s.rig);
}

Test(agent_container, mounts_from_the_share)
{
	struct stand s = stand();
	struct msg_mount mounts[] = {
		default_mounts[0],
		default_mounts[1],
		{ TEXT("/new/dir"), TEXT("share"), TEXT("c1/dir"), MS_BIND | MS_REC | MS_RDONLY, 0,
		  TEXT(""), false, 0, 0 },
		{ TEXT("/new/file"), TEXT("share"), TEXT("c1/file"), MS_BIND, 0, TEXT(""), false, 0,
		  0 },
		{ TEXT("/escape"), TEXT("share"), TEXT("c1/file"), MS_BIND | MS_RDONLY, 0, TEXT(""),
		  false, 0, 0 },
		{ TEXT("/dangling"), TEXT("share"), TEXT("c1/../../dir"), MS_BIND, MS_PRIVATE,
		  TEXT(""), false, 0, 0 },
		{ TEXT("/template"), TEXT("tmpfs"), TEXT("tmpfs"), MS_RDONLY, 0, TEXT("size=64k"),
		  true },
		{ TEXT("/masked"), TEXT("tmpfs"), TEXT("tmpfs"), 0, 0, TEXT("mode=0711,uid=5"),
		  false, 0, 0 },
	};
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	create.mounts = mounts;
	create.n_mounts = ARRAY_SIZE(mounts);
	run(&s, MSG_CREATE, &create);
	expect_script(&s, "cat /new/dir/inside /new/file", "inside\nshared file\n");
	expect_script(&s,
		      "touch /new/dir/x 2>/dev/null || echo ro; echo more >>/new/file;"
		      "echo x 2>/dev/null >/escape || echo ro",
		      "ro\nro\n");
	expect_script(&s, "cat /etc/made /nowhere/deep/inside", "shared file\nmore\ninside\n");
	expect_script(&s,
		      "cd /template; cat one sub/two link; stat -c %a one; touch x 2>/dev/null "
		      "|| echo ro",
		      "one\ntwo\ntwo\n4711\nro\n");
	expect_script(&s, "stat -c '%a %u' /masked", "711 5\n");
	rig_stop(s.rig);
}

static void expect_bad_mount(struct stand *s, struct msg_mount mount, int errnum, const char *text)
{
	struct msg_create create = container(process(ARGS(TEXT("true"))));
	static unsigned count;
	char id[16];

	/* The one before may not be removed yet. */
	snprintf(id, sizeof(id), "bad%u", count++);
	create.container = id;
	create.mounts = &mount;
	create.n_mounts = 1;
	caller_must_fail(s->runtime, MSG_CREATE, &create, errnum, text);
}

Test(agent_container, mounts_that_are_refused)
{
	struct stand s = stand();
	struct msg_mount bind = { TEXT("/x"), TEXT("bind"), TEXT("/etc"), MS_BIND,
				  0,          TEXT(""),     false };
	struct msg_mount loop = { TEXT("/loop/x"), TEXT("tmpfs"), TEXT("tmpfs"), 0, 0,
				  TEXT(""),        false };

	expect_bad_mount(&s, bind, EINVAL,
			 "mount /x: only what is shared by the host can be bound");
	bind.type = TEXT("none");
	expect_bad_mount(&s, bind, EINVAL,
			 "mount /x: only what is shared by the host can be bound");
	expect_bad_mount(&s, loop, ELOOP,
			 "mount /loop/x: open /loop/x in the container: "
			 "Too many levels of symbolic links");
	loop.destination = TEXT("/x");
	loop.data = TEXT("size=lots");
	caller_ask(s.runtime, MSG_CREATE,
		   &(struct msg_create){ .container = TEXT("c1"),
					 .rootfs = TEXT("c1/rootfs"),
					 .hostname = TEXT(""),
					 .process = process(ARGS(TEXT("true"))),
					 .mounts = &loop,
					 .n_mounts = 1 });
	cr_assert(s.runtime->reply_type == MSG_FAILED);
	cr_expect(str_starts(((struct msg_failed *)s.runtime->reply)->text,
			     "mount /x: size of type tmpfs (e tmpfs: Bad value for 'size')"),
		  "%s", ((struct msg_failed *)s.runtime->reply)->text);
	rig_stop(s.rig);
}

Test(agent_container, device_nodes_that_are_asked_for)
{
	struct stand s = stand();
	struct msg_device devices[] = {
		{ TEXT("/dev/deep/kmsg"), TEXT("c"), 1, 11, 0640, 3, 4 },
		{ TEXT("/dev/pipe"), TEXT("p"), 0, 0, 0600, 0, 0 },
		{ TEXT("/dev/nothing"), TEXT("c"), 1, 3, 0600, 0, 0 },
	};
	struct msg_device missing = { TEXT("/dev/sdz"), TEXT("b"), 65, 4000, 0600, 0, 0 };
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	create.container = TEXT("c2");
	create.devices = &missing;
	create.n_devices = 1;
	caller_must_fail(s.runtime, MSG_CREATE, &create, ENODEV,
			 "device /dev/sdz: the VM has none of number 65:4000, and the host's are "
			 "not passed on");
	create.container = TEXT("c1");
	create.devices = devices;
	create.n_devices = ARRAY_SIZE(devices);
	run(&s, MSG_CREATE, &create);
	expect_script(&s, "cd /dev; stat -c '%F %t:%T %a %u:%g' deep/kmsg pipe nothing",
		      "character special file 1:b 640 3:4\nfifo 0:0 600 0:0\n"
		      "character special file 1:3 600 0:0\n");
	rig_stop(s.rig);
}

/* Engines list the host's devices for a privileged container; it gets those of its own machine. */
Test(agent_container, a_privileged_container_has_the_guests_devices)
{
	struct stand s = stand();
	struct msg_device missing = { TEXT("/dev/sdz"), TEXT("b"), 65, 4000, 0600, 0, 0 };
	struct msg_device_rule all = { true, TEXT("a"), UINT32_MAX, UINT32_MAX, 7 };
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	create.devices = &missing;
	create.n_devices = 1;
	create.device_rules = &all;
	create.n_device_rules = 1;
	run(&s, MSG_CREATE, &create);
	expect_script(&s, "cd /dev; stat -c '%F %t:%T' kmsg; ls sdz 2>&1; readlink ptmx",
		      "character special file 1:b\nls: sdz: No such file or directory\n"
		      "pts/ptmx\n");
	rig_stop(s.rig);
}

/* --- what a container is ---------------------------------------------------------------------- */

Test(agent_container, names_personality_and_scheduling)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_exec batch;

	create.hostname = TEXT("inside");
	create.domainname = TEXT("of.test");
	create.personality = 8; /* PER_LINUX32 */
	run(&s, MSG_CREATE, &create);
	expect_script(&s, "uname -nm; cat /proc/sys/kernel/domainname", "inside i686\nof.test\n");
	batch = further(
		shell("grep ^policy /proc/self/sched; cut -d' ' -f19 /proc/self/stat; ionice"));
	batch.process.scheduler = (struct msg_scheduler){ .wanted = true, .policy = 3, .nice = 5 };
	batch.process.io_priority = 3 << 13;
	expect_output(
		&s, MSG_EXEC, &batch,
		"policy                                       :                    3\n5\nidle\n");
	rig_stop(s.rig);
}

Test(agent_container, a_schedule_that_cannot_be)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("true"))));

	create.process.scheduler = (struct msg_scheduler){ .wanted = true, .policy = 6 };
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL,
			 "process.scheduler: Invalid argument");
	rig_stop(s.rig);
}

Test(agent_container, time_namespace)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	create.time_namespace = true;
	create.time_offsets = TEXT("boottime 864000 0\nmonotonic 864000 0\n");
	run(&s, MSG_CREATE, &create);
	/* ten days, for it and for further processes */
	expect_script(&s,
		      "test $(cut -d. -f1 /proc/uptime) -ge 864000 && echo later; "
		      "for p in 1 self; do readlink /proc/$p/ns/time; done | uniq | wc -l",
		      "later\n1\n");
	rig_stop(s.rig);
}

Test(agent_container, user_namespace)
{
	struct stand s = stand();
	struct msg_id_map users[] = { { 0, 100000, 1000 }, { 2000, 300000, 10 } };
	struct msg_id_map groups[] = { { 0, 100000, 65536 } };
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_sysctl sysctls[] = { { TEXT("kernel/msgmax"), TEXT("4096") } };
	struct msg_exec other;

	create.user_namespace = true;
	create.uid_map = users;
	create.n_uid_map = ARRAY_SIZE(users);
	create.gid_map = groups;
	create.n_gid_map = ARRAY_SIZE(groups);
	create.sysctls = sysctls;
	create.n_sysctls = ARRAY_SIZE(sysctls);
	run(&s, MSG_CREATE, &create);
	expect_script(
		&s,
		"id -u; cat /proc/sys/kernel/msgmax; echo x >/dev/null && echo null; "
		"mount -t tmpfs x /tmp 2>/dev/null || echo no mount; ls /sys | grep -c kernel; "
		"cat /proc/self/setgroups",
		"0\n4096\nnull\nno mount\n1\nallow\n");
	other = further(shell("id -u; echo x >/dev/stdout; cat /proc/self/uid_map"));
	other.process.uid = 2003;
	other.process.gid = 7;
	expect_output(
		&s, MSG_EXEC, &other,
		"2003\nx\n         0     100000       1000\n      2000     300000         10\n");
	rig_stop(s.rig);
}

Test(agent_container, start_hooks)
{
	struct stand s = stand();
	struct msg_hook hooks[] = {
		{ TEXT("/bin/sh"),
		  strings(ARGS(TEXT("sh"), TEXT("-c"), TEXT("cat >/tmp/state"))),
		  { 0 },
		  10 },
		{ TEXT("/bin/sh"),
		  strings(ARGS(TEXT("sh"), TEXT("-c"), TEXT("echo $B $A $$ >>/tmp/state"))),
		  strings(ARGS(TEXT("B=own"))), 10 },
	};
	struct msg_create create = container(shell("cat /tmp/state"));

	create.start_hooks = hooks;
	create.n_start_hooks = ARRAY_SIZE(hooks);
	create.hook_state = TEXT("{\"id\":\"x\"}\n");
	expect_output(&s, MSG_CREATE, &create,
		      "{\"pid\":1,\"id\":\"x\"}\n"
		      "own 3\n");
	rig_stop(s.rig);
}

Test(agent_container, start_hooks_that_fail)
{
	static const struct {
		const char *script, *text;
		uint32_t timeout_s;
		int errnum;
	} cases[] = {
		{ "echo first; echo oh no >&2; exit 3",
		  "hooks.startContainer[0] /bin/sh: it exited with status 3: first oh no", 10,
		  EIO },
		{ "kill -9 $$", "hooks.startContainer[0] /bin/sh: it was killed by signal 9", 10,
		  EIO },
		{ "sleep 60",
		  "hooks.startContainer[0] /bin/sh: it was killed after its timeout of 1 s", 1,
		  ETIMEDOUT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stand s = stand();
		struct msg_hook hook = { TEXT("/bin/sh"),
					 strings(ARGS(TEXT("sh"), TEXT("-c"),
						      TEXT(cases[i].script))),
					 { 0 },
					 cases[i].timeout_s };
		struct msg_create create = container(shell("echo it ran"));
		struct msg_start message = { 0 };
		struct caller *shim;

		create.start_hooks = &hook;
		create.n_start_hooks = 1;
		create.hook_state = TEXT("{}");
		message.handle = caller_must_create(s.runtime, MSG_CREATE, &create);
		shim = caller_open(s.rig, ROLE_SHIM, message.handle);
		caller_must_fail(s.runtime, MSG_START, &message, cases[i].errnum, cases[i].text);
		cr_expect_eq(caller_wait_exit(shim), 127);
		expect_text(shim, STREAM_STDOUT, "");
		caller_close(shim, CLOSE_DONE);
		rig_stop(s.rig);
	}
}

Test(agent_container, recursive_mount_options)
{
	struct stand s = stand();
	struct msg_mount mounts[ARRAY_SIZE(default_mounts) + 2];
	size_t n = ARRAY_SIZE(default_mounts);
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	memcpy(mounts, default_mounts, sizeof(default_mounts));
	mounts[n] = (struct msg_mount){ .destination = TEXT("/mnt"),
					.type = TEXT("share"),
					.source = TEXT("c1/dir"),
					.flags = MS_BIND | MS_REC,
					.data = TEXT(""),
					.all_set = MOUNT_ATTR_RDONLY };
	mounts[n + 1] = (struct msg_mount){ .destination = TEXT("/tmp"),
					    .type = TEXT("tmpfs"),
					    .source = TEXT("t"),
					    .flags = MS_RDONLY | MS_NODEV,
					    .data = TEXT(""),
					    .all_set = MOUNT_ATTR_NOEXEC,
					    .all_clear = MOUNT_ATTR_RDONLY };
	create.mounts = mounts;
	create.n_mounts = (uint32_t)n + 2;
	run(&s, MSG_CREATE, &create);
	expect_script(
		&s,
		"touch /mnt/x 2>&1; grep -E ' /(mnt|tmp) ' /proc/self/mounts | cut -d' ' -f2,4 "
		"| cut -d, -f1-3",
		"touch: /mnt/x: Read-only file system\n/mnt ro,relatime\n"
		"/tmp rw,nodev,noexec\n");
	rig_stop(s.rig);
}

/* The mount namespaces that the agent holds descriptors of. */
static unsigned held_mounts(const struct stand *s)
{
	char command[256], text[16] = "";
	FILE *f;

	snprintf(command, sizeof(command),
		 "read -r agent </proc/%d/task/%d/children; ls -l /proc/$agent/fd | grep -c mnt:",
		 s->rig->keeper, s->rig->keeper);
	f = popen(command, "r");
	cr_assert(f != NULL && fgets(text, sizeof(text), f) != NULL);
	pclose(f);
	return (unsigned)strtoul(text, NULL, 10);
}

Test(agent_container, its_mounts_outlive_its_processes_and_go_with_it)
{
	struct stand s = stand();
	struct caller *shim;

	cr_assert_eq(held_mounts(&s), 0);
	shim = run_first(&s, shell("exit 3"));
	cr_expect(caller_wait_exit(shim) == 3);
	caller_close(shim, CLOSE_DONE);
	cr_expect_eq(held_mounts(&s), 1);
	remove_container(&s);
	cr_expect_eq(held_mounts(&s), 0);
	rig_stop(s.rig);
}

/* --- a rootfs that means harm ----------------------------------------------------------------- */

/*
 * The image is its author's: every place that the agent makes, mounts on, masks or runs may be a
 * link that leads up and out. What would be changed outside is in the rig's directory.
 */
static const char *in_rig(const struct stand *s, const char *name)
{
	static char path[256];

	/* Only the keeper's mount namespace shows what is mounted there. */
	snprintf(path, sizeof(path), "/proc/%d/root%s/%s", s->rig->keeper, s->rig->dir, name);
	return path;
}

static void harm(const struct stand *s, const char *link, const char *target)
{
	char name[64];
	const char *path;

	snprintf(name, sizeof(name), "c1/rootfs/%s", link);
	path = in_rig(s, name);
	cr_assert_eq(symlink(target, path), 0, "%s: %s", path, strerror(errno));
}

#define UP "../../../../../../../../../../../../../../../.."

Test(agent_container, links_of_a_hostile_image_stay_inside)
{
	struct stand s = stand();
	char outside[256], absolute[256];
	struct msg_mount mounts[ARRAY_SIZE(default_mounts) + 2];
	size_t n = ARRAY_SIZE(default_mounts);
	struct msg_device device = { TEXT("/lnk/node"), TEXT("c"), 1, 3, 0600, 0, 0 };
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	char *masked[] = { TEXT("/mask"), NULL }, *readonly[] = { TEXT("/lock"), NULL };

	snprintf(outside, sizeof(outside), UP "%s/victim", s.rig->dir);
	snprintf(absolute, sizeof(absolute), "%s/victim", s.rig->dir);
	harm(&s, "out", outside);  /* a mount's place, by a relative way up */
	harm(&s, "abs", absolute); /* the same, absolute */
	harm(&s, "lnk", absolute); /* where a device is made */
	harm(&s, "cwd", outside);  /* the working directory */
	harm(&s, "mask", "/bin/../" UP "/etc");
	harm(&s, "lock", UP "/bin");
	memcpy(mounts, default_mounts, sizeof(default_mounts));
	mounts[n] = (struct msg_mount){ .destination = TEXT("/out/m"),
					.type = TEXT("tmpfs"),
					.source = TEXT("t"),
					.data = TEXT("") };
	mounts[n + 1] = (struct msg_mount){ .destination = TEXT("/abs/f"),
					    .type = TEXT("share"),
					    .source = TEXT("c1/file"),
					    .flags = MS_BIND,
					    .data = TEXT("") };
	create.mounts = mounts;
	create.n_mounts = (uint32_t)n + 2;
	create.devices = &device;
	create.n_devices = 1;
	create.process.cwd = TEXT("/cwd/w");
	create.masked_paths = strings(masked);
	create.readonly_paths = strings(readonly);
	run(&s, MSG_CREATE, &create);
	/* All of it was made below the container's own root. */
	cr_expect_neq(access(in_rig(&s, "victim"), F_OK), 0);
	rig_stop(s.rig);
}

Test(agent_container, a_program_behind_a_link_is_the_containers)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_exec e;

	harm(&s, "echo", UP "/bin/busybox");
	run(&s, MSG_CREATE, &create);
	e = further(process(ARGS(TEXT("/echo"), TEXT("inside"))));
	expect_output(&s, MSG_EXEC, &e, "inside\n");
	rig_stop(s.rig);
}

/* A /proc or /dev/null of the image's own must not stand in for the kernel's. */
Test(agent_container, masks_are_the_null_device)
{
	struct stand s = stand();
	char *masked[] = { TEXT("/secret"), TEXT("/private"), NULL };
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	FILE *file = fopen(in_rig(&s, "c1/rootfs/secret"), "we");

	cr_assert_neq(file, NULL);
	fputs("hidden\n", file);
	fclose(file);
	cr_assert_eq(mkdir(in_rig(&s, "c1/rootfs/private"), 0755), 0);
	create.masked_paths = strings(masked);
	run(&s, MSG_CREATE, &create);
	expect_script(&s,
		      "stat -c '%F %t:%T' /secret; cat /secret; ls -A /private | wc -l; "
		      "touch /private/x 2>&1; true",
		      "character special file 1:3\n0\n"
		      "touch: /private/x: Read-only file system\n");
	rig_stop(s.rig);
}
