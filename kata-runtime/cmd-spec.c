/* spec: write a config.json to begin with. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/spec-default.h"

int cmd_spec(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	const char *bundle = ".";
	bool help = false, rootless = false;
	const struct cli_option options[] = {
		{ "bundle", 'b', CLI_TEXT, &bundle, "directory that gets config.json" },
		{ "rootless", 0, CLI_FLAG, &rootless, "refused: a VM needs root to be made" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	(void)cli;
	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime spec [OPTION...]\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count != 0)
		return error_say(err, EINVAL, "spec: no word is taken, \"%s\" was given",
				 words.items[0]);
	if (rootless)
		return error_say(err, ENOTSUP,
				 "spec --rootless: user namespaces on the host are not used here");
	return spec_default_write(bundle, err);
}
