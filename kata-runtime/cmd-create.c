/* create and run: a new container, in the background or until it ends. */
#include <stdio.h>

#include "common/cleanup.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/console.h"
#include "kata-runtime/container.h"

struct create_arguments {
	struct container_options options;
	bool no_pivot, no_new_keyring, no_subreaper, keep;
};

static int parse(int argc, char **argv, bool run, struct create_arguments *a,
		 struct cli_list *words, struct error *err)
{
	bool help = false;
	const struct cli_option options[] = {
		{ "bundle", 'b', CLI_TEXT, &a->options.bundle, "directory of config.json" },
		{ "console-socket", 0, CLI_TEXT, &a->options.console_socket,
		  "socket that gets the terminal" },
		{ "console", 0, CLI_TEXT, &a->options.console,
		  "a terminal that the caller has made" },
		{ "pid-file", 0, CLI_TEXT, &a->options.pid_file, "file that gets the shim's pid" },
		{ "pidfd-socket", 0, CLI_TEXT, &a->options.pidfd_socket,
		  "socket that gets a pidfd of the shim" },
		{ "preserve-fds", 0, CLI_TEXT, &a->options.preserve_fds,
		  "0: a VM gets no descriptors of the host" },
		{ "no-pivot", 0, CLI_FLAG, &a->no_pivot, "accepted: the guest always pivots" },
		{ "no-new-keyring", 0, CLI_FLAG, &a->no_new_keyring,
		  "accepted: the guest has keyrings of its own" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
		/* run only */
		{ "detach", 'd', CLI_FLAG, &a->options.detach, "do not wait for its end" },
		{ "keep", 0, CLI_FLAG, &a->keep, "do not delete it at its end" },
		{ "no-subreaper", 0, CLI_FLAG, &a->no_subreaper, "accepted, without meaning here" },
	};
	size_t count = run ? ARRAY_SIZE(options) : ARRAY_SIZE(options) - 3;
	int r = cli_parse(options, count, argc, argv, 0, words, err);

	if (r < 0)
		return r;
	if (help) {
		printf("usage: kata-runtime %s [OPTION...] ID\n\n", argv[0]);
		cli_print_options(options, count);
		return 1;
	}
	return cli_one_id(words, argv[0], err);
}

int cmd_create(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	struct create_arguments a = { .options.detach = true };
	int r = parse(argc, argv, false, &a, &words, err);

	if (r != 0)
		return r < 0 ? r : 0;
	return container_create(cli, words.items[0], &a.options, NULL, err);
}

int cmd_run(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	struct container_child child = { .master = -1, .hooks = HOOK_LAUNCHER_NONE };
	struct create_arguments a = { 0 };
	struct error ignored = { 0 };
	int status = 0, r = parse(argc, argv, true, &a, &words, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = container_create(cli, words.items[0], &a.options, &child, err);
	if (r < 0)
		return r;
	r = container_start(cli, words.items[0], &child.hooks, err);
	if (r == 0 && !a.options.detach)
		r = status = console_wait(child.shim.pid, steal_fd(&child.master), child.uid, false,
					  err);
	fd_close(&child.master);
	if (r < 0)
		container_delete(cli, words.items[0], true, &child.hooks, &ignored);
	else if (!a.options.detach && !a.keep)
		r = container_delete(cli, words.items[0], true, &child.hooks, err);
	hook_launcher_end(&child.hooks);
	return r < 0 ? r : status;
}
