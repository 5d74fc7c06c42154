/* proxy-restart: start the worker of a sandbox's proxy again, for an upgrade under a running VM. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/config.h"
#include "kata-runtime/container.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/store.h"

enum { RESTART_MS = 15000 };

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
		r = container_find_sandbox(&store, words.items[0], sid, err);
	return r < 0 ? r
		     : sandbox_restart_proxy(&store, sid, config.proxy.path,
					     deadline_in_ms(RESTART_MS), err);
}
