/*
 * kata-runtime/decoder.h: a scripted proxy at a real socket, in a thread, honest and hostile. What
 * the runtime gets is an error or a checked struct, within its deadline.
 */
#include <cap-ng.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/frame.h"
#include "common/wire.h"
#include "kata-runtime/decoder.h"
#include "kata-runtime/privs.h"

enum { UID = 1879100000, WAIT_MS = 5000 };

/* How the proxy answers a request. */
enum answer {
	HONEST,
	FAILED_TEXT,
	WRONG_TYPE,
	GARBAGE,
	SILENT,
	CLOSES,
	ENDS,
	CRASHES, /* the first two connections end at the request, the third is served */
	NO_HELLO,
	WRONG_NONCE,
};

struct proxy {
	char dir[32], path[64];
	int listener;
	enum answer answer;
	pthread_t thread;
};

static void send_frame(int fd, enum frame_type type, uint8_t flags, uint32_t channel, uint32_t id,
		       const struct buf *payload)
{
	struct frame frame = { .length = (uint32_t)buf_len(payload),
			       .type = (uint8_t)type,
			       .flags = flags,
			       .channel = channel,
			       .id = id };
	uint8_t header[FRAME_HEADER];

	frame_put_header(header, &frame);
	send(fd, header, sizeof(header), MSG_NOSIGNAL);
	send(fd, buf_at(payload), buf_len(payload), MSG_NOSIGNAL);
}

static void send_message(int fd, enum frame_type type, uint8_t flags, uint32_t channel, uint32_t id,
			 enum msg_type message, const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (wire_encode(message, body, &payload, NULL) == 0)
		send_frame(fd, type, flags, channel, id, &payload);
}

static void send_hello(int fd, const struct frame *asked, enum answer answer)
{
	struct msg_hello hello = { .version = PROTOCOL_VERSION,
				   .component = (char *)"agent",
				   .release = (char *)"t" };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct msg_hello *theirs;
	uint8_t nonce[FRAME_NONCE];

	if (frame_get_hello(asked, nonce, &theirs, NULL) < 0)
		return;
	wire_free(MSG_HELLO, theirs);
	if (answer == WRONG_NONCE)
		nonce[FRAME_NONCE - 1] ^= 1;
	frame_put_hello(&payload, nonce, &hello, NULL);
	send_frame(fd, FRAME_HELLO, FRAME_ACK, 0, 0, &payload);
}

static void reply_honestly(int fd, const struct frame *request, enum msg_type type)
{
	struct msg_process_row rows[2] = {
		{ .pid = 1, .ppid = 0, .uid = 3, .command = (char *)"a\tb\x1b[2J" },
		{ .pid = 2, .ppid = 1, .cpu_ms = 77, .command = (char *)"" },
	};
	struct msg_ps_rows list = { .rows = rows, .n_rows = 2 };
	struct msg_statistic values[2] = { { .name = (char *)"memory.stat:\x1b[2J", .value = 7 },
					   { .name = (char *)"", .value = UINT64_MAX } };
	struct msg_statistics statistics = { .values = values, .n_values = 2 };
	struct msg_created created = { .handle = UINT64_MAX - 1, .pid = 82 };

	if (type == MSG_PS)
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_PS_ROWS, &list);
	else if (type == MSG_STATS)
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_STATISTICS, &statistics);
	else if (type == MSG_EXEC || type == MSG_CREATE)
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_CREATED, &created);
	else
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_DONE, NULL);
}

static void reply(int fd, const struct frame *request, enum answer answer)
{
	struct msg_failed failed = { .errnum = ENOENT,
				     .text = (char *)"exec: \"x\x1b[31m\n\": not there" };
	struct msg_close bye = { .reason = CLOSE_VM_ENDED, .text = (char *)"the VM ended: oops" };
	CLEANUP(buf_fini) struct buf garbage = { 0 };
	enum msg_type type;
	void *body;

	if (wire_decode(request->payload, request->length, &type, &body, NULL) < 0)
		return;
	wire_free(type, body);
	if (answer == HONEST)
		reply_honestly(fd, request, type);
	else if (answer == FAILED_TEXT)
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_FAILED, &failed);
	else if (answer == WRONG_TYPE)
		send_message(fd, FRAME_REPLY, 0, 1, request->id, MSG_LAUNCHED, NULL);
	else if (answer == CLOSES)
		send_message(fd, FRAME_CLOSE, 0, 0, 0, MSG_CLOSE, &bye);
	if (answer == GARBAGE) {
		buf_append(&garbage, "\xdd\x00\xff\xff\xff", 5);
		send_frame(fd, FRAME_REPLY, 0, 1, request->id, &garbage);
	}
}

static void serve(int fd, enum answer answer)
{
	CLEANUP(buf_fini) struct buf input = { 0 };
	struct msg_opened opened = { 0 };
	struct frame frame;

	for (;;) {
		uint8_t *to = buf_reserve(&input, 65536);
		ssize_t n = recv(fd, to, 65536, 0);

		if (n <= 0)
			return;
		buf_commit(&input, (size_t)n);
		while (frame_next(&input, &frame, NULL) == 1) {
			if (frame.type == FRAME_HELLO && answer != NO_HELLO)
				send_hello(fd, &frame, answer);
			else if (frame.type == FRAME_OPEN)
				send_message(fd, FRAME_OPEN, FRAME_ACK, 1, 0, MSG_OPENED, &opened);
			else if (frame.type == FRAME_REQUEST &&
				 (answer == ENDS || answer == CRASHES))
				return;
			else if (frame.type == FRAME_REQUEST)
				reply(fd, &frame, answer);
			buf_consume(&input, FRAME_HEADER + frame.length);
		}
	}
}

static void *proxy_thread(void *data)
{
	struct proxy *proxy = data;
	int times = proxy->answer == CRASHES ? 3 : 1;

	for (int i = 1; i <= times; i++) {
		int fd = accept(proxy->listener, NULL, NULL);

		if (fd < 0)
			break;
		/* Nobody waits in a queue that is gone. */
		if (i == times)
			shutdown(proxy->listener, SHUT_RDWR);
		serve(fd, i == 3 ? HONEST : proxy->answer);
		close(fd);
	}
	return NULL;
}

static void proxy_start(struct proxy *proxy, enum answer answer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*proxy = (struct proxy){ .dir = "/tmp/kata-decoder.XXXXXX", .answer = answer };
	cr_assert(mkdtemp(proxy->dir) != NULL);
	snprintf(proxy->path, sizeof(proxy->path), "%s/sock", proxy->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", proxy->path);
	proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(proxy->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(proxy->listener, 1), 0);
	cr_assert_eq(pthread_create(&proxy->thread, NULL, proxy_thread, proxy), 0);
}

static void proxy_stop(struct proxy *proxy)
{
	pthread_join(proxy->thread, NULL);
	close(proxy->listener);
	unlink(proxy->path);
	rmdir(proxy->dir);
}

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip_test("the decoder changes its uid, which needs root");
}

Test(decoder, requests_and_replies)
{
	CLEANUP(freep) struct decoder_statistic *values = NULL;
	CLEANUP(freep) struct decoder_row *rows = NULL;
	int64_t deadline = deadline_in_ms(WAIT_MS);
	uint32_t count = 0;
	struct msg_exec exec = { .container = (char *)"c", .process.cwd = (char *)"/" };
	struct msg_ps ps = { .container = (char *)"c" };
	struct decoder_reply reply;
	struct decoder decoder;
	struct error err = { 0 };
	struct proxy proxy;

	need_root();
	proxy_start(&proxy, HONEST);
	cr_assert_eq(decoder_open(&decoder, proxy.path, UID, false, deadline, &err), 0, "%s",
		     err.text);
	cr_assert_eq(decoder_request(&decoder, MSG_EXEC, &exec, deadline, &reply, NULL, &err), 0,
		     "%s", err.text);
	cr_expect_eq(reply.handle, UINT64_MAX - 1);
	cr_expect_eq(reply.pid, 82);
	cr_assert_eq(decoder_request(&decoder, MSG_PS, &ps, deadline, &reply, &rows, &err), 0);
	cr_assert_eq(reply.n_rows, 2);
	cr_expect_eq(rows[1].cpu_ms, 77);
	cr_expect_str_eq(rows[0].command, "a?b?[2J", "nothing a terminal would obey");
	cr_assert_eq(decoder_statistics(&decoder, "c", deadline, &values, &count, &err), 0, "%s",
		     err.text);
	cr_assert_eq(count, 2);
	cr_expect(strcmp(values[0].name, "memory.stat:?[2J") == 0 && values[0].value == 7);
	cr_expect(values[1].name[0] == '\0' && values[1].value == UINT64_MAX);
	cr_expect_eq(decoder_request(&decoder, MSG_SHUTDOWN, NULL, deadline, NULL, NULL, &err), 0);
	decoder_close(&decoder);
	proxy_stop(&proxy);
}

/* The child has the decoder's uid and no capability. */
Test(decoder, child_has_no_rights)
{
	struct decoder decoder;
	struct error err = { 0 };
	struct proxy proxy;
	char path[64], line[256];
	bool uid = false, bounding = false;
	FILE *status;

	need_root();
	proxy_start(&proxy, HONEST);
	cr_assert_eq(decoder_open(&decoder, proxy.path, UID, false, deadline_in_ms(WAIT_MS), &err),
		     0);
	snprintf(path, sizeof(path), "/proc/%d/status", decoder.pid);
	status = fopen(path, "re");
	cr_assert_neq(status, NULL);
	while (fgets(line, sizeof(line), status) != NULL) {
		uid = uid || strstr(line, "Uid:\t1879100000\t1879100000\t1879100000") == line;
		bounding = bounding || strcmp(line, "CapBnd:\t0000000000000000\n") == 0;
	}
	fclose(status);
	cr_expect(uid);
	cr_expect(bounding);
	decoder_close(&decoder);
	proxy_stop(&proxy);
}

static const struct {
	enum answer answer;
	bool at_open;
	int num; /* 0: any */
	const char *text;
} bad[] = {
	{ FAILED_TEXT, false, ENOENT, "exec: \"x?[31m?\": not there" },
	{ WRONG_TYPE, false, 0, "LAUNCHED" },
	{ GARBAGE, false, 0, "" },
	{ SILENT, false, ETIMEDOUT, "" },
	{ CLOSES, false, ECONNABORTED, "the VM ended: oops" },
	{ ENDS, false, ECONNREFUSED, "connect to the proxy" },
	{ NO_HELLO, true, ETIMEDOUT, "" },
	{ WRONG_NONCE, true, 0, "" },
};

Test(decoder, hostile_answers)
{
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct msg_ps ps = { .container = (char *)"c" };
		int64_t start = deadline_now_ms();
		struct decoder_reply reply = { .n_rows = 77 };
		struct decoder decoder;
		struct error err = { 0 };
		struct proxy proxy;
		int r;

		proxy_start(&proxy, bad[i].answer);
		r = decoder_open(&decoder, proxy.path, UID, false,
				 start + (bad[i].at_open ? 300 : WAIT_MS), &err);
		if (!bad[i].at_open) {
			cr_assert_eq(r, 0, "row %zu: %s", i, err.text);
			r = decoder_request(&decoder, MSG_PS, &ps, deadline_in_ms(300), &reply,
					    NULL, &err);
		}
		cr_expect_lt(r, 0, "row %zu", i);
		cr_expect(bad[i].num == 0 || r == -bad[i].num, "row %zu: %d %s", i, r, err.text);
		cr_expect(strstr(err.text, bad[i].text) != NULL, "row %zu: %s", i, err.text);
		cr_expect_eq(reply.n_rows, 77, "row %zu: written on failure", i);
		cr_expect_lt(deadline_now_ms() - start, WAIT_MS, "row %zu: beyond its deadline", i);
		decoder_close(&decoder);
		proxy_stop(&proxy);
	}
}

/* A worker that crashed is not the end of the request. */
Test(decoder, connects_again)
{
	struct msg_exec exec = { .container = (char *)"c", .process.cwd = (char *)"/" };
	struct decoder_reply reply;
	struct decoder decoder;
	struct error err = { 0 };
	struct proxy proxy;

	need_root();
	proxy_start(&proxy, CRASHES);
	cr_assert_eq(decoder_open(&decoder, proxy.path, UID, false, deadline_in_ms(WAIT_MS), &err),
		     0);
	cr_assert_eq(decoder_request(&decoder, MSG_EXEC, &exec, deadline_in_ms(WAIT_MS), &reply,
				     NULL, &err),
		     0, "%s", err.text);
	cr_expect_eq(reply.handle, UINT64_MAX - 1);
	decoder_close(&decoder);
	proxy_stop(&proxy);
}

/* Who asks for one that is not confined has none. */
Test(decoder, does_not_run_with_rights)
{
	static const struct {
		uid_t uid;
		int lacks; /* a capability, -1: none */
		const char *says;
	} cases[] = {
		{ 0, -1, "a daemon cannot run as uid 0" },
		{ UINT32_MAX, -1, "a daemon cannot run as uid 4294967295" },
		{ UID, CAP_SETPCAP, "set the securebits" },
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct decoder decoder = DECODER_NONE;
		struct error err = { 0 };
		struct proxy proxy;

		proxy_start(&proxy, HONEST);
		if (cases[i].lacks >= 0) {
			cr_assert(capng_get_caps_process() == 0);
			capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     (unsigned)cases[i].lacks);
			cr_assert(capng_apply(CAPNG_SELECT_CAPS) == 0);
		}
		cr_expect(decoder_open(&decoder, proxy.path, cases[i].uid, false,
				       deadline_in_ms(WAIT_MS), &err) < 0);
		cr_expect(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].says,
			  err.text);
		cr_expect_eq(decoder.fd, -1);
		proxy_stop(&proxy);
	}
}

Test(decoder, nobody_listens)
{
	struct decoder decoder;
	struct error err = { 0 };

	cr_expect_eq(
		decoder_open(&decoder, "/nosuch/sock", UID, false, deadline_in_ms(WAIT_MS), &err),
		-ENOENT);
	cr_expect(strstr(err.text, "/nosuch/sock") != NULL, "%s", err.text);
	cr_expect_eq(decoder.fd, -1);
}

/* How many system calls the kernel lets it make. */
static int calls_of(bool seccomp_log)
{
	struct json_object *observed = NULL, *calls = NULL;
	struct error err = { 0 };
	struct decoder decoder;
	struct proxy proxy;
	int count;

	proxy_start(&proxy, HONEST);
	cr_assert_eq(
		decoder_open(&decoder, proxy.path, UID, seccomp_log, deadline_in_ms(WAIT_MS), &err),
		0, "%s", err.text);
	cr_assert_eq(privs_observe(decoder.pid, UID, &observed, &err), 0, "%s", err.text);
	json_object_object_get_ex(observed, "syscalls", &calls);
	count = json_object_get_int(calls);
	json_object_put(observed);
	decoder_close(&decoder);
	proxy_stop(&proxy);
	return count;
}

Test(decoder, its_filter_kills_or_logs)
{
	need_root();
	cr_expect_gt(calls_of(true), 300);
#ifndef __SANITIZE_ADDRESS__
	cr_expect(calls_of(false) > 10 && calls_of(false) <= 25);
#endif
}
