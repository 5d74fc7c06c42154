/*
 * ps: the processes of a container. As JSON the host's pids that stand in for them, since that is
 * what managers look up on the host; as a table the guest's processes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/sandbox.h"

enum { AGENT_MS = 10000 };

static int print_exec(struct process_ref shim, void *userdata)
{
	(void)userdata;
	if (process_alive(shim.pid, shim.start_ticks))
		printf(",%d", shim.pid);
	return 0;
}

static int print_host_pids(const struct store *store, const struct state *state, struct error *err)
{
	int r = 0;

	printf("[");
	if (container_status(state) != STATUS_STOPPED) {
		printf("%d", state->shim.pid);
		r = store_each_exec(store, state->sid, STORE_EXEC_SHIM, print_exec, NULL, err);
	}
	printf("]\n");
	return r;
}

static void print_row(const struct decoder_row *row)
{
	time_t start = (time_t)row->start_s;
	char started[16] = "?";
	struct tm tm;

	if (localtime_r(&start, &tm) != NULL)
		strftime(started, sizeof(started), "%H:%M", &tm);
	printf("%-8u %7u %7u  0 %5s ?        %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %s\n",
	       row->uid, row->pid, row->ppid, started, row->cpu_ms / 3600000,
	       row->cpu_ms / 60000 % 60, row->cpu_ms / 1000 % 60, row->command);
}

static int print_guest(const struct store *store, const struct state *state, struct error *err)
{
	CLEANUP(decoder_close) struct decoder decoder = DECODER_NONE;
	CLEANUP(freep) struct decoder_row *rows = NULL;
	struct msg_ps ps = { .container = state->id };
	int64_t deadline = deadline_in_ms(AGENT_MS);
	struct decoder_reply reply = { 0 };
	int r = 0;

	if (container_status(state) != STATUS_STOPPED)
		r = sandbox_connect(store, state, &decoder, deadline, err);
	if (r == 0 && decoder.pid > 0)
		r = decoder_request(&decoder, MSG_PS, &ps, deadline, &reply, &rows, err);
	if (r < 0)
		return r;
	printf("UID          PID    PPID  C STIME TTY          TIME CMD\n");
	for (uint32_t i = 0; i < reply.n_rows; i++)
		print_row(&rows[i]);
	return 0;
}

int cmd_ps(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(state_fini) struct state state = { 0 };
	const char *format = "table";
	bool help = false;
	const struct cli_option options[] = {
		{ "format", 'f', CLI_TEXT, &format, "table or json" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	struct store store;
	/* Behind the id stand options of ps(1), which choose columns: the table has its own. */
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 1, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime ps [OPTION...] ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (r == 0 && words.count < 1)
		r = error_say(err, EINVAL, "ps: a container id is needed");
	if (r == 0 && !str_eq(format, "table") && !str_eq(format, "json"))
		r = error_say(err, EINVAL, "--format is table or json, not \"%s\"", format);
	if (r == 0)
		r = container_load(cli, words.items[0], &store, &state, err);
	if (r < 0)
		return r;
	return str_eq(format, "json") ? print_host_pids(&store, &state, err)
				      : print_guest(&store, &state, err);
}
