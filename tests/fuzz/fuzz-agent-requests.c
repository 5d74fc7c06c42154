/*
 * libFuzzer: the agent between HELLO and its end. A runtime's and a shim's session are open on
 * channels 1 and 2; the input is records of channel, frame type, length (2 bytes, low first) and
 * payload. What it asks for cannot be done: this process has no capability, and there is no cgroup2
 * hierarchy where the agent looks for it. So everything up to the first system call that needs one
 * is tried, and the way back from there. Whatever comes: no crash, and the agent ends when the host
 * closes the link.
 */
#include <cap-ng.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/wire.h"
#include "kata-agent/agent.h"
#include "kata-agent/client.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 4, INPUT_MAX = 65536 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	/* As root it can still write the corpus; no namespace and no mount is made. */
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		abort();
	return 0;
}

static void put_frame(struct buf *out, uint32_t channel, uint8_t type, uint32_t id,
		      const void *payload, size_t len)
{
	const struct frame frame = {
		.channel = channel, .type = type, .id = id, .length = (uint32_t)len
	};

	if (buf_reserve(out, FRAME_HEADER) == NULL)
		abort();
	frame_put_header(buf_at(out) + buf_len(out), &frame);
	buf_commit(out, FRAME_HEADER);
	if (len > 0 && buf_append(out, payload, len) < 0)
		abort();
}

static void put_hello(struct buf *out)
{
	const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					 .component = (char *)"proxy",
					 .release = (char *)"fuzz" };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	uint8_t nonce[FRAME_NONCE];

	frame_new_nonce(nonce);
	if (frame_put_hello(&payload, nonce, &hello, NULL) < 0)
		abort();
	put_frame(out, 0, FRAME_HELLO, 0, buf_at(&payload), buf_len(&payload));
}

static void put_open(struct buf *out, uint32_t channel, enum session_role role)
{
	uint8_t session[CLIENT_ID_SIZE] = { (uint8_t)channel };
	const struct msg_open open = { .session = { session, sizeof(session) },
				       .role = role,
				       .handle = 1 };
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (wire_encode(MSG_OPEN, &open, &payload, NULL) < 0)
		abort();
	put_frame(out, channel, FRAME_OPEN, 0, buf_at(&payload), buf_len(&payload));
}

static void put_records(struct buf *out, const uint8_t *data, size_t size)
{
	uint32_t id = 0;

	while (size >= RECORD) {
		size_t len = data[2] | (size_t)data[3] << 8;

		if (len > size - RECORD)
			len = size - RECORD;
		put_frame(out, data[0] % 4, data[1], ++id, data + RECORD, len);
		data += RECORD + len;
		size -= RECORD + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct agent_options options = { .share = "/nowhere/share",
					       .cgroup = "/nowhere/cgroup",
					       .console = -1 };
	static struct agent agent;
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct link_source source;
	struct error err;
	int pair[2];

	if (size > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	put_hello(&out);
	put_open(&out, 1, ROLE_RUNTIME);
	put_open(&out, 2, ROLE_SHIM);
	put_records(&out, data, size);
	if (send(pair[0], buf_at(&out), buf_len(&out), MSG_DONTWAIT) < 0 ||
	    shutdown(pair[0], SHUT_WR) < 0)
		abort();
	if (link_from_socket(&source, pair[1], &err) < 0 ||
	    agent_start(&agent, &options, &source, &err) < 0 || agent_run(&agent, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	close(pair[0]);
	return 0;
}
