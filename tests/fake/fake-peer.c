/* Frames in blocking style for tests: see fake-peer.h. */
#include "tests/fake/fake-peer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/wire.h"

void peer_init(struct fake_peer *peer, int fd)
{
	*peer = (struct fake_peer){ .fd = fd };
}

void peer_fini(struct fake_peer *peer)
{
	fd_close(&peer->fd);
	buf_fini(&peer->in);
}

bool peer_write(struct fake_peer *peer, const void *bytes, size_t n)
{
	int64_t deadline = deadline_in_ms(PEER_MS);
	struct pollfd p = { .fd = peer->fd, .events = POLLOUT };

	while (n > 0) {
		ssize_t sent = send(peer->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0)
			cr_assert(poll(&p, 1, deadline_left_ms(deadline)) > 0, "nobody reads");
		else
			n -= (size_t)sent, bytes = (const char *)bytes + sent;
	}
	return true;
}

bool peer_send(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags, uint32_t id,
	       const void *payload, size_t len)
{
	const struct frame frame = {
		.length = (uint32_t)len, .channel = channel, .type = type, .flags = flags, .id = id
	};
	CLEANUP(buf_fini) struct buf out = { 0 };

	cr_assert(buf_reserve(&out, FRAME_HEADER) != NULL);
	frame_put_header(buf_at(&out), &frame);
	buf_commit(&out, FRAME_HEADER);
	cr_assert(buf_append(&out, payload, len) == 0);
	return peer_write(peer, buf_at(&out), buf_len(&out));
}

bool peer_send_message(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags,
		       uint32_t id, enum msg_type message, const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct error err;

	cr_assert(wire_encode(message, body, &payload, &err) == 0, "%s", err.text);
	return peer_send(peer, channel, type, flags, id, buf_at(&payload), buf_len(&payload));
}

int peer_next(struct fake_peer *peer, struct frame *ret_frame, int timeout_ms)
{
	int64_t deadline = deadline_in_ms(timeout_ms);
	struct pollfd p = { .fd = peer->fd, .events = POLLIN };
	struct error err;

	buf_consume(&peer->in, peer->taken);
	peer->taken = 0;
	for (;;) {
		int r = frame_next(&peer->in, ret_frame, &err);
		uint8_t *to;
		ssize_t n;

		cr_assert(r >= 0, "%s", err.text);
		if (r == 1) {
			peer->taken = FRAME_HEADER + ret_frame->length;
			return 1;
		}
		if (poll(&p, 1, deadline_left_ms(deadline)) == 0)
			return -1;
		to = buf_reserve(&peer->in, 65536);
		cr_assert(to != NULL);
		n = read(peer->fd, to, 65536);
		if (n <= 0)
			return 0;
		buf_commit(&peer->in, (size_t)n);
	}
}

struct frame peer_expect(struct fake_peer *peer, uint32_t channel, uint8_t type, uint8_t flags)
{
	struct frame frame = { 0 };
	int r = peer_next(peer, &frame, PEER_MS);

	cr_assert_eq(r, 1, "%s instead of %s", r == 0 ? "the end" : "nothing",
		     frame_type_name(type));
	cr_assert(frame.type == type && frame.channel == channel && frame.flags == flags,
		  "%s (%u) on %u instead of %s (%u) on %u", frame_type_name(frame.type),
		  frame.flags, frame.channel, frame_type_name(type), flags, channel);
	return frame;
}

const char *peer_expect_close(struct fake_peer *peer, uint32_t channel, enum close_reason reason)
{
	static char text[1024];
	struct frame frame = peer_expect(peer, channel, FRAME_CLOSE, 0);
	struct msg_close *body;
	struct error err;

	cr_assert(wire_decode_as(MSG_CLOSE, frame.payload, frame.length, (void **)&body, &err) == 0,
		  "%s", err.text);
	snprintf(text, sizeof(text), "%s", body->text != NULL ? body->text : "");
	cr_assert_eq(body->reason, reason, "%u: %s", body->reason, text);
	wire_free(MSG_CLOSE, body);
	return text;
}

void peer_expect_quiet(struct fake_peer *peer, int ms)
{
	struct frame frame;
	int r = peer_next(peer, &frame, ms);

	cr_assert_eq(r, -1, "%s came", r == 0 ? "the end" : frame_type_name(frame.type));
}

void peer_expect_end(struct fake_peer *peer)
{
	struct frame frame;
	int r = peer_next(peer, &frame, PEER_MS);

	cr_assert_eq(r, 0, "%s came", r < 0 ? "nothing" : frame_type_name(frame.type));
}

static bool send_hello(struct fake_peer *peer, uint8_t flags, uint32_t version,
		       const char *component, const char *release)
{
	const struct msg_hello hello = { .version = version,
					 .component = (char *)component,
					 .release = (char *)release };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct error err;

	cr_assert(frame_put_hello(&payload, peer->nonce, &hello, &err) == 0, "%s", err.text);
	return peer_send(peer, 0, FRAME_HELLO, flags, 0, buf_at(&payload), buf_len(&payload));
}

bool peer_say_hello(struct fake_peer *peer, uint32_t version, const char *component)
{
	frame_new_nonce(peer->nonce);
	return send_hello(peer, 0, version, component, "1");
}

void peer_answer_hello(struct fake_peer *peer, uint32_t version, const char *release)
{
	struct frame frame = peer_expect(peer, 0, FRAME_HELLO, 0);
	struct msg_hello *hello;
	struct error err;

	cr_assert(frame_get_hello(&frame, peer->nonce, &hello, &err) == 0, "%s", err.text);
	cr_assert_str_eq(hello->component, "proxy");
	wire_free(MSG_HELLO, hello);
	send_hello(peer, FRAME_ACK, version, "agent", release);
}

const char *peer_expect_hello(struct fake_peer *peer)
{
	static char release[65];
	struct frame frame = peer_expect(peer, 0, FRAME_HELLO, FRAME_ACK);
	uint8_t nonce[FRAME_NONCE];
	struct msg_hello *hello;
	struct error err;

	cr_assert(frame_get_hello(&frame, nonce, &hello, &err) == 0, "%s", err.text);
	cr_assert_arr_eq(nonce, peer->nonce, FRAME_NONCE);
	cr_assert_str_eq(hello->component, "agent");
	snprintf(release, sizeof(release), "%s", hello->release);
	wire_free(MSG_HELLO, hello);
	return release;
}
