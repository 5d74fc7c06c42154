/* The command line: global options, the options of a verb, and how a failure is told. */
#ifndef KATA_RUNTIME_CLI_H
#define KATA_RUNTIME_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/privsep.h"

/* Global options. */
struct cli {
	const char *root;     /* NULL: the default */
	const char *log_file; /* NULL: none was given */
	const char *config_file;
	bool log_json;
	bool debug;
	bool systemd_cgroup;
	bool rootless;
	bool seccomp_log;            /* runtime.seccomp is "log" */
	enum privsep_process rights; /* the verb's row */
};

struct cli_list {
	char **items;
	int count;
};
void cli_list_free(struct cli_list *list);

enum cli_kind {
	CLI_FLAG, /* bool: --x, --x=true, --x=false, and Go's other words for them */
	CLI_TEXT, /* const char *: --x V, --x=V */
	CLI_LIST, /* struct cli_list: may be repeated */
};

struct cli_option {
	const char *name;
	char letter; /* 0: none */
	enum cli_kind kind;
	void *target;
	const char *help;
};

/*
 * Sorts argv into options and positional words; options may follow words. After rest_after words
 * (0: never) everything else is positional, so that a command keeps its own options; "--" ends
 * options. -EINVAL names the word. *words is to be freed with cli_list_free(), its items are
 * argv's.
 */
int cli_parse(const struct cli_option *options, size_t count, int argc, char **argv, int rest_after,
	      struct cli_list *words, struct error *err);

/* The index of the first word that is no option and no option's value: the verb, or argc. */
int cli_leading_options(const struct cli_option *options, size_t count, int argc, char **argv);

/* -EINVAL unless the words of that verb are the id of one container. */
int cli_one_id(const struct cli_list *words, const char *verb, struct error *err);

/* Prints the options of a verb as its help does. */
void cli_print_options(const struct cli_option *options, size_t count);

/*
 * Tells the caller of a failure as container managers read it: one line appended to --log
 * (JSON or text), and the text on standard error.
 */
void cli_report(const struct cli *cli, const struct error *err);

/* The verbs: exit status, or a negative errno with err. argv[0] is the verb. */
int cmd_checkpoint(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_create(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_delete(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_exec(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_events(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_features(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_kill(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_list(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_logs(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_network(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_pause(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_gc(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_why(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_proxy_restart(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_privs(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_ps(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_restore(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_resume(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_run(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_spec(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_start(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_state(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_update(const struct cli *cli, int argc, char **argv, struct error *err);
int cmd_check(const struct cli *cli, int argc, char **argv, struct error *err);

#endif
