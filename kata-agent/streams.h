/*
 * The standard streams of a process on the agent's side: pipes, or the master of a terminal. Bytes
 * move between them and the process's session, each way only as fast as the other end takes them;
 * what is not read stays in the pipe. No call blocks.
 */
#ifndef KATA_AGENT_STREAMS_H
#define KATA_AGENT_STREAMS_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "common/buf.h"
#include "common/session.h"

struct streams;

/* A descriptor and its poll handle; memory is free for use again when poll_open is false. */
struct stream_end {
	struct streams *streams;
	uv_poll_t poll;
	int fd;
	int events; /* what is polled for */
	bool poll_open;
};

struct streams {
	struct stream_end ends[STREAM_COUNT]; /* a terminal is ends[STREAM_STDOUT] both ways */
	bool terminal;
	const bool *congested;   /* the link's queue is full: nothing is read meanwhile */
	struct session *session; /* NULL: no client */
	struct buf input;        /* from the session, not yet written */
	bool input_ended;
	bool ended[STREAM_COUNT];         /* output: its end was read; input: it is closed */
	uint64_t total[STREAM_COUNT];     /* output bytes read */
	unsigned poll_count;              /* open poll handles */
	void (*closed)(struct streams *); /* streams_close() has finished */
};

void streams_init(struct streams *streams, const bool *congested);

/* Makes three pipes that belong to uid; ret_child gets the child's ends, which are the caller's. */
int streams_make_pipes(struct streams *streams, uid_t uid, int ret_child[STREAM_COUNT],
		       struct error *err);

/* Takes the master of a terminal. */
void streams_set_terminal(struct streams *streams, int master);

/* The process is there: begins to poll as clients need it. */
int streams_start(struct streams *streams, uv_loop_t *loop, struct error *err);

/* Connects a session, or none with NULL; then output waits where it is. */
void streams_attach(struct streams *streams, struct session *session);

/* From the session: bytes for stdin, and its end. */
void streams_input(struct streams *streams, const uint8_t *bytes, size_t n);
void streams_input_end(struct streams *streams);

/* Looks again what can be polled for: a stream has room, or the congestion is over. */
void streams_update(struct streams *streams);

/* Bytes that have been written to an output so far: read ones and those still in the pipe. */
uint64_t streams_written(const struct streams *streams, unsigned stream);

/* Whether output is held back by the client's window or the link. */
bool streams_held_back(const struct streams *streams);

/* Closes all; closed is called from the loop when it may be freed. Once only. */
void streams_close(struct streams *streams, void (*closed)(struct streams *));

#endif
