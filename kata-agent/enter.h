/*
 * The way of a forked child of the agent into a container: namespaces, file tree, terminal, limits,
 * user, capabilities, and exec at last. Plain code that allocates nothing and speaks to the agent
 * only over one socket (SOCK_SEQPACKET), where each message begins with its kind:
 *
 *	ENTER_MAPPED    agent: the child's user namespace has its ids
 *	ENTER_TERMINAL  child: the terminal's master comes with it
 *	ENTER_READY     child: everything is done but the exec
 *	ENTER_FAILED    child: a struct enter_failure; the child ends
 *	ENTER_START     agent: exec
 *
 * End of file after ENTER_START says that exec has succeeded.
 */
#ifndef KATA_AGENT_ENTER_H
#define KATA_AGENT_ENTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

enum enter_kind {
	ENTER_MAPPED = 'M',
	ENTER_TERMINAL = 'T',
	ENTER_READY = 'R',
	ENTER_FAILED = 'F',
	ENTER_START = 'S',
};

struct enter_failure {
	char kind;
	int num;
	char text[ERROR_TEXT_MAX];
};

/* Everything the child needs, prepared by the agent before the fork. All of it is borrowed. */
struct enter_plan {
	const struct msg_process *process;
	const struct msg_create *create;   /* of a container's first process, else NULL */
	const struct msg_seccomp *seccomp; /* the container's */
	const char *share;                 /* first process: path of the shared directory */
	uint32_t personality;              /* the container's */
	bool user_namespace;               /* the container has one of its own */
	bool time_namespace;               /* this too */
	int init_pidfd;                    /* a further process: whose namespaces it joins */
	int ipc_pidfd, uts_pidfd;          /* first process: whose it shares; -1: its own */
	int status;                        /* the socket to the agent */
	int stdio[3];                      /* for 0, 1 and 2; -1 with a terminal */
	char **env;                        /* with a free place before its NULL */
	const gid_t *groups;               /* process->groups as an array */
	bool refuse_vsock;                 /* the guest has vsock */
	bool reset_oom; /* write oom_score_adj even when the process asks for none */
};

/* What the child does. Never returns. */
_Noreturn void enter_run(const struct enter_plan *plan);

#endif
