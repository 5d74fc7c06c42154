/*
 * Descriptors over a Unix socket (SCM_RIGHTS), and whole messages on a blocking one: the only
 * sendmsg and recvmsg with ancillary data. Used between the runtime and the daemons it starts.
 */
#ifndef KATA_FDPASS_H
#define KATA_FDPASS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/protocol.h"

/* The most that one message can bring; each receiver says how many of them it takes. */
enum { FDPASS_MAX = 160 };

/*
 * Sends one message as a CONTROL frame (type REQUEST, channel 0) with count descriptors, which
 * stay the caller's. deadline as of deadline.h. 0 or a negative errno.
 */
int fdpass_send(int socket, enum msg_type type, const void *body, const int *fds, size_t count,
		int64_t deadline, struct error *err);

/*
 * Receives one message. *ret_body is freed with wire_free(). Descriptors that came with it go to
 * fds (close-on-exec), which has max places, and *ret_count; with one more than max none of them is
 * left open and the message is refused. With max 0 fds and ret_count may be NULL. -ENOTCONN with
 * "... closed" when the peer ended first; a FAILED from the peer becomes that error.
 */
int fdpass_receive(int socket, enum msg_type *ret_type, void **ret_body, int *fds, size_t max,
		   size_t *ret_count, int64_t deadline, struct error *err);

/* Receives one message of the type wanted, without descriptors. ret_body may be NULL. */
int fdpass_expect(int socket, enum msg_type type, void **ret_body, int64_t deadline,
		  struct error *err);

/*
 * Sends a message and receives the answer, of which only the type counts. A peer that has ended,
 * and said why before, is quoted.
 */
int fdpass_ask(int socket, enum msg_type type, const void *body, const int *fds, size_t count,
	       enum msg_type answer, int64_t deadline, struct error *err);

/* Tells the peer of an error, as FAILED; best effort. */
void fdpass_send_error(int socket, const struct error *err);

/*
 * One read of at most size bytes of a socket with another protocol, without a wait: how many, or
 * -EAGAIN, or -ENOTCONN when the peer has ended. Descriptors that came are added to fds, which has
 * max places and *count of them filled; also on error they are the caller's. Those that find no
 * place are not opened, and are an error.
 */
ssize_t fdpass_receive_now(int socket, void *data, size_t size, int *fds, size_t max, size_t *count,
			   struct error *err);

/* Sends one descriptor with a payload of 1 to 4095 bytes, as console sockets want it. */
int fdpass_send_one(int socket, int fd, const char *payload, int64_t deadline, struct error *err);

/* Receives one descriptor and at most size bytes of payload: the descriptor, or negative errno. */
int fdpass_receive_one(int socket, void *payload, size_t size, int64_t deadline, struct error *err);

#endif
