/*
 * checkpoint and restore: runc has criu write a container's processes to disk. Here those are
 * inside of a virtual machine, where no criu sees them; the verbs and all their options are known
 * so that a caller is told that and not that it has mistyped something.
 */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/container.h"

/* Options of both verbs, as runc has them; what is written to these is not looked at. */
static int parse(int argc, char **argv, struct cli_list *words, bool *help, struct error *err)
{
	const char *text;
	bool flag;
	const struct cli_option options[] = {
		{ "help", 'h', CLI_FLAG, help, "print this" },
		{ "image-path", 0, CLI_TEXT, &text, "" },
		{ "work-path", 0, CLI_TEXT, &text, "" },
		{ "parent-path", 0, CLI_TEXT, &text, "" },
		{ "leave-running", 0, CLI_FLAG, &flag, "" },
		{ "tcp-established", 0, CLI_FLAG, &flag, "" },
		{ "ext-unix-sk", 0, CLI_FLAG, &flag, "" },
		{ "shell-job", 0, CLI_FLAG, &flag, "" },
		{ "lazy-pages", 0, CLI_FLAG, &flag, "" },
		{ "status-fd", 0, CLI_TEXT, &text, "" },
		{ "page-server", 0, CLI_TEXT, &text, "" },
		{ "file-locks", 0, CLI_FLAG, &flag, "" },
		{ "pre-dump", 0, CLI_FLAG, &flag, "" },
		{ "manage-cgroups-mode", 0, CLI_TEXT, &text, "" },
		{ "empty-ns", 0, CLI_TEXT, &text, "" },
		{ "auto-dedup", 0, CLI_FLAG, &flag, "" },
		{ "bundle", 'b', CLI_TEXT, &text, "" },
		{ "console-socket", 0, CLI_TEXT, &text, "" },
		{ "detach", 'd', CLI_FLAG, &flag, "" },
		{ "pid-file", 0, CLI_TEXT, &text, "" },
		{ "no-subreaper", 0, CLI_FLAG, &flag, "" },
		{ "no-pivot", 0, CLI_FLAG, &flag, "" },
		{ "lsm-profile", 0, CLI_TEXT, &text, "" },
		{ "lsm-mount-context", 0, CLI_TEXT, &text, "" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 0, words, err);

	if (r == 0 && *help)
		printf("usage: kata-runtime %s [OPTION...] ID\n\nIt is always refused.\n", argv[0]);
	return r == 0 && !*help ? cli_one_id(words, argv[0], err) : r;
}

int cmd_checkpoint(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	CLEANUP(state_fini) struct state state = { 0 };
	struct store store;
	bool help = false;
	int r = parse(argc, argv, &words, &help, err);

	if (r < 0 || help)
		return r;
	r = container_load(cli, words.items[0], &store, &state, err);
	if (r < 0)
		return r;
	return error_say(err, ENOTSUP,
			 "checkpoint is not supported: the processes of container %s are in a "
			 "virtual machine, and its memory cannot be written to files yet",
			 words.items[0]);
}

int cmd_restore(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	bool help = false;
	int r = parse(argc, argv, &words, &help, err);

	(void)cli;
	if (r < 0 || help)
		return r;
	return error_say(err, ENOTSUP,
			 "restore is not supported: container %s would need a virtual machine with "
			 "the memory of another one, and checkpoint does not write that yet",
			 words.items[0]);
}
