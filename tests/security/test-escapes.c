/*
 * Known ways out of a container, tried on the real agent without a VM: a hostile image or a hostile
 * process of a container against what runs between clone and exec. Each test is the attack of the
 * CVE it names, and fails when the attack works. Needs root, as component/test-agent.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"
#include "tests/component/agent-rig.h"
#include "tests/fake/launcher.h"

#define TEXT(s) ((char *)(s))
#define DOCKERS_CAPS 0xa80425fbULL
#define EVERY_CAP 0x1ffffffffffULL

/* Each container that is made has a client of its own. */
enum { MADE_MAX = RIG_CALLERS - 10 };

static struct {
	struct rig *rig;
	struct caller *runtime;
} stand;

static void set_up(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	stand.rig = rig_start(false);
	stand.runtime = caller_open(stand.rig, ROLE_RUNTIME, 0);
}

static void tear_down(void)
{
	rig_drop();
}

TestSuite(escape, .init = set_up, .fini = tear_down, .timeout = 120);

/* --- the attacker's means --------------------------------------------------------------------- */

/* A path of the host as the agent's mount namespace has it. */
static const char *seen_by_agent(const char *path)
{
	static char text[512];
	char children[64];
	CLEANUP(file_close) FILE *f = NULL;
	int pid = 0;

	snprintf(children, sizeof(children), "/proc/%d/task/%d/children", stand.rig->keeper,
		 stand.rig->keeper);
	f = fopen(children, "re");
	cr_assert(f != NULL && fscanf(f, "%d", &pid) == 1, "the agent does not run");
	cr_assert(str_format(text, sizeof(text), "/proc/%d/root%s", pid, path) == 0);
	return text;
}

/* The same of a path in the image. */
static const char *in_image(const char *path)
{
	char inside[256];

	cr_assert(str_format(inside, sizeof(inside), "%s/c1/rootfs%s", stand.rig->dir, path) == 0);
	return seen_by_agent(inside);
}

static void bring_evil(void)
{
	const char *from = launcher_program("tests/security/evil");
	CLEANUP(fd_close) int in = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_close)
	int out = open(in_image("/bin/evil"), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char bytes[65536];
	ssize_t n;

	cr_assert(in >= 0 && out >= 0, "%s", from);
	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		cr_assert(write(out, bytes, (size_t)n) == n);
}

static void link_in_image(const char *target, const char *path)
{
	unlink(in_image(path));
	rmdir(in_image(path));
	cr_assert(symlink(target, in_image(path)) == 0, "%s: %s", path, strerror(errno));
}

static char *default_env[] = { TEXT("PATH=/bin"), NULL };

/* Of all processes that a test makes. */
static uint64_t capabilities = DOCKERS_CAPS;

static struct msg_process process(char *const *args)
{
	struct msg_process p = { .env = { default_env, 1 },
				 .cwd = TEXT("/"),
				 .has_capabilities = true,
				 .capabilities = { .bounding = capabilities,
						   .effective = capabilities,
						   .permitted = capabilities } };

	p.args.items = (char **)args;
	while (args[p.args.count] != NULL)
		p.args.count++;
	return p;
}

static struct msg_mount proc_only[] = {
	{ TEXT("/proc"), TEXT("proc"), TEXT("proc"), 0, 0, TEXT(""), false },
};

static struct msg_create container(struct msg_process first)
{
	return (struct msg_create){ .container = TEXT("c1"),
				    .rootfs = TEXT("c1/rootfs"),
				    .hostname = TEXT(""),
				    .process = first,
				    .mounts = proc_only,
				    .n_mounts = 1 };
}

static struct caller *run(enum msg_type type, const void *body)
{
	uint64_t handle = caller_must_create(stand.runtime, type, body);
	struct caller *shim = caller_open(stand.rig, ROLE_SHIM, handle);
	struct msg_start start = { .handle = handle };

	cr_assert(!shim->closed, "%s", shim->close_text);
	caller_must(stand.runtime, MSG_START, &start);
	return shim;
}

/* What a further process of the running container says; free it. */
static char *say(char *const *args)
{
	struct msg_exec exec = { .container = TEXT("c1"), .process = process(args) };
	struct caller *shim = run(MSG_EXEC, &exec);
	char *text;

	caller_wait_exit(shim);
	text = caller_text(shim, STREAM_STDOUT);
	caller_close(shim, CLOSE_DONE);
	return text;
}

static void expect_say(const char *script, const char *wanted)
{
	char *const args[] = { TEXT("sh"), TEXT("-c"), TEXT(script), NULL };
	CLEANUP(freep) char *text = say(args);

	cr_expect_str_eq(text, wanted, "%s: %s", script, text);
}

static char *const sleeper[] = { TEXT("sleep"), TEXT("1000"), NULL };

static void run_sleeper(struct msg_create *create)
{
	create->process = process(sleeper);
	run(MSG_CREATE, create);
}

/* --- the attacks ------------------------------------------------------------------------------ */

/* A process of the container waits for the agent's child on its way into the container. */
Test(escape, cve_2019_5736_the_agents_program_is_out_of_reach)
{
	static char *const hunt[] = { TEXT("evil"), TEXT("hunt"), TEXT("4"), NULL };
	static char *const nothing[] = { TEXT("true"), NULL };
	struct msg_create create = container(process(hunt));
	struct caller *hunter;
	CLEANUP(freep) char *text = NULL;

	bring_evil();
	hunter = run(MSG_CREATE, &create);
	for (int i = 0; i < 40 && !hunter->exited; i++) {
		struct msg_exec exec = { .container = TEXT("c1"), .process = process(nothing) };
		struct caller *shim;

		if (caller_ask(stand.runtime, MSG_EXEC, &exec) != MSG_CREATED)
			break;           /* the hunter has ended */
		rig_pump(stand.rig, 60); /* it waits between clone and exec */
		shim = caller_open(stand.rig, ROLE_SHIM,
				   ((struct msg_created *)stand.runtime->reply)->handle);
		caller_close(shim, CLOSE_LOST);
	}
	caller_wait_exit(hunter);
	text = caller_text(hunter, STREAM_STDOUT);
	cr_expect_str_eq(text, "hunt: nothing seen\n");
}

/* What is written to /proc by the agent does not go to a directory that the image puts there. */
Test(escape, cve_2019_16884_and_2025_52881_a_false_proc_gets_no_writes)
{
	struct msg_mount mounts[] = {
		{ TEXT("/proc"), TEXT("share"), TEXT("c1/rootfs/false"), MS_BIND, 0, TEXT(""),
		  false },
	};
	struct msg_sysctl sysctls[] = { { TEXT("kernel/domainname"), TEXT("true.example") } };
	struct msg_create create = container((struct msg_process){ 0 });
	static const char *const dirs[] = { "/false", "/false/sys", "/false/sys/kernel",
					    "/false/self" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		cr_assert(mkdir(in_image(dirs[i]), 0755) == 0, "%s", dirs[i]);
	close(open(in_image("/false/sys/kernel/domainname"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
	close(open(in_image("/false/self/oom_score_adj"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
	create.mounts = mounts;
	create.sysctls = sysctls;
	create.n_sysctls = 1;
	capabilities = EVERY_CAP; /* it mounts a true procfs to look */
	create.process = process(sleeper);
	create.process.has_oom_score_adj = true;
	create.process.oom_score_adj = 77;
	run(MSG_CREATE, &create);
	expect_say("cat /proc/sys/kernel/domainname /proc/self/oom_score_adj; hostname -d; "
		   "mkdir -p /tmp/p; mount -t proc proc /tmp/p; cat /tmp/p/sys/kernel/domainname "
		   "/tmp/p/1/oom_score_adj",
		   "true.example\n77\n");
}

/* /proc of the image is a link: what is masked is the procfs, by whatever name. */
Test(escape, cve_2025_31133_masks_are_on_the_procfs_itself)
{
	struct msg_create create = container((struct msg_process){ 0 });
	static char *const masked[] = { TEXT("/proc/timer_list"), NULL };
	static char *const readonly[] = { TEXT("/proc/sys"), NULL };

	cr_assert(mkdir(in_image("/elsewhere"), 0755) == 0);
	link_in_image("/elsewhere", "/proc");
	create.masked_paths = (struct wire_strings){ (char **)masked, 1 };
	create.readonly_paths = (struct wire_strings){ (char **)readonly, 1 };
	run_sleeper(&create);
	expect_say("for p in /proc /elsewhere; do stat -c %t:%T $p/timer_list; "
		   "echo x 2>/dev/null >$p/sys/kernel/domainname || echo ro; done",
		   "1:3\nro\n1:3\nro\n");
}

/* A process that exchanges two names in the image for ever; to be killed. */
static pid_t start_swapper(const char *one, const char *other)
{
	char first[512];
	pid_t pid;

	snprintf(first, sizeof(first), "%s", in_image(one));
	pid = fork();
	if (pid == 0) {
		const char *second = in_image(other);

		/* However busy the host is: often, beside what it is to disturb, which goes on. */
		setpriority(PRIO_PROCESS, 0, -19);
		for (;;) {
			syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second,
				2 /* RENAME_EXCHANGE */);
			usleep(100);
		}
	}
	cr_assert(pid > 0);
	return pid;
}

static void stop_swapper(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Lets the container that was made run, wants what it says, and removes it. */
static void expect_output_and_remove(const char *wanted)
{
	struct msg_remove remove = { .container = TEXT("c1") };
	struct caller *shim = caller_open(stand.rig, ROLE_SHIM,
					  ((struct msg_created *)stand.runtime->reply)->handle);
	CLEANUP(freep) char *text = NULL;

	caller_must(stand.runtime, MSG_START, &(struct msg_start){ .handle = shim->handle });
	caller_wait_exit(shim);
	text = caller_text(shim, STREAM_STDOUT);
	cr_expect(strstr(text, wanted) != NULL, "%s", text);
	caller_close(shim, CLOSE_DONE);
	caller_must(stand.runtime, MSG_REMOVE, &remove);
}

/* Another container turns /proc between its mount and its masks (CVE-2019-19921 and later kin). */
Test(escape, cve_2025_31133_and_52881_a_turned_proc_is_masked_or_refused)
{
	static char *const readonly[] = { TEXT("/proc/sys"), NULL };
	static char *const script[] = {
		TEXT("sh"), TEXT("-c"),
		TEXT("for d in /proc /other; do if test -e $d/version; then echo procfs; "
		     "echo x 2>/dev/null >$d/sys/kernel/domainname && exit; fi; done; echo held"),
		NULL
	};
	int made = 0;
	pid_t swapper;

	cr_assert(mkdir(in_image("/other"), 0755) == 0);
	swapper = start_swapper("/proc", "/other");
	for (int i = 0; i < 100 && made < MADE_MAX; i++) {
		struct msg_create create = container(process(script));

		create.readonly_paths = (struct wire_strings){ (char **)readonly, 1 };
		if (caller_ask(stand.runtime, MSG_CREATE, &create) != MSG_CREATED) {
			rig_pump(stand.rig, 10);
			continue;
		}
		made++;
		expect_output_and_remove("held");
	}
	stop_swapper(swapper);
	cr_log_info("%d were made", made);
}

/*
 * Whoever has the image, too, exchanges its null device for a link: to a file of procfs, which were
 * a mask were the device opened there, and out of the image, to what the agent would give a mode.
 */
Test(escape, cve_2025_31133_a_turned_null_device_masks_nothing)
{
	static char *const masked[] = { TEXT("/secret"), NULL };
	static char *const look[] = { TEXT("sh"), TEXT("-c"),
				      TEXT("stat -c %t:%T /secret; cat /secret"), NULL };
	char inside[128], victim[256];
	const char *const targets[] = { "/proc/sys/kernel/domainname", inside };
	struct stat st;

	snprintf(inside, sizeof(inside), "%s/victim", stand.rig->dir);
	snprintf(victim, sizeof(victim), "%s", seen_by_agent(inside));
	close(open(victim, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		pid_t swapper;

		link_in_image(targets[i], "/dev/turn");
		cr_assert(mknod(in_image("/dev/null"), S_IFCHR | 0600, makedev(1, 3)) == 0 ||
			  errno == EEXIST);
		swapper = start_swapper("/dev/null", "/dev/turn");
		for (int k = 0; k < MADE_MAX / 2; k++) {
			struct msg_create create = container(process(look));

			create.masked_paths = (struct wire_strings){ (char **)masked, 1 };
			if (caller_ask(stand.runtime, MSG_CREATE, &create) == MSG_CREATED)
				expect_output_and_remove("1:3\n");
			else
				rig_pump(stand.rig, 20);
		}
		stop_swapper(swapper);
		unlink(in_image("/dev/null"));
	}
	cr_expect(stat(victim, &st) == 0 && (st.st_mode & 07777) == 0600, "%o", st.st_mode);
}

/*
 * The multiplexer in the image is a link to a file of procfs: were a terminal opened by that name,
 * /dev/console would be that file, bound before masks and read-only paths are, and so writable.
 */
Test(escape, cve_2025_52565_a_false_terminal_is_no_console)
{
	static char *const args[] = { TEXT("true"), NULL };
	static const char *const targets[] = { "/proc/sys/kernel/domainname", "/dev/null",
					       "../../etc/passwd" };
	struct msg_create create = container(process(args));

	mkdir(in_image("/dev/pts"), 0755);
	create.process.terminal = true;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		const struct msg_failed *failed;

		link_in_image(targets[i], "/dev/pts/ptmx");
		cr_assert_eq(caller_ask(stand.runtime, MSG_CREATE, &create), MSG_FAILED, "%s",
			     targets[i]);
		failed = stand.runtime->reply;
		cr_expect_str_eq(failed->text,
				 "open a terminal: /dev/pts in the container is no devpts");
		rig_pump(stand.rig, 100); /* until nothing is left of it */
	}
}

/*
 * /dev/console itself is a link to such a file. The terminal is bound there, before masks and
 * read-only paths: those hold all the same.
 */
Test(escape, cve_2025_52565_a_false_console_hides_nothing)
{
	static char *const script[] = {
		TEXT("sh"), TEXT("-c"),
		TEXT("echo x 2>/dev/null >/proc/sys/kernel/domainname || echo ro; "
		     "stat -c %t:%T /proc/timer_list; stat -L -c %t:%T /dev/console"),
		NULL
	};
	struct msg_mount mounts[] = {
		proc_only[0],
		{ TEXT("/dev/pts"), TEXT("devpts"), TEXT("devpts"), MS_NOSUID | MS_NOEXEC, 0,
		  TEXT("newinstance,ptmxmode=0666,mode=0620"), false },
	};
	static char *const masked[] = { TEXT("/proc/timer_list"), NULL };
	static char *const readonly[] = { TEXT("/proc/sys"), NULL };
	struct msg_create create = container(process(script));
	CLEANUP(freep) char *text = NULL;
	struct caller *shim;

	link_in_image("/proc/timer_list", "/dev/console");
	create.mounts = mounts;
	create.n_mounts = ARRAY_SIZE(mounts);
	create.masked_paths = (struct wire_strings){ (char **)masked, 1 };
	create.readonly_paths = (struct wire_strings){ (char **)readonly, 1 };
	create.process.terminal = true;
	shim = run(MSG_CREATE, &create);
	caller_wait_exit(shim);
	text = caller_text(shim, STREAM_STDOUT);
	cr_expect_str_eq(text, "ro\r\n1:3\r\n1:3\r\n");
}

/* Working directories that are descriptors of whoever was there before. */
Test(escape, cve_2024_21626_no_descriptor_leads_out)
{
	struct msg_create create = container((struct msg_process){ 0 });
	static char *const args[] = { TEXT("evil"), TEXT("descriptors"), NULL };

	bring_evil();
	run_sleeper(&create);
	{
		CLEANUP(freep) char *text = say(args);

		cr_expect_str_eq(text, "descriptors: 3\n");
	}
	for (int fd = 3; fd < 24; fd++) {
		char cwd[32];
		static char *const look[] = { TEXT("cat"), TEXT("../../../../etc/passwd"), NULL };
		struct msg_exec exec = { .container = TEXT("c1"), .process = process(look) };

		snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
		exec.process.cwd = cwd;
		if (caller_ask(stand.runtime, MSG_EXEC, &exec) == MSG_CREATED) {
			struct caller *shim =
				caller_open(stand.rig, ROLE_SHIM,
					    ((struct msg_created *)stand.runtime->reply)->handle);
			CLEANUP(freep) char *text = NULL;

			caller_must(stand.runtime, MSG_START,
				    &(struct msg_start){ .handle = shim->handle });
			caller_wait_exit(shim);
			text = caller_text(shim, STREAM_STDOUT);
			cr_expect(strstr(text, "user:x:1000") != NULL || text[0] == '\0', "%s: %s",
				  cwd, text);
			caller_close(shim, CLOSE_DONE);
		}
	}
}

/*
 * Somebody who has the image, too, exchanges a directory and a link out of it for as long as
 * containers are made with a mount below that name. What is mounted outside of the image is left
 * behind by pivot_root, and only missed.
 */
Test(escape, cve_2021_30465_a_mount_stays_in_its_image)
{
	struct msg_mount mounts[] = {
		proc_only[0],
		{ TEXT("/swap/etc"), TEXT("tmpfs"), TEXT("tmpfs"), 0, 0, TEXT("nr_inodes=77"),
		  false },
		{ TEXT("/swap/deep/new"), TEXT("share"), TEXT("c1/dir"), MS_BIND, 0, TEXT(""),
		  false },
	};
	static char *const look[] = { TEXT("cat"), TEXT("/proc/self/mountinfo"), NULL };
	char outside[256];
	int made = 0;
	pid_t swapper;

	cr_assert(mkdir(in_image("/swap"), 0755) == 0 && mkdir(in_image("/swap/etc"), 0755) == 0);
	link_in_image("../../../../../../../../..", "/turn");
	swapper = start_swapper("/swap", "/turn");
	for (int i = 0; i < 40; i++) {
		struct msg_create create = container(process(look));

		create.mounts = mounts;
		create.n_mounts = ARRAY_SIZE(mounts);
		if (caller_ask(stand.runtime, MSG_CREATE, &create) == MSG_CREATED) {
			made++;
			expect_output_and_remove("nr_inodes=77");
		} else {
			rig_pump(stand.rig, 50);
		}
	}
	stop_swapper(swapper);
	snprintf(outside, sizeof(outside), "%s", seen_by_agent("/deep"));
	cr_expect(access(outside, F_OK) < 0, "a directory was made outside");
	cr_log_info("%d of 40 were made", made);
}

/* The host is the agent's to talk to alone. */
Test(escape, no_vsock_in_a_container)
{
	struct msg_create create = container((struct msg_process){ 0 });
	static char *const args[] = { TEXT("evil"), TEXT("vsock"), NULL };
	CLEANUP(freep) char *text = NULL;

	bring_evil();
	run_sleeper(&create);
	text = say(args);
	cr_expect_str_eq(text, "vsock: EAFNOSUPPORT\n");
}

/* Nor behind the filter's back. Where there is no vsock at all there is nothing to hide. */
Test(escape, no_uring_where_there_is_vsock)
{
	struct msg_create create = container((struct msg_process){ 0 });
	static char *const args[] = { TEXT("evil"), TEXT("uring"), NULL };
	CLEANUP(fd_close) int vsock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CLEANUP(freep) char *text = NULL;

	if (vsock < 0)
		cr_skip("this kernel has no vsock");
	bring_evil();
	run_sleeper(&create);
	text = say(args);
	cr_expect_str_eq(text, "uring: ENOSYS\n");
}
