/* common/call.c: against a thread that plays the proxy by a script of frames. */
#include "common/call.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/deadline.h"
#include "common/wire.h"

/* What the fake proxy does next. */
enum action {
	DONE,   /* nothing more: it reads until the end */
	TAKE,   /* waits for a frame and checks type and id */
	SAY,    /* sends a frame */
	HANG,   /* ends */
	BABBLE, /* sends PING without end */
};

struct step {
	enum action action;
	enum frame_type type;
	uint8_t flags;
	uint32_t channel, id;
	enum msg_type message; /* MSG_NONE: nil */
	const void *body;
};

struct fake {
	int fd;
	pthread_t thread;
	const struct step *steps;
	struct buf input;
	bool failed; /* something else came than the script says */
	bool bad_nonce;
	uint8_t nonce[FRAME_NONCE];
};

static const struct msg_hello hello = { .version = PROTOCOL_VERSION,
					.component = (char *)"agent",
					.release = (char *)"9.9" };

static bool take(struct fake *fake, const struct step *step)
{
	struct msg_hello *got;
	struct frame frame;
	struct error err;
	int r;

	while ((r = frame_next(&fake->input, &frame, &err)) == 0) {
		ssize_t n = read(fake->fd, buf_reserve(&fake->input, 4096), 4096);

		if (n <= 0)
			return false;
		buf_commit(&fake->input, (size_t)n);
	}
	if (r < 0 || frame.type != step->type || frame.channel != step->channel ||
	    frame.id != step->id || frame.flags != 0) {
		fake->failed = true;
		return false;
	}
	if (frame.type == FRAME_HELLO) {
		if (frame_get_hello(&frame, fake->nonce, &got, &err) < 0)
			fake->failed = true;
		else
			wire_free(MSG_HELLO, got);
	}
	buf_consume(&fake->input, FRAME_HEADER + frame.length);
	return true;
}

static bool say(struct fake *fake, const struct step *step)
{
	struct frame frame = { .channel = step->channel,
			       .type = (uint8_t)step->type,
			       .flags = step->flags,
			       .id = step->id };
	struct buf payload = { 0 }, out = { 0 };
	bool sent;

	if (step->type == FRAME_HELLO) {
		if (fake->bad_nonce)
			fake->nonce[FRAME_NONCE - 1] ^= 1;
		frame_put_hello(&payload, fake->nonce, &hello, NULL);
	} else if (step->message == MSG_NONE) {
		frame_put_nil(&payload);
	} else if (wire_encode(step->message, step->body, &payload, NULL) < 0) {
		fake->failed = true;
	}
	frame.length = (uint32_t)buf_len(&payload);
	frame_put_header(buf_reserve(&out, FRAME_HEADER), &frame);
	buf_commit(&out, FRAME_HEADER);
	buf_append(&out, buf_at(&payload), buf_len(&payload));
	sent = send(fake->fd, buf_at(&out), buf_len(&out), MSG_NOSIGNAL) == (ssize_t)buf_len(&out);
	buf_fini(&payload);
	buf_fini(&out);
	return sent;
}

static void *play(void *data)
{
	const struct step ping = { .type = FRAME_PING, .message = MSG_NONE };
	struct fake *fake = data;
	bool go = true;

	for (const struct step *step = fake->steps; go; step++) {
		if (step->action == TAKE) {
			go = take(fake, step);
		} else if (step->action == SAY) {
			go = say(fake, step);
		} else if (step->action == BABBLE) {
			while (say(fake, &ping))
				recv(fake->fd, buf_reserve(&fake->input, 4096), 4096, MSG_DONTWAIT);
			go = false;
		} else if (step->action == HANG) {
			shutdown(fake->fd, SHUT_RDWR);
			go = false;
		} else {
			while (read(fake->fd, buf_reserve(&fake->input, 4096), 4096) > 0)
				continue;
			go = false;
		}
	}
	return NULL;
}

/* A call whose peer follows the script; the fake answers at most one call. */
static void start(struct call *call, struct fake *fake, const struct step *steps)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*fake = (struct fake){ .fd = fds[1], .steps = steps };
	call_init(call, fds[0]);
	cr_assert_eq(pthread_create(&fake->thread, NULL, play, fake), 0);
}

static void stop(struct call *call, struct fake *fake)
{
	close(call->fd);
	call_fini(call);
	pthread_join(fake->thread, NULL);
	close(fake->fd);
	buf_fini(&fake->input);
	cr_assert_not(fake->failed);
}

#define TAKE_HELLO \
	{ \
		TAKE, FRAME_HELLO, 0, 0, 0, MSG_NONE, NULL \
	}
#define SAY_HELLO \
	{ \
		SAY, FRAME_HELLO, FRAME_ACK, 0, 0, MSG_NONE, NULL \
	}
#define TAKE_OPEN \
	{ \
		TAKE, FRAME_OPEN, 0, 1, 0, MSG_NONE, NULL \
	}
#define SAY_OPENED \
	{ \
		SAY, FRAME_OPEN, FRAME_ACK, 1, 0, MSG_OPENED, NULL \
	}
#define TAKE_REQUEST(n) \
	{ \
		TAKE, FRAME_REQUEST, 0, 1, n, MSG_NONE, NULL \
	}
#define SAY_REPLY(n, message, body) \
	{ \
		SAY, FRAME_REPLY, 0, 1, n, message, body \
	}
#define SAY_PING \
	{ \
		SAY, FRAME_PING, 0, 0, 5, MSG_NONE, NULL \
	}
#define TAKE_PONG \
	{ \
		TAKE, FRAME_PONG, 0, 0, 5, MSG_NONE, NULL \
	}

static int request(struct call *call, enum msg_type expected, void **ret_body, struct error *err)
{
	struct msg_start body = { .handle = 3 };
	struct buf payload = { 0 };
	int r;

	cr_assert_eq(wire_encode(MSG_START, &body, &payload, err), 0);
	r = call_request(call, buf_at(&payload), buf_len(&payload), expected, deadline_in_ms(5000),
			 ret_body, err);
	buf_fini(&payload);
	return r;
}

Test(call, whole)
{
	const struct msg_created created = { .handle = 77, .pid = 5 };
	const struct msg_failed failed = { .errnum = ENOENT, .text = (char *)"not there" };
	const struct step steps[] = { TAKE_HELLO,
				      SAY_PING,
				      TAKE_PONG,
				      SAY_HELLO,
				      TAKE_OPEN,
				      SAY_OPENED,
				      TAKE_REQUEST(1),
				      SAY_REPLY(1, MSG_CREATED, &created),
				      TAKE_REQUEST(2),
				      SAY_PING,
				      SAY_REPLY(2, MSG_FAILED, &failed),
				      TAKE_PONG,
				      TAKE_REQUEST(3),
				      SAY_REPLY(3, MSG_DONE, NULL),
				      { DONE } };
	int64_t deadline = deadline_in_ms(5000);
	struct msg_hello *got;
	struct error err = { 0 };
	struct fake fake;
	struct call call;
	void *body;

	start(&call, &fake, steps);
	cr_assert_eq(call_hello(&call, "runtime", deadline, &got, &err), 0, "%s", err.text);
	cr_assert_str_eq(got->component, "agent");
	cr_assert_str_eq(got->release, "9.9");
	wire_free(MSG_HELLO, got);
	cr_assert_eq(call_open(&call, deadline, &err), 0, "%s", err.text);
	cr_assert_eq(request(&call, MSG_CREATED, &body, &err), 0, "%s", err.text);
	cr_assert_eq(((struct msg_created *)body)->handle, 77);
	wire_free(MSG_CREATED, body);
	cr_assert_eq(request(&call, MSG_DONE, &body, &err), -ENOENT);
	cr_assert_str_eq(err.text, "not there");
	cr_assert_eq(request(&call, MSG_DONE, &body, &err), 0, "%s", err.text);
	wire_free(MSG_DONE, body);
	stop(&call, &fake);
}

static const struct msg_close ended = {
	.reason = CLOSE_VM_ENDED,
	.text = (char *)"qemu: kernel: No such file or directory\n\x1b[1m",
};
static const struct msg_close wordless = { .reason = CLOSE_LIMIT };

Test(call, hello_fails)
{
	static const struct {
		struct step steps[4];
		bool bad_nonce;
		int result;
		const char *text; /* a part of the error's */
	} cases[] = {
		{ { TAKE_HELLO, { HANG } }, false, -ECONNRESET, "ended by the proxy" },
		{ { { HANG } }, false, -ECONNRESET, "ended by the proxy" },
		{ { TAKE_HELLO, { SAY, FRAME_CLOSE, 0, 0, 0, MSG_CLOSE, &ended }, { HANG } },
		  false,
		  -ECONNABORTED,
		  "qemu: kernel: No-such-file-or-directory\\x0a\\x1b[1m" },
		/* It says why before it has read anything. */
		{ { { SAY, FRAME_CLOSE, 0, 0, 0, MSG_CLOSE, &wordless }, { HANG } },
		  false,
		  -ECONNABORTED,
		  "no reason given" },
		{ { TAKE_HELLO, { SAY, FRAME_CLOSE, 0, 0, 0, MSG_DONE, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "CLOSE" },
		{ { TAKE_HELLO, SAY_OPENED, { DONE } }, false, -EBADMSG, "OPEN" },
		{ { TAKE_HELLO, { SAY, FRAME_HELLO, 0, 0, 0, MSG_NONE, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "HELLO" },
		{ { TAKE_HELLO, { SAY, FRAME_HELLO, FRAME_ACK, 1, 0, MSG_NONE, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "HELLO" },
		{ { TAKE_HELLO, { SAY, FRAME_EVENT, 0, 1, 1, MSG_EXIT, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "EVENT" },
		{ { TAKE_HELLO, { SAY, FRAME_PING, 0, 1, 0, MSG_NONE, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "PING" },
		{ { TAKE_HELLO, { SAY, 99, 0, 0, 0, MSG_NONE, NULL }, { DONE } },
		  false,
		  -EBADMSG,
		  "unknown type" },
		{ { TAKE_HELLO, SAY_HELLO, { DONE } }, true, -EBADMSG, "another one" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };
		struct fake fake;
		struct call call;

		start(&call, &fake, cases[i].steps);
		fake.bad_nonce = cases[i].bad_nonce;
		cr_expect_eq(call_hello(&call, "runtime", deadline_in_ms(5000), NULL, &err),
			     cases[i].result, "case %zu: %s", i, err.text);
		cr_expect_not_null(strstr(err.text, cases[i].text), "case %zu: %s", i, err.text);
		stop(&call, &fake);
	}
}

Test(call, request_fails)
{
	static const struct {
		struct step steps[4];
		int result;
		const char *text;
	} cases[] = {
		{ { TAKE_REQUEST(1), { HANG } }, -ECONNRESET, "ended by the proxy" },
		{ { TAKE_REQUEST(1), { SAY, FRAME_CLOSE, 0, 1, 0, MSG_CLOSE, &ended }, { DONE } },
		  -ECONNABORTED,
		  "qemu" },
		{ { TAKE_REQUEST(1), SAY_REPLY(2, MSG_DONE, NULL), { DONE } },
		  -EBADMSG,
		  "REPLY 2" },
		{ { TAKE_REQUEST(1), SAY_REPLY(0, MSG_DONE, NULL), { DONE } },
		  -EBADMSG,
		  "REPLY 0" },
		{ { TAKE_REQUEST(1), { SAY, FRAME_REPLY, 0, 2, 1, MSG_DONE, NULL }, { DONE } },
		  -EBADMSG,
		  "channel 2" },
		{ { TAKE_REQUEST(1), SAY_REPLY(1, MSG_CREATED, NULL), { DONE } },
		  -EBADMSG,
		  "CREATED" },
		{ { TAKE_REQUEST(1), SAY_REPLY(1, MSG_NONE, NULL), { DONE } }, -EBADMSG, "" },
		{ { TAKE_REQUEST(1), { SAY, FRAME_DATA, 0, 1, 1, MSG_NONE, NULL }, { DONE } },
		  -EBADMSG,
		  "DATA" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = { 0 };
		struct fake fake;
		struct call call;
		void *body;

		start(&call, &fake, cases[i].steps);
		cr_expect_eq(request(&call, MSG_DONE, &body, &err), cases[i].result, "case %zu: %s",
			     i, err.text);
		cr_expect_not_null(strstr(err.text, cases[i].text), "case %zu: %s", i, err.text);
		stop(&call, &fake);
	}
}

Test(call, deadlines)
{
	static const struct step silent[] = { TAKE_HELLO, { DONE } };
	static const struct step babbling[] = { TAKE_HELLO, { BABBLE } };
	const struct step *const scripts[] = { silent, babbling };

	for (size_t i = 0; i < 2; i++) {
		int64_t begin = deadline_now_ms();
		struct error err = { 0 };
		struct fake fake;
		struct call call;

		start(&call, &fake, scripts[i]);
		cr_expect_eq(call_hello(&call, "runtime", begin + 200, NULL, &err), -ETIMEDOUT,
			     "%s", err.text);
		cr_expect_geq(deadline_now_ms() - begin, 195);
		cr_expect_lt(deadline_now_ms() - begin, 3000);
		stop(&call, &fake);
	}
}

Test(call, a_peer_that_does_not_read)
{
	static uint8_t payload[FRAME_CONTROL_MAX];
	struct error err = { 0 };
	struct call call;
	void *body;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	call_init(&call, fds[0]);
	cr_assert_eq(call_request(&call, payload, sizeof(payload), MSG_DONE, deadline_in_ms(100),
				  &body, &err),
		     -ETIMEDOUT, "%s", err.text);
	call_fini(&call);
	call_init(&call, fds[0]);
	cr_assert_eq(call_request(&call, payload, sizeof(payload) + 1, MSG_DONE,
				  deadline_in_ms(100), &body, &err),
		     -EMSGSIZE);
	cr_assert_eq(call.next_id, 1);
	call_fini(&call);
	close(fds[0]);
	close(fds[1]);
}

/* The connections behind the first, each with its script; connect_next() takes them in order. */
static struct fake later[3];
static const struct step *later_steps[3];
static unsigned n_later;

static int connect_next(struct call *call, int64_t deadline, struct error *err)
{
	struct call next;

	(void)deadline;
	close(call->fd);
	if (n_later == 3 || later_steps[n_later] == NULL) {
		call->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return error_say(err, ECONNREFUSED, "nobody listens");
	}
	start(&next, &later[n_later], later_steps[n_later]);
	n_later++;
	return next.fd;
}

/* A peer that goes at any point is followed by another one, and each request is answered once. */
Test(call, another_connection)
{
	const struct msg_created created = { .handle = 77, .pid = 5 };
	const struct step steps[] = { TAKE_HELLO, SAY_HELLO,       TAKE_OPEN,
				      SAY_OPENED, TAKE_REQUEST(1), { HANG } };
	const struct step second[] = { TAKE_HELLO, SAY_HELLO, TAKE_OPEN, { HANG } };
	const struct step third[] = { TAKE_HELLO,
				      SAY_HELLO,
				      TAKE_OPEN,
				      SAY_OPENED,
				      SAY_REPLY(1, MSG_CREATED, &created),
				      TAKE_REQUEST(1),
				      SAY_REPLY(1, MSG_CREATED, &created),
				      TAKE_REQUEST(2),
				      SAY_REPLY(2, MSG_DONE, NULL),
				      TAKE_REQUEST(3),
				      { HANG } };
	struct error err = { 0 };
	struct fake fake;
	struct call call;
	void *body;

	start(&call, &fake, steps);
	call.connect = connect_next;
	later_steps[0] = second;
	later_steps[1] = third;
	cr_assert_eq(call_hello(&call, "runtime", deadline_in_ms(5000), NULL, &err), 0);
	cr_assert_eq(call_open(&call, deadline_in_ms(5000), &err), 0);
	cr_assert_eq(request(&call, MSG_CREATED, &body, &err), 0, "%s", err.text);
	cr_assert_eq(((struct msg_created *)body)->handle, 77);
	wire_free(MSG_CREATED, body);
	cr_assert_eq(request(&call, MSG_DONE, &body, &err), 0, "%s", err.text);
	wire_free(MSG_DONE, body);
	cr_assert_eq(request(&call, MSG_DONE, &body, &err), -ECONNREFUSED, "%s", err.text);
	stop(&call, &fake);
	for (unsigned i = 0; i < n_later; i++) {
		pthread_join(later[i].thread, NULL);
		close(later[i].fd);
		buf_fini(&later[i].input);
		cr_assert_not(later[i].failed, "connection %u", i + 2);
	}
}
