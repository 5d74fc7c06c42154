/*
 * The name relay's end on the host: questions that the guest's containers ask of docker's name
 * server, 127.0.0.11, are asked here, in the container's network namespace, and answered back
 * through a session of their own (common/relay.h).
 */
#ifndef KATA_SHIM_RELAY_H
#define KATA_SHIM_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/session.h"
#include "kata-shim/link.h"

struct relay_question;

struct relay {
	uv_loop_t *loop;
	struct link link;
	struct session session;
	struct sockaddr_in server;
	struct buf input;
	struct relay_question *questions;
	unsigned n_questions;
	bool started; /* and not stopped */
};

/*
 * Begins; socket is the proxy's and borrowed. Nothing depends on it: what fails is logged, and the
 * container has no answers to such questions then. server NULL: docker's.
 */
void relay_start(struct relay *relay, uv_loop_t *loop, const char *socket,
		 const struct sockaddr_in *server);

/* Any number of times; its handles close with the loop's next turns. */
void relay_stop(struct relay *relay);

/* Frees what it has, when the loop has ended; one that never was started is empty. */
void relay_fini(struct relay *relay);

#endif
