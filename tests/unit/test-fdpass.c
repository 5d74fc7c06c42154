/* common/fdpass.c over socket pairs: messages, descriptors, and peers that do neither well. */
#include "common/fdpass.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/frame.h"
#include "common/str.h"
#include "common/wire.h"

enum { SOON = 100, LATE = 10000 }; /* milliseconds */

static int ends[2];

static void make_pair(void)
{
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
}

static void close_pair(void)
{
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

TestSuite(fdpass, .init = make_pair, .fini = close_pair);

static size_t count_fds(void)
{
	CLEANUP(dir_close) DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	cr_assert(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	return n;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Appends a whole frame: header of the type, payload of the message. */
static void put_frame(struct buf *out, enum frame_type frame_type, enum msg_type type)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct frame frame = { .type = (uint8_t)frame_type };
	uint8_t header[FRAME_HEADER];

	cr_assert(wire_encode(type, NULL, &payload, NULL) == 0);
	frame.length = (uint32_t)buf_len(&payload);
	frame_put_header(header, &frame);
	cr_assert(buf_append(out, header, sizeof(header)) == 0);
	cr_assert(buf_append(out, buf_at(&payload), buf_len(&payload)) == 0);
}

/* Sends bytes with n copies of a descriptor, as no honest peer would. */
static void send_raw(const void *bytes, size_t len, int fd, size_t n)
{
	union {
		char bytes[CMSG_SPACE((FDPASS_MAX + 64) * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(int));
	}
	cr_assert(sendmsg(ends[0], &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

Test(fdpass, message_alone)
{
	struct msg_attach attach = { .handle = UINT64_MAX, .terminal = true }, *got;
	struct error err = { 0 };
	void *body;

	cr_assert(fdpass_send(ends[0], MSG_ATTACH, &attach, NULL, 0, deadline_in_ms(LATE), &err) ==
		  0);
	cr_assert(fdpass_send(ends[0], MSG_COMMIT, NULL, NULL, 0, deadline_in_ms(LATE), &err) == 0);
	cr_assert(fdpass_expect(ends[1], MSG_ATTACH, &body, deadline_in_ms(LATE), &err) == 0);
	got = body;
	cr_assert(got->handle == UINT64_MAX && got->terminal);
	wire_free(MSG_ATTACH, body);
	cr_assert(fdpass_expect(ends[1], MSG_COMMIT, NULL, deadline_in_ms(LATE), &err) == 0);
}

/* Descriptors arrive in their order, close-on-exec, and the sender's stay open. */
Test(fdpass, descriptors)
{
	const int files[] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
			      open("/dev/zero", O_RDONLY | O_CLOEXEC),
			      open("/dev/full", O_RDONLY | O_CLOEXEC) };
	size_t before = count_fds(), count = 99;
	int sent[FDPASS_MAX], got[FDPASS_MAX];
	struct error err = { 0 };
	enum msg_type type;
	void *body;

	for (size_t i = 0; i < FDPASS_MAX; i++)
		sent[i] = files[i % 3];
	for (size_t n = 0; n <= FDPASS_MAX; n++) {
		cr_assert(fdpass_send(ends[0], MSG_COMMIT, NULL, sent, n, deadline_in_ms(LATE),
				      &err) == 0);
		cr_assert(fdpass_receive(ends[1], &type, &body, got, FDPASS_MAX, &count,
					 deadline_in_ms(LATE), &err) == 0,
			  "%s", err.text);
		cr_assert(type == MSG_COMMIT && count == n);
		wire_free(type, body);
		for (size_t i = 0; i < n; i++) {
			cr_assert(same_file(got[i], sent[i]) && fcntl(sent[i], F_GETFD) >= 0);
			cr_assert(fcntl(got[i], F_GETFD) == FD_CLOEXEC);
			close(got[i]);
		}
	}
	cr_assert(count_fds() == before);
	cr_assert(fdpass_send(ends[0], MSG_COMMIT, NULL, sent, FDPASS_MAX + 1, deadline_in_ms(LATE),
			      &err) == -EINVAL);
}

/* Two messages in the socket at once keep their own descriptors. */
Test(fdpass, two_messages)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), got[FDPASS_MAX];
	struct error err = { 0 };
	enum msg_type type;
	size_t count;
	void *body;

	cr_assert(fdpass_send(ends[0], MSG_DONE, NULL, &null, 1, deadline_in_ms(LATE), &err) == 0);
	cr_assert(fdpass_send(ends[0], MSG_COMMIT, NULL, &zero, 1, deadline_in_ms(LATE), &err) ==
		  0);
	for (int i = 0; i < 2; i++) {
		cr_assert(fdpass_receive(ends[1], &type, &body, got, FDPASS_MAX, &count,
					 deadline_in_ms(LATE), &err) == 0);
		cr_assert(type == (i == 0 ? MSG_DONE : MSG_COMMIT) && count == 1);
		cr_assert(same_file(got[0], i == 0 ? null : zero));
		wire_free(type, body);
	}
}

/* One more than the receiver takes, in whatever parts: refused, and no descriptor stays open. */
Test(fdpass, descriptors_refused)
{
	static const struct {
		size_t max, head, rest; /* beside the first byte, and beside the others */
		const char *text;       /* NULL: they are taken */
	} cases[] = {
		{ 0, 1, 0, "that nobody asked for" },
		{ 0, 0, 1, "that nobody asked for" },
		{ 0, FDPASS_MAX, 0, "that nobody asked for" },
		{ 1, 1, 0, NULL },
		{ 1, 2, 0, "more than 1 came" },
		{ 1, 1, 1, "more than 1 came" },
		{ 1, 0, FDPASS_MAX, "more than 1 came" },
		{ 8, 8, 0, NULL },
		{ 8, 4, 4, NULL },
		{ 8, 9, 0, "more than 8 came" },
		{ 8, 4, 5, "more than 8 came" },
		{ FDPASS_MAX, FDPASS_MAX, 0, NULL },
		{ FDPASS_MAX, FDPASS_MAX / 2, FDPASS_MAX / 2, NULL },
		{ FDPASS_MAX, FDPASS_MAX + 1, 0, "more than 160 came" },
		{ FDPASS_MAX, FDPASS_MAX + 64, 0, "more than 160 came" },
		{ FDPASS_MAX, 0, FDPASS_MAX + 1, "more than 160 came" },
		{ FDPASS_MAX, FDPASS_MAX, 1, "more than 160 came" },
		{ FDPASS_MAX, FDPASS_MAX / 2 + 1, FDPASS_MAX / 2, "more than 160 came" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		size_t before, count = 0, max = cases[i].max;
		int got[FDPASS_MAX], r;
		struct error err = { 0 };
		enum msg_type type;
		void *body;

		make_pair();
		before = count_fds();
		put_frame(&out, FRAME_REQUEST, MSG_COMMIT);
		send_raw(buf_at(&out), 1, 2, cases[i].head);
		send_raw(buf_at(&out) + 1, buf_len(&out) - 1, 2, cases[i].rest);
		r = fdpass_receive(ends[1], &type, &body, max > 0 ? got : NULL, max,
				   max > 0 ? &count : NULL, deadline_in_ms(LATE), &err);
		cr_assert(r == (cases[i].text == NULL ? 0 : -EBADMSG), "case %zu: %d %s", i, r,
			  err.text);
		if (r == 0) {
			wire_free(type, body);
			cr_assert(count == cases[i].head + cases[i].rest);
			cr_assert(count_fds() == before + count);
			for (size_t fd = 0; fd < count; fd++)
				close(got[fd]);
		} else {
			cr_assert(strstr(err.text, cases[i].text) != NULL, "%s", err.text);
		}
		cr_assert(count_fds() == before, "case %zu leaves descriptors", i);
		close_pair();
	}
	make_pair();
}

/* A process that can open no more says so and holds nothing. */
Test(fdpass, no_room_for_descriptors)
{
	struct rlimit limit = { 20, 20 };
	int sent[FDPASS_MAX], got[FDPASS_MAX];
	struct error err = { 0 };
	enum msg_type type;
	size_t count, before;
	void *body;

	for (size_t i = 0; i < FDPASS_MAX; i++)
		sent[i] = 2;
	cr_assert(fdpass_send(ends[0], MSG_DONE, NULL, sent, FDPASS_MAX, deadline_in_ms(LATE),
			      &err) == 0);
	before = count_fds();
	cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	cr_assert(fdpass_receive(ends[1], &type, &body, got, FDPASS_MAX, &count,
				 deadline_in_ms(LATE), &err) == -EBADMSG);
	cr_assert(strstr(err.text, "no more can be open") != NULL, "%s", err.text);
	cr_assert(count_fds() == before);
}

Test(fdpass, peer_closes)
{
	CLEANUP(buf_fini) struct buf out = { 0 };

	put_frame(&out, FRAME_REQUEST, MSG_COMMIT);
	for (size_t len = 0; len < buf_len(&out); len++) {
		struct error err = { 0 };
		size_t before, count;
		int got[FDPASS_MAX];
		enum msg_type type;
		void *body;

		close_pair();
		make_pair();
		before = count_fds();
		if (len > 0)
			send_raw(buf_at(&out), len, 2, 3);
		fd_close(&ends[0]);
		cr_assert(fdpass_receive(ends[1], &type, &body, got, FDPASS_MAX, &count,
					 deadline_in_ms(LATE), &err) == -ENOTCONN,
			  "cut at %zu: %s", len, err.text);
		cr_assert(strstr(err.text, "closed") != NULL);
		cr_assert(count_fds() == before - 1);
	}
}

/* Linux tells of unread bytes by ECONNRESET; to callers the peer has just ended. */
Test(fdpass, peer_closes_without_reading)
{
	struct error err = { 0 };

	cr_assert(fdpass_send(ends[1], MSG_DONE, NULL, NULL, 0, deadline_in_ms(LATE), &err) == 0);
	fd_close(&ends[0]);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err) == -ENOTCONN);
	cr_assert(fdpass_send(ends[1], MSG_DONE, NULL, NULL, 0, deadline_in_ms(LATE), &err) ==
		  -EPIPE); /* and no SIGPIPE */
	cr_assert(str_starts(err.text, "DONE: "), "%s", err.text);
}

Test(fdpass, deadline_to_receive)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	int64_t begin = deadline_now_ms();
	size_t before = count_fds(), count;
	struct error err = { 0 };
	enum msg_type type;
	void *body;
	int got[2];

	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(SOON), &err) == -ETIMEDOUT);
	cr_assert(deadline_now_ms() - begin >= SOON && deadline_now_ms() - begin < LATE);
	put_frame(&out, FRAME_REQUEST, MSG_DONE);
	send_raw(buf_at(&out), buf_len(&out) - 1, 2, 2);
	cr_assert(fdpass_receive(ends[1], &type, &body, got, 2, &count, deadline_in_ms(SOON),
				 &err) == -ETIMEDOUT);
	cr_assert(count_fds() == before);
	/* A deadline that has passed still takes what is there. */
	close_pair();
	make_pair();
	send_raw(buf_at(&out), buf_len(&out), -1, 0);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, 0, &err) == 0);
}

/* Nobody reads: the socket's queue fills, and the sender gives up in time. */
Test(fdpass, deadline_to_send)
{
	CLEANUP(freep) char *text = calloc(1, 8192);
	char *items[65] = { 0 };
	struct msg_launch launch = { .sandbox = (char[]){ "s" }, .uid_base = 100000 };
	int64_t begin = deadline_now_ms();
	struct error err = { 0 };
	int r = 0;

	cr_assert(text != NULL);
	memset(text, 'x', 8000);
	for (size_t i = 0; i < 64; i++)
		items[i] = text;
	launch.qemu_args = (struct wire_strings){ items, 64 };
	for (int i = 0; i < 100 && r == 0; i++)
		r = fdpass_send(ends[0], MSG_LAUNCH, &launch, NULL, 0, deadline_in_ms(SOON), &err);
	cr_assert(r == -ETIMEDOUT, "%d %s", r, err.text);
	cr_assert(deadline_now_ms() - begin < LATE);
}

/* A message larger than the socket's queue, with descriptors, while the peer reads. */
Test(fdpass, large_message)
{
	CLEANUP(freep) char *text = calloc(1, 8192);
	char *items[121] = { 0 };
	struct msg_launch launch = { .sandbox = (char[]){ "s" }, .uid_base = 100000 }, *got;
	int fds[FDPASS_MAX], null = open("/dev/null", O_RDONLY | O_CLOEXEC), status;
	struct error err = { 0 };
	enum msg_type type;
	size_t count;
	void *body;
	pid_t pid;

	cr_assert(text != NULL);
	memset(text, 'x', 8000);
	for (size_t i = 0; i < 120; i++)
		items[i] = text;
	launch.qemu_args = (struct wire_strings){ items, 120 };
	pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0)
		_exit(fdpass_send(ends[0], MSG_LAUNCH, &launch, &null, 1, deadline_in_ms(LATE),
				  &err) == 0
			      ? 0
			      : 1);
	cr_assert(fdpass_receive(ends[1], &type, &body, fds, FDPASS_MAX, &count,
				 deadline_in_ms(LATE), &err) == 0,
		  "%s", err.text);
	got = body;
	cr_assert(type == MSG_LAUNCH && count == 1 && got->qemu_args.count == 120);
	cr_assert(same_file(fds[0], null) && strlen(got->qemu_args.items[119]) == 8000);
	wire_free(type, body);
	cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
}

Test(fdpass, failed_becomes_the_error)
{
	struct error sent = { 0 }, err = { 0 };
	size_t count, before = count_fds();
	int got[FDPASS_MAX], r;
	enum msg_type type;
	void *body;

	error_set(&sent, EBUSY, "lock caf\xe9"); /* such a path is in many a text */
	fdpass_send_error(ends[0], &sent);
	r = fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err);
	cr_assert(r == -EBUSY && err.num == EBUSY, "%d %s", r, err.text);
	cr_assert_str_eq(err.text, "lock caf?: Device or resource busy");

	error_say(&sent, 0, "odd");
	fdpass_send_error(ends[0], &sent);
	r = fdpass_receive(ends[1], &type, &body, got, FDPASS_MAX, &count, deadline_in_ms(LATE),
			   &err);
	cr_assert(r == -EPROTO && str_eq(err.text, "odd"));

	for (size_t i = 0; i < 300; i++) /* the longest text */
		error_prefix(&sent, "words%zu", i);
	cr_assert(strlen(sent.text) == ERROR_TEXT_MAX - 1);
	fdpass_send_error(ends[0], &sent);
	r = fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err);
	cr_assert(r == -EPROTO && str_eq(err.text, sent.text));
	cr_assert(count_fds() == before);
	fd_close(&ends[1]);
	fdpass_send_error(ends[0], &sent); /* nobody listens: no signal, no wait */
}

/* Who refuses to go on says why and ends: that is heard whether our message got through or not. */
Test(fdpass, last_words_are_heard)
{
	struct error why, err = { 0 };

	for (int early = 0; early < 2; early++) {
		error_say(&why, EPERM, "not confined");
		if (early == 0)
			cr_assert(fdpass_send(ends[0], MSG_DONE, NULL, NULL, 0,
					      deadline_in_ms(1000), &err) == 0);
		fdpass_send_error(ends[1], &why);
		fd_close(&ends[1]);
		cr_expect_eq(fdpass_ask(ends[0], MSG_DONE, NULL, NULL, 0, MSG_DONE,
					deadline_in_ms(1000), &err),
			     -EPERM);
		cr_expect_str_eq(err.text, "not confined");
		cr_expect_eq(fdpass_ask(ends[0], MSG_DONE, NULL, NULL, 0, MSG_DONE,
					deadline_in_ms(1000), &err),
			     -ENOTCONN);
		close_pair();
		make_pair();
	}
}

/* An answer without a question is none. */
Test(fdpass, answers_that_nobody_asked_for)
{
	struct error err = { 0 };

	cr_assert(fdpass_send(ends[1], MSG_DONE, NULL, NULL, 0, deadline_in_ms(1000), &err) == 0);
	fd_close(&ends[1]);
	cr_expect_eq(
		fdpass_ask(ends[0], MSG_DONE, NULL, NULL, 0, MSG_DONE, deadline_in_ms(1000), &err),
		-EPIPE);
	cr_expect_str_eq(err.text, "DONE came before DONE was sent");
}

Test(fdpass, other_message)
{
	struct error err = { 0 };

	cr_assert(fdpass_send(ends[0], MSG_COMMIT, NULL, NULL, 0, deadline_in_ms(LATE), &err) == 0);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err) == -EBADMSG);
	cr_assert_str_eq(err.text, "COMMIT came instead of DONE");
}

Test(fdpass, damaged_frames)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct error err = { 0 };

	put_frame(&out, FRAME_EVENT, MSG_DONE);
	send_raw(buf_at(&out), buf_len(&out), -1, 0);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err) == -EBADMSG);
	cr_assert_str_eq(err.text, "frame EVENT between processes");

	close_pair();
	make_pair();
	buf_at(&out)[8] = FRAME_REQUEST;
	buf_at(&out)[0] = 0x7f; /* 2 GiB: refused by the header, nothing is allocated */
	send_raw(buf_at(&out), buf_len(&out), -1, 0);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err) == -EBADMSG);

	close_pair();
	make_pair();
	buf_at(&out)[0] = 0;
	buf_at(&out)[buf_len(&out) - 1] = 0xc1;
	send_raw(buf_at(&out), buf_len(&out), -1, 0);
	cr_assert(fdpass_expect(ends[1], MSG_DONE, NULL, deadline_in_ms(LATE), &err) == -EBADMSG);
}

Test(fdpass, bad_socket)
{
	struct error err = { 0 };

	cr_assert(fdpass_expect(-1, MSG_DONE, NULL, deadline_in_ms(SOON), &err) < 0);
	cr_assert(fdpass_send(-1, MSG_DONE, NULL, NULL, 0, deadline_in_ms(SOON), &err) == -EBADF);
}

/* --- one descriptor, as on a console socket --------------------------------------------------- */

Test(fdpass, one)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd;
	char payload[64] = "", longest[4096];
	struct error err = { 0 };

	cr_assert(fdpass_send_one(ends[0], null, "/dev/pts/7", deadline_in_ms(LATE), &err) == 0);
	fd = fdpass_receive_one(ends[1], payload, sizeof(payload) - 1, deadline_in_ms(LATE), &err);
	cr_assert(fd >= 0 && same_file(fd, null) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	cr_assert_str_eq(payload, "/dev/pts/7");
	close(fd);

	memset(longest, 'p', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert(fdpass_send_one(ends[0], null, longest, deadline_in_ms(LATE), &err) == 0);
	fd = fdpass_receive_one(ends[1], longest, sizeof(longest), deadline_in_ms(LATE), &err);
	cr_assert(fd >= 0 && strlen(longest) == 4095);
	/* Without a byte to travel with, the descriptor would stay behind unnoticed. */
	cr_assert(fdpass_send_one(ends[0], null, "", deadline_in_ms(LATE), &err) == -EINVAL);
	cr_assert(fdpass_send_one(ends[0], -1, "x", deadline_in_ms(LATE), &err) == -EBADF);
}

Test(fdpass, one_refused)
{
	size_t before = count_fds();
	struct error err = { 0 };
	char payload[8];

	send_raw("x", 1, -1, 0);
	cr_assert(fdpass_receive_one(ends[1], payload, sizeof(payload), deadline_in_ms(LATE),
				     &err) == -EBADMSG);
	cr_assert_str_eq(err.text, "no descriptor came");
	send_raw("x", 1, 2, 2);
	cr_assert(fdpass_receive_one(ends[1], payload, sizeof(payload), deadline_in_ms(LATE),
				     &err) == -EBADMSG);
	send_raw("x", 1, 2, 20);
	cr_assert(fdpass_receive_one(ends[1], payload, sizeof(payload), deadline_in_ms(LATE),
				     &err) == -EBADMSG);
	cr_assert(fdpass_receive_one(ends[1], payload, sizeof(payload), deadline_in_ms(SOON),
				     &err) == -ETIMEDOUT);
	cr_assert(count_fds() == before);
	fd_close(&ends[0]);
	cr_assert(fdpass_receive_one(ends[1], payload, sizeof(payload), deadline_in_ms(LATE),
				     &err) == -ENOTCONN);
}
