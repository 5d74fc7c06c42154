/* kata-shim's start as the runtime sees it: see shim.h. */
#include "kata-runtime/shim.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/launch.h"
#include "common/process.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/spawn.h"

enum { ENVIRONMENT_MAX = 8, VARIABLE_MAX = 256, LAST_WORDS_MS = 100 };

/* Its parameters; they are no secrets, and it takes them out of its environment. */
static void make_environment(const struct shim_options *options,
			     char text[ENVIRONMENT_MAX][VARIABLE_MAX], char *envp[ENVIRONMENT_MAX])
{
	const struct state *state = options->state;
	int n = 0;

	snprintf(text[n++], VARIABLE_MAX, "KATA_SANDBOX=%s", state->sandbox);
	snprintf(text[n++], VARIABLE_MAX, "KATA_CONTAINER=%s", state->id);
	snprintf(text[n++], VARIABLE_MAX, "KATA_EXEC=%s", options->exec);
	snprintf(text[n++], VARIABLE_MAX, "KATA_UID=%u", state->uid_base + UID_SHIM);
	snprintf(text[n++], VARIABLE_MAX, "KATA_DEBUG=%d",
		 options->debug || options->config->shim.enable_debug);
	if (options->config->runtime.seccomp == SECCOMP_LOG)
		snprintf(text[n++], VARIABLE_MAX, "KATA_SECCOMP=log");
	for (int i = 0; i < n; i++)
		envp[i] = text[i];
	envp[n] = NULL;
}

static int join_cgroup(const struct shim_options *options, pid_t pid, struct error *err)
{
	return options->cgroup != NULL ? cgroup_join(options->cgroup, pid, err) : 0;
}

int shim_start(struct shim *shim, const struct shim_options *options, struct error *err)
{
	char text[ENVIRONMENT_MAX][VARIABLE_MAX], *envp[ENVIRONMENT_MAX];
	char *const fallback[] = { (char *)"kata-shim", NULL };
	CLEANUP(fd_close) int log = -1;
	CLEANUP(fd_close) int theirs = -1;
	struct spawn spawn = { .path = options->config->shim.path,
			       .argv = options->args->count > 0 ? options->args->items : fallback,
			       .envp = envp,
			       .netns = options->netns,
			       .pidns = options->pidns };
	int pair[2], r;
	pid_t pid;

	*shim = (struct shim)SHIM_NONE;
	log = logs_open(options->config, options->state->sandbox, "shim", err);
	if (log < 0)
		return log;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	shim->control = pair[0];
	theirs = pair[1];
	make_environment(options, text, envp);
	spawn.namespaces = privsep_row(PRIVSEP_SHIM)->namespaces;
	if (options->netns >= 0)
		spawn.namespaces &= ~(uint64_t)CLONE_NEWNET; /* the container's is joined */
	if (options->pidns >= 0)
		spawn.namespaces &= ~(uint64_t)CLONE_NEWPID;
	spawn.fds[0] = options->stdio[0];
	spawn.fds[1] = options->stdio[1];
	spawn.fds[2] = options->stdio[2];
	spawn.fds[SHIM_FD_CONTROL] = theirs;
	spawn.fds[SHIM_FD_LOG] = log;
	spawn.fds[SHIM_FD_SHARED] = options->shared;
	spawn.fds[SHIM_FD_EXIT] = options->exit;
	spawn.fd_count = SHIM_FD_EXIT + 1;
	pid = spawn_run(&spawn, err);
	if (pid < 0) {
		fd_close(&shim->control);
		return pid;
	}
	shim->process.pid = pid;
	r = process_start_time(pid, &shim->process.start_ticks, err);
	if (r == 0)
		r = join_cgroup(options, pid, err);
	if (r < 0)
		shim_abort(shim);
	return r;
}

int shim_explain(struct shim *shim, struct error *err)
{
	int r = fdpass_expect(shim->control, MSG_DONE, NULL, deadline_in_ms(LAST_WORDS_MS), err);

	if (r >= 0)
		r = error_say(err, EPROTO, "it says that it is attached");
	return error_prefix(err, "the shim has ended");
}

int shim_attach(struct shim *shim, uint64_t handle, bool terminal, bool relay, int64_t deadline,
		struct error *err)
{
	struct msg_attach attach = { .handle = handle, .terminal = terminal, .relay = relay };
	int r = fdpass_ask(shim->control, MSG_ATTACH, &attach, NULL, 0, MSG_DONE, deadline, err);

	if (r < 0)
		return error_prefix(err, "attach the shim");
	fd_close(&shim->control);
	return 0;
}

void shim_abort(struct shim *shim)
{
	fd_close(&shim->control);
	if (shim->process.pid <= 0)
		return;
	kill(shim->process.pid, SIGKILL); /* our child, not reaped: the pid is still its own */
	while (waitpid(shim->process.pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	shim->process = (struct process_ref){ 0 };
}
