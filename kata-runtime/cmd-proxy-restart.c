/* proxy-restart: start the worker of a sandbox's proxy again, for an upgrade under a running VM. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/store.h"

enum { RESTART_MS = 15000 };

/* word is a sandbox id, or a container's of --root. */
static int find_sandbox(const struct store *store, const char *word, char sid[SID_SIZE],
			struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	int r = sid_check(word, NULL);

	if (r == 0)
		memcpy(sid, word, SID_SIZE);
	else
		r = store_sid(store, word, sid, err);
	if (r == 0)
		r = store_read_state(store, sid, &state, err);
	if (r == 0)
		memcpy(sid, state.sandbox, SID_SIZE);
	if (r == -ENOENT)
		return error_say(err, ENOENT, "there is no sandbox or container %s", word);
	return r;
}

int cmd_proxy_restart(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(config_fini) struct config config = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	struct store store;
	char sid[SID_SIZE];
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime proxy-restart SANDBOX\n\n"
		       "SANDBOX is the id of a sandbox or of its container. Its VM and what runs "
		       "in "
		       "it\ndo not notice.\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count != 1)
		return error_say(err, EINVAL, "proxy-restart: one sandbox id is needed");
	r = config_load(cli->config_file, &config, err);
	if (r == 0)
		r = store_open(&store, cli->root, NULL, false, err);
	if (r == 0)
		r = find_sandbox(&store, words.items[0], sid, err);
	return r < 0 ? r
		     : sandbox_restart_proxy(&store, sid, config.proxy.path,
					     deadline_in_ms(RESTART_MS), err);
}
