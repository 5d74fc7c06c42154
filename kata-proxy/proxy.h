/*
 * The router in the worker: many clients, one link to the agent. A client's frames go to the agent
 * under a channel number of its own, never used again; the agent's come back the same way. Nothing
 * here looks into a payload.
 *
 * Memory: a client's queue is at most CLIENT_QUEUE_MAX, what all clients hold together at most
 * PROXY_MEMORY_MAX (beyond it the one that holds most is cut off), one frame being received per
 * connection included; the link's queue is CHANNEL_HIGH and what one read of a client brings.
 * With the logs' rings and libuv that stays below 32 MiB.
 */
#ifndef KATA_PROXY_PROXY_H
#define KATA_PROXY_PROXY_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "common/error.h"
#include "kata-proxy/agent-link.h"
#include "kata-proxy/client.h"

enum {
	PROXY_CLIENTS_MAX = 256,
	PROXY_MEMORY_MAX = 16 * 1024 * 1024,
	PROXY_FAREWELL_MS = 300, /* for clients to take the last word */
};

struct proxy;

struct proxy_ops {
	/* The agent's HELLO is there. */
	void (*ready)(struct proxy *proxy, const struct msg_hello *agent);
	/* A log record of the agent; not trusted. */
	void (*log)(struct proxy *proxy, const struct msg_log *log);
	/* The agent said goodbye: the VM is about to end in order. */
	void (*goodbye)(struct proxy *proxy);
	/* The agent's link is over; err as in agent_link_ops. proxy_end() is to follow. */
	void (*link_ended)(struct proxy *proxy, const struct error *err);
};

struct proxy {
	uv_loop_t *loop;
	const struct proxy_ops *ops;
	void *owner;
	struct agent_link link;
	uv_poll_t listener;
	uv_timer_t accept_again; /* after an accept that failed for want of something */
	uv_timer_t farewell;
	int listen_fd;
	uid_t shim_uid;
	struct client *clients; /* those whose frames are routed */
	struct client *leaving; /* those that only take their last frames */
	unsigned n_clients;     /* of both lists */
	uint32_t last_number;
	bool link_made, link_open, ending;
};

/*
 * Takes the listening socket, and works until proxy_end(). shim_uid and root are the users whose
 * connections are taken. After an error the process cannot go on.
 */
int proxy_start(struct proxy *proxy, uv_loop_t *loop, int listen_fd, uid_t shim_uid,
		const struct proxy_ops *ops, void *owner, struct error *err);

/* Takes the agent's link, once, with the key of its HELLO. Clients wait until it is there. */
int proxy_link(struct proxy *proxy, int fd, const uint8_t key[FRAME_KEY], struct error *err);

/*
 * Tells every client CLOSE(VM_ENDED) with the text, which is UTF-8 of at most 1000 bytes, and
 * closes everything within PROXY_FAREWELL_MS. Any number of times.
 */
void proxy_end(struct proxy *proxy, const char *text);

#endif
