/*
 * One end of a connection that speaks frames, in blocking style with deadlines: a client or agent
 * of a component test. What cannot be done fails the test.
 */
#ifndef KATA_FAKE_PEER_H
#define KATA_FAKE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/frame.h"
#include "common/protocol.h"

enum { PEER_MS = 10000 };

struct fake_peer {
	int fd;
	struct buf in;
	size_t taken; /* bytes of in that the last frame took */
	uint8_t nonce[FRAME_NONCE];
};

/* Takes fd. */
void peer_init(struct fake_peer *peer, int fd);
void peer_fini(struct fake_peer *peer);

/* Any bytes, within PEER_MS: false when the other side has closed. */
bool peer_write(struct fake_peer *peer, const void *bytes, size_t n);

bool peer_send(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags, uint32_t id,
	       const void *payload, size_t len);
bool peer_send_message(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags,
		       uint32_t id, enum msg_type message, const void *body);

/* The next frame, borrowed until the next call: 1; 0 at the end; -1 when none came in time. */
int peer_next(struct fake_peer *peer, struct frame *ret_frame, int timeout_ms);

/* The next frame, which must come and be that; the caller looks at the rest. */
struct frame peer_expect(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags);

/* A CLOSE, which must come, as reason and text (static), and then the end. */
const char *peer_expect_close(struct fake_peer *peer, uint32_t channel, enum close_reason reason);

/* Nothing comes for that long. */
void peer_expect_quiet(struct fake_peer *peer, int ms);

/* The end comes, without a frame before. */
void peer_expect_end(struct fake_peer *peer);

/* A HELLO of this side's, with a fresh nonce. */
bool peer_say_hello(struct fake_peer *peer, uint32_t version, const char *component);

/* Agent: takes the HELLO that must come and answers it. */
void peer_answer_hello(struct fake_peer *peer, uint32_t version, const char *release);

/* Client: the answer that must come to peer_say_hello(): the release in it, static. */
const char *peer_expect_hello(struct fake_peer *peer);

#endif
