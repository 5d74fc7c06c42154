/*
 * Docker's name server, 127.0.0.11, for the containers of this VM: it is on the host, in the
 * container's network namespace. Questions to it go to sockets of the agent and from there through
 * a shim's relay session (common/relay.h) to the host.
 */
#ifndef KATA_AGENT_DNS_H
#define KATA_AGENT_DNS_H

#include <uv.h>

#include "common/relay.h"
#include "common/session.h"
#include "kata-agent/client.h"

struct dns_connection;

/* A question over UDP that waits for its answer. */
struct dns_question {
	uint32_t number; /* 0: the place is free */
	struct sockaddr_in from;
};

struct dns {
	uv_loop_t *loop;
	struct client *client; /* the relay; NULL: there is none */
	uint16_t port;         /* 0: not listening */
	uv_udp_t udp;
	uv_tcp_t tcp;
	struct dns_connection *connections;
	unsigned n_connections;
	struct dns_question questions[RELAY_OPEN_MAX]; /* the oldest gives way */
	uint32_t last_number;
	struct buf input; /* from the relay */
	uint8_t datagram[RELAY_MESSAGE_MAX];
};

void dns_init(struct dns *dns, uv_loop_t *loop);
void dns_stop(struct dns *dns);

/*
 * A relay is there: begins to listen, and redirects the processes below the directory of containers
 * in the cgroup2 hierarchy cgroup_root (NULL: nobody is). -EBUSY when there is a relay already.
 */
int dns_attach(struct dns *dns, struct client *client, const char *cgroup_root, struct error *err);

/* It is gone: who asks gets no answer until there is another. Not the relay: nothing. */
void dns_detach(struct dns *dns, const struct client *client);

/* Bytes from the relay: 0, or -EBADMSG, and the session is of no more use. */
int dns_input(struct dns *dns, const uint8_t *bytes, size_t n);

#endif
