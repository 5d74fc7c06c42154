/* The requests that clients may send, each with who may and a function that carries it out. */
#ifndef KATA_AGENT_REQUESTS_H
#define KATA_AGENT_REQUESTS_H

#include <stdbool.h>

#include "common/frame.h"
#include "kata-agent/client.h"

/* Decodes a REQUEST, checks who asks, and answers it at once or later. */
void requests_handle(struct client_request *request, const struct frame *frame);

/* Whether the table has a request, and whether a client of that role may send it. */
bool requests_known(enum msg_type type);
bool requests_allowed(enum msg_type type, enum session_role role);

#endif
