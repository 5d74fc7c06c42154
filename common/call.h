/*
 * The client side of the protocol without an event loop: blocking, each step with a deadline. The
 * runtime's decoder process uses it; what it reads comes from the guest.
 *
 * An end without CLOSE is a proxy's worker that crashed: given a way to connect again, the session
 * is taken up on a new connection and the open request repeated, which the agent carries out once.
 *
 * All steps: 0 or a negative errno with err. -ETIMEDOUT at the deadline, -ECONNABORTED on a CLOSE,
 * whose words (escaped) are the error's, -ECONNRESET on an end without one that stays, -EBADMSG
 * when the peer breaks the protocol. After any of these the connection is of no more use; only the
 * error of a FAILED reply leaves it usable, and a request that was too long to send.
 */
#ifndef KATA_CALL_H
#define KATA_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"
#include "common/frame.h"

struct call {
	int fd; /* a connected stream socket; borrowed */
	struct buf input;
	uint32_t next_id;
	uint32_t resent_id;    /* sent again on this connection, so its reply may come twice */
	const char *component; /* of HELLO; borrowed */
	uint8_t session[16];   /* its name */
	bool opened;
	bool lost; /* the connection ended without CLOSE */
	/*
	 * Another connection in place of call->fd, or a negative errno with err. NULL: there is
	 * none to be had.
	 */
	int (*connect)(struct call *call, int64_t deadline, struct error *err);
};

void call_init(struct call *call, int fd);
void call_fini(struct call *call);

/*
 * Says hello as component and waits for the answer, which comes when the agent is there. ret_hello
 * may be NULL; else wire_free() it.
 */
int call_hello(struct call *call, const char *component, int64_t deadline,
	       struct msg_hello **ret_hello, struct error *err);

/* Opens a session with role ROLE_RUNTIME. */
int call_open(struct call *call, int64_t deadline, struct error *err);

/*
 * Sends one request, already encoded as wire_encode() makes it (-EMSGSIZE when it does not fit in
 * a frame), and decodes the reply, which is of type expected; FAILED becomes its error. *ret_body
 * is freed with wire_free().
 */
int call_request(struct call *call, const void *payload, size_t len, enum msg_type expected,
		 int64_t deadline, void **ret_body, struct error *err);

#endif
