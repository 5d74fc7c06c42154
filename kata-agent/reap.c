/* Reaping every child: see reap.h. Called from the agent's loop. */
#include "kata-agent/reap.h"

#include <signal.h>
#include <sys/wait.h>

#include "kata-agent/agent.h"
#include "kata-agent/process.h"

/* One SIGCHLD may stand for many children. */
static void on_sigchld(uv_signal_t *signal, int signum)
{
	struct agent *agent = signal->data;
	int status;
	pid_t pid;

	(void)signum;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		process_reaped(agent, pid, status);
}

int reap_start(struct agent *agent, struct error *err)
{
	int r = uv_signal_init(&agent->loop, &agent->sigchld);

	agent->sigchld.data = agent;
	if (r == 0)
		r = uv_signal_start(&agent->sigchld, on_sigchld, SIGCHLD);
	return r < 0 ? error_set(err, -r, "listen to SIGCHLD") : 0;
}

void reap_stop(struct agent *agent)
{
	uv_close((uv_handle_t *)&agent->sigchld, NULL);
}
