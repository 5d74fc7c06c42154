/*
 * A client of kata-proxy that is hostile: evil-client SOCKET DEED connects as kata-runtime or a
 * shim does and does what its word says. It prints "closed" when the proxy ends the connection
 * within ten seconds, "open" when it has not: the tests know what should be.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/frame.h"
#include "common/str.h"
#include "common/wire.h"

enum { PATIENCE_MS = 10000, CONNECTIONS = 400, DESCRIPTORS = 200, DEPTH = 1000000 };

/* What is before the message in a HELLO. */
enum { HELLO_HEAD = 3 + FRAME_NONCE };

static const char *path;

static int connect_to_proxy(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = 2 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		exit(2);
	/* A proxy that does not read is what a flood is to find. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static bool put(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool put_frame(int fd, uint32_t channel, uint8_t type, uint32_t id, const void *payload,
		      size_t len)
{
	const struct frame frame = {
		.length = (uint32_t)len, .channel = channel, .type = type, .id = id
	};
	uint8_t head[FRAME_HEADER];

	frame_put_header(head, &frame);
	return put(fd, head, sizeof(head)) && put(fd, payload, len);
}

/* A HELLO as it should be. */
static void make_hello(struct buf *out)
{
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = (char *)"runtime",
					 .release = (char *)"evil" };
	struct frame frame = { .type = FRAME_HELLO };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	uint8_t nonce[FRAME_NONCE], head[FRAME_HEADER];

	frame_new_nonce(nonce);
	if (frame_put_hello(&payload, nonce, &hello, NULL) < 0)
		exit(2);
	frame.length = (uint32_t)buf_len(&payload);
	frame_put_header(head, &frame);
	buf_append(out, head, sizeof(head));
	buf_append(out, buf_at(&payload), buf_len(&payload));
}

static int greet(void)
{
	CLEANUP(buf_fini) struct buf hello = { 0 };
	int fd = connect_to_proxy();

	make_hello(&hello);
	put(fd, buf_at(&hello), buf_len(&hello));
	return fd;
}

/* With a session, which is channel 1. */
static int enter(void)
{
	int fd = greet();

	put_frame(fd, 1, FRAME_OPEN, 0, "\x90", 1);
	return fd;
}

/* Reads until the proxy ends it: whether it does. */
static bool is_closed(int fd)
{
	int64_t deadline = deadline_in_ms(PATIENCE_MS);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char bytes[65536];

	while (poll(&p, 1, deadline_left_ms(deadline)) == 1)
		if (read(fd, bytes, sizeof(bytes)) <= 0)
			return true;
	return false;
}

static void say(int fd)
{
	puts(is_closed(fd) ? "closed" : "open");
}

/* --- the deeds ------------------------------------------------------------------------------ */

/* A HELLO up to the message in it, and that in its place. */
static void put_hello_of(int fd, const void *message, size_t len)
{
	CLEANUP(buf_fini) struct buf hello = { 0 };
	const struct frame frame = { .length = (uint32_t)(HELLO_HEAD + len), .type = FRAME_HELLO };
	uint8_t head[FRAME_HEADER];

	make_hello(&hello);
	frame_put_header(head, &frame);
	put(fd, head, sizeof(head));
	put(fd, buf_at(&hello) + FRAME_HEADER, HELLO_HEAD);
	put(fd, message, len);
}

static void do_bomb(void)
{
	int fd = connect_to_proxy();

	put_hello_of(fd, "\xdd\x00\xff\xff\xff", 5);
	say(fd);
}

/* As deep as a frame can be: who follows that runs out of stack. */
static void do_depth(void)
{
	static char nested[DEPTH + 1];
	int fd = connect_to_proxy();

	memset(nested, '\x91', DEPTH);
	nested[DEPTH] = '\xc0';
	put_hello_of(fd, nested, sizeof(nested));
	say(fd);
}

static void do_length(void)
{
	int fd = greet();

	put(fd, "\xff\xff\xff\xff\0\0\0\1\4\0\0\0\0\0\0\1", FRAME_HEADER);
	say(fd);
}

/* Half a header, and no more. */
static void do_half(void)
{
	int fd = connect_to_proxy();

	put(fd, "\0\0\0\1\0\0\0", 7);
	say(fd);
}

/* A HELLO that would take a quarter of an hour. */
static void do_trickle(void)
{
	static const struct timespec pause = { .tv_nsec = 300000000 };
	CLEANUP(buf_fini) struct buf hello = { 0 };
	int fd = connect_to_proxy();
	bool open = true;

	make_hello(&hello);
	for (size_t i = 0; i < buf_len(&hello) && i < 30 && open; i++) {
		open = put(fd, buf_at(&hello) + i, 1);
		nanosleep(&pause, NULL);
	}
	say(fd);
}

/* Requests without end, and no look at their answers. */
static void do_flood(void)
{
	int fd = enter();

	for (uint32_t i = 1; i < 200000 && put_frame(fd, 1, FRAME_REQUEST, i, "\x92\x01\x02", 3);
	     i++)
		continue;
	say(fd);
}

/* 64 MiB of a stream, of which nobody gave credit for a byte. */
static void do_credit(void)
{
	static char data[FRAME_DATA_SENT + 8] = "\x92\x00\xc5\x40\x00";
	int fd = enter();

	for (int i = 0; i < 4096; i++)
		if (!put_frame(fd, 1, FRAME_DATA, 0, data, FRAME_DATA_SENT + 5))
			break;
	say(fd);
}

/* Of every session but its own. */
static void do_wrong_stream(void)
{
	int fd = enter();

	for (uint32_t channel = 2; channel < 300; channel++)
		put_frame(fd, channel, FRAME_DATA, 1, "\x92\x00\xc4\x00", 4);
	say(fd);
}

static void do_double_open(void)
{
	int fd = enter();

	put_frame(fd, 1, FRAME_OPEN, 0, "\x90", 1);
	say(fd);
}

/* Answers what nobody asked it. */
static void do_answer(void)
{
	int fd = enter();

	put_frame(fd, 1, FRAME_REPLY, 1, "\x92\x01\x90", 3);
	say(fd);
}

/* Who is neither root nor the VM's shim or decoder. */
static void do_identity(void)
{
	if (setgid(12) < 0 || setuid(12) < 0)
		exit(2);
	say(greet());
}

/* Descriptors beside each byte of a HELLO. */
static void do_descriptors(void)
{
	CLEANUP(buf_fini) struct buf hello = { 0 };
	int fds[DESCRIPTORS], fd = connect_to_proxy();
	static union {
		char bytes[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control;

	for (int i = 0; i < DESCRIPTORS; i++)
		fds[i] = fd;
	make_hello(&hello);
	for (size_t i = 0; i < buf_len(&hello); i++) {
		struct iovec part = { buf_at(&hello) + i, 1 };
		struct msghdr message = { .msg_iov = &part,
					  .msg_iovlen = 1,
					  .msg_control = &control,
					  .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);

		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(sizeof(fds)) };
		memcpy(CMSG_DATA(c), fds, sizeof(fds));
		if (sendmsg(fd, &message, MSG_NOSIGNAL) != 1)
			break;
	}
	say(fd);
}

/* More than may be at once; each begins a frame of a mebibyte. */
static void do_many(void)
{
	static const char begin[100000] = "\0\x10\0\0\0\0\0\0\1";
	static int fds[CONNECTIONS];
	int closed = 0;

	for (int i = 0; i < CONNECTIONS; i++) {
		fds[i] = connect_to_proxy();
		send(fds[i], begin, sizeof(begin), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		closed += is_closed(fds[i]);
	puts(closed == CONNECTIONS ? "closed" : "open");
}

static const struct {
	const char *word;
	void (*run)(void);
} deeds[] = {
	{ "bomb", do_bomb },
	{ "depth", do_depth },
	{ "length", do_length },
	{ "half", do_half },
	{ "trickle", do_trickle },
	{ "flood", do_flood },
	{ "credit", do_credit },
	{ "wrong-stream", do_wrong_stream },
	{ "double-open", do_double_open },
	{ "answer", do_answer },
	{ "identity", do_identity },
	{ "descriptors", do_descriptors },
	{ "many", do_many },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(deeds); i++)
		if (str_eq(argv[2], deeds[i].word)) {
			path = argv[1];
			deeds[i].run();
			return 0;
		}
	fprintf(stderr, "evil-client: unknown words\n");
	return 2;
}
