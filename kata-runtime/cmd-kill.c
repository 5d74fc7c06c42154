/* kill: send a signal to a container's process, or to all of its processes. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"
#include "kata-runtime/signal-name.h"

int cmd_kill(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false, all = false;
	const struct cli_option options[] = {
		{ "all", 'a', CLI_FLAG, &all, "to every process of the container" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	int signal, r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, &words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime kill [OPTION...] ID [SIGNAL]\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
		return 0;
	}
	if (words.count < 1 || words.count > 2)
		return error_say(err, EINVAL,
				 "kill: a container id and at most a signal are needed");
	r = signal_parse(words.count == 2 ? words.items[1] : "TERM", &signal, err);
	return r < 0 ? r : container_kill(cli, words.items[0], signal, all, err);
}
