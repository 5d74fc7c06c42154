/*
 * Descriptors that outlive a worker: see park.h. The monitor's side runs in monitor.c's poll loop
 * on packets of a worker that the guest may own; the other side is the worker's.
 */
#include "kata-proxy/park.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { TAKE_AT_ONCE = 64 };

int park_open(int *ret_monitor, int *ret_worker, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set(err, errno, "make the worker's socket pair");
	*ret_monitor = pair[0];
	*ret_worker = pair[1];
	return 0;
}

int park_send_key(int monitor, const uint8_t key[FRAME_KEY], struct error *err)
{
	/* Full of keys that no worker lived to read: then there is one to read. */
	if (send(monitor, key, FRAME_KEY, MSG_NOSIGNAL) != FRAME_KEY && errno != EAGAIN)
		return error_set(err, errno, "tell the worker its key");
	return 0;
}

int park_receive_key(int worker, uint8_t ret_key[FRAME_KEY], struct error *err)
{
	ssize_t n = recv(worker, ret_key, FRAME_KEY, 0);

	if (n != FRAME_KEY)
		return error_set(err, n < 0 ? errno : EPROTO, "the monitor's key");
	return 0;
}

/* One packet: 1 with *ret_slot, or PARK_SLOTS when it is none of ours; 0 when there is none. */
static int take_packet(int monitor, unsigned *ret_slot, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t slot = PARK_SLOTS;
	struct iovec iov = { &slot, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(monitor, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	*ret_fd = -1;
	if (n < 0)
		return 0;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	*ret_slot = n == 1 ? slot : PARK_SLOTS;
	return 1;
}

void park_take(int monitor, int slots[PARK_SLOTS])
{
	unsigned slot;
	int fd;

	for (int i = 0; i < TAKE_AT_ONCE && take_packet(monitor, &slot, &fd) > 0; i++) {
		if (slot >= PARK_SLOTS) {
			fd_close(&fd);
			continue;
		}
		fd_close(&slots[slot]);
		slots[slot] = fd;
	}
}

int park_put(int worker, unsigned slot, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	uint8_t byte = (uint8_t)slot;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (slot >= PARK_SLOTS)
		return -EINVAL;
	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(worker, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}
