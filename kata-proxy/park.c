/*
 * Descriptors that outlive a worker: see park.h. The monitor's side runs in monitor.c's poll loop
 * on packets of a worker that the guest may own; the other side is the worker's.
 */
#include "kata-proxy/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

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

/* A packet's first byte: the slot's number, or one of these before text. */
enum { WORDS = 0xff, NOTE = 0xfe };

/* One packet: its length with *ret_fd, or -1 when there is none; 0 when it is none of ours. */
static ssize_t take_packet(int monitor, char *bytes, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { bytes, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      /* without the padding, which has room for a second one */
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(monitor, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	*ret_fd = -1;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? 0 : n;
}

/* Line by line, whose ends stay. */
static void escape_lines(char *to, size_t size, char *from)
{
	char *line;
	size_t used = 0;

	to[0] = '\0';
	while ((line = strsep(&from, "\n")) != NULL && used + 2 < size) {
		if (used > 0)
			to[used++] = '\n';
		str_escape(to + used, size - used, line, strlen(line));
		used += strlen(to + used);
	}
}

void park_take(int monitor, int slots[PARK_SLOTS], struct park_text *text)
{
	char bytes[PARK_WORDS_SIZE];
	ssize_t n;
	int fd;

	for (int i = 0; i < TAKE_AT_ONCE; i++) {
		n = take_packet(monitor, bytes, sizeof(bytes), &fd);
		if (n < 0)
			return;
		if (n == 1 && (uint8_t)bytes[0] < PARK_SLOTS) {
			fd_close(&slots[(uint8_t)bytes[0]]);
			slots[(uint8_t)bytes[0]] = fd;
			continue;
		}
		fd_close(&fd);
		bytes[n < (ssize_t)sizeof(bytes) ? n : (ssize_t)sizeof(bytes) - 1] = '\0';
		if (n > 1 && (uint8_t)bytes[0] == WORDS && text->words[0] == '\0')
			escape_lines(text->words, sizeof(text->words), bytes + 1);
		if (n > 1 && (uint8_t)bytes[0] == NOTE)
			str_escape(text->note, sizeof(text->note), bytes + 1, (size_t)n - 1);
	}
}

static void send_text(int worker, int kind, const char *text)
{
	char bytes[PARK_WORDS_SIZE];
	int n = snprintf(bytes, sizeof(bytes), "%c%s", kind, text);

	/* Best effort: the log has it, too. */
	if (send(worker, bytes, (size_t)n < sizeof(bytes) ? (size_t)n : sizeof(bytes) - 1,
		 MSG_NOSIGNAL) < 0)
		return;
}

void park_say(int worker, const char *text)
{
	send_text(worker, WORDS, text);
}

void park_note(int worker, const char *text)
{
	send_text(worker, NOTE, text);
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
