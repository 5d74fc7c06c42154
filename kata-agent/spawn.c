/*
 * Forking a container's process: see spawn.h. Everything the child needs is allocated here, before
 * the fork; the child has a copy of it and allocates nothing.
 */
#include "kata-agent/spawn.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "kata-agent/container.h"
#include "kata-agent/enter.h"
#include "kata-agent/sysctl.h"
#include "kata-agent/user-namespace.h"

/*
 * A further process is born into the container's pid namespace, and the first one of a container
 * that shares another's into that: the agent points its children there for the one clone. So the
 * agent is its parent and knows its pid from the first moment.
 */
static int point_children(int namespace, struct error *err)
{
	if (setns(namespace, CLONE_NEWPID) < 0)
		return error_set(err, errno, "join the container's processes");
	return 0;
}

static void point_children_back(int own_namespace)
{
	if (setns(own_namespace, CLONE_NEWPID) == 0)
		return;
	/* The next container would be born inside this one. */
	log_error("the agent's pid namespace is lost", KV("errno", errno));
	abort();
}

/* Whose namespaces a first process shares: pidfds of others' first processes, -1 for its own. */
struct joined {
	int pid, ipc, uts;
};

static int find_joined(struct agent *agent, const char *id, int *ret_pidfd, struct error *err)
{
	struct container *other;
	int r;

	*ret_pidfd = -1;
	if (id[0] == '\0')
		return 0;
	r = container_find(agent, id, &other, err);
	if (r == 0 && !container_is_alive(other))
		r = error_say(err, ESRCH, "container %s is not running", id);
	if (r < 0)
		return error_prefix(err, "share the namespaces of a container");
	*ret_pidfd = other->first->pidfd;
	return 0;
}

static int find_all_joined(struct agent *agent, const struct msg_create *create,
			   struct joined *joined, struct error *err)
{
	int r = find_joined(agent, create->pid_of, &joined->pid, err);

	if (r == 0)
		r = find_joined(agent, create->ipc_of, &joined->ipc, err);
	if (r == 0)
		r = find_joined(agent, create->uts_of, &joined->uts, err);
	return r;
}

static uint64_t own_namespaces(const struct joined *joined)
{
	return CLONE_NEWNS | (joined->pid < 0 ? (uint64_t)CLONE_NEWPID : 0) |
	       (joined->ipc < 0 ? (uint64_t)CLONE_NEWIPC : 0) |
	       (joined->uts < 0 ? (uint64_t)CLONE_NEWUTS : 0);
}

/*
 * The kernel puts the child into the container's cgroup as it makes it, so none can escape. joined:
 * for a first process, else NULL.
 */
static pid_t clone_child(struct container *c, const struct joined *joined, int *ret_pidfd,
			 struct error *err)
{
	struct clone_args args = { .flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
				   .pidfd = (uintptr_t)ret_pidfd,
				   .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)c->cgroup };
	int born_in = joined != NULL ? joined->pid : c->first->pidfd;
	sigset_t all, old;
	long pid;
	int r;

	if (joined != NULL)
		args.flags |=
			own_namespaces(joined) | (c->user_namespace ? (uint64_t)CLONE_NEWUSER : 0);
	r = born_in < 0 ? 0 : point_children(born_in, err);
	if (r < 0)
		return r;
	/* No handler of the agent's may run in the child: they write into the agent's own pipes. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		return 0;
	if (pid < 0)
		pid = error_set(err, errno, "make a process");
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (born_in >= 0)
		point_children_back(c->agent->own_pid_namespace);
	return (pid_t)pid;
}

/* What the child gets and the agent gives back after the fork. */
struct prepared {
	int ends[STREAM_COUNT];
	int status;
	char **env;
	gid_t *groups;
};

static void prepared_fini(struct prepared *p)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		fd_close(&p->ends[i]);
	fd_close(&p->status);
	free(p->env);
	free(p->groups);
}

/* env has room for a HOME. */
static int copy_arrays(const struct msg_process *wanted, struct prepared *p, struct error *err)
{
	p->env = calloc((size_t)wanted->env.count + 2, sizeof(*p->env));
	p->groups = calloc((size_t)wanted->n_groups + 1, sizeof(*p->groups));
	if (p->env == NULL || p->groups == NULL)
		return error_set(err, ENOMEM, "prepare a process");
	for (uint32_t i = 0; i < wanted->env.count; i++)
		p->env[i] = wanted->env.items[i];
	for (uint32_t i = 0; i < wanted->n_groups; i++)
		p->groups[i] = wanted->groups[i].gid;
	return 0;
}

int spawn_process(struct container *container, const struct msg_process *wanted,
		  const struct msg_create *create, struct streams *streams,
		  struct spawned *ret_spawned, struct error *err)
{
	CLEANUP(prepared_fini) struct prepared prepared = { .ends = { -1, -1, -1 }, .status = -1 };
	struct enter_plan plan = { .process = wanted, .create = create, .init_pidfd = -1 };
	struct joined joined = { -1, -1, -1 };
	struct agent *agent = container->agent;
	int pair[2], pidfd = -1, r;
	pid_t pid;

	r = copy_arrays(wanted, &prepared, err);
	if (r == 0 && create != NULL)
		r = find_all_joined(agent, create, &joined, err);
	if (r == 0 && create != NULL && create->user_namespace)
		r = sysctl_set_net(create->sysctls, create->n_sysctls, err);
	if (r == 0 && !wanted->terminal)
		r = streams_make_pipes(streams, user_namespace_uid(container, wanted->uid),
				       prepared.ends, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make a socket");
	prepared.status = pair[1];
	plan.seccomp = &container->seccomp;
	plan.personality = container->personality;
	plan.user_namespace = container->user_namespace;
	plan.time_namespace = container->time_namespace;
	plan.share = agent->options.share;
	if (create == NULL)
		plan.init_pidfd = container->first->pidfd;
	plan.ipc_pidfd = joined.ipc;
	plan.uts_pidfd = joined.uts;
	plan.status = prepared.status;
	memcpy(plan.stdio, prepared.ends, sizeof(plan.stdio));
	plan.env = prepared.env;
	plan.groups = prepared.groups;
	plan.refuse_vsock = agent->vsock;
	plan.reset_oom = agent->options.guest;
	pid = clone_child(container, create != NULL ? &joined : NULL, &pidfd, err);
	if (pid == 0)
		enter_run(&plan);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	/* A child that is not told ends; the caller knows nothing of it yet. */
	if (create != NULL && create->user_namespace &&
	    (r = user_namespace_map(pid, pair[0], create, err)) < 0) {
		close(pair[0]);
		kill(pid, SIGKILL);
		close(pidfd);
		return r;
	}
	*ret_spawned = (struct spawned){ .pid = pid, .pidfd = pidfd, .status = pair[0] };
	return 0;
}
