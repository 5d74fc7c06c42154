/*
 * The worker's one connection to the agent, on the virtio-serial port. HELLO goes out with a fresh
 * nonce when it is opened; whatever comes before the agent's answer with that nonce is stale and
 * skipped. Channel 0 is served here, frames of other channels are given to the owner.
 */
#ifndef KATA_PROXY_AGENT_LINK_H
#define KATA_PROXY_AGENT_LINK_H

#include <stdbool.h>

#include "common/channel.h"

struct agent_link;

struct agent_link_ops {
	/* The agent's HELLO is there: link->hello. */
	void (*ready)(struct agent_link *link);
	/* A frame of a client's channel; borrowed. */
	void (*frame)(struct agent_link *link, const struct frame *frame);
	/* A log record of the agent; not trusted. */
	void (*log)(struct agent_link *link, const struct msg_log *log);
	/* The agent said that the VM ends in order. */
	void (*goodbye)(struct agent_link *link);
	/* Its queue is low again. */
	void (*drained)(struct agent_link *link);
	/* The link is over: err NULL at its end of file. Nothing follows but closed. */
	void (*ended)(struct agent_link *link, const struct error *err);
	/* The memory is the owner's again. */
	void (*closed)(struct agent_link *link);
};

struct agent_link {
	struct channel channel;
	const struct agent_link_ops *ops;
	void *owner;
	uint8_t nonce[FRAME_NONCE];
	struct msg_hello *hello; /* owned; NULL until ready */
};

/* Takes fd and says HELLO with the VM's key. After an error the process cannot go on. */
int agent_link_open(struct agent_link *link, uv_loop_t *loop, int fd, const uint8_t key[FRAME_KEY],
		    const struct agent_link_ops *ops, void *owner, struct error *err);

/* Sends a client's frame; frame->channel is the number of its channel on this link. */
void agent_link_send(struct agent_link *link, const struct frame *frame);

/* Tells the agent that a client's channel is over. */
void agent_link_end_channel(struct agent_link *link, uint32_t number, enum close_reason reason,
			    const char *text);

/* Whether clients should not be read now; ops->drained says when they may again. */
bool agent_link_congested(const struct agent_link *link);

void agent_link_close(struct agent_link *link);

#endif
