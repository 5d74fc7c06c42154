/*
 * kata-agent without a VM: containers of busybox made by real requests over a socket. Needs root,
 * namespaces and a cgroup2 hierarchy; /bin/busybox is static (package busybox-static).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "common/wire.h"
#include "tests/component/agent-rig.h"

TestSuite(agent, .timeout = 120, .fini = rig_drop);

/* --- messages --------------------------------------------------------------------------------- */

#define TEXT(s) ((char *)(s))
#define ARGS(...) ((char *[]){ __VA_ARGS__, NULL })
#define DEFAULT_CAPS 0xa80425fbULL /* docker's */

static struct wire_strings strings(char **items)
{
	struct wire_strings list = { .items = items };

	while (items[list.count] != NULL)
		list.count++;
	return list;
}

static char *default_env[] = { TEXT("PATH=/sbin:/bin"), TEXT("A=b c"), NULL };

static struct msg_process process(char **args)
{
	struct msg_process p = { .args = strings(args),
				 .env = strings(default_env),
				 .cwd = TEXT("/"),
				 .has_capabilities = true,
				 .capabilities = { .bounding = DEFAULT_CAPS,
						   .effective = DEFAULT_CAPS,
						   .permitted = DEFAULT_CAPS } };

	return p;
}

static struct msg_process shell(const char *script)
{
	static char *args[] = { TEXT("sh"), TEXT("-c"), NULL, NULL };

	args[2] = TEXT(script);
	return process(args);
}

static struct msg_mount default_mounts[] = {
	{ TEXT("/proc"), TEXT("proc"), TEXT("proc"), 0, 0, TEXT(""), false, 0, 0 },
	{ TEXT("/dev"), TEXT("tmpfs"), TEXT("tmpfs"), MS_NOSUID | MS_STRICTATIME, 0,
	  TEXT("mode=755,size=65536k"), false, 0, 0 },
	{ TEXT("/dev/pts"), TEXT("devpts"), TEXT("devpts"), MS_NOSUID | MS_NOEXEC, 0,
	  TEXT("newinstance,ptmxmode=0666,mode=0620,gid=5"), false, 0, 0 },
	{ TEXT("/dev/shm"), TEXT("tmpfs"), TEXT("shm"), MS_NOSUID | MS_NODEV | MS_NOEXEC, 0,
	  TEXT("mode=1777,size=64k"), false, 0, 0 },
	{ TEXT("/dev/mqueue"), TEXT("mqueue"), TEXT("mqueue"), MS_NOSUID | MS_NODEV | MS_NOEXEC, 0,
	  TEXT(""), false, 0, 0 },
	{ TEXT("/sys"), TEXT("sysfs"), TEXT("sysfs"), MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
	  0, TEXT(""), false, 0, 0 },
	{ TEXT("/sys/fs/cgroup"), TEXT("cgroup"), TEXT("cgroup"),
	  MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0, TEXT(""), false, 0, 0 },
};

static struct msg_create container(struct msg_process first)
{
	struct msg_create c = { .container = TEXT("c1"),
				.rootfs = TEXT("c1/rootfs"),
				.hostname = TEXT(""),
				.process = first,
				.mounts = default_mounts,
				.n_mounts = ARRAY_SIZE(default_mounts) };

	return c;
}

static struct msg_exec further(struct msg_process p)
{
	struct msg_exec e = { .container = TEXT("c1"), .process = p };

	return e;
}

/* A running agent with one client for requests. */
struct stand {
	struct rig *rig;
	struct caller *runtime;
};

static struct stand stand(void)
{
	struct stand s = { .rig = rig_start(false) };

	s.runtime = caller_open(s.rig, ROLE_RUNTIME, 0);
	return s;
}

static void start(struct stand *s, uint64_t handle)
{
	struct msg_start message = { .handle = handle };

	caller_must(s->runtime, MSG_START, &message);
}

static void send_signal(struct stand *s, uint64_t handle, uint32_t signum, bool all)
{
	struct msg_signal message = { .handle = handle, .signum = signum, .all = all };

	caller_must(s->runtime, MSG_SIGNAL, &message);
}

static void remove_container(struct stand *s)
{
	struct msg_remove message = { .container = TEXT("c1") };

	caller_must(s->runtime, MSG_REMOVE, &message);
}

/* Makes a process, attaches to it, and lets it run. */
static struct caller *run(struct stand *s, enum msg_type type, const void *body)
{
	uint64_t handle = caller_must_create(s->runtime, type, body);
	struct caller *shim = caller_open(s->rig, ROLE_SHIM, handle);

	cr_assert(!shim->closed, "%s", shim->close_text);
	start(s, handle);
	return shim;
}

static struct caller *run_first(struct stand *s, struct msg_process p)
{
	struct msg_create create = container(p);

	return run(s, MSG_CREATE, &create);
}

static struct caller *run_further(struct stand *s, struct msg_process p)
{
	struct msg_exec exec = further(p);

	return run(s, MSG_EXEC, &exec);
}

static void expect_text(struct caller *shim, unsigned stream, const char *wanted)
{
	CLEANUP(freep) char *text = caller_text(shim, stream);

	cr_expect_str_eq(text, wanted);
}

/* Runs a script as a further process: its output must be that, its code 0. */
static void expect_script(struct stand *s, const char *script, const char *wanted)
{
	struct caller *shim = run_further(s, shell(script));
	int code = caller_wait_exit(shim);
	CLEANUP(freep) char *out = caller_text(shim, STREAM_STDOUT);
	CLEANUP(freep) char *errors = caller_text(shim, STREAM_STDERR);

	cr_expect(code == 0 && str_eq(out, wanted), "%s: code %d\n%s%swanted:\n%s", script, code,
		  out, errors, wanted);
	caller_close(shim, CLOSE_DONE);
}

/* As expect_script() for a process of any kind. */
static void expect_output(struct stand *s, enum msg_type type, const void *body, const char *wanted)
{
	struct caller *shim = run(s, type, body);
	int code = caller_wait_exit(shim);
	CLEANUP(freep) char *out = caller_text(shim, STREAM_STDOUT);
	CLEANUP(freep) char *errors = caller_text(shim, STREAM_STDERR);

	cr_expect(code == 0 && str_eq(out, wanted), "code %d\n%s%swanted:\n%s", code, out, errors,
		  wanted);
	caller_close(shim, CLOSE_DONE);
}

/* --- the link --------------------------------------------------------------------------------- */

Test(agent, says_hello_and_answers_pings)
{
	struct stand s = stand();
	struct msg_create_sandbox sandbox = { .hostname = TEXT("") };

	caller_must(s.runtime, MSG_CREATE_SANDBOX, &sandbox);
	caller_must_fail(s.runtime, MSG_CREATE_SANDBOX, &sandbox, EALREADY,
			 "the sandbox is prepared already");
	cr_expect(s.rig->logs > 0, "no LOG event came");
	cr_expect(strstr(s.rig->last_log, "time=") == NULL, "%s", s.rig->last_log);
	rig_stop(s.rig);
}

Test(agent, refuses_sessions)
{
	struct stand s = stand();
	struct caller *shim = caller_open(s.rig, ROLE_SHIM, 4711);

	cr_expect(shim->closed && shim->close_reason == CLOSE_REFUSED);
	cr_expect_str_eq(shim->close_text, "there is no process with that handle");
	shim = caller_open(s.rig, 0, 0);
	cr_expect(shim->closed && shim->close_reason == CLOSE_REFUSED);
	rig_stop(s.rig);
}

Test(agent, roles)
{
	struct stand s = stand();
	struct caller *shim = run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct caller *second = caller_open(s.rig, ROLE_SHIM, shim->handle);
	struct msg_winsize size = { .handle = shim->handle, .rows = 1, .columns = 1 };
	struct msg_exec exec = further(process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_remove remove = { .container = TEXT("c1") };
	struct msg_signal signal = { .signum = SIGKILL };

	cr_expect(second->closed && second->close_reason == CLOSE_REFUSED);
	caller_must_fail(shim, MSG_REMOVE, &remove, EPERM, "REMOVE is not for this client to send");
	caller_must_fail(shim, MSG_SHUTDOWN, NULL, EPERM,
			 "SHUTDOWN is not for this client to send");
	caller_must_fail(s.runtime, MSG_WINSIZE, &size, EPERM,
			 "WINSIZE is not for this client to send");
	caller_must_fail(shim, MSG_WINSIZE, &size, ENOTTY, "the process has no terminal");
	caller_must_fail(s.runtime, MSG_DONE, NULL, EOPNOTSUPP, "DONE is no request");
	signal.handle = caller_must_create(s.runtime, MSG_EXEC, &exec);
	caller_must_fail(shim, MSG_SIGNAL, &signal, EPERM, "the process is another client's");
	rig_stop(s.rig);
}

/* --- life ------------------------------------------------------------------------------------- */

Test(agent, container_from_create_to_remove)
{
	struct stand s = stand();
	struct msg_create create = container(shell("echo out; echo err >&2; exit 7"));
	struct msg_start start_message = { 0 };
	struct msg_signal signal = { .signum = SIGTERM };
	struct msg_remove remove = { .container = TEXT("c1") };
	struct caller *shim;
	uint64_t handle = caller_must_create(s.runtime, MSG_CREATE, &create);

	caller_must_fail(s.runtime, MSG_CREATE, &create, EEXIST, "container c1 is there already");
	start_message.handle = signal.handle = handle;
	shim = caller_open(s.rig, ROLE_SHIM, handle);
	rig_pump(s.rig, 100);
	cr_expect(!shim->exited && buf_len(&shim->out[STREAM_STDOUT]) == 0, "it did not wait");
	caller_must(s.runtime, MSG_START, &start_message);
	cr_expect(caller_wait_exit(shim) == 7);
	expect_text(shim, STREAM_STDOUT, "out\n");
	expect_text(shim, STREAM_STDERR, "err\n");
	rig_until(s.rig, &shim->ended[STREAM_STDERR], "END");
	caller_must_fail(s.runtime, MSG_START, &start_message, ESRCH, "container not running");
	caller_must_fail(s.runtime, MSG_SIGNAL, &signal, ESRCH, "container not running");
	signal.all = true;
	caller_must(s.runtime, MSG_SIGNAL, &signal);
	caller_close(shim, CLOSE_DONE);
	remove_container(&s);
	caller_must_fail(s.runtime, MSG_REMOVE, &remove, ENOENT, "container c1 is not known");
	caller_must_fail(s.runtime, MSG_START, &start_message, ESRCH,
			 "os: process already finished");
	handle = caller_must_create(s.runtime, MSG_CREATE, &create);
	cr_expect(handle != start_message.handle, "a handle was used again");
	rig_stop(s.rig);
}

Test(agent, output_and_exit_wait_for_the_client)
{
	struct stand s = stand();
	struct msg_create create = container(shell("echo early; exit 3"));
	uint64_t handle = caller_must_create(s.runtime, MSG_CREATE, &create);
	struct caller *shim;

	start(&s, handle);
	rig_pump(s.rig, 200);
	shim = caller_open(s.rig, ROLE_SHIM, handle);
	cr_expect(caller_wait_exit(shim) == 3);
	expect_text(shim, STREAM_STDOUT, "early\n");
	rig_stop(s.rig);
}

Test(agent, signals)
{
	static const struct {
		uint32_t signum;
		int code;
	} cases[] = { { SIGKILL, 137 }, { SIGTERM, 42 }, { SIGUSR1, 43 } };
	struct stand s = stand();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct caller *shim =
			run_first(&s, shell("trap 'exit 42' TERM; trap 'exit 43' USR1;"
					    "echo ready; while :; do sleep 0.05; done"));

		caller_expect(shim, "ready");
		send_signal(&s, shim->handle, 0, false);
		send_signal(&s, shim->handle, cases[i].signum, false);
		cr_expect(caller_wait_exit(shim) == cases[i].code, "signal %u gave %u",
			  cases[i].signum, shim->exit.code);
		caller_close(shim, CLOSE_DONE);
		remove_container(&s);
	}
	rig_stop(s.rig);
}

Test(agent, a_created_process_ends_by_kill_and_term)
{
	static const uint32_t signals[] = { SIGKILL, SIGTERM };
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("sleep"), TEXT("1000"))));

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		uint64_t handle = caller_must_create(s.runtime, MSG_CREATE, &create);
		struct caller *shim = caller_open(s.rig, ROLE_SHIM, handle);

		send_signal(&s, handle, SIGUSR1, false); /* is not noticed */
		send_signal(&s, handle, signals[i], i == 1);
		cr_expect(caller_wait_exit(shim) == 137);
		caller_close(shim, CLOSE_DONE);
		remove_container(&s);
	}
	rig_stop(s.rig);
}

Test(agent, a_lost_client_takes_its_process_along)
{
	struct stand s = stand();
	struct caller *first = run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct caller *shim = run_further(&s, shell("echo there; sleep 1000"));
	struct caller *other = run_further(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));

	caller_expect(shim, "there");
	caller_close(shim, CLOSE_LOST);
	rig_pump(s.rig, 200);
	cr_expect(!first->exited && !other->exited);
	expect_script(&s, "ps | grep -c 'sleep 1000$'", "2\n");
	caller_close(first, CLOSE_LOST);
	cr_expect(caller_wait_exit(other) == 137, "an exec outlived its container");
	rig_stop(s.rig);
}

/* Nobody waits for a further process any more when the first one's exit is known. */
Test(agent, the_first_exit_is_told_last)
{
	struct stand s = stand();
	struct caller *first = run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct caller *a = run_further(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct caller *b = run_further(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));

	send_signal(&s, first->handle, SIGKILL, false);
	cr_expect(caller_wait_exit(a) == 137 && caller_wait_exit(b) == 137);
	rig_pump(s.rig, 200);
	cr_expect_not(first->exited);
	caller_close(a, CLOSE_DONE);
	rig_pump(s.rig, 200);
	cr_expect_not(first->exited);
	caller_close(b, CLOSE_DONE);
	cr_expect(caller_wait_exit(first) == 137);
	caller_close(first, CLOSE_DONE);
	remove_container(&s);

	/* but a client that does not go holds nothing up for long */
	first = run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	a = run_further(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	send_signal(&s, first->handle, SIGKILL, false);
	cr_expect(caller_wait_exit(first) == 137);
	cr_expect(a->exited);
	rig_stop(s.rig);
}

Test(agent, remove_kills)
{
	struct stand s = stand();
	struct caller *shim = run_first(&s, shell("sleep 1000 & (sleep 1000; :) & echo up; wait"));

	caller_expect(shim, "up");
	remove_container(&s);
	cr_expect(caller_wait_exit(shim) == 137);
	rig_stop(s.rig);
}

Test(agent, stops_with_its_link_and_leaves_nothing)
{
	struct stand s = stand();

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	run_further(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	rig_stop(s.rig);
}

/* --- programs --------------------------------------------------------------------------------- */

static const struct {
	const char *program;
	int errnum;
	const char *text;
} bad_programs[] = {
	{ "nosuch", ENOENT, "exec: \"nosuch\": executable file not found in $PATH" },
	{ "not-a-program", ENOENT, "exec: \"not-a-program\": executable file not found in $PATH" },
	{ "/etc", EACCES, "exec: \"/etc\": permission denied" },
	{ "/etc/not-a-program", EACCES, "exec: \"/etc/not-a-program\": permission denied" },
	{ "/nosuch/abs", ENOENT,
	  "exec: \"/nosuch/abs\": stat /nosuch/abs: no such file or directory" },
	{ "./rel", ENOENT, "exec: \"./rel\": stat ./rel: no such file or directory" },
	{ "/etc/passwd/x", ENOTDIR,
	  "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory" },
};

Test(agent, programs_that_cannot_be_run)
{
	struct stand s = stand();

	for (size_t i = 0; i < ARRAY_SIZE(bad_programs); i++) {
		struct msg_create create = container(process(ARGS(TEXT(bad_programs[i].program))));

		caller_must_fail(s.runtime, MSG_CREATE, &create, bad_programs[i].errnum,
				 bad_programs[i].text);
		rig_pump(s.rig, 50); /* it takes itself away */
	}
	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	for (size_t i = 0; i < ARRAY_SIZE(bad_programs); i++) {
		struct msg_exec exec = further(process(ARGS(TEXT(bad_programs[i].program))));

		caller_must_fail(s.runtime, MSG_EXEC, &exec, bad_programs[i].errnum,
				 bad_programs[i].text);
	}
	rig_stop(s.rig);
}

Test(agent, errors_of_ours_do_not_sound_like_the_programs)
{
	static const char *const words[] = { "no such file",    "permission denied",
					     "not permitted",   "not a directory",
					     "no such process", "does not exist" };
	struct stand s = stand();
	struct msg_mount mounts[] = {
		{ TEXT("/etc/passwd/x"), TEXT("tmpfs"), TEXT(""), 0, 0, TEXT(""), false, 0, 0 },
		{ TEXT("/x"), TEXT("share"), TEXT("c1/nothing"), 0, 0, TEXT(""), false }
	};
	struct msg_create good = container(process(ARGS(TEXT("true")))); /* lives as long as bad */
	struct msg_create bad[] = { good, good, good, good };

	bad[0].rootfs = TEXT("c1/nothing");
	bad[1].process.cwd = TEXT("/etc/passwd");
	bad[2].mounts = &mounts[0];
	bad[3].mounts = &mounts[1];
	bad[2].n_mounts = bad[3].n_mounts = 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct msg_failed *failed;

		cr_assert(caller_ask(s.runtime, MSG_CREATE, &bad[i]) == MSG_FAILED, "case %zu", i);
		failed = s.runtime->reply;
		for (size_t w = 0; w < ARRAY_SIZE(words); w++)
			cr_expect(strcasestr(failed->text, words[w]) == NULL, "%s", failed->text);
		rig_pump(s.rig, 50);
	}
	rig_stop(s.rig);
}

Test(agent, exec_fails_at_start)
{
	struct stand s = stand();
	struct msg_exec exec = further(process(ARGS(TEXT("/tmp/script"))));
	struct msg_start message = { 0 };
	struct caller *shim;

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	expect_script(&s, "echo '#!/nosuch/interpreter' >/tmp/script; chmod 755 /tmp/script", "");
	message.handle = caller_must_create(s.runtime, MSG_EXEC, &exec);
	shim = caller_open(s.rig, ROLE_SHIM, message.handle);
	caller_must_fail(s.runtime, MSG_START, &message, ENOENT,
			 "exec: \"/tmp/script\": not found");
	cr_expect(caller_wait_exit(shim) == 127);
	rig_stop(s.rig);
}

/* --- streams ---------------------------------------------------------------------------------- */

Test(agent, stdin_and_its_end)
{
	struct stand s = stand();
	struct caller *shim = run_first(&s, process(ARGS(TEXT("cat"))));

	caller_write(shim, "one\n", 4);
	caller_expect(shim, "one\n");
	caller_write(shim, "two\n", 4);
	session_end_stream(&shim->session, STREAM_STDIN);
	cr_expect(caller_wait_exit(shim) == 0);
	expect_text(shim, STREAM_STDOUT, "one\ntwo\n");
	cr_expect(shim->exit.stdout_end == 8 && shim->exit.stderr_end == 0);
	rig_stop(s.rig);
}

enum { MUCH = 4 * 1024 * 1024 };

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 3 + (i >> 16));
}

Test(agent, much_data_both_ways)
{
	struct stand s = stand();
	struct caller *shim = run_first(&s, process(ARGS(TEXT("cat"))));
	CLEANUP(freep) uint8_t *sent = malloc(MUCH);
	const uint8_t *got;

	for (size_t i = 0; i < MUCH; i++)
		sent[i] = byte_at(i);
	caller_write(shim, sent, MUCH);
	session_end_stream(&shim->session, STREAM_STDIN);
	cr_expect(caller_wait_exit(shim) == 0);
	cr_assert(buf_len(&shim->out[STREAM_STDOUT]) == MUCH);
	got = buf_at(&shim->out[STREAM_STDOUT]);
	cr_expect(memcmp(got, sent, MUCH) == 0);
	rig_stop(s.rig);
}

Test(agent, a_reader_that_stops_loses_nothing_and_holds_nobody_up)
{
	struct stand s = stand();
	struct caller *shim =
		run_first(&s, shell("head -c 1048576 /dev/zero | tr '\\0' x; echo end >&2"));

	shim->paused = true;
	rig_pump(s.rig, 300);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) <= STREAM_WINDOW);
	expect_script(&s, "echo alive", "alive\n");
	cr_expect(!shim->exited);
	shim->paused = false;
	session_consumed(&shim->session, STREAM_STDOUT, shim->held);
	cr_expect(caller_wait_exit(shim) == 0);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) == 1048576);
	expect_text(shim, STREAM_STDERR, "end\n");
	rig_stop(s.rig);
}

Test(agent, a_program_that_does_not_read_its_stdin)
{
	struct stand s = stand();
	struct caller *shim;
	CLEANUP(freep) char *much = calloc(1, MUCH);

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	shim = run_further(&s, shell("exec <&-; echo closed; sleep 0.2"));
	caller_expect(shim, "closed");
	caller_write(shim, much, MUCH);
	cr_expect(caller_wait_exit(shim) == 0);
	rig_stop(s.rig);
}

Test(agent, exit_does_not_wait_for_a_background_child)
{
	struct stand s = stand();
	struct caller *shim;

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	shim = run_further(&s, shell("sleep 1000 & echo gone"));
	cr_expect(caller_wait_exit(shim) == 0);
	expect_text(shim, STREAM_STDOUT, "gone\n");
	cr_expect(!shim->ended[STREAM_STDOUT], "the background child still has it");
	caller_close(shim, CLOSE_DONE);
	expect_script(&s, "ps | grep -c 'sleep 1000$'", "2\n");
	rig_stop(s.rig);
}

Test(agent, terminal)
{
	struct stand s = stand();
	struct msg_process p = shell(
		"trap 'stty size' WINCH; tty=$(readlink /proc/self/fd/0);"
		"stat -c %u $tty; stty size; echo console >/dev/console;"
		"until read line; do :; done; echo got $line; while read line; do :; done; exit 5");
	struct msg_winsize size = { .rows = 33, .columns = 77 };
	struct caller *shim;

	p.terminal = true;
	p.rows = 24;
	p.columns = 80;
	shim = run_first(&s, p);
	caller_expect(shim, "0\r\n24 80\r\nconsole\r\n");
	size.handle = shim->handle;
	caller_must(shim, MSG_WINSIZE, &size);
	caller_write(shim, "hello\n", 6);
	caller_expect(shim, "hello\r\n");
	caller_expect(shim, "33 77\r\n");
	caller_expect(shim, "got hello\r\n");
	caller_write(shim, "\4", 1);
	cr_expect(caller_wait_exit(shim) == 5);
	cr_expect(shim->ended[STREAM_STDERR] && shim->exit.stderr_end == 0);
	rig_stop(s.rig);
}

Test(agent, terminal_of_a_further_process)
{
	struct stand s = stand();
	struct msg_process p = shell("readlink /proc/self/fd/0; stty size; echo $PPID");
	struct caller *shim;

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	p.terminal = true;
	p.uid = 1000;
	p.rows = 24;
	p.columns = 80;
	for (int i = 0; i < 3; i++) {
		shim = run_further(&s, p);
		cr_expect(caller_wait_exit(shim) == 0);
		expect_text(shim, STREAM_STDOUT, "/dev/pts/0\r\n24 80\r\n0\r\n");
		caller_close(shim, CLOSE_DONE);
	}
	p = shell("seq 1 20000");
	p.terminal = true;
	shim = run_further(&s, p);
	cr_expect(caller_wait_exit(shim) == 0);
	caller_expect(shim, "\n20000\r\n");
	rig_stop(s.rig);
}

/* --- what a container is made of -------------------------------------------------------------- */

Test(agent, surroundings_of_a_process)
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

Test(agent, no_capabilities_unless_asked_for)
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

Test(agent, namespaces_of_a_further_process)
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

Test(agent, devices_and_kernel_mounts)
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

Test(agent, masked_and_readonly_paths)
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

Test(agent, mounts_from_the_share)
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

Test(agent, mounts_that_are_refused)
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

Test(agent, device_nodes_that_are_asked_for)
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
Test(agent, a_privileged_container_has_the_guests_devices)
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

Test(agent, names_personality_and_scheduling)
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

Test(agent, a_schedule_that_cannot_be)
{
	struct stand s = stand();
	struct msg_create create = container(process(ARGS(TEXT("true"))));

	create.process.scheduler = (struct msg_scheduler){ .wanted = true, .policy = 6 };
	caller_must_fail(s.runtime, MSG_CREATE, &create, EINVAL,
			 "process.scheduler: Invalid argument");
	rig_stop(s.rig);
}

Test(agent, time_namespace)
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

Test(agent, user_namespace)
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

Test(agent, start_hooks)
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
	create.hook_state = TEXT("{the state}\n");
	expect_output(&s, MSG_CREATE, &create,
		      "{the state}\n"
		      "own 3\n");
	rig_stop(s.rig);
}

Test(agent, start_hooks_that_fail)
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

Test(agent, recursive_mount_options)
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

Test(agent, links_of_a_hostile_image_stay_inside)
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

Test(agent, a_program_behind_a_link_is_the_containers)
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
Test(agent, masks_are_the_null_device)
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

/* --- limits ----------------------------------------------------------------------------------- */

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

Test(agent, seccomp_holds_for_every_process)
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

Test(agent, filters_that_are_none)
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

Test(agent, kernel_parameters)
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

Test(agent, device_rules)
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
Test(agent, limits_that_cannot_be)
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

Test(agent, pause_and_resume)
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

Test(agent, a_paused_container_can_be_removed)
{
	struct stand s = stand();
	struct msg_pause pause = { .container = TEXT("c1") };

	run_first(&s, shell("sleep 100 & sleep 100"));
	caller_must(s.runtime, MSG_PAUSE, &pause);
	remove_container(&s);
	rig_stop(s.rig);
}

Test(agent, ps)
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

/* --- many ------------------------------------------------------------------------------------- */

enum { SHORT_ONES = 50 };

Test(agent, many_short_processes)
{
	struct stand s = stand();
	struct caller *first = run_first(&s, shell("while :; do sleep 0.01; done"));

	for (int i = 0; i < SHORT_ONES; i++) {
		struct caller *shim = run_further(&s, shell("echo x; exit 9"));

		cr_assert(caller_wait_exit(shim) == 9);
		expect_text(shim, STREAM_STDOUT, "x\n");
		caller_close(shim, CLOSE_DONE);
	}
	cr_expect(!first->exited);
	rig_stop(s.rig);
}

Test(agent, sessions_outlive_a_lost_link)
{
	struct rig *rig = rig_start(true);
	struct stand s = { rig, caller_open(rig, ROLE_RUNTIME, 0) };
	struct caller *shim = run_first(&s, shell("for i in $(seq 1 30); do echo line $i; "
						  "sleep 0.02; done; read x; echo got $x; exit 4"));
	CLEANUP(freep) char *text = NULL;
	char wanted[1024] = "";

	caller_expect(shim, "line 5\n");
	for (int i = 0; i < 2; i++) {
		rig_cut(rig);
		usleep(100000);
		rig_join(rig);
		caller_reopen(s.runtime);
		caller_reopen(shim);
		rig_pump(rig, 100);
	}
	send_signal(&s, shim->handle, 0, false);
	caller_write(shim, "again\n", 6);
	cr_expect(caller_wait_exit(shim) == 4);
	for (int i = 1; i <= 30; i++)
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "line %d\n", i);
	strcat(wanted, "got again\n");
	text = caller_text(shim, STREAM_STDOUT);
	cr_expect_str_eq(text, wanted);
	rig_stop(rig);
}

/* A port may not show that its host changed: see on_anew() in kata-agent/agent.c. */
Test(agent, sessions_outlive_a_host_that_changes_unseen)
{
	struct rig *rig = rig_start(false);
	struct stand s = { rig, caller_open(rig, ROLE_RUNTIME, 0) };
	struct caller *shim = run_first(&s, shell("echo up; read x; echo got $x; exit 4"));

	caller_expect(shim, "up\n");
	for (int i = 0; i < 3; i++) {
		rig_usurp(rig, shim->channel);
		caller_reopen(s.runtime);
		caller_reopen(shim);
	}
	send_signal(&s, shim->handle, 0, false);
	caller_write(shim, "again\n", 6);
	cr_expect(caller_wait_exit(shim) == 4);
	expect_text(shim, STREAM_STDOUT, "up\ngot again\n");
	rig_stop(rig);
}

Test(agent, sessions_end_with_the_lease)
{
	struct rig *rig = rig_start(true);
	struct stand s = { rig, caller_open(rig, ROLE_RUNTIME, 0) };
	struct caller *shim = run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	struct msg_ps ps = { .container = TEXT("c1") };
	const struct msg_ps_rows *rows;

	rig_cut(rig);
	rig_join(rig);
	caller_reopen(s.runtime);
	(void)shim; /* does not come back */
	for (int i = 0; i < 15; i++) {
		cr_assert(caller_ask(s.runtime, MSG_PS, &ps) == MSG_PS_ROWS);
		rows = s.runtime->reply;
		if (rows->n_rows == 0)
			break;
		rig_pump(rig, 1000);
	}
	cr_expect(rows->n_rows == 0, "the process of a lost client still runs");
	rig_stop(rig);
}

/* --- containers of one pod -------------------------------------------------------------------- */

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

Test(agent, containers_share_what_they_are_told_to)
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

Test(agent, container_ends_whole_in_a_shared_pid_namespace)
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

Test(agent, shares_nothing_with_what_does_not_run)
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
