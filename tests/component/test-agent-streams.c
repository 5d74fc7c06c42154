/* kata-agent without a VM: stdin, output and terminals; see test-agent.c. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "tests/component/agent-stand.h"

TestSuite(agent_streams, .timeout = 120, .fini = rig_drop);

Test(agent_streams, stdin_and_its_end)
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

Test(agent_streams, much_data_both_ways)
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

Test(agent_streams, a_reader_that_stops_loses_nothing_and_holds_nobody_up)
{
	struct stand s = stand();
	struct caller *shim =
		run_first(&s, shell("head -c 1048576 /dev/zero | tr '\\0' x; echo end >&2"));
	size_t before = buf_len(&shim->out[STREAM_STDOUT]); /* some may have come already */

	shim->paused = true;
	rig_pump(s.rig, 300);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) <= before + STREAM_WINDOW);
	expect_script(&s, "echo alive", "alive\n");
	cr_expect(!shim->exited);
	shim->paused = false;
	session_consumed(&shim->session, STREAM_STDOUT, shim->held);
	cr_expect(caller_wait_exit(shim) == 0);
	cr_expect(buf_len(&shim->out[STREAM_STDOUT]) == 1048576);
	expect_text(shim, STREAM_STDERR, "end\n");
	rig_stop(s.rig);
}

Test(agent_streams, a_program_that_does_not_read_its_stdin)
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

Test(agent_streams, exit_does_not_wait_for_a_background_child)
{
	struct stand s = stand();
	struct caller *shim;

	run_first(&s, process(ARGS(TEXT("sleep"), TEXT("1000"))));
	shim = run_further(&s, shell("sleep 1000 & echo gone"));
	cr_expect(caller_wait_exit(shim) == 0);
	expect_text(shim, STREAM_STDOUT, "gone\n");
	cr_expect(!shim->ended[STREAM_STDOUT], "the background child still has it");
	caller_close(shim, CLOSE_DONE);
	/* It may not have come to its exec yet. */
	expect_script(&s,
		      "until [ $(ps | grep -c 'sleep 1000$') = 2 ]; do sleep 0.05; done; echo both",
		      "both\n");
	rig_stop(s.rig);
}

Test(agent_streams, terminal)
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

Test(agent_streams, terminal_of_a_further_process)
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
