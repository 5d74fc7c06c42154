/*
 * kata-agent without a VM: its link and sessions, and the life of containers of busybox made by
 * real requests over a socket. What they are made of: test-agent-container.c. Needs root,
 * namespaces and a cgroup2 hierarchy; /bin/busybox is static (package busybox-static).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/component/agent-stand.h"

TestSuite(agent, .timeout = 120, .fini = rig_drop);

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
