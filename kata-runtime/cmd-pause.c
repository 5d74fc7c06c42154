/* pause and resume: all processes of a container stand still, and go on. */
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"

/* Both take an id and nothing else. */
static int run(const struct cli *cli, int argc, char **argv,
	       int (*act)(const struct cli *cli, const char *id, struct error *err),
	       struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	const struct cli_option options[] = { { "help", 'h', CLI_FLAG, &help, "print this" } };
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime %s ID\n", argv[0]);
		return 0;
	}
	r = cli_one_id(&words, argv[0], err);
	return r < 0 ? r : act(cli, words.items[0], err);
}

int cmd_pause(const struct cli *cli, int argc, char **argv, struct error *err)
{
	return run(cli, argc, argv, container_pause, err);
}

int cmd_resume(const struct cli *cli, int argc, char **argv, struct error *err)
{
	return run(cli, argc, argv, container_resume, err);
}
