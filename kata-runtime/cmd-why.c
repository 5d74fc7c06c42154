/* why: what is known of the end of a container's VM; no VM and no lock is needed. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/process.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/sandbox.h"

static void tell(const struct store *store, const struct state *state)
{
	char cause[SANDBOX_CAUSE_SIZE];

	sandbox_cause(store, state, cause);
	if (cause[0] != '\0')
		printf("%s", cause);
	else if (state->monitor.pid == 0)
		printf("the VM was not started yet\n");
	else if (!process_alive(state->monitor.pid, state->monitor.start_ticks))
		printf("monitor killed, and the VM with it\n");
	else if (container_status(state) == STATUS_STOPPED)
		printf("the container's process ended; its VM waits for delete\n");
	else
		printf("the container is %s\n", container_status_name(state));
}

int cmd_why(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(state_fini) struct state state = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	struct store store;
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r == 0 && help) {
		printf("usage: kata-runtime why ID\n");
		return 0;
	}
	if (r == 0 && words.count != 1)
		r = error_say(err, EINVAL, "why: one container id is needed");
	if (r == 0)
		r = container_load(cli, words.items[0], &store, &state, err);
	if (r < 0)
		return r;
	tell(&store, &state);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}
