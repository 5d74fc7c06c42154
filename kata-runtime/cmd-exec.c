/*
 * exec: a further process in a container, from a process file or from the command line, which
 * changes the container's own process as runc does.
 */
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cli.h"
#include "kata-runtime/console.h"
#include "kata-runtime/container.h"
#include "kata-runtime/json.h"

struct exec_arguments {
	struct container_options options;
	const char *process_file, *cwd, *user, *label, *apparmor, *cgroup;
	struct cli_list env, caps, gids;
	bool tty, no_new_privs, help;
	struct cli_list words;
};

static void arguments_fini(struct exec_arguments *a)
{
	cli_list_free(&a->env);
	cli_list_free(&a->caps);
	cli_list_free(&a->gids);
	cli_list_free(&a->words);
}

static int parse(int argc, char **argv, struct exec_arguments *a, struct error *err)
{
	const struct cli_option options[] = {
		{ "process", 'p', CLI_TEXT, &a->process_file, "file with the process" },
		{ "detach", 'd', CLI_FLAG, &a->options.detach, "do not wait for its end" },
		{ "tty", 't', CLI_FLAG, &a->tty, "give it a terminal" },
		{ "console-socket", 0, CLI_TEXT, &a->options.console_socket,
		  "socket that gets the terminal" },
		{ "console", 0, CLI_TEXT, &a->options.console,
		  "a terminal that the caller has made" },
		{ "pid-file", 0, CLI_TEXT, &a->options.pid_file, "file that gets the shim's pid" },
		{ "pidfd-socket", 0, CLI_TEXT, &a->options.pidfd_socket,
		  "socket that gets a pidfd of the shim" },
		{ "user", 'u', CLI_TEXT, &a->user, "UID[:GID]" },
		{ "additional-gids", 'g', CLI_LIST, &a->gids, "a supplementary group" },
		{ "env", 'e', CLI_LIST, &a->env, "NAME=value" },
		{ "cwd", 0, CLI_TEXT, &a->cwd, "working directory" },
		{ "cap", 'c', CLI_LIST, &a->caps, "a capability to add" },
		{ "no-new-privs", 0, CLI_FLAG, &a->no_new_privs, "set no_new_privs" },
		{ "process-label", 0, CLI_TEXT, &a->label, "refused: no SELinux in the guest" },
		{ "apparmor", 0, CLI_TEXT, &a->apparmor, "refused: no AppArmor in the guest" },
		{ "cgroup", 0, CLI_TEXT, &a->cgroup, "refused: the container has one cgroup" },
		{ "preserve-fds", 0, CLI_TEXT, &a->options.preserve_fds,
		  "0: a VM gets no descriptors of the host" },
		{ "ignore-paused", 0, CLI_FLAG, &a->options.ignore_paused,
		  "also in a paused container" },
		{ "help", 'h', CLI_FLAG, &a->help, "print this" },
	};
	int r = cli_parse(options, ARRAY_SIZE(options), argc, argv, 2, &a->words, err);

	if (r == 0 && a->help) {
		printf("usage: kata-runtime exec [OPTION...] ID COMMAND [ARGUMENT...]\n"
		       "       kata-runtime exec [OPTION...] --process FILE ID\n\n");
		cli_print_options(options, ARRAY_SIZE(options));
	}
	return r;
}

static int check(const struct exec_arguments *a, struct error *err)
{
	if (a->label != NULL && a->label[0] != '\0')
		return error_say(err, ENOTSUP, "--process-label: the guest has no SELinux");
	if (a->apparmor != NULL && a->apparmor[0] != '\0')
		return error_say(err, ENOTSUP, "--apparmor: the guest has no AppArmor");
	if (a->cgroup != NULL && a->cgroup[0] != '\0' && !str_eq(a->cgroup, "/"))
		return error_say(err, ENOTSUP,
				 "--cgroup: a process joins its container's cgroup in the guest");
	if (a->words.count < 1)
		return error_say(err, EINVAL, "exec: a container id is needed");
	if (a->process_file == NULL && a->words.count < 2)
		return error_say(err, EINVAL, "exec: a command or --process is needed");
	return 0;
}

/* "UID" or "UID:GID", numbers as runc wants them; without a group that stays as it was. */
static int set_user(struct spec_process *process, const char *text, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(text);
	uint64_t uid, gid = process->gid;
	char *colon;

	if (copy == NULL)
		return error_set(err, ENOMEM, "--user");
	colon = strchr(copy, ':');
	if (colon != NULL)
		*colon = '\0';
	if (str_to_u64(copy, UINT32_MAX - 1, &uid) < 0 ||
	    (colon != NULL && str_to_u64(colon + 1, UINT32_MAX - 1, &gid) < 0))
		return error_say(err, EINVAL, "--user is UID or UID:GID in numbers, not \"%s\"",
				 text);
	process->uid = (uint32_t)uid;
	process->gid = (uint32_t)gid;
	return 0;
}

static int add_strings(struct wire_strings *strings, const struct cli_list *more, struct error *err)
{
	for (int i = 0; i < more->count; i++)
		if (json_strings_add(strings, more->items[i]) < 0)
			return error_set(err, ENOMEM, "exec");
	return 0;
}

/* Variables given on the command line replace those of the container. */
static int set_env(struct spec_process *process, const struct cli_list *env, struct error *err)
{
	for (int i = 0; i < env->count; i++) {
		const char *equals = strchr(env->items[i], '=');
		size_t len = equals != NULL ? (size_t)(equals - env->items[i]) : 0;
		uint32_t kept = 0;

		if (len == 0)
			return error_say(err, EINVAL, "--env is NAME=value, not \"%s\"",
					 env->items[i]);
		for (uint32_t k = 0; k < process->env.count; k++) {
			if (strncmp(process->env.items[k], env->items[i], len + 1) == 0)
				free(process->env.items[k]);
			else
				process->env.items[kept++] = process->env.items[k];
		}
		process->env.count = kept;
	}
	return add_strings(&process->env, env, err);
}

/* Beside those that the container's process has. */
static int add_groups(struct spec_process *process, const struct cli_list *gids, struct error *err)
{
	size_t count = (size_t)process->n_groups + (size_t)gids->count;
	uint32_t *groups = reallocarray(process->groups, count + 1, sizeof(*groups));
	uint64_t gid;

	if (groups == NULL)
		return error_set(err, ENOMEM, "exec");
	process->groups = groups;
	for (int i = 0; i < gids->count; i++) {
		if (str_to_u64(gids->items[i], UINT32_MAX - 1, &gid) < 0)
			return error_say(err, EINVAL, "--additional-gids is a number, not \"%s\"",
					 gids->items[i]);
		groups[process->n_groups++] = (uint32_t)gid;
	}
	return 0;
}

/*
 * As runc: not to the inheritable set, which would be more than the container's own process could
 * hand down; to the ambient one, which needs that, only where the container uses it.
 */
static int add_caps(struct spec_process *process, const struct cli_list *caps, struct error *err)
{
	struct spec_capabilities *sets = &process->capabilities;

	for (int i = 0; i < caps->count; i++) {
		const char *name = caps->items[i];
		int number = capng_name_to_capability(strncasecmp(name, "CAP_", 4) == 0 ? name + 4
											: name);

		if (number < 0 || number > 63)
			return error_say(err, EINVAL, "--cap: there is no capability \"%s\"", name);
		process->has_capabilities = true;
		sets->bounding |= UINT64_C(1) << number;
		sets->effective |= UINT64_C(1) << number;
		sets->permitted |= UINT64_C(1) << number;
		if (sets->inheritable != 0)
			sets->ambient |= UINT64_C(1) << number;
	}
	return 0;
}

/* The container's process, changed by the command line. */
static int change(struct spec_process *process, const struct exec_arguments *a, struct error *err)
{
	const struct cli_list command = { a->words.items + 1, a->words.count - 1 };
	int r;

	json_strings_fini(&process->args);
	r = add_strings(&process->args, &command, err);
	if (r == 0)
		r = set_env(process, &a->env, err);
	if (r == 0 && a->user != NULL)
		r = set_user(process, a->user, err);
	if (r == 0 && a->gids.count > 0)
		r = add_groups(process, &a->gids, err);
	if (r == 0)
		r = add_caps(process, &a->caps, err);
	if (r == 0 && a->cwd != NULL) {
		free(process->cwd);
		process->cwd = strdup(a->cwd);
		if (process->cwd == NULL)
			r = error_set(err, ENOMEM, "exec");
		else if (process->cwd[0] != '/')
			r = error_say(err, EINVAL, "--cwd %s: the path is not absolute", a->cwd);
	}
	process->terminal = a->tty;
	process->rows = process->columns = 0;
	process->no_new_privileges = process->no_new_privileges || a->no_new_privs;
	return r;
}

static int run(const struct cli *cli, const struct exec_arguments *a,
	       const struct spec_process *process, struct error *err)
{
	struct container_child child = { .master = -1 };
	int r = container_exec(cli, a->words.items[0], process, &a->options, &child, err);

	if (r == 0 && !a->options.detach)
		r = console_wait(child.shim.pid, steal_fd(&child.master), child.uid, true, err);
	fd_close(&child.master);
	return r;
}

static int run_from_command_line(const struct cli *cli, const struct exec_arguments *a,
				 struct error *err)
{
	CLEANUP(state_fini) struct state state = { 0 };
	CLEANUP(spec_freep) struct spec *spec = NULL;
	struct store store;
	int r = container_load(cli, a->words.items[0], &store, &state, err);

	if (r == 0)
		r = spec_load(state.bundle, &spec, err);
	if (r == 0)
		r = change(&spec->process, a, err);
	return r < 0 ? r : run(cli, a, &spec->process, err);
}

int cmd_exec(const struct cli *cli, int argc, char **argv, struct error *err)
{
	CLEANUP(arguments_fini) struct exec_arguments a = { 0 };
	CLEANUP(spec_process_freep) struct spec_process *process = NULL;
	int r = parse(argc, argv, &a, err);

	if (r < 0 || a.help)
		return r;
	r = check(&a, err);
	if (r < 0)
		return r;
	if (a.process_file == NULL)
		return run_from_command_line(cli, &a, err);
	r = spec_load_process(a.process_file, &process, err);
	if (r == 0 && a.tty)
		process->terminal = true;
	return r < 0 ? r : run(cli, &a, process, err);
}
