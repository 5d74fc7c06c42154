/*
 * A blocking QMP client (QEMU's docs/interop/qmp-spec), with a deadline for every wait.
 *
 * QEMU is hostile once a guest has broken out of it, so its lines are looked at before json-c sees
 * them: at most 1 MiB, no NUL, a bounded number of values, 32 levels deep. QEMU serves one client
 * at a time: the caller holds the sandbox's lock. A connection on which anything went wrong, other
 * than a refused command, is broken: every later command on it fails at once.
 */
#ifndef KATA_QMP_H
#define KATA_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct error;
struct json_object;

enum {
	QMP_LINE_MAX = 1 << 20,   /* bytes of one message */
	QMP_VALUES_MAX = 1 << 14, /* values in one message: json-c takes up to 1 kB for each */
	QMP_DEPTH_MAX = 32,
	QMP_TEXT_MAX = 256, /* of a name or reason that is kept, with its NUL */
};

/* --- parsing, without a socket ---------------------------------------------------------------- */

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

struct qmp_message {
	enum qmp_kind kind;
	struct json_object *json; /* the whole message; owned */
	struct json_object
		*body; /* within json: greeting, return value or event data; may be NULL */
	int64_t id;    /* of the command that is answered; -1: none */
	char text[QMP_TEXT_MAX]; /* QMP_ERROR: the reason, QMP_EVENT: its name; printable */
};

/* Bytes that came from QEMU and are not used up. */
struct qmp_parser {
	struct buf in;
	size_t scanned; /* unread bytes known to hold no end of line */
};

void qmp_parser_fini(struct qmp_parser *parser);

/* Appends bytes: 0 or -ENOMEM. */
int qmp_feed(struct qmp_parser *parser, const void *data, size_t len);

/*
 * Takes the next message: 1 and *ret is filled (qmp_message_fini() frees it), 0 when more bytes
 * are needed. -EBADMSG: not a QMP message; -EMSGSIZE: one over a limit. After an error the parser
 * is of no more use.
 */
int qmp_next(struct qmp_parser *parser, struct qmp_message *ret, struct error *err);

void qmp_message_fini(struct qmp_message *message);

/* --- the client ------------------------------------------------------------------------------- */

/* An event, in the order of arrival. data is borrowed and may be NULL. */
typedef void qmp_event_fn(void *context, const char *name, struct json_object *data);

struct qmp {
	int fd;
	bool broken;
	int64_t last_id;
	struct qmp_parser parser;
	qmp_event_fn *on_event; /* NULL: events are dropped; set it after qmp_open() */
	void *context;
};

#define QMP_CLOSED ((struct qmp){ .fd = -1 })

/*
 * Connects to the Unix socket at path, waits for the greeting and negotiates. deadline as in
 * common/deadline.h. -ETIMEDOUT: another client has QEMU, or it is stopped; -ECONNREFUSED, -ENOENT:
 * nobody listens. *q must not be open; on failure it is closed.
 */
int qmp_open(struct qmp *q, const char *path, int64_t deadline, struct error *err);

/* As qmp_open(), on a connected socket. fd is taken over, also on failure. */
int qmp_open_fd(struct qmp *q, int fd, int64_t deadline, struct error *err);

/* Closes; may be called twice. */
void qmp_close(struct qmp *q);

/*
 * Runs a command. arguments is borrowed and may be NULL; *ret_return, unless ret_return is NULL,
 * is given to the caller (json_object_put; NULL stands for JSON's null). -EREMOTEIO: QEMU refused
 * it, and *err is "QEMU refused COMMAND: REASON"; the connection can be used on. -ETIMEDOUT,
 * -ECONNRESET, -EBADMSG, -EMSGSIZE: the connection is broken now; -ENOTCONN: it was before.
 */
int qmp_command(struct qmp *q, const char *command, struct json_object *arguments, int64_t deadline,
		struct json_object **ret_return, struct error *err);

/* As qmp_command(), and fd (borrowed) travels with it, as getfd wants it. */
int qmp_command_fd(struct qmp *q, const char *command, struct json_object *arguments, int fd,
		   int64_t deadline, struct error *err);

/* Gives events to on_event until that has set *done: 0, -ETIMEDOUT, or as for qmp_command(). */
int qmp_wait_event(struct qmp *q, const bool *done, int64_t deadline, struct error *err);

/* --- commands --------------------------------------------------------------------------------- */

enum qmp_status {
	QMP_STATUS_RUNNING,
	QMP_STATUS_PAUSED,
	QMP_STATUS_PRELAUNCH,
	QMP_STATUS_GUEST_PANICKED,
	QMP_STATUS_SHUTDOWN,
	QMP_STATUS_INTERNAL_ERROR, /* of KVM */
	QMP_STATUS_OTHER,          /* migration, input/output error, ... */
};

/* As QEMU calls it, "other" for QMP_STATUS_OTHER. */
const char *qmp_status_name(enum qmp_status status);

/* Reads the value that query-status returned; json may be anything: 0 or -EBADMSG. */
int qmp_status_from(struct json_object *json, enum qmp_status *ret);

int qmp_query_status(struct qmp *q, int64_t deadline, enum qmp_status *ret, struct error *err);
int qmp_stop(struct qmp *q, int64_t deadline, struct error *err);
int qmp_cont(struct qmp *q, int64_t deadline, struct error *err);
int qmp_system_powerdown(struct qmp *q, int64_t deadline, struct error *err);

/* Ends QEMU. The connection is broken then; that it closes before the answer is success, too. */
int qmp_quit(struct qmp *q, int64_t deadline, struct error *err);

#endif
