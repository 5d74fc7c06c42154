/*
 * A proxy and an agent for tests of kata-shim: listens at DIR/proxy.sock, answers HELLO and OPEN,
 * and then is the agent's side of one session. In the test's own thread; the test calls
 * fake_agent_step() until it has seen what it waits for. Streams carry a pattern, so that each byte
 * is checked by its offset and nothing is stored.
 */
#ifndef KATA_FAKE_AGENT_H
#define KATA_FAKE_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/session.h"

enum { FAKE_AGENT_HANDLE = 4711, FAKE_AGENT_REQUESTS = 128 };

/* Byte of a stream at an offset. */
static inline uint8_t fake_agent_byte(unsigned stream, uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16) * 3 + stream);
}

struct fake_agent_request {
	enum msg_type type;
	uint32_t signum, rows, columns;
};

struct fake_agent {
	char dir[64]; /* holds proxy.sock */
	int listener, fd;
	struct buf input, output;
	struct session session;
	/* Orders of the test, to be set before they matter. */
	bool deaf;                    /* HELLO is not answered */
	bool refuse;                  /* OPEN is answered with CLOSE(REFUSED) */
	bool hold_replies;            /* requests are not answered */
	bool hold_stdin;              /* stdin is not consumed */
	bool stop_reading;            /* the socket is not read */
	uint64_t total[STREAM_COUNT]; /* how long stdout and stderr will be; may grow */
	bool end[STREAM_COUNT];       /* and then they end */
	/* What has been seen. */
	unsigned connections;
	bool greeted, opened, exit_acknowledged;
	bool gone;        /* end of file came */
	int close_reason; /* of the shim's CLOSE; -1: none came */
	uint64_t sent[STREAM_COUNT];
	uint64_t received; /* of stdin */
	bool stdin_end;
	struct fake_agent_request requests[FAKE_AGENT_REQUESTS];
	unsigned n_requests, pongs;
	char failure[256]; /* what the shim did wrong; "" */
};

/* Makes a directory under /tmp and listens. The process ends when that fails. */
void fake_agent_open(struct fake_agent *agent);
void fake_agent_close(struct fake_agent *agent);

/*
 * Waits at most timeout_ms for the shim, or for one of the count descriptors in more, and does what
 * is to be done.
 */
void fake_agent_step(struct fake_agent *agent, struct pollfd *more, unsigned count, int timeout_ms);

/* EXIT with the offsets of total[], whether or not the shim has got that far. */
void fake_agent_exit(struct fake_agent *agent, uint64_t handle, uint32_t code);

/* Answers the request that hold_replies held. */
void fake_agent_answer(struct fake_agent *agent);

/* CLOSE on a channel: 0 the hop, 1 the session. */
void fake_agent_send_close(struct fake_agent *agent, uint32_t channel, enum close_reason reason,
			   const char *text);

/* Any bytes at all. */
void fake_agent_send_raw(struct fake_agent *agent, const void *bytes, size_t n);

/* Ends the connection without a word, and takes no other. */
void fake_agent_hang_up(struct fake_agent *agent);

/*
 * Ends the connection without a word, as a worker that crashes: what is on its way is lost. The
 * next one is taken.
 */
void fake_agent_cut(struct fake_agent *agent);

#endif
