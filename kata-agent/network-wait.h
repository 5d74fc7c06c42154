/* SET_NETWORK, which may have to wait for a device that is just being plugged. */
#ifndef KATA_AGENT_NETWORK_WAIT_H
#define KATA_AGENT_NETWORK_WAIT_H

#include <uv.h>

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/client.h"

struct network_wait {
	struct msg_set_network *before; /* what is set; NULL: nothing yet */
	struct msg_set_network *wanted; /* what waits for its devices, or NULL */
	struct client_request request;  /* whose that is */
	uv_poll_t events;               /* of the kernel, about its interfaces */
	uv_timer_t deadline;
	int fd; /* its socket; -1: not open */
};

void network_wait_init(struct network_wait *wait, uv_loop_t *loop);

/* Ends: nothing waits any more. Its handles are closed. */
void network_wait_stop(struct network_wait *wait);

/*
 * Carries it out: 1 when it is done, 0 when the request is kept and will be answered, or an error.
 * Devices may take some seconds to come; nothing else waits meanwhile. A later request takes the
 * place of one that waits, which fails then.
 */
int network_wait_set(struct network_wait *wait, const struct msg_set_network *wanted,
		     const struct client_request *request, struct error *err);

/* The client is gone, and does not wait for an answer any more. */
void network_wait_forget(struct network_wait *wait, const struct client *client);

#endif
