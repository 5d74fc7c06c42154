/*
 * kata-runtime: the OCI command line. Straight-line blocking code: a verb prepares, asks the agent
 * through the proxy, and exits. Called by docker, containerd, podman and people; runs as root.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/privsep.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/commit.h"
#include "kata-runtime/config.h"
#include "kata-runtime/netmon.h"

/* Rights are a row of common/privsep.def; hooks: hook_launcher_start() cuts the bounding set. */
static const struct verb {
	const char *name;
	int (*run)(const struct cli *cli, int argc, char **argv, struct error *err);
	int failure; /* exit status of a failure; runc's */
	enum privsep_process rights;
	bool hooks;
	const char *help;
} verbs[] = {
	{ "create", cmd_create, 1, PRIVSEP_RUNTIME, true,
	  "make a container and its VM; its process waits for start" },
	{ "start", cmd_start, 1, PRIVSEP_RUNTIME_START, true,
	  "run the process of a created container" },
	{ "run", cmd_run, 1, PRIVSEP_RUNTIME, true, "create, start, wait, delete" },
	{ "exec", cmd_exec, 255, PRIVSEP_RUNTIME_EXEC, false,
	  "run a further process in a container" },
	{ "kill", cmd_kill, 1, PRIVSEP_RUNTIME_ASK, false, "send a signal" },
	{ "delete", cmd_delete, 1, PRIVSEP_RUNTIME_DELETE, true, "remove a container and its VM" },
	{ "state", cmd_state, 1, PRIVSEP_READER, false, "print a container's state as JSON" },
	{ "list", cmd_list, 1, PRIVSEP_READER, false, "list the containers of a root" },
	{ "ps", cmd_ps, 1, PRIVSEP_RUNTIME_ASK, false, "list the processes of a container" },
	{ "pause", cmd_pause, 1, PRIVSEP_RUNTIME_ASK, false,
	  "make all processes of a container stand still" },
	{ "resume", cmd_resume, 1, PRIVSEP_RUNTIME_ASK, false, "let them go on" },
	{ "network", cmd_network, 1, PRIVSEP_RUNTIME_NETWORK, false,
	  "show a VM's network, give it interfaces or take them" },
	{ "kata-network", cmd_network, 1, PRIVSEP_RUNTIME_NETWORK, false,
	  "the same with Kata's words" },
	{ "update", cmd_update, 1, PRIVSEP_RUNTIME_ASK, false,
	  "change a container's resource limits" },
	{ "events", cmd_events, 1, PRIVSEP_RUNTIME_ASK, false,
	  "print statistics of a container as JSON, and when it is short of memory" },
	{ "features", cmd_features, 1, PRIVSEP_RUNTIME_SAY, false,
	  "print as JSON what this runtime can do" },
	{ "checkpoint", cmd_checkpoint, 1, PRIVSEP_READER, false,
	  "refused: a VM cannot be written to disk yet" },
	{ "restore", cmd_restore, 1, PRIVSEP_RUNTIME_SAY, false, "refused, as checkpoint" },
	{ "why", cmd_why, 1, PRIVSEP_READER, false, "tell why a container or its VM ended" },
	{ "logs", cmd_logs, 1, PRIVSEP_READER, false,
	  "print what a sandbox's components logged, by time" },
	{ "gc", cmd_gc, 1, PRIVSEP_RUNTIME_DELETE, true, "remove what no living sandbox owns" },
	{ "proxy-restart", cmd_proxy_restart, 1, PRIVSEP_RUNTIME_CONTROL, false,
	  "start a sandbox's proxy again, also a newer one" },
	{ "spec", cmd_spec, 1, PRIVSEP_RUNTIME_CONTROL, false,
	  "write a config.json to begin with" },
	{ "privs", cmd_privs, 2, PRIVSEP_RUNTIME_PRIVS, false,
	  "tell what the processes of a sandbox may do" },
	{ "check", cmd_check, 1, PRIVSEP_RUNTIME_CHECK, false,
	  "tell what this host gives to a VM" },
};

static int print_version(void)
{
	printf("kata-runtime version %s\n", KATA_VERSION);
	if (KATA_COMMIT[0] != '\0')
		printf("commit: %s\n", KATA_COMMIT);
	printf("spec: 1.1.0\n");
	return 0;
}

static int print_help(const struct cli_option *options, size_t count)
{
	printf("usage: kata-runtime [OPTION...] VERB [ARGUMENT...]\n\n"
	       "An OCI runtime that gives each container a virtual machine of its "
	       "own.\n\nverbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-13s %s\n", verbs[i].name, verbs[i].help);
	printf("\noptions:\n");
	cli_print_options(options, count);
	return 0;
}

static int check_globals(struct cli *cli, const char *log_format, const char *rootless,
			 struct error *err)
{
	if (!str_eq(log_format, "text") && !str_eq(log_format, "json"))
		return error_say(err, EINVAL, "--log-format is text or json, not \"%s\"",
				 log_format);
	if (!str_eq(rootless, "true") && !str_eq(rootless, "false") && !str_eq(rootless, "auto"))
		return error_say(err, EINVAL, "--rootless is true, false or auto, not \"%s\"",
				 rootless);
	cli->log_json = str_eq(log_format, "json");
	cli->rootless = str_eq(rootless, "true");
	return 0;
}

static const struct verb *lookup(const char *name, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eq(verbs[i].name, name))
			return &verbs[i];
	error_say(err, EINVAL, "there is no verb \"%s\"; kata-runtime --help lists them", name);
	return NULL;
}

/*
 * A manager may leave descriptors open for us, among them sockets of its own; no child may get
 * one. It may also ignore signals for us, which children would inherit.
 */
static int clean_inheritance(struct error *err)
{
	sigset_t set;

	for (int s = 1; s < NSIG; s++)
		if (s != SIGCHLD)
			signal(s, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return privsep_close_others(NULL, 0, err);
}

/* What the verb may do, from here on; a configuration that is broken changes nothing of that. */
static int take_rights(const struct verb *verb, struct cli *cli, struct error *err)
{
	enum filter filter = privsep_row(verb->rights)->filter;
	CLEANUP(config_fini) struct config config = { 0 };
	int r = privsep_cut(verb->rights, !verb->hooks, err);

	cli->rights = verb->rights;
	if (r == 0)
		cli->seccomp_log = config_load(cli->config_file, &config, NULL) == 0 &&
				   config.runtime.seccomp == SECCOMP_LOG;
	return r < 0 || filter == FILTER_NONE ? r : filter_load(filter, cli->seccomp_log, err);
}

int main(int argc, char **argv)
{
	const char *log_format = "text", *rootless = "auto", *criu;
	bool version = false, help = false, paths = false, unused;
	struct cli cli = { 0 };
	struct error err = { 0 };
	const struct cli_option options[] = {
		{ "root", 0, CLI_TEXT, &cli.root, "directory of the container ids" },
		{ "log", 0, CLI_TEXT, &cli.log_file, "file that gets one line per failure" },
		{ "log-format", 0, CLI_TEXT, &log_format, "text or json" },
		{ "debug", 0, CLI_FLAG, &cli.debug, "log debug records of every component" },
		{ "systemd-cgroup", 0, CLI_FLAG, &cli.systemd_cgroup,
		  "cgroupsPath is slice:prefix:name; systemd makes it" },
		{ "rootless", 0, CLI_TEXT, &rootless, "true: go on where a cgroup cannot be made" },
		{ "kata-config", 0, CLI_TEXT, &cli.config_file, "read this configuration only" },
		{ "config", 0, CLI_TEXT, &cli.config_file, "the same, as later releases call it" },
		{ "kata-show-default-config-paths", 0, CLI_FLAG, &paths,
		  "print where configurations are looked for" },
		{ "show-default-config-paths", 0, CLI_FLAG, &paths, "the same" },
		{ "criu", 0, CLI_TEXT, &criu, "accepted, without meaning here" },
		{ "no-color", 0, CLI_FLAG, &unused, "accepted, without meaning here" },
		{ "version", 'v', CLI_FLAG, &version, "print the version" },
		{ "help", 'h', CLI_FLAG, &help, "print this" },
	};
	CLEANUP(cli_list_free) struct cli_list words = { 0 };
	const struct verb *verb;
	int at, r;

	if (argc == 2 && str_eq(argv[0], NETMON_NAME))
		return netmon_main(argv[1]);

	at = cli_leading_options(options, ARRAY_SIZE(options), argc, argv);
	r = cli_parse(options, ARRAY_SIZE(options), at, argv, 0, &words, &err);
	if (r == 0)
		r = check_globals(&cli, log_format, rootless, &err);
	if (r == 0 && (version || (at < argc && str_eq(argv[at], "version"))))
		return print_version();
	if (r == 0 && paths) {
		config_print_paths(stdout);
		return EXIT_SUCCESS;
	}
	if (r == 0 && (help || at == argc || str_eq(argv[at], "help")))
		return print_help(options, ARRAY_SIZE(options));
	if (r < 0) {
		cli_report(&cli, &err);
		return EXIT_FAILURE;
	}
	verb = lookup(argv[at], &err);
	if (verb == NULL) {
		cli_report(&cli, &err);
		return EXIT_FAILURE;
	}
	r = clean_inheritance(&err);
	if (r == 0)
		r = take_rights(verb, &cli, &err);
	if (r == 0)
		r = verb->run(&cli, argc - at, argv + at, &err);
	if (r < 0) {
		if (err.text[0] == '\0') /* a fault of ours; the number is better than nothing */
			error_set(&err, -r, "%s", verb->name);
		cli_report(&cli, &err);
		log_error("the verb failed", KV_S("verb", verb->name), KV_ERR(&err));
		return verb->failure;
	}
	return r;
}
