/*
 * A client of the agent: a session with its role. kata-runtime's live for a command, a kata-shim's
 * as long as the process it stands for. It survives the loss of the link for the lease.
 */
#ifndef KATA_AGENT_CLIENT_H
#define KATA_AGENT_CLIENT_H

#include <stdint.h>

#include "common/session.h"

struct agent;
struct process;

enum { CLIENT_ID_SIZE = 16 };

struct client {
	struct client *next;
	struct agent *agent;
	uint8_t id[CLIENT_ID_SIZE];
	enum session_role role;
	uint32_t channel; /* on the present link, 0 without one */
	struct session session;
	struct process *process; /* a shim's */
};

/* A request that is answered later; client is NULL when nobody waits any more. */
struct client_request {
	struct client *client;
	uint32_t id;
};

/* OPEN on a channel. A session that cannot be is answered with CLOSE. */
void client_open(struct agent *agent, uint32_t channel, const struct msg_open *open);

/* NULL when the channel has no session. */
struct client *client_on_channel(struct agent *agent, uint32_t channel);

/* The session is over. Unless its process may go on (CLOSE_DONE) that is killed. */
void client_close(struct client *client, enum close_reason reason);

/* The link is lost: sessions wait for another one. */
void clients_link_down(struct agent *agent);

/* Closes the sessions that have no link, as lost. */
void clients_expire(struct agent *agent);

/* Tells all that the link's queue has room again. */
void clients_resume(struct agent *agent);

/* Answers a request once; later calls do nothing. */
void client_reply(struct client_request *request, enum msg_type type, const void *body);
void client_fail(struct client_request *request, const struct error *err);

#endif
