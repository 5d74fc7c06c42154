/*
 * The process that executes hooks: see hook-launcher.h. Forked by create, run, start and delete in
 * kata-runtime, from a process that is one thread. Both sides are the same program at the same
 * time, so what they send each other are plain structs, one a message.
 */
#include "kata-runtime/hook-launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/process.h"
#include "kata-runtime/hooks.h"

enum {
	GRACE_MS = 5000, /* beyond a hook's own time, so that the launcher's words arrive */
	END_MS = 1000,
};

struct order {
	enum spec_hook_kind kind;
	uint32_t index;
	pid_t pid;
};

/* --- the launcher ----------------------------------------------------------------------------- */

static const char *status_at(enum spec_hook_kind kind)
{
	return kind == HOOK_POSTSTOP ? "stopped" : kind == HOOK_POSTSTART ? "running" : "creating";
}

/* Whoever takes the verb over can choose the moment and a pid, nothing else. */
static noreturn void serve(int socket, const struct spec *spec, const char *id)
{
	struct order order;

	while (recv(socket, &order, sizeof(order), 0) == (ssize_t)sizeof(order)) {
		struct error err = { 0 };

		if (order.kind >= HOOK_KINDS || order.index >= spec->hooks[order.kind].count)
			_exit(1);
		hooks_run_one(spec, order.kind, order.index,
			      &(struct hooks_state){
				      .id = id, .status = status_at(order.kind), .pid = order.pid },
			      &err);
		if (send(socket, &err, sizeof(err), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static noreturn void launcher_main(int socket, const struct spec *spec, const char *id, pid_t verb)
{
	struct error err = { 0 };
	int r;

	prctl(PR_SET_NAME, "kata-hooks", 0, 0, 0);
	/* Not the hook: as under runc it may end its work when the verb was killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != verb)
		_exit(0);
	setsid(); /* the verb's terminal does not stop it */
	log_start("runtime", -1, LOG_ERROR);
	r = privsep_close_others(&socket, 1, &err);
	if (r == 0)
		r = privsep_cut(PRIVSEP_HOOKS, false, &err);
	if (r < 0)
		_exit(1);
	serve(socket, spec, id);
}

/* --- the verb --------------------------------------------------------------------------------- */

static bool has_hooks(const struct spec *spec, enum spec_hook_kind first)
{
	for (int kind = (int)first; spec != NULL && kind < HOOK_KINDS; kind++)
		if (kind != HOOK_START_CONTAINER && spec->hooks[kind].count > 0)
			return true;
	return false;
}

static int fork_launcher(struct hook_launcher *launcher, const struct spec *spec, const char *id,
			 struct error *err)
{
	pid_t verb = getpid();
	sigset_t all, ours;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make a socket pair");
	/* Signals are for the verb, which may have hooks run because of one: none blocked. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &ours);
	launcher->pid = fork();
	if (launcher->pid == 0)
		launcher_main(pair[1], spec, id, verb);
	sigprocmask(SIG_SETMASK, &ours, NULL);
	close(pair[1]);
	if (launcher->pid < 0) {
		close(pair[0]);
		return error_set(err, errno, "start the process that runs hooks");
	}
	launcher->socket = pair[0];
	return 0;
}

int hook_launcher_start(struct hook_launcher *launcher, enum privsep_process rights,
			const struct spec *spec, const char *id, enum spec_hook_kind first,
			struct error *err)
{
	int r = 0;

	*launcher = HOOK_LAUNCHER_NONE;
	if (has_hooks(spec, first))
		r = fork_launcher(launcher, spec, id, err);
	if (r == 0)
		r = privsep_cut(rights, true, err);
	if (r < 0)
		hook_launcher_end(launcher);
	return r;
}

static int ask(const struct hook_launcher *launcher, const struct order *order, int64_t deadline,
	       struct error *err)
{
	struct pollfd p = { .fd = launcher->socket, .events = POLLIN };
	struct error answer;
	int n = 0;

	if (send(launcher->socket, order, sizeof(*order), MSG_NOSIGNAL) == (ssize_t)sizeof(*order))
		do
			n = poll(&p, 1, deadline_left_ms(deadline));
		while (n < 0 && errno == EINTR);
	if (n <= 0 || recv(launcher->socket, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer))
		return error_say(err, EPIPE, "the process that runs hooks does not answer");
	if (answer.num != 0 && err != NULL)
		*err = answer;
	return -answer.num;
}

static int run_one(const struct hook_launcher *launcher, const struct spec *spec,
		   const struct order *order, struct error *err)
{
	const struct spec_hook *hook = &spec->hooks[order->kind].items[order->index];
	int r = ask(launcher, order, deadline_in_ms(1000LL * hooks_timeout_s(hook) + GRACE_MS),
		    err);

	if (r == 0)
		log_debug("hook run", KV_S("kind", spec_hook_kind_name(order->kind)),
			  KV_S("path", hook->path));
	return r;
}

int hook_launcher_run(struct hook_launcher *launcher, const struct spec *spec,
		      enum spec_hook_kind kind, pid_t pid, struct error *err)
{
	struct order order = { .kind = kind, .pid = pid };
	int r = 0;

	for (; r == 0 && order.index < spec->hooks[kind].count; order.index++)
		r = run_one(launcher, spec, &order, err);
	/* A verb that goes on for long, as run does, need not keep it. */
	if (r == 0 && !has_hooks(spec, kind + 1))
		hook_launcher_end(launcher);
	return r;
}

void hook_launcher_run_all(struct hook_launcher *launcher, const struct spec *spec,
			   enum spec_hook_kind kind, pid_t pid)
{
	struct order order = { .kind = kind, .pid = pid };
	struct error err = { 0 };

	for (; order.index < spec->hooks[kind].count; order.index++)
		if (run_one(launcher, spec, &order, &err) < 0)
			log_error("a hook failed", KV_ERR(&err));
}

void hook_launcher_end(struct hook_launcher *launcher)
{
	int status;

	if (launcher->socket < 0)
		return;
	fd_close(&launcher->socket);
	/* It is at rest, or a hook outlived all its time. */
	if (process_wait_child(launcher->pid, deadline_in_ms(END_MS), &status, NULL) == 0)
		return;
	kill(launcher->pid, SIGKILL);
	while (waitpid(launcher->pid, &status, 0) < 0 && errno == EINTR)
		continue;
}
