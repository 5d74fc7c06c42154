/*
 * The QMP client: see qmp.h. Used by kata-runtime's commands, which block; the caller owns struct
 * qmp. One thread. Reading is done in two steps, so that the parser can be tested alone: bytes are
 * fed to struct qmp_parser, messages are taken from it.
 */
#include "kata-runtime/qmp.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/error.h"
#include "common/str.h"

enum { READ_SIZE = 16384, CONNECT_RETRY_MS = 10 };

static void json_put(struct json_object **json)
{
	json_object_put(*json);
	*json = NULL;
}

static void tokener_free(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
	*tokener = NULL;
}

void qmp_parser_fini(struct qmp_parser *parser)
{
	buf_fini(&parser->in);
	parser->scanned = 0;
}

int qmp_feed(struct qmp_parser *parser, const void *data, size_t len)
{
	return buf_append(&parser->in, data, len);
}

void qmp_message_fini(struct qmp_message *message)
{
	json_put(&message->json);
	message->body = NULL;
}

/* Whether json-c may see the line: bounds what it will allocate. */
static int check_line(const char *line, size_t len, struct error *err)
{
	size_t values = 1;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\0')
			return error_say(err, EBADMSG, "QEMU sent a NUL byte");
		values += line[i] == ',' || line[i] == '[' || line[i] == '{';
	}
	if (values > QMP_VALUES_MAX)
		return error_say(err, EMSGSIZE, "QEMU sent a message of more than %d values",
				 QMP_VALUES_MAX);
	return 0;
}

/* Parses a whole line into an object: *ret is given to the caller. */
static int parse_line(const char *line, size_t len, struct json_object **ret, struct error *err)
{
	CLEANUP(tokener_free) struct json_tokener *tokener = json_tokener_new_ex(QMP_DEPTH_MAX);
	CLEANUP(json_put) struct json_object *json = NULL;
	enum json_tokener_error status;
	int r;

	r = check_line(line, len, err);
	if (r < 0)
		return r;
	if (tokener == NULL)
		return error_set(err, ENOMEM, "QMP");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, line, (int)len);
	status = json_tokener_get_error(tokener);
	if (status != json_tokener_success)
		return error_say(err, EBADMSG, "QEMU sent what is no JSON: %s",
				 status == json_tokener_continue ? "it is not complete"
								 : json_tokener_error_desc(status));
	if (!json_object_is_type(json, json_type_object))
		return error_say(err, EBADMSG, "QEMU sent JSON that is no object");
	*ret = steal_ptr(&json);
	return 0;
}

/* The member of an object, NULL when it is missing or of another type. */
static struct json_object *member(struct json_object *json, const char *name, enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(json, json_type_object) ||
	    !json_object_object_get_ex(json, name, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

/*
 * Words that container managers search errors for (see error_reason()): QEMU's reasons quote
 * strerror(), so a missing file of ours would be blamed on the container's command.
 */
static void defuse(char *text)
{
	static const char *const words[] = {
		"no such file or directory", "permission denied", "operation not permitted",
		"not a directory",           "no such process",   "does not exist",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (char *p = text; (p = strcasestr(p, words[i])) != NULL;)
			*strchr(p, ' ') = '-';
}

/* Copies a string of QEMU's, escaped and cut. */
static void keep_text(struct qmp_message *message, struct json_object *string)
{
	if (string == NULL)
		return;
	str_escape(message->text, sizeof(message->text), json_object_get_string(string),
		   (size_t)json_object_get_string_len(string));
	defuse(message->text);
}

/* Tells from its members which kind of message it is. */
static int classify(struct qmp_message *message, struct error *err)
{
	struct json_object *json = message->json, *error, *id, *value;

	id = member(json, "id", json_type_int);
	message->id = id != NULL ? json_object_get_int64(id) : -1;
	if (json_object_object_get_ex(json, "return", &value)) {
		message->kind = QMP_RETURN;
		message->body = value;
		return 0;
	}
	error = member(json, "error", json_type_object);
	if (error != NULL) {
		message->kind = QMP_ERROR;
		message->body = error;
		keep_text(message, member(error, "desc", json_type_string));
		return 0;
	}
	value = member(json, "event", json_type_string);
	if (value != NULL) {
		message->kind = QMP_EVENT;
		message->body = member(json, "data", json_type_object);
		keep_text(message, value);
		return 0;
	}
	message->body = member(json, "QMP", json_type_object);
	if (message->body == NULL)
		return error_say(err, EBADMSG, "QEMU sent JSON that is no QMP message");
	message->kind = QMP_GREETING;
	return 0;
}

/* The length of the next line, without its end: 0 or more, -1 when there is no whole one. */
static ssize_t find_line(struct qmp_parser *parser)
{
	size_t len = buf_len(&parser->in);
	const uint8_t *start, *end = NULL;

	if (len == 0)
		return -1;
	start = buf_at(&parser->in);
	if (len > parser->scanned)
		end = memchr(start + parser->scanned, '\n', len - parser->scanned);
	parser->scanned = end != NULL ? 0 : len;
	return end != NULL ? end - start : -1;
}

int qmp_next(struct qmp_parser *parser, struct qmp_message *ret, struct error *err)
{
	struct qmp_message message = { .id = -1 };
	ssize_t len;
	int r;

	for (;;) {
		size_t used;

		len = find_line(parser);
		if (len > QMP_LINE_MAX || (len < 0 && buf_len(&parser->in) > QMP_LINE_MAX))
			return error_say(err, EMSGSIZE, "QEMU sent a message of over %d bytes",
					 QMP_LINE_MAX);
		if (len < 0)
			return 0;
		used = (size_t)len + 1;
		if (len > 0 && buf_at(&parser->in)[len - 1] == '\r')
			len--;
		if (len == 0) {
			buf_consume(&parser->in, used); /* an empty line says nothing */
			continue;
		}
		r = parse_line((const char *)buf_at(&parser->in), (size_t)len, &message.json, err);
		buf_consume(&parser->in, used);
		break;
	}
	if (r < 0)
		return r;
	r = classify(&message, err);
	if (r < 0) {
		qmp_message_fini(&message);
		return r;
	}
	*ret = message;
	return 1;
}

/* Waits until the socket is ready for events: 0 or -ETIMEDOUT. */
static int wait_for(const struct qmp *q, short events, int64_t deadline, struct error *err)
{
	struct pollfd poller = { .fd = q->fd, .events = events };

	for (;;) {
		int left = deadline_left_ms(deadline);
		int n = left > 0 ? poll(&poller, 1, left) : 0;

		if (n > 0)
			return 0;
		if (n == 0 && deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT, "QEMU does not answer");
		if (n < 0 && errno != EINTR)
			return error_set(err, errno, "waiting for QEMU");
	}
}

/* Reads some bytes into the parser; checks the deadline also while bytes keep coming. */
static int read_some(struct qmp *q, int64_t deadline, struct error *err)
{
	for (;;) {
		uint8_t *room = buf_reserve(&q->parser.in, READ_SIZE);
		ssize_t n;
		int r;

		if (room == NULL)
			return error_set(err, ENOMEM, "QMP");
		r = wait_for(q, POLLIN, deadline, err);
		if (r < 0)
			return r;
		n = recv(q->fd, room, READ_SIZE, MSG_DONTWAIT);
		if (n > 0) {
			buf_commit(&q->parser.in, (size_t)n);
			return 0;
		}
		if (n == 0)
			return error_say(err, ECONNRESET, "QEMU closed the QMP connection");
		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "reading from QEMU");
	}
}

/* Waits for the next message that is no event. */
static int read_message(struct qmp *q, int64_t deadline, struct qmp_message *ret, struct error *err)
{
	for (;;) {
		int r = qmp_next(&q->parser, ret, err);

		if (r < 0)
			return r;
		if (r == 1 && ret->kind != QMP_EVENT)
			return 0;
		if (r == 1) {
			if (q->on_event != NULL)
				q->on_event(q->context, ret->text, ret->body);
			qmp_message_fini(ret);
			if (deadline_left_ms(deadline) == 0)
				return error_say(err, ETIMEDOUT, "QEMU sends nothing but events");
			continue;
		}
		r = read_some(q, deadline, err);
		if (r < 0)
			return r;
	}
}

static int write_all(struct qmp *q, const char *text, size_t len, int64_t deadline,
		     struct error *err)
{
	while (len > 0) {
		ssize_t n = send(q->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EPIPE)
			return error_say(err, ECONNRESET, "QEMU closed the QMP connection");
		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "writing to QEMU");
		r = wait_for(q, POLLOUT, deadline, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One byte with the descriptor beside it: QEMU keeps that for the command it begins. */
static int write_fd(struct qmp *q, const char *byte, int fd, int64_t deadline, struct error *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec data = { .iov_base = (char *)byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	while (sendmsg(q->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
		int r;

		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "passing a descriptor to QEMU");
		r = wait_for(q, POLLOUT, deadline, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* fd -1: none. */
static int send_command(struct qmp *q, const char *command, struct json_object *arguments, int fd,
			int64_t deadline, struct error *err)
{
	CLEANUP(json_put) struct json_object *json = json_object_new_object();
	const char *text;
	size_t len;
	int r = 0;

	if (json == NULL)
		return error_set(err, ENOMEM, "QMP");
	if (json_object_object_add(json, "execute", json_object_new_string(command)) < 0 ||
	    json_object_object_add(json, "id", json_object_new_int64(++q->last_id)) < 0 ||
	    (arguments != NULL &&
	     json_object_object_add(json, "arguments", json_object_get(arguments)) < 0))
		return error_set(err, ENOMEM, "QMP");
	text = json_object_to_json_string_length(json, JSON_C_TO_STRING_PLAIN, &len);
	if (text == NULL)
		return error_set(err, ENOMEM, "QMP");
	if (fd >= 0) {
		r = write_fd(q, text++, fd, deadline, err);
		len--;
	}
	if (r == 0)
		r = write_all(q, text, len, deadline, err);
	return r < 0 ? r : write_all(q, "\n", 1, deadline, err);
}

/* Reads the answer to the command that was sent last. */
static int read_answer(struct qmp *q, const char *command, int64_t deadline,
		       struct json_object **ret_return, struct error *err)
{
	CLEANUP(qmp_message_fini) struct qmp_message message = { 0 };
	int r;

	r = read_message(q, deadline, &message, err);
	if (r < 0)
		return error_prefix(err, "QMP %s", command);
	if (message.kind == QMP_GREETING || message.id != q->last_id)
		return error_say(err, EBADMSG, "QMP %s: QEMU answered something else", command);
	if (message.kind == QMP_ERROR)
		return error_say(err, EREMOTEIO, "QEMU refused %s: %s", command,
				 message.text[0] != '\0' ? message.text : "without a reason");
	if (ret_return != NULL)
		*ret_return = json_object_get(message.body);
	return 0;
}

static int exchange(struct qmp *q, const char *command, struct json_object *arguments, int fd,
		    int64_t deadline, struct json_object **ret_return, struct error *err)
{
	int r;

	if (q->fd < 0 || q->broken)
		return error_say(err, ENOTCONN, "QMP %s: the connection is broken", command);
	r = send_command(q, command, arguments, fd, deadline, err);
	if (r < 0)
		r = error_prefix(err, "QMP %s", command);
	else
		r = read_answer(q, command, deadline, ret_return, err);
	q->broken = r < 0 && r != -EREMOTEIO;
	return r;
}

int qmp_command(struct qmp *q, const char *command, struct json_object *arguments, int64_t deadline,
		struct json_object **ret_return, struct error *err)
{
	return exchange(q, command, arguments, -1, deadline, ret_return, err);
}

int qmp_command_fd(struct qmp *q, const char *command, struct json_object *arguments, int fd,
		   int64_t deadline, struct error *err)
{
	return exchange(q, command, arguments, fd, deadline, NULL, err);
}

int qmp_wait_event(struct qmp *q, const bool *done, int64_t deadline, struct error *err)
{
	int r = 0;

	while (!*done && r >= 0) {
		CLEANUP(qmp_message_fini) struct qmp_message message = { 0 };

		r = qmp_next(&q->parser, &message, err);
		if (r == 1 && message.kind != QMP_EVENT)
			r = error_say(err, EBADMSG, "QEMU answered what it was not asked");
		else if (r == 1 && q->on_event != NULL)
			q->on_event(q->context, message.text, message.body);
		else if (r == 0)
			r = read_some(q, deadline, err);
	}
	q->broken = q->broken || (r < 0 && r != -ETIMEDOUT);
	return r < 0 ? error_prefix(err, "QMP") : 0;
}

static int negotiate(struct qmp *q, int64_t deadline, struct error *err)
{
	CLEANUP(qmp_message_fini) struct qmp_message message = { 0 };
	int r;

	r = read_message(q, deadline, &message, err);
	if (r < 0)
		return error_prefix(err, "QMP greeting");
	if (message.kind != QMP_GREETING)
		return error_say(err, EBADMSG, "QMP greeting: QEMU sent something else");
	return qmp_command(q, "qmp_capabilities", NULL, deadline, NULL, err);
}

int qmp_open_fd(struct qmp *q, int fd, int64_t deadline, struct error *err)
{
	int r;

	*q = (struct qmp){ .fd = fd };
	r = negotiate(q, deadline, err);
	if (r < 0)
		qmp_close(q);
	return r;
}

/* Connects without blocking: QEMU's backlog may be full, or QEMU stopped. */
static int connect_to(int fd, const char *path, int64_t deadline, struct error *err)
{
	const struct timespec pause = { .tv_nsec = CONNECT_RETRY_MS * 1000000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", path) < 0)
		return error_set(err, ENAMETOOLONG, "QMP socket %s", path);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "QMP socket %s", path);
		if (deadline_left_ms(deadline) == 0)
			return error_set(err, ETIMEDOUT, "QMP socket %s", path);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int qmp_open(struct qmp *q, const char *path, int64_t deadline, struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	*q = QMP_CLOSED;
	if (fd < 0)
		return error_set(err, errno, "QMP socket");
	r = connect_to(fd, path, deadline, err);
	if (r < 0)
		return r;
	return qmp_open_fd(q, steal_fd(&fd), deadline, err);
}

void qmp_close(struct qmp *q)
{
	fd_close(&q->fd);
	qmp_parser_fini(&q->parser);
}

/* Names of QEMU's RunState; those not here are QMP_STATUS_OTHER. */
static const char *const status_names[] = {
	[QMP_STATUS_RUNNING] = "running",     [QMP_STATUS_PAUSED] = "paused",
	[QMP_STATUS_PRELAUNCH] = "prelaunch", [QMP_STATUS_GUEST_PANICKED] = "guest-panicked",
	[QMP_STATUS_SHUTDOWN] = "shutdown",   [QMP_STATUS_INTERNAL_ERROR] = "internal-error",
	[QMP_STATUS_OTHER] = "other",
};

const char *qmp_status_name(enum qmp_status status)
{
	return (size_t)status < ARRAY_SIZE(status_names) ? status_names[status] : "other";
}

int qmp_status_from(struct json_object *json, enum qmp_status *ret)
{
	struct json_object *value = member(json, "status", json_type_string);

	if (value == NULL)
		return -EBADMSG;
	*ret = QMP_STATUS_OTHER;
	for (size_t i = 0; i < QMP_STATUS_OTHER; i++)
		if (str_eq(json_object_get_string(value), status_names[i]))
			*ret = (enum qmp_status)i;
	return 0;
}

int qmp_query_status(struct qmp *q, int64_t deadline, enum qmp_status *ret, struct error *err)
{
	CLEANUP(json_put) struct json_object *json = NULL;
	int r;

	r = qmp_command(q, "query-status", NULL, deadline, &json, err);
	if (r < 0)
		return r;
	if (qmp_status_from(json, ret) < 0)
		return error_say(err, EBADMSG, "QMP query-status: QEMU sent no status");
	return 0;
}

int qmp_stop(struct qmp *q, int64_t deadline, struct error *err)
{
	return qmp_command(q, "stop", NULL, deadline, NULL, err);
}

int qmp_cont(struct qmp *q, int64_t deadline, struct error *err)
{
	return qmp_command(q, "cont", NULL, deadline, NULL, err);
}

int qmp_system_powerdown(struct qmp *q, int64_t deadline, struct error *err)
{
	return qmp_command(q, "system_powerdown", NULL, deadline, NULL, err);
}

int qmp_quit(struct qmp *q, int64_t deadline, struct error *err)
{
	int r = qmp_command(q, "quit", NULL, deadline, NULL, err);

	q->broken = true;
	return r == -ECONNRESET ? 0 : r;
}
