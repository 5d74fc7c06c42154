/* why: what is known of the end of a container or its VM; no VM and no lock is needed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "kata-runtime/cause.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"

static void tell(const struct store *store, const struct state *state)
{
	char headline[CAUSE_LINE_SIZE], text[CAUSE_SIZE];
	size_t len;

	cause_headline(store, state, headline);
	cause_read(store, state, text);
	len = strlen(headline);
	if (len > 0)
		printf("%s\n", headline);
	else if (state->monitor.pid == 0)
		printf("the VM was not started yet\n");
	else if (container_status(state) == STATUS_STOPPED)
		printf("the container's process ended by itself; its VM waits for delete\n");
	else
		printf("the container is %s\n", container_status_name(state));
	/* All that is known, but not the same line twice. */
	if (len > 0 && strncmp(text, headline, len) == 0 && text[len] == '\n')
		printf("%s", text + len + 1);
	else
		printf("%s", text);
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
	if (r == 0)
		r = cli_one_id(&words, argv[0], err);
	if (r == 0)
		r = container_load(cli, words.items[0], &store, &state, err);
	if (r < 0)
		return r;
	tell(&store, &state);
	return fflush(stdout) == 0 ? 0 : error_set(err, errno, "standard output");
}
