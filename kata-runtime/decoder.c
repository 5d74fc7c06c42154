/*
 * The runtime's unprivileged half: see decoder.h. parent_* run in kata-runtime as root and read
 * only fixed structs, which they range-check; child_* run with the VM's decoder uid.
 */
#include "kata-runtime/decoder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/call.h"
#include "common/cleanup.h"
#include "common/connect.h"
#include "common/deadline.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"

enum { ROWS_MAX = 2048, REQUEST_MAX = FRAME_CONTROL_MAX, CONNECT_MS = 5000 };

/* What travels on the socketpair: parent to child, followed by len bytes of encoded request. */
struct order {
	int64_t deadline;
	int32_t expected; /* enum msg_type */
	uint32_t len;
};

/* Instead of an answer's errnum: the child needs another connection to the proxy. */
enum { NEED_CONNECTION = -1 };

/* Child to parent, followed by reply.n_rows rows. */
struct answer {
	int32_t errnum; /* 0: success */
	char text[ERROR_TEXT_MAX];
	struct decoder_reply reply;
};

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads exactly len bytes: 0, -EPIPE at the end, -ETIMEDOUT. deadline INT64_MAX: for ever. */
static int read_all(int fd, void *data, size_t len, int64_t deadline)
{
	char *p = data;

	while (len > 0) {
		struct pollfd poller = { .fd = fd, .events = POLLIN };
		int ready =
			poll(&poller, 1, deadline == INT64_MAX ? -1 : deadline_left_ms(deadline));
		ssize_t n;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready == 0)
			return -ETIMEDOUT;
		n = recv(fd, p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Guest text as plain printable UTF-8; unlike str_escape() it leaves quotes alone. */
static void child_printable(char *dst, size_t size, const char *text)
{
	snprintf(dst, size, "%s", text);
	for (char *p = dst; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (!str_is_utf8(dst, strlen(dst)))
		for (char *p = dst; *p != '\0'; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
}

static void child_answer_error(int fd, const struct error *err)
{
	struct answer answer = { .errnum = err->num > 0 ? err->num : EIO };

	child_printable(answer.text, sizeof(answer.text), err->text);
	if (write_all(fd, &answer, sizeof(answer)) < 0)
		_exit(1);
}

static int child_answer_rows(int fd, const struct msg_ps_rows *rows)
{
	struct answer answer = { .reply.n_rows = rows->n_rows };
	int r = write_all(fd, &answer, sizeof(answer));

	for (uint32_t i = 0; i < rows->n_rows && r == 0; i++) {
		struct decoder_row row = { .pid = rows->rows[i].pid,
					   .ppid = rows->rows[i].ppid,
					   .uid = rows->rows[i].uid,
					   .cpu_ms = rows->rows[i].cpu_ms,
					   .start_s = rows->rows[i].start_s };

		child_printable(row.command, sizeof(row.command), rows->rows[i].command);
		r = write_all(fd, &row, sizeof(row));
	}
	return r;
}

static int child_answer_statistics(int fd, const struct msg_statistics *list)
{
	struct answer answer = { .reply.n_rows = list->n_values };
	int r = write_all(fd, &answer, sizeof(answer));

	for (uint32_t i = 0; i < list->n_values && r == 0; i++) {
		struct decoder_statistic item = { .value = list->values[i].value };

		child_printable(item.name, sizeof(item.name), list->values[i].name);
		r = write_all(fd, &item, sizeof(item));
	}
	return r;
}

static int child_answer(int fd, enum msg_type type, const void *body)
{
	struct answer answer = { 0 };

	if (type == MSG_PS_ROWS)
		return child_answer_rows(fd, body);
	if (type == MSG_STATISTICS)
		return child_answer_statistics(fd, body);
	if (type == MSG_CREATED) {
		answer.reply.handle = ((const struct msg_created *)body)->handle;
		answer.reply.pid = ((const struct msg_created *)body)->pid;
	}
	return write_all(fd, &answer, sizeof(answer));
}

struct child {
	struct call call;
	int fd; /* to the parent */
};

/* Carries out one order; ends the child when the parent is gone. */
static void child_serve(int fd, struct call *call)
{
	CLEANUP(freep) uint8_t *payload = NULL;
	struct error err = { 0 };
	struct order order;
	void *body;

	if (read_all(fd, &order, sizeof(order), INT64_MAX) < 0)
		_exit(0);
	payload = order.len <= REQUEST_MAX ? malloc(order.len) : NULL;
	if (payload == NULL || read_all(fd, payload, order.len, INT64_MAX) < 0)
		_exit(1);
	if (call_request(call, payload, order.len, order.expected, order.deadline, &body, &err) <
	    0) {
		child_answer_error(fd, &err);
		return;
	}
	if (child_answer(fd, order.expected, body) < 0)
		_exit(1);
	wire_free(order.expected, body);
}

/* The proxy's worker crashed: the parent, who may, connects to the next one, or gives up. */
static int child_connect(struct call *call, int64_t deadline, struct error *err)
{
	const struct answer need = { .errnum = NEED_CONNECTION };
	struct child *child = (struct child *)call;
	char byte;
	int fd;

	if (write_all(child->fd, &need, sizeof(need)) < 0)
		_exit(0);
	fd = fdpass_receive_one(child->fd, &byte, sizeof(byte), deadline, err);
	if (fd >= 0)
		close(call->fd);
	return fd;
}

static noreturn void child_main(int fd, int socket, uid_t uid, bool seccomp_log, int64_t deadline)
{
	struct answer ready = { 0 };
	struct child child = { .fd = fd };
	struct error err = { 0 };
	int r;

	prctl(PR_SET_NAME, "kata-decoder", 0, 0, 0);
	log_start("runtime", -1, LOG_ERROR);
	r = privsep_close_others((int[]){ fd, socket }, 2, &err);
	if (r == 0)
		r = privsep_enter_root(-1, &err);
	if (r == 0)
		r = privsep_limit(PRIVSEP_DECODER, &err);
	if (r == 0)
		r = privsep_drop(uid, uid, NULL, 0, &err);
	/* A change of ids forgets it. Who is gone by now is seen by the end of its socket. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (r == 0)
		r = privsep_finish(PRIVSEP_DECODER, uid, seccomp_log, &err);
	if (r == 0) {
		call_init(&child.call, socket);
		child.call.connect = child_connect;
		r = call_hello(&child.call, "runtime", deadline, NULL, &err);
	}
	if (r == 0)
		r = call_open(&child.call, deadline, &err);
	if (r < 0) {
		child_answer_error(fd, &err);
		_exit(1);
	}
	if (write_all(fd, &ready, sizeof(ready)) < 0)
		_exit(1);
	for (;;)
		child_serve(fd, &child.call);
}

/* --- the parent ------------------------------------------------------------------------------- */

static int parent_connect_again(struct decoder *decoder, int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int socket = connect_unix(decoder->path, "the proxy", CONNECT_MS, err);

	return socket < 0 ? socket : fdpass_send_one(decoder->fd, socket, "+", deadline, err);
}

/* The answer's fixed part: 0, or the error it carries. */
static int parent_answer(struct decoder *decoder, int64_t deadline, struct answer *answer,
			 struct error *err)
{
	/* A little more than the child has, so that its own words arrive. */
	int r = read_all(decoder->fd, answer, sizeof(*answer), deadline + 500);

	while (r == 0 && answer->errnum == NEED_CONNECTION) {
		r = parent_connect_again(decoder, deadline, err);
		if (r < 0)
			return r;
		r = read_all(decoder->fd, answer, sizeof(*answer), deadline + 500);
	}
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "wait for the agent's answer");
	if (r < 0)
		return error_say(err, EIO, "the process that reads the agent's answers ended");
	answer->text[sizeof(answer->text) - 1] = '\0';
	if (answer->errnum != 0)
		return error_say(err,
				 answer->errnum > 0 && answer->errnum < 4096 ? answer->errnum : EIO,
				 "%s", answer->text);
	if (answer->reply.n_rows > ROWS_MAX)
		return error_say(err, EBADMSG, "the agent's answer has too many rows");
	return 0;
}

int decoder_open(struct decoder *decoder, const char *socket_path, uid_t uid, bool seccomp_log,
		 int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int socket = -1;
	struct answer answer;
	int pair[2], r;
	pid_t pid;

	*decoder = (struct decoder)DECODER_NONE;
	if (str_format(decoder->path, sizeof(decoder->path), "%s", socket_path) < 0)
		return error_set(err, ENAMETOOLONG, "%s", socket_path);
	socket = connect_unix(socket_path, "the proxy", CONNECT_MS, err);
	if (socket < 0)
		return socket;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "socketpair");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_main(pair[1], socket, uid, seccomp_log, deadline);
	close(pair[1]);
	decoder->fd = pair[0];
	if (pid < 0) {
		fd_close(&decoder->fd);
		return error_set(err, errno, "fork");
	}
	decoder->pid = pid;
	r = parent_answer(decoder, deadline, &answer, err);
	if (r < 0)
		decoder_close(decoder);
	return r;
}

void decoder_close(struct decoder *decoder)
{
	fd_close(&decoder->fd);
	if (decoder->pid <= 0)
		return;
	kill(decoder->pid, SIGKILL);
	while (waitpid(decoder->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	decoder->pid = 0;
}

static int parent_rows(struct decoder *decoder, uint32_t count, int64_t deadline,
		       struct decoder_row **ret_rows, struct error *err)
{
	CLEANUP(freep) struct decoder_row *rows = calloc((size_t)count + 1, sizeof(*rows));

	if (rows == NULL)
		return error_set(err, ENOMEM, "process list");
	if (read_all(decoder->fd, rows, count * sizeof(*rows), deadline + 500) < 0)
		return error_say(err, EIO, "the process that reads the agent's answers ended");
	for (uint32_t i = 0; i < count; i++)
		rows[i].command[sizeof(rows[i].command) - 1] = '\0';
	if (ret_rows != NULL)
		*ret_rows = steal_ptr(&rows);
	return 0;
}

/* One request and the fixed part of its answer; what follows that is still to be read. */
static int ask(struct decoder *decoder, enum msg_type type, const void *body, int64_t deadline,
	       struct answer *ret_answer, struct error *err)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };
	struct order order = { .deadline = deadline, .expected = wire_message(type)->reply };
	int r = wire_encode(type, body, &payload, err);

	if (r < 0)
		return r;
	order.len = (uint32_t)buf_len(&payload);
	if (write_all(decoder->fd, &order, sizeof(order)) < 0 ||
	    write_all(decoder->fd, buf_at(&payload), order.len) < 0)
		return error_say(err, EIO, "the process that reads the agent's answers ended");
	return parent_answer(decoder, deadline, ret_answer, err);
}

int decoder_request(struct decoder *decoder, enum msg_type type, const void *body, int64_t deadline,
		    struct decoder_reply *ret_reply, struct decoder_row **ret_rows,
		    struct error *err)
{
	struct answer answer;
	int r = ask(decoder, type, body, deadline, &answer, err);

	if (r == 0 && wire_message(type)->reply == MSG_PS_ROWS)
		r = parent_rows(decoder, answer.reply.n_rows, deadline, ret_rows, err);
	if (r == 0 && ret_reply != NULL)
		*ret_reply = answer.reply;
	return r;
}

int decoder_statistics(struct decoder *decoder, const char *container, int64_t deadline,
		       struct decoder_statistic **ret_values, uint32_t *ret_count,
		       struct error *err)
{
	CLEANUP(freep) struct decoder_statistic *values = NULL;
	struct msg_stats stats = { .container = (char *)container };
	struct answer answer;
	int r = ask(decoder, MSG_STATS, &stats, deadline, &answer, err);

	if (r < 0)
		return r;
	values = calloc((size_t)answer.reply.n_rows + 1, sizeof(*values));
	if (values == NULL)
		return error_set(err, ENOMEM, "statistics");
	if (read_all(decoder->fd, values, answer.reply.n_rows * sizeof(*values), deadline + 500) <
	    0)
		return error_say(err, EIO, "the process that reads the agent's answers ended");
	for (uint32_t i = 0; i < answer.reply.n_rows; i++)
		values[i].name[sizeof(values[i].name) - 1] = '\0';
	*ret_values = steal_ptr(&values);
	*ret_count = answer.reply.n_rows;
	return 0;
}
