/*
 * In the place of QEMU and virtiofsd, for tests that start a VM hundreds of times: a program that
 * kata-runtime and kata-proxy cannot tell from them. As QEMU it accepts connections to the agent's
 * port and is the agent: every request is carried out at once, with nothing behind it. The first
 * process ends at SIGTERM or SIGKILL, and so does one that is "sleep"; all others when they are
 * started, with code 0. At SIGUSR1 it answers no more, at SIGUSR2 its guest has panicked, at SIGHUP
 * no process ends any more, whatever it is sent, as if each waited for a disk.
 * It lives under QEMU's system call filter: read, write and accept, and little more.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"
#include "tests/fake/answer-hello.h"

enum { SHIMS_MAX = 64 };

static volatile sig_atomic_t unending;

/* A session with a shim: its channel, and the process that it stands for. */
struct shim {
	uint32_t channel;
	uint64_t handle;
};

struct agent {
	int fd; /* the worker's connection */
	struct shim shims[SHIMS_MAX];
	uint64_t handles; /* given out */
	uint64_t lasting; /* the newest process that does not end by itself; 0: none */
};

static bool send_payload(const struct agent *agent, struct frame frame, const struct buf *payload)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	size_t done = 0;

	frame.length = (uint32_t)buf_len(payload);
	if (buf_reserve(&out, FRAME_HEADER) == NULL)
		return false;
	frame_put_header(buf_at(&out), &frame);
	buf_commit(&out, FRAME_HEADER);
	buf_append(&out, buf_at(payload), buf_len(payload));
	while (done < buf_len(&out)) {
		ssize_t n = write(agent->fd, buf_at(&out) + done, buf_len(&out) - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool send_message(const struct agent *agent, struct frame frame, enum msg_type type,
			 const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };

	return wire_encode(type, body, &payload, NULL) == 0 && send_payload(agent, frame, &payload);
}

static void end_process(const struct agent *agent, uint64_t handle, uint32_t code)
{
	const struct msg_exit ended = { .handle = handle, .code = code };

	for (size_t i = 0; i < SHIMS_MAX && unending == 0; i++) {
		struct frame frame = { .channel = agent->shims[i].channel,
				       .type = FRAME_EVENT,
				       .id = 1 };

		if (agent->shims[i].channel != 0 && agent->shims[i].handle == handle)
			send_message(agent, frame, MSG_EXIT, &ended);
	}
}

static void on_hello(const struct agent *agent, const struct frame *frame)
{
	const struct frame answer = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (answer_hello(frame, "fake", &payload))
		send_payload(agent, answer, &payload);
}

static void on_open(struct agent *agent, const struct frame *frame)
{
	struct frame answer = { .channel = frame->channel, .type = FRAME_OPEN, .flags = FRAME_ACK };
	const struct msg_opened opened = { 0 };
	struct shim *free_one = NULL;
	void *body;

	if (wire_decode_as(MSG_OPEN, frame->payload, frame->length, &body, NULL) < 0)
		return;
	for (size_t i = 0; i < SHIMS_MAX && free_one == NULL; i++)
		if (agent->shims[i].channel == 0)
			free_one = &agent->shims[i];
	if (((struct msg_open *)body)->role == ROLE_SHIM && free_one != NULL)
		*free_one = (struct shim){ frame->channel, ((struct msg_open *)body)->handle };
	wire_free(MSG_OPEN, body);
	send_message(agent, answer, MSG_OPENED, &opened);
}

static bool lasts(const struct msg_exec *exec)
{
	return exec->process.args.count > 0 && str_eq(exec->process.args.items[0], "sleep");
}

static void on_request(struct agent *agent, const struct frame *frame)
{
	struct frame answer = { .channel = frame->channel, .type = FRAME_REPLY, .id = frame->id };
	const struct msg_ps_rows rows = { 0 };
	struct msg_created created = { .pid = 80 };
	const struct msg_signal *signal;
	enum msg_type type;
	uint64_t handle;
	void *body;

	if (wire_decode(frame->payload, frame->length, &type, &body, NULL) < 0)
		return;
	if (wire_message(type)->reply == MSG_CREATED) {
		created.handle = ++agent->handles;
		if (type == MSG_EXEC && lasts(body))
			agent->lasting = created.handle;
		send_message(agent, answer, MSG_CREATED, &created);
	} else if (type == MSG_PS) {
		send_message(agent, answer, MSG_PS_ROWS, &rows);
	} else {
		send_message(agent, answer, MSG_DONE, NULL);
	}
	if (type == MSG_START) {
		handle = ((struct msg_start *)body)->handle;
		if (handle > 1 && handle != agent->lasting)
			end_process(agent, handle, 0);
	} else if (type == MSG_SIGNAL) {
		signal = body;
		if (signal->signum == SIGTERM || signal->signum == SIGKILL)
			end_process(agent, signal->handle, 128 + signal->signum);
	}
	wire_free(type, body);
	if (type == MSG_SHUTDOWN)
		exit(0);
}

static void on_close(struct agent *agent, const struct frame *frame)
{
	for (size_t i = 0; i < SHIMS_MAX; i++)
		if (agent->shims[i].channel == frame->channel)
			agent->shims[i].channel = 0;
}

/* Until the worker ends. */
static void serve(struct agent *agent)
{
	CLEANUP(buf_fini) struct buf input = { 0 };
	struct frame frame;

	for (;;) {
		uint8_t *to = buf_reserve(&input, 65536);
		ssize_t n = read(agent->fd, to, 65536);

		if (n <= 0)
			return;
		buf_commit(&input, (size_t)n);
		while (frame_next(&input, &frame, NULL) == 1) {
			if (frame.type == FRAME_HELLO)
				on_hello(agent, &frame);
			else if (frame.type == FRAME_OPEN)
				on_open(agent, &frame);
			else if (frame.type == FRAME_REQUEST)
				on_request(agent, &frame);
			else if (frame.type == FRAME_CLOSE)
				on_close(agent, &frame);
			buf_consume(&input, FRAME_HEADER + frame.length);
		}
	}
}

static void on_freeze(int signum)
{
	(void)signum;
	for (;;)
		ppoll(NULL, 0, NULL, NULL);
}

static void on_panic(int signum)
{
	(void)signum;
	_exit(0);
}

static void on_unending(int signum)
{
	(void)signum;
	unending = 1;
}

static int be_qemu(void)
{
	struct agent agent = { 0 };

	signal(SIGUSR1, on_freeze);
	signal(SIGUSR2, on_panic);
	signal(SIGHUP, on_unending); /* which begins an interrupted read again */
	for (;;) {
		agent.fd = accept4(LAUNCH_FD_AGENT, NULL, NULL, SOCK_CLOEXEC);
		if (agent.fd < 0)
			return 1;
		memset(agent.shims, 0, sizeof(agent.shims));
		serve(&agent);
		close(agent.fd);
	}
}

/* virtiofsd lives as long as QEMU is connected to it. */
static int be_virtiofsd(void)
{
	int fd = accept4(LAUNCH_FD_VHOST_USER, NULL, NULL, SOCK_CLOEXEC);
	char byte;

	while (fd >= 0 && read(fd, &byte, 1) > 0)
		continue;
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "--version"))
			return puts("virtiofsd version 7.2.22 (fake)\nusing FUSE kernel "
				    "interface") < 0;
		if (str_starts(argv[i], "--fd"))
			return be_virtiofsd();
	}
	return be_qemu();
}
