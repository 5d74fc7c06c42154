/*
 * The shim's way to the agent: a connection to the proxy, HELLO, OPEN. A connection that is lost
 * without a word, because the proxy's worker crashed, is made anew, and the session goes on where
 * both sides say they are. It is over when it cannot be made again, or when a CLOSE says so.
 */
#ifndef KATA_SHIM_LINK_H
#define KATA_SHIM_LINK_H

#include <stdbool.h>
#include <uv.h>

#include "common/channel.h"

enum { LINK_CHANNEL_SESSION = 1 };

enum link_state {
	LINK_DOWN,     /* a new connection follows when the old one's handle is closed */
	LINK_GREETING, /* HELLO is sent */
	LINK_OPENING,  /* OPEN is sent */
	LINK_UP,
	LINK_OVER, /* for good */
};

struct link;

struct link_ops {
	/* Fills in what OPEN says. */
	void (*describe)(struct link *link, struct msg_open *open);
	/* OPENED has come: 0, or an error that ends the link. */
	int (*opened)(struct link *link, const struct msg_opened *opened, struct error *err);
	/* A frame of the session while the link is up: 0, or an error that ends the link. */
	int (*frame)(struct link *link, const struct frame *frame, struct error *err);
	/* The connection is lost, another one is being made. */
	void (*down)(struct link *link);
	/*
	 * It is over: a broken rule, a CLOSE (closed: its reason, else -1), or nobody to connect
	 * to. Not after link_close() or link_finish(). No CLOSE is sent.
	 */
	void (*over)(struct link *link, int closed, const struct error *err);
	/* After link_finish(): all is written. */
	void (*finished)(struct link *link);
};

struct link {
	const struct link_ops *ops;
	void *owner;
	uv_loop_t *loop;
	const char *socket; /* the proxy's; borrowed */
	struct channel channel;
	bool channel_open; /* it has handles */
	enum link_state state;
	uv_timer_t timer; /* until a lost link is up again */
	uint8_t id[16];   /* of the session */
	uint8_t nonce[FRAME_NONCE];
};

/*
 * Begins to connect; how long the link may take until it is up is the owner's to bound this first
 * time. On error nothing is left.
 */
int link_start(struct link *link, uv_loop_t *loop, const char *socket, const struct link_ops *ops,
	       void *owner, struct error *err);

/* As session_ops.send. Dropped unless the link is up. */
void link_send(struct link *link, enum frame_type type, uint8_t flags, uint32_t id,
	       const void *head, size_t head_len, const void *body, size_t body_len);

/* Says CLOSE(DONE): ops->finished() once that is written. Only while the link is up. */
void link_finish(struct link *link);

/* Any number of times, from any callback; the handles close with the loop's next turn. */
void link_close(struct link *link);

#endif
