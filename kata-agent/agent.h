/*
 * The agent's state: one loop, one link to the host, the clients that speak over it, and the
 * containers and processes they made. Everything belongs to struct agent and runs in its loop.
 */
#ifndef KATA_AGENT_AGENT_H
#define KATA_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/channel.h"
#include "common/log.h"
#include "kata-agent/dns.h"
#include "kata-agent/link.h"
#include "kata-agent/log-link.h"
#include "kata-agent/network-wait.h"
#include "kata-agent/vcpus.h"

enum {
	AGENT_CLIENTS_MAX = 512,  /* sessions at once */
	AGENT_LEASE_MS = 10000,   /* how long sessions live without a link */
	AGENT_LINK_RETRY_MS = 10, /* between looks for a new link */
	AGENT_SHUTDOWN_MS = 500,  /* for the last answer to leave */
};

struct agent_options {
	const char *share;  /* where the host's shared directory is */
	const char *cgroup; /* root of the cgroup2 hierarchy */
	bool guest;         /* pid 1 of a VM: mounts the share, may set the clock and power off */
	int console;        /* where the log goes without a link; -1 for none; borrowed */
};

struct agent {
	uv_loop_t loop;
	struct agent_options options;
	struct link_source source;
	struct channel link;
	bool link_open;         /* the channel exists, until its closed callback */
	bool greeted;           /* HELLO was exchanged */
	bool congested;         /* the link's queue is full */
	bool stopping;          /* SHUTDOWN, or no link can come any more */
	bool sandboxed;         /* CREATE_SANDBOX was carried out */
	bool keyed;             /* key is known */
	uint8_t key[FRAME_KEY]; /* of the host's first HELLO, and of all later ones */
	uv_timer_t retry;       /* while there is no link */
	uv_timer_t lease;       /* while sessions are without one */
	uv_timer_t stop;
	uv_prepare_t flush; /* of the link, before the loop waits */
	int64_t stop_deadline;
	struct log_link log;
	uint32_t log_id;
	enum log_level log_level;
	uv_signal_t sigchld;
	bool vsock;            /* the kernel has it: containers shall not */
	int own_pid_namespace; /* to come back to after a clone into another one */
	uint64_t next_handle;
	struct network_wait network;
	struct vcpus vcpus;
	struct dns dns;
	struct client *clients;
	struct container *containers;
	struct process *processes;
};

/* Prepares everything and waits for the link; source is taken over. */
int agent_start(struct agent *agent, const struct agent_options *options,
		const struct link_source *source, struct error *err);

/* Runs until the agent is told to stop. 0, or an error of the loop. */
int agent_run(struct agent *agent, struct error *err);

/* Ends the VM, or the agent when it is no pid 1, once the last answers are written. */
void agent_stop(struct agent *agent);

#endif
