/*
 * A process that a client asked for: the first of a container, or a further one. It is prepared by
 * a forked child (enter.h), held until START, reaped by reap.c, and kept until its exit code has
 * found its client or its container is removed.
 */
#ifndef KATA_AGENT_PROCESS_H
#define KATA_AGENT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/client.h"
#include "kata-agent/streams.h"

struct container;

enum process_state {
	PROCESS_PREPARING, /* the child builds; waiting has the request */
	PROCESS_CREATED,   /* the child waits for START */
	PROCESS_STARTING,  /* the child was told to exec; waiting has the request */
	PROCESS_RUNNING,
	PROCESS_ENDED, /* reaped */
};

struct process {
	struct process *next;
	struct agent *agent;
	struct container *container; /* NULL once that is removed */
	uint64_t handle;             /* never used again */
	pid_t pid;
	int pidfd;
	enum process_state state;
	bool first; /* of its container */
	bool wants_terminal;
	bool failed;     /* it was never prepared: nobody knows its handle */
	bool had_client; /* one session in its life */
	bool exit_sent;
	bool hurries; /* its exit waits no longer for those of others */
	bool closing;
	unsigned code; /* 0 to 255 */
	uint64_t written[STREAM_COUNT];
	uint64_t quiet_total; /* terminal: bytes read at the last look */
	uint64_t reaped_total;
	struct streams streams;
	struct client *client;
	struct client_request waiting;
	int status; /* socket to the child until exec */
	uv_poll_t status_poll;
	uv_timer_t timer; /* of PREPARING and STARTING; after the end, of report_exit() */
	unsigned handles; /* open ones of these two */
};

/*
 * Forks the child of a new process. create is the container's message for its first process, else
 * NULL. request is answered with CREATED or FAILED when the child is ready, at the latest after
 * PROCESS_PREPARE_MS. On an error nothing is left and request is the caller's.
 */
int process_spawn(struct container *container, const struct msg_process *wanted,
		  const struct msg_create *create, const struct client_request *request,
		  struct process **ret_process, struct error *err);

enum { PROCESS_PREPARE_MS = 30000, PROCESS_QUIET_MS = 50, PROCESS_OTHERS_MS = 2000 };

/* NULL when there is none. */
struct process *process_find(struct agent *agent, uint64_t handle);

/* Lets a prepared process run; request is answered when exec has succeeded or failed. */
int process_run(struct process *process, const struct client_request *request, struct error *err);

/* -ESRCH with the words container managers know when it has ended. */
int process_signal(struct process *process, int signum, struct error *err);
int process_resize(struct process *process, uint32_t rows, uint32_t columns, struct error *err);

/* A client attaches, once in the process's life; 0 or why not. */
int process_attach(struct process *process, struct client *client, struct error *err);

/* The client is gone; kill: the process goes too. May free the process. */
void process_detach(struct process *process, bool kill);

/* A child of the agent was reaped; one that is no process of ours is ignored. */
void process_reaped(struct agent *agent, pid_t pid, int status);

/* The container is removed: nobody will ask for an ended process again. May free it. */
void process_forget(struct process *process);

/* The request's client is gone. */
void process_forget_client(struct process *process, const struct client *client);

#endif
