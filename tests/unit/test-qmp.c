/* The QMP client: kata-runtime/qmp.h. The parser alone, then the client against a fake QEMU. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/error.h"
#include "common/str.h"
#include "kata-runtime/qmp.h"
#include "tests/unit/qmp-fake.h"

enum { SHORT_MS = 150 };

/* --- the parser ------------------------------------------------------------------------------- */

static const struct {
	const char *line;
	int r; /* 1: a message */
	int kind;
	int64_t id;
	const char *text; /* of the message, or words of the error */
} lines[] = {
	{ "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n", 1, QMP_GREETING, -1, "" },
	{ "{\"return\": {}, \"id\": 7}\r\n", 1, QMP_RETURN, 7, "" },
	{ "{\"return\": {}}\n", 1, QMP_RETURN, -1, "" },
	{ "{\"return\": null, \"id\": 1}\n", 1, QMP_RETURN, 1, "" },
	{ "{\"return\": [1, 2], \"id\": 0}\n", 1, QMP_RETURN, 0, "" },
	{ "{\"return\": {}, \"id\": \"7\"}\n", 1, QMP_RETURN, -1, "" },
	{ "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 3}\n", 1, QMP_ERROR,
	  3, "no" },
	{ "{\"error\": {}, \"id\": 3}\n", 1, QMP_ERROR, 3, "" },
	{ "{\"error\": {\"desc\": 5}, \"id\": 3}\n", 1, QMP_ERROR, 3, "" },
	{ "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1}}\n", 1, QMP_EVENT, -1, "STOP" },
	{ "{\"event\": \"X\", \"data\": \"no object\"}\n", 1, QMP_EVENT, -1, "X" },
	{ "\r\n\n\r\n{\"return\": {}, \"id\": 2}\n", 1, QMP_RETURN, 2, "" },
	/* Escapes of the terminal, and words that docker would search an error for. */
	{ "{\"error\": {\"desc\": \"\\u001b[31mred\\n\"}}\n", 1, QMP_ERROR, -1,
	  "\\x1b[31mred\\x0a" },
	{ "{\"error\": {\"desc\": \"open /x: No such file or directory\"}}\n", 1, QMP_ERROR, -1,
	  "open /x: No-such file or directory" },
	{ "{\"error\": {\"desc\": \"Permission denied; permission denied\"}}\n", 1, QMP_ERROR, -1,
	  "Permission-denied; permission-denied" },
	{ "", 0, 0, 0, NULL },
	{ "{\"return\": {}}", 0, 0, 0, NULL },
	{ "\r\n", 0, 0, 0, NULL },
	{ "garbage\n", -EBADMSG, 0, 0, "no JSON" },
	{ "{\n", -EBADMSG, 0, 0, "no JSON" },
	{ "{\"return\": {}} x\n", -EBADMSG, 0, 0, "no JSON" },
	{ "{\"return\": {}} {\"return\": {}}\n", -EBADMSG, 0, 0, "no JSON" },
	{ "{\"return\": {},}\n", -EBADMSG, 0, 0, "no JSON" },
	{ "{\"return\": \"\xff\"}\n", -EBADMSG, 0, 0, "no JSON" },
	{ "\"return\"\n", -EBADMSG, 0, 0, "no object" },
	{ "12\n", -EBADMSG, 0, 0, "no" },
	{ "null\n", -EBADMSG, 0, 0, "no JSON" },
	{ "[]\n", -EBADMSG, 0, 0, "no object" },
	{ "{}\n", -EBADMSG, 0, 0, "no QMP message" },
	{ "{\"error\": \"text\"}\n", -EBADMSG, 0, 0, "no QMP message" },
	{ "{\"event\": {}}\n", -EBADMSG, 0, 0, "no QMP message" },
	{ "{\"QMP\": 1}\n", -EBADMSG, 0, 0, "no QMP message" },
};

static void check_line(size_t row, struct qmp_parser *parser)
{
	CLEANUP(qmp_message_fini) struct qmp_message message = { 0 };
	struct error err = { 0 };
	int r = qmp_next(parser, &message, &err);

	cr_expect_eq(r, lines[row].r, "row %zu: %d %s", row, r, err.text);
	if (r < 0) {
		cr_expect(strstr(err.text, lines[row].text) != NULL, "row %zu: %s", row, err.text);
	} else if (r == 1) {
		cr_expect_eq((int)message.kind, lines[row].kind, "row %zu", row);
		cr_expect_eq(message.id, lines[row].id, "row %zu", row);
		cr_expect_str_eq(message.text, lines[row].text, "row %zu", row);
	}
}

Test(qmp_parser, lines)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		CLEANUP(qmp_parser_fini) struct qmp_parser parser = { 0 };

		cr_assert_eq(qmp_feed(&parser, lines[i].line, strlen(lines[i].line)), 0);
		check_line(i, &parser);
	}
}

/* The same result when the bytes come one by one: nothing before the last. */
Test(qmp_parser, split_anywhere)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		CLEANUP(qmp_parser_fini) struct qmp_parser parser = { 0 };
		size_t len = strlen(lines[i].line);
		struct qmp_message message;

		for (size_t k = 0; k < len; k++) {
			cr_assert_eq(qmp_next(&parser, &message, NULL), 0, "row %zu byte %zu", i,
				     k);
			cr_assert_eq(qmp_feed(&parser, lines[i].line + k, 1), 0);
		}
		check_line(i, &parser);
	}
}

Test(qmp_parser, several_in_one_read)
{
	static const char text[] =
		"{\"event\": \"A\"}\r\n{\"event\": \"B\"}\r\n{\"return\": {}}\r\n{";
	static const char *const names[] = { "A", "B", "" };
	CLEANUP(qmp_parser_fini) struct qmp_parser parser = { 0 };
	struct qmp_message message;

	cr_assert_eq(qmp_feed(&parser, text, sizeof(text) - 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cr_assert_eq(qmp_next(&parser, &message, NULL), 1);
		cr_expect_str_eq(message.text, names[i]);
		qmp_message_fini(&message);
	}
	cr_expect_eq(qmp_next(&parser, &message, NULL), 0);
}

Test(qmp_parser, nul_byte)
{
	static const char text[] = "{\"return\": {}}\0{}\n";
	CLEANUP(qmp_parser_fini) struct qmp_parser parser = { 0 };
	struct qmp_message message;
	struct error err = { 0 };

	cr_assert_eq(qmp_feed(&parser, text, sizeof(text) - 1), 0);
	cr_expect_eq(qmp_next(&parser, &message, &err), -EBADMSG);
	cr_expect(strstr(err.text, "NUL") != NULL, "%s", err.text);
}

/* A line "START FILL... END" of len bytes, fill repeated as often as it fits. */
static int parse_filled(const char *start, const char *fill, const char *end, size_t len)
{
	CLEANUP(qmp_parser_fini) struct qmp_parser parser = { 0 };
	struct qmp_message message = { 0 };
	char *text = malloc(len + 1);
	size_t used = strlen(start), n = strlen(fill);
	int r;

	memcpy(text, start, used);
	for (; used + n + strlen(end) <= len; used += n)
		memcpy(text + used, fill, n);
	memcpy(text + used, end, strlen(end) + 1);
	cr_assert_eq(qmp_feed(&parser, text, used + strlen(end)), 0);
	free(text);
	r = qmp_next(&parser, &message, NULL);
	if (r == 1)
		qmp_message_fini(&message);
	return r;
}

Test(qmp_parser, limits)
{
	const char *start = "{\"return\": \"", *end = "\"}\n";

	cr_expect_eq(parse_filled(start, "a", end, QMP_LINE_MAX), 1);
	cr_expect_eq(parse_filled(start, "a", end, QMP_LINE_MAX + 1), 1);
	cr_expect_eq(parse_filled(start, "a", end, QMP_LINE_MAX + 2), -EMSGSIZE);
	cr_expect_eq(parse_filled(start, "a", "a", QMP_LINE_MAX), 0);
	cr_expect_eq(parse_filled(start, "a", "a", QMP_LINE_MAX + 1), -EMSGSIZE);
	cr_expect_eq(parse_filled("{\"return\": [", "1,", "1]}\n", 2 * QMP_VALUES_MAX - 64), 1);
	cr_expect_eq(parse_filled("{\"return\": [", "1,", "1]}\n", 2 * QMP_VALUES_MAX + 64),
		     -EMSGSIZE);
	cr_expect_eq(parse_filled("{\"return\": [", "[],", "[]]}\n", QMP_LINE_MAX), -EMSGSIZE);
	cr_expect_eq(parse_filled("{\"return\": ", "[", "\n", 4096), -EBADMSG);
	cr_expect_eq(parse_filled("", "{\"return\":", "\n", 4096), -EBADMSG);
}

static const struct {
	const char *json;
	int r;
	enum qmp_status status;
} statuses[] = {
	{ "{\"status\": \"running\", \"running\": true}", 0, QMP_STATUS_RUNNING },
	{ "{\"status\": \"paused\"}", 0, QMP_STATUS_PAUSED },
	{ "{\"status\": \"prelaunch\"}", 0, QMP_STATUS_PRELAUNCH },
	{ "{\"status\": \"guest-panicked\"}", 0, QMP_STATUS_GUEST_PANICKED },
	{ "{\"status\": \"shutdown\"}", 0, QMP_STATUS_SHUTDOWN },
	{ "{\"status\": \"internal-error\"}", 0, QMP_STATUS_INTERNAL_ERROR },
	{ "{\"status\": \"inmigrate\"}", 0, QMP_STATUS_OTHER },
	{ "{\"status\": \"\"}", 0, QMP_STATUS_OTHER },
	{ "{\"status\": 1}", -EBADMSG, 0 },
	{ "{\"status\": null}", -EBADMSG, 0 },
	{ "{}", -EBADMSG, 0 },
	{ "[\"status\"]", -EBADMSG, 0 },
	{ "\"running\"", -EBADMSG, 0 },
	{ "null", -EBADMSG, 0 },
};

Test(qmp_parser, status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct json_object *json = json_tokener_parse(statuses[i].json);
		enum qmp_status status = QMP_STATUS_OTHER;

		cr_expect_eq(qmp_status_from(json, &status), statuses[i].r, "row %zu", i);
		if (statuses[i].r == 0)
			cr_expect_eq(status, statuses[i].status, "row %zu", i);
		json_object_put(json);
	}
	cr_expect_str_eq(qmp_status_name(QMP_STATUS_GUEST_PANICKED), "guest-panicked");
	cr_expect_str_eq(qmp_status_name(QMP_STATUS_OTHER), "other");
	cr_expect_str_eq(qmp_status_name((enum qmp_status)99), "other");
}

/* --- the client ------------------------------------------------------------------------------- */

Test(qmp, commands)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"stop\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"execute\":\"query-status\"" },
		{ FAKE_DRIP, "{\"return\": {\"status\": \"paused\", \"running\": false}, "
			     "\"id\": $ID}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"cont\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"execute\":\"system_powerdown\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"execute\":\"quit\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	enum qmp_status status = QMP_STATUS_OTHER;
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect_eq(fcntl(q.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_expect_eq(qmp_stop(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_query_status(&q, deadline_in_ms(SOON_MS), &status, &err), 0);
	cr_expect_eq(status, QMP_STATUS_PAUSED);
	cr_expect_eq(qmp_cont(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_system_powerdown(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_quit(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_stop(&q, deadline_in_ms(SOON_MS), &err), -ENOTCONN);
	end_fake(&fake, &q);
}

Test(qmp, arguments_and_return)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"arguments\":{\"id\":\"dimm0\",\"size\":5}" },
		{ FAKE_SEND, "{\"return\": {\"answer\": 42}, \"id\": $ID}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"x\"" },
		{ FAKE_SEND, "{\"return\": null, \"id\": $ID}\r\n" },
	};
	struct json_object *arguments = json_tokener_parse("{\"id\": \"dimm0\", \"size\": 5}");
	struct json_object *answer = NULL;
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_assert_eq(
		qmp_command(&q, "object-add", arguments, deadline_in_ms(SOON_MS), &answer, &err), 0,
		"%s", err.text);
	cr_expect_eq(json_object_get_int(json_object_object_get(answer, "answer")), 42);
	json_object_put(answer);
	cr_expect_str_eq(json_object_get_string(json_object_object_get(arguments, "id")), "dimm0");
	cr_expect_eq(json_object_put(arguments), 1, "the arguments were only borrowed");
	cr_assert_eq(qmp_command(&q, "x", NULL, deadline_in_ms(SOON_MS), &answer, &err), 0);
	cr_expect_null(answer);
	end_fake(&fake, &q);
}

struct seen {
	int count;
	char names[64];
	int action_seen;
};

static void on_event(void *context, const char *name, struct json_object *data)
{
	struct seen *seen = context;
	struct json_object *action;

	seen->count++;
	snprintf(seen->names + strlen(seen->names), sizeof(seen->names) - strlen(seen->names),
		 "%s ", name);
	if (data != NULL && json_object_object_get_ex(data, "action", &action))
		seen->action_seen += str_eq(json_object_get_string(action), "pause");
}

Test(qmp, events_between)
{
	static const struct fake_qemu_step steps[] = {
		{ FAKE_SEND, "{\"event\": \"EARLY\"}\r\n" },
		FAKE_HELLO,
		{ FAKE_SEND, "{\"event\": \"A\", \"data\": {\"action\": \"pause\"}}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"stop\"" },
		{ FAKE_SEND, "{\"event\": \"STOP\"}\r\n{\"event\": \"B\", \"data\": 3}\r\n" },
		{ FAKE_SEND, FAKE_DONE },
	};
	struct seen seen = { 0 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	q.on_event = on_event;
	q.context = &seen;
	cr_expect_eq(qmp_stop(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(seen.count, 3);
	cr_expect_str_eq(seen.names, "A STOP B ");
	cr_expect_eq(seen.action_seen, 1);
	end_fake(&fake, &q);
}

/* A refusal is not the connection's end. */
Test(qmp, refused)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "device_add" },
		{ FAKE_SEND, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Bus 'x' not "
			     "found\"}, \"id\": $ID}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"cont\"" },
		{ FAKE_SEND, "{\"error\": {}, \"id\": $ID}\r\n" },
		{ FAKE_EXPECT, "\"execute\":\"stop\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect_eq(qmp_command(&q, "device_add", NULL, deadline_in_ms(SOON_MS), NULL, &err),
		     -EREMOTEIO);
	cr_expect_str_eq(err.text, "QEMU refused device_add: Bus 'x' not found");
	cr_expect_eq(qmp_cont(&q, deadline_in_ms(SOON_MS), &err), -EREMOTEIO);
	cr_expect_str_eq(err.text, "QEMU refused cont: without a reason");
	cr_expect_eq(qmp_stop(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	end_fake(&fake, &q);
}

/* What breaks the connection while a command waits; the next command fails without waiting. */
static const struct {
	struct fake_qemu_step step;
	int r;
	const char *words;
} breaks[] = {
	{ { FAKE_SILENCE }, -ETIMEDOUT, "QMP stop: QEMU does not answer" },
	{ { FAKE_FLOOD, "{\"event\": \"E\"}\r\n" }, -ETIMEDOUT, "QMP stop: QEMU " },
	{ { FAKE_FLOOD, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
	  -EMSGSIZE,
	  "QMP stop: QEMU sent a message of over 1048576 bytes" },
	{ { FAKE_FLOOD, "\r\n" }, -ETIMEDOUT, "QMP stop: QEMU does not answer" },
	{ { FAKE_FLOOD, "{\"event\": \"E\"", 1 }, -ECONNRESET, "QMP stop: QEMU closed" },
	{ { FAKE_SEND, "garbage\r\n" }, -EBADMSG, "QMP stop: QEMU sent what is no JSON" },
	{ { FAKE_SEND, "{\"return\": {}}\r\n" }, -EBADMSG, "answered something else" },
	{ { FAKE_SEND, "{\"return\": {}, \"id\": 9$ID}\r\n" }, -EBADMSG, "something else" },
	{ { FAKE_SEND, "{\"error\": {\"desc\": \"x\"}}\r\n" }, -EBADMSG, "something else" },
	{ { FAKE_SEND, FAKE_GREETING }, -EBADMSG, "answered something else" },
	{ { FAKE_SEND, "" }, -ECONNRESET, "QMP stop: QEMU closed the QMP connection" },
};

Test(qmp, broken)
{
	for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
		const struct fake_qemu_step steps[] = {
			FAKE_HELLO,
			{ FAKE_EXPECT, "\"execute\":\"stop\"" },
			breaks[i].step,
		};
		int64_t ms = breaks[i].r == -ETIMEDOUT ? SHORT_MS : SOON_MS;
		int64_t start = deadline_now_ms();
		struct error err = { 0 };
		struct fake_qemu fake;
		struct qmp q;

		open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
		cr_expect_eq(qmp_stop(&q, deadline_in_ms(ms), &err), breaks[i].r, "row %zu: %s", i,
			     err.text);
		cr_expect(strstr(err.text, breaks[i].words) != NULL, "row %zu: %s", i, err.text);
		cr_expect_lt(deadline_now_ms() - start, SOON_MS, "row %zu", i);
		cr_expect_eq(qmp_cont(&q, deadline_in_ms(SOON_MS), &err), -ENOTCONN, "row %zu", i);
		end_fake(&fake, &q);
	}
}

/* QEMU may be gone before its answer to quit is read: that is what was wanted. */
Test(qmp, quit_without_answer)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"quit\"" },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect_eq(qmp_quit(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_quit(&q, deadline_in_ms(SOON_MS), &err), -ENOTCONN);
	end_fake(&fake, &q);
}

static const struct {
	struct fake_qemu_step steps[3];
	int r;
	const char *words;
} greetings[] = {
	{ { { FAKE_SILENCE } }, -ETIMEDOUT, "QMP greeting: QEMU does not answer" },
	{ { { FAKE_SEND, "" } }, -ECONNRESET, "QMP greeting: QEMU closed" },
	{ { { FAKE_SEND, "SSH-2.0-OpenSSH\r\n" } },
	  -EBADMSG,
	  "QMP greeting: QEMU sent what is no" },
	{ { { FAKE_SEND, "{\"return\": {}}\r\n" } },
	  -EBADMSG,
	  "QMP greeting: QEMU sent something" },
	{ { { FAKE_SEND, FAKE_GREETING },
	    { FAKE_EXPECT, "qmp_capabilities" },
	    { FAKE_SEND, "{\"error\": {\"desc\": \"no\"}, \"id\": $ID}\r\n" } },
	  -EREMOTEIO,
	  "QEMU refused qmp_capabilities: no" },
};

Test(qmp, bad_greetings)
{
	for (size_t i = 0; i < ARRAY_SIZE(greetings); i++) {
		int64_t ms = greetings[i].r == -ETIMEDOUT ? SHORT_MS : SOON_MS;
		struct error err = { 0 };
		struct fake_qemu fake;
		struct qmp q;
		int fd = fake_qemu_start(&fake, greetings[i].steps,
					 greetings[i].steps[1].text != NULL ? 3 : 1);

		cr_assert_geq(fd, 0);
		cr_expect_eq(qmp_open_fd(&q, fd, deadline_in_ms(ms), &err), greetings[i].r,
			     "row %zu: %s", i, err.text);
		cr_expect(strstr(err.text, greetings[i].words) != NULL, "row %zu: %s", i, err.text);
		cr_expect_eq(q.fd, -1);
		end_fake(&fake, &q);
	}
}

/* A QEMU that does not read must not block a command that is larger than the socket's buffer. */
Test(qmp, peer_that_does_not_read)
{
	CLEANUP(fd_close) int peer = -1;
	static char big[1 << 22];
	struct json_object *arguments = json_object_new_object();
	struct qmp q = QMP_CLOSED;
	struct error err = { 0 };
	int ends[2];

	memset(big, 'a', sizeof(big) - 1);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	q.fd = ends[0];
	peer = ends[1];
	json_object_object_add(arguments, "x", json_object_new_string(big));
	cr_expect_eq(qmp_command(&q, "x", arguments, deadline_in_ms(SHORT_MS), NULL, &err),
		     -ETIMEDOUT, "%s", err.text);
	cr_expect(q.broken);
	json_object_put(arguments);
	qmp_close(&q);
}

Test(qmp, deadline_that_has_passed)
{
	static const struct fake_qemu_step steps[] = { { FAKE_SEND, FAKE_GREETING } };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;
	int fd = fake_qemu_start(&fake, steps, ARRAY_SIZE(steps));

	cr_assert_geq(fd, 0);
	cr_expect_eq(qmp_open_fd(&q, fd, deadline_in_ms(-1), &err), -ETIMEDOUT);
	qmp_close(&q);
	fake_qemu_end(&fake);
}

Test(qmp, by_path)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"stop\"" },
		{ FAKE_SEND, FAKE_DONE },
	};
	char dir[] = "/tmp/test-qmp-XXXXXX", path[64];
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	cr_expect_eq(qmp_open(&q, path, deadline_in_ms(SOON_MS), &err), -ENOENT);
	cr_expect(strstr(err.text, path) != NULL && strstr(err.text, "not found") != NULL, "%s",
		  err.text);
	cr_expect_eq(q.fd, -1);
	cr_assert_eq(fake_qemu_listen(&fake, path, steps, ARRAY_SIZE(steps)), 0);
	cr_assert_eq(qmp_open(&q, path, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	cr_expect_eq(qmp_stop(&q, deadline_in_ms(SOON_MS), &err), 0, "%s", err.text);
	end_fake(&fake, &q);
	cr_expect_eq(qmp_open(&q, path, deadline_in_ms(SOON_MS), &err), -ECONNREFUSED);
	unlink(path);
	rmdir(dir);
}

Test(qmp, path_too_long)
{
	char path[200];
	struct error err = { 0 };
	struct qmp q;

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	cr_expect_eq(qmp_open(&q, path, deadline_in_ms(SOON_MS), &err), -ENAMETOOLONG);
	qmp_close(&q);
}
