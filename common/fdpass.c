/*
 * Messages and descriptors between the runtime and the daemons it starts: see fdpass.h. Blocking
 * with deadlines; both ends are ours, yet every length and count is checked.
 */
#include "common/fdpass.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/frame.h"
#include "common/wire.h"

union control {
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* Waits until the socket is ready: 0, -ETIMEDOUT or another error. */
static int await(int socket, short events, int64_t deadline, struct error *err)
{
	struct pollfd p = { .fd = socket, .events = events };

	for (;;) {
		int n = poll(&p, 1, deadline_left_ms(deadline));

		if (n > 0)
			return 0;
		if (n == 0)
			return error_set(err, ETIMEDOUT, "wait for the other process");
		if (errno != EINTR)
			return error_set(err, errno, "poll");
	}
}

/* Sends all of data; the descriptors go with its first byte. */
static int send_all(int socket, const uint8_t *data, size_t len, const int *fds, size_t count,
		    int64_t deadline, struct error *err)
{
	union control control = { 0 };

	while (len > 0) {
		struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (count > 0) {
			struct cmsghdr *c = &control.align;

			msg.msg_control = control.bytes;
			msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(count * sizeof(int));
			memcpy(CMSG_DATA(c), fds, count * sizeof(int));
		}
		n = sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			count = 0;
		} else if (errno == EAGAIN || errno == EINTR) {
			int r = await(socket, POLLOUT, deadline, err);

			if (r < 0)
				return r;
		} else {
			return error_set(err, errno, "send to the other process");
		}
	}
	return 0;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static int too_many(size_t max, struct error *err)
{
	if (max == 0)
		return error_say(err, EBADMSG, "descriptors came that nobody asked for");
	return error_say(err, EBADMSG,
			 "descriptors were lost: more than %zu came, or no more can be open here",
			 max);
}

/* What there is no place for the kernel does not open here at all, and says so. */
ssize_t fdpass_receive_now(int socket, void *data, size_t size, int *fds, size_t max, size_t *count,
			   struct error *err)
{
	union control control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (*count < max) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_LEN((max - *count) * sizeof(int));
	}
	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		n = 0; /* it ended without having read all that we sent */
	if (n < 0)
		return error_set(err, errno, "receive from the other process");
	if (n == 0)
		return error_say(err, ENOTCONN, "the other process closed the connection");
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + *count, CMSG_DATA(c), got * sizeof(int));
		*count += got;
	}
	return msg.msg_flags & MSG_CTRUNC ? too_many(max, err) : n;
}

/* The same after a wait. */
static ssize_t receive_some(int socket, void *data, size_t size, int *fds, size_t max,
			    size_t *count, int64_t deadline, struct error *err)
{
	ssize_t n;

	do {
		int r = await(socket, POLLIN, deadline, err);

		if (r < 0)
			return r;
		n = fdpass_receive_now(socket, data, size, fds, max, count, err);
	} while (n == -EAGAIN);
	return n;
}

static int receive_all(int socket, uint8_t *data, size_t len, int *fds, size_t max, size_t *count,
		       int64_t deadline, struct error *err)
{
	while (len > 0) {
		ssize_t n = receive_some(socket, data, len, fds, max, count, deadline, err);

		if (n < 0)
			return (int)n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int fdpass_send(int socket, enum msg_type type, const void *body, const int *fds, size_t count,
		int64_t deadline, struct error *err)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct frame frame = { .type = FRAME_REQUEST };
	uint8_t *header;
	int r;

	if (count > FDPASS_MAX)
		return error_say(err, EINVAL, "more than %d descriptors to pass", FDPASS_MAX);
	header = buf_reserve(&out, FRAME_HEADER);
	if (header == NULL)
		return error_set(err, ENOMEM, "send %s", wire_name(type));
	buf_commit(&out, FRAME_HEADER);
	r = wire_encode(type, body, &out, err);
	if (r < 0)
		return r;
	frame.length = (uint32_t)(buf_len(&out) - FRAME_HEADER);
	frame_put_header(buf_at(&out), &frame);
	r = send_all(socket, buf_at(&out), buf_len(&out), fds, count, deadline, err);
	return r < 0 ? error_prefix(err, "%s", wire_name(type)) : 0;
}

/* Reads header and payload of one message into payload. */
static int receive_frame(int socket, struct buf *payload, int *fds, size_t max, size_t *count,
			 int64_t deadline, struct error *err)
{
	uint8_t header[FRAME_HEADER];
	struct frame frame;
	uint8_t *to;
	int r;

	r = receive_all(socket, header, sizeof(header), fds, max, count, deadline, err);
	if (r == 0)
		r = frame_get_header(header, &frame, err);
	if (r < 0)
		return r;
	if (frame.type != FRAME_REQUEST)
		return error_say(err, EBADMSG, "frame %s between processes",
				 frame_type_name(frame.type));
	to = buf_reserve(payload, frame.length);
	if (to == NULL)
		return error_set(err, ENOMEM, "receive a message");
	buf_commit(payload, frame.length);
	return receive_all(socket, to, frame.length, fds, max, count, deadline, err);
}

int fdpass_receive(int socket, enum msg_type *ret_type, void **ret_body, int *fds, size_t max,
		   size_t *ret_count, int64_t deadline, struct error *err)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	size_t count = 0;
	enum msg_type type;
	void *body;
	int r;

	r = receive_frame(socket, &payload, fds, max, &count, deadline, err);
	if (r == 0)
		r = wire_decode(buf_at(&payload), buf_len(&payload), &type, &body, err);
	if (r == 0 && type == MSG_FAILED) {
		const struct msg_failed *failed = body;

		r = error_say(err, failed->errnum != 0 ? (int)failed->errnum : EPROTO, "%s",
			      failed->text);
		wire_free(type, body);
	}
	if (r < 0) {
		close_all(fds, count);
		return r;
	}
	if (ret_count != NULL)
		*ret_count = count;
	*ret_type = type;
	*ret_body = body;
	return 0;
}

int fdpass_expect(int socket, enum msg_type type, void **ret_body, int64_t deadline,
		  struct error *err)
{
	enum msg_type got;
	void *body;
	int r = fdpass_receive(socket, &got, &body, NULL, 0, NULL, deadline, err);

	if (r < 0)
		return r;
	if (got != type) {
		r = error_say(err, EBADMSG, "%s came instead of %s", wire_name(got),
			      wire_name(type));
		wire_free(got, body);
		return r;
	}
	if (ret_body != NULL)
		*ret_body = body;
	else
		wire_free(got, body);
	return 0;
}

int fdpass_ask(int socket, enum msg_type type, const void *body, const int *fds, size_t count,
	       enum msg_type answer, int64_t deadline, struct error *err)
{
	int sent = fdpass_send(socket, type, body, fds, count, deadline, err), r;

	if (sent < 0 && sent != -EPIPE)
		return sent;
	r = fdpass_expect(socket, answer, NULL, deadline, err);
	if (r == 0 && sent < 0)
		return error_say(err, EPIPE, "%s came before %s was sent", wire_name(answer),
				 wire_name(type));
	return r;
}

void fdpass_send_error(int socket, const struct error *err)
{
	char text[ERROR_TEXT_MAX];
	struct msg_failed failed = { .errnum = (uint32_t)err->num, .text = text };

	memcpy(text, err->text, sizeof(text));
	fdpass_send(socket, MSG_FAILED, &failed, NULL, 0, deadline_in_ms(1000), NULL);
}

int fdpass_send_one(int socket, int fd, const char *payload, int64_t deadline, struct error *err)
{
	size_t len = strlen(payload);

	if (len == 0) /* descriptors travel with the first byte */
		return error_say(err, EINVAL, "no payload to send a descriptor with");
	return send_all(socket, (const uint8_t *)payload, len, &fd, 1, deadline, err);
}

int fdpass_receive_one(int socket, void *payload, size_t size, int64_t deadline, struct error *err)
{
	int fd = -1;
	size_t count = 0;
	ssize_t n = receive_some(socket, payload, size, &fd, 1, &count, deadline, err);

	if (n >= 0 && count == 0)
		return error_say(err, EBADMSG, "no descriptor came");
	if (n < 0) {
		close_all(&fd, count);
		return (int)n;
	}
	return fd;
}
