/* The containers of the sandbox: a table by id, each with its cgroup and its first process. */
#ifndef KATA_AGENT_CONTAINER_H
#define KATA_AGENT_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/error.h"
#include "common/id.h"
#include "kata-agent/agent.h"
#include "kata-agent/client.h"
#include "kata-agent/process.h"

struct container {
	struct container *next;
	struct agent *agent;
	char id[ID_MAX + 1];
	int cgroup;
	/*
	 * Its mount namespace, which outlives its processes. Each mount of the share is a
	 * superblock of its own; unmounted by the exit of the last process while a request of it
	 * is under way (read ahead, FUSE_RELEASE), Linux 6.1 finds busy inodes and stops that
	 * process as by a BUG, dead and never reaped. So that happens later, and not in the agent.
	 */
	int mounts;
	struct msg_seccomp seccomp; /* filter of all its processes */
	struct process *first;      /* NULL before it is forked */
	bool joined_pid;            /* its processes do not end with the first by themselves */
	uint32_t personality;       /* of all its processes too */
	bool user_namespace, time_namespace;
	struct msg_id_map *uid_map; /* of the user namespace */
	uint32_t n_uid_map;
	uint64_t hooks_ms; /* START may take that long for its hooks alone */
	bool removing;
	int64_t deadline; /* of the removal, or of PAUSE */
	uv_timer_t timer; /* looks again at what waiting or pausing wait for; never both */
	struct client_request waiting; /* REMOVE */
	struct client_request pausing; /* PAUSE */
};

/* Begins a container; the request is answered when its first process is prepared. */
int container_create(struct agent *agent, const struct msg_create *create,
		     const struct client_request *request, struct error *err);

/* -ENOENT with "container ID is not known". */
int container_find(struct agent *agent, const char *id, struct container **ret_container,
		   struct error *err);

/* Whether it can take further processes: its first one is prepared and has not ended. */
bool container_is_alive(const struct container *container);

/*
 * Kills what is in it, and forgets it when all of that is reaped; then request is answered, with
 * FAILED when that takes over CONTAINER_REMOVE_MS. request may have no client.
 */
int container_remove(struct container *container, const struct client_request *request,
		     struct error *err);

/*
 * Freezes it; the request is answered when all of it stands still, with FAILED when that takes over
 * CONTAINER_PAUSE_MS, and then it goes on.
 */
int container_pause(struct container *container, const struct client_request *request,
		    struct error *err);
int container_resume(struct container *container, struct error *err);

enum { CONTAINER_PAUSE_MS = 5000 };

enum { CONTAINER_REMOVE_MS = 10000, CONTAINER_RETRY_MS = 5 };

/* One of its processes was reaped. */
void container_process_ended(struct container *container, struct process *process);

/* The request's client is gone. */
void container_forget_client(struct container *container, const struct client *client);

#endif
