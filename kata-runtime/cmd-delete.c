/* delete: remove a container with its VM. */
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"

int cmd_delete(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false, force = false;
	const struct cli_option options[] = {
		{ "force", 'f', CLI_FLAG, &force, "kill it first; fine when there is none" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime delete [OPTION...] ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	r = cli_one_id(&words, argv[0], err);
	return r < 0 ? r : container_delete(cli, words.items[0], force, NULL, err);
}
