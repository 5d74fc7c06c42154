/*
 * One client connection of the worker: its HELLO within a deadline, then one session whose frames
 * pass through. What a client may send, and when, is checked here by the frames' headers; payloads
 * are not looked at. A client is hostile until it has proved nothing worse than slow.
 */
#ifndef KATA_PROXY_CLIENT_H
#define KATA_PROXY_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "common/channel.h"

enum {
	CLIENT_HELLO_MS = 5000, /* for its HELLO to come */
	CLIENT_LEAVE_MS = 5000, /* for its last frames to be taken, and to close after its CLOSE */
	/*
	 * Bytes queued for a client before it is cut off. The windows of two output streams with
	 * their frames' heads, and one reply of the greatest size, fit.
	 */
	CLIENT_QUEUE_MAX = 3 * (STREAM_WINDOW + FRAME_DATA_SENT) + FRAME_CONTROL_MAX,
};

enum client_state {
	CLIENT_NEW,     /* nothing has come */
	CLIENT_GREETED, /* its HELLO has; the agent's has not */
	CLIENT_READY,   /* it has the agent's HELLO; OPEN may come */
	CLIENT_OPENED,  /* its session passes through */
	CLIENT_DONE,    /* it sent CLOSE; only its end is awaited */
	CLIENT_LEAVING, /* what is queued is written, then it is closed */
	CLIENT_GONE,    /* closing; owner has been told */
};

struct client;

struct client_ops {
	/* Its HELLO is in order: client_welcome() when the agent's is there. */
	void (*greeted)(struct client *client);
	/* A frame of its session, for the agent; borrowed. */
	void (*frame)(struct client *client, const struct frame *frame);
	/* It holds more memory than before, a part of a frame. May be closed by this. */
	void (*waiting)(struct client *client);
	/*
	 * No more frames will come or are taken. lost: its session was open and it did not say
	 * CLOSE. Told once, before closed.
	 */
	void (*gone)(struct client *client, bool lost);
	/* The handles are closed; the memory is freed when this returns. */
	void (*closed)(struct client *client);
};

struct client {
	struct channel channel;
	uv_timer_t timer;
	const struct client_ops *ops;
	void *owner;
	uint32_t number; /* its channel on the agent's link */
	uid_t uid;
	enum client_state state;
	unsigned open_handles;
	uint8_t nonce[FRAME_NONCE];
	struct client *next; /* the owner's */
};

/* Takes a connected socket. The client frees itself after ops->closed. On error fd is closed. */
int client_new(struct client **ret_client, uv_loop_t *loop, int fd, uint32_t number, uid_t uid,
	       const struct client_ops *ops, void *owner, struct error *err);

/* Answers its HELLO with the agent's. */
void client_welcome(struct client *client, const struct msg_hello *agent);

/* Passes a frame of the agent's on: 0, or -EBADMSG when an agent must not send that. */
int client_deliver(struct client *client, const struct frame *frame, struct error *err);

/* Says why on channel 0, lets the queue be written, closes. */
void client_dismiss(struct client *client, enum close_reason reason, const char *text);

/* Closes at once. */
void client_close(struct client *client);

/* Bytes of memory it holds for frames. */
size_t client_memory(const struct client *client);

#endif
