/*
 * A guest that is hostile: evil-agent DEED runs in QEMU's place below the real kata-proxy, under
 * QEMU's filter, and speaks for the agent. It is honest, and answers what it does not understand
 * with the same words, until somebody asks for PS: then it does what its word says.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/frame.h"
#include "common/privsep.h"
#include "common/str.h"
#include "common/wire.h"
#include "tests/fake/answer-hello.h"

/* As deep as a frame can be: who follows that runs out of stack. */
enum { DEPTH = 1000000 };

static int link_fd;

static void put(const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = write(link_fd, p, n);

		if (sent <= 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

static void put_frame(struct frame frame, const void *payload, size_t len)
{
	uint8_t head[FRAME_HEADER];

	frame.length = (uint32_t)len;
	frame_put_header(head, &frame);
	put(head, sizeof(head));
	put(payload, len);
}

static void put_message(struct frame frame, enum msg_type type, const void *body)
{
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (wire_encode(type, body, &payload, NULL) == 0)
		put_frame(frame, buf_at(&payload), buf_len(&payload));
}

/* --- the deeds: each has the header of the right answer --------------------------------------- */

static void do_bomb(struct frame reply)
{
	put_frame(reply, "\xdd\x00\xff\xff\xff", 5);
}

static void do_map_bomb(struct frame reply)
{
	put_frame(reply, "\xdf\x00\xff\xff\xff", 5);
}

static void do_text_bomb(struct frame reply)
{
	put_frame(reply, "\x92\x01\xdb\x7f\xff\xff\xff", 7);
}

static void do_depth(struct frame reply)
{
	static char nested[DEPTH + 1];

	memset(nested, '\x91', DEPTH);
	nested[DEPTH] = '\xc0';
	put_frame(reply, nested, sizeof(nested));
}

static void do_two_values(struct frame reply)
{
	put_frame(reply, "\xc0\xc0", 2);
}

static void do_wrong_type(struct frame reply)
{
	const struct msg_created created = { .handle = 1, .pid = 1 };

	put_message(reply, MSG_CREATED, &created);
}

static void do_wrong_id(struct frame reply)
{
	const struct msg_ps_rows rows = { 0 };

	reply.id += 1000;
	put_message(reply, MSG_PS_ROWS, &rows);
}

static void do_double(struct frame reply)
{
	const struct msg_ps_rows rows = { 0 };

	put_message(reply, MSG_PS_ROWS, &rows);
	put_message(reply, MSG_PS_ROWS, &rows);
}

static void do_wrong_stream(struct frame reply)
{
	const struct msg_ps_rows rows = { 0 };

	for (unsigned i = 1; i < 2000; i++) {
		struct frame other = reply;

		other.channel = reply.channel + i;
		put_message(other, MSG_PS_ROWS, &rows);
	}
}

static void do_text(struct frame reply)
{
	const struct msg_failed failed = { .errnum = 5, .text = (char *)"\x1b[2J\nlevel=error" };

	put_message(reply, MSG_FAILED, &failed);
}

static void do_silence(struct frame reply)
{
	(void)reply;
}

static void do_trickle(struct frame reply)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	CLEANUP(buf_fini) struct buf payload = { 0 };
	const struct msg_ps_rows rows = { 0 };
	uint8_t head[FRAME_HEADER];

	if (wire_encode(MSG_PS_ROWS, &rows, &payload, NULL) < 0)
		return;
	reply.length = (uint32_t)buf_len(&payload);
	frame_put_header(head, &reply);
	for (size_t i = 0; i < sizeof(head); i++) {
		put(head + i, 1);
		nanosleep(&pause, NULL);
	}
	for (size_t i = 0; i < buf_len(&payload); i++) {
		put(buf_at(&payload) + i, 1);
		nanosleep(&pause, NULL);
	}
}

/* DATA that nobody gave credit for: 64 MiB of it. */
static void do_credit(struct frame reply)
{
	static char data[FRAME_DATA_SENT + 8] = "\x92\x00\xc5\x40\x00";
	struct frame frame = { .channel = reply.channel, .type = FRAME_DATA, .id = 1 };

	for (int i = 0; i < 4096; i++)
		put_frame(frame, data, FRAME_DATA_SENT + 5);
}

/* What no frame begins with, behind half an answer. */
static void do_length(struct frame reply)
{
	(void)reply;
	put("\xff\xff\xff\xff\0\0\0\1\5\0\0\0\0\0\0\1", FRAME_HEADER);
}

static void do_type(struct frame reply)
{
	(void)reply;
	put("\0\0\0\1\0\0\0\1\x63\0\0\0\0\0\0\1\xc0", FRAME_HEADER + 1);
}

static const struct {
	const char *word;
	void (*run)(struct frame reply);
} deeds[] = {
	{ "bomb", do_bomb },
	{ "map-bomb", do_map_bomb },
	{ "text-bomb", do_text_bomb },
	{ "depth", do_depth },
	{ "two-values", do_two_values },
	{ "wrong-type", do_wrong_type },
	{ "wrong-id", do_wrong_id },
	{ "double", do_double },
	{ "wrong-stream", do_wrong_stream },
	{ "text", do_text },
	{ "silence", do_silence },
	{ "trickle", do_trickle },
	{ "credit", do_credit },
	{ "length", do_length },
	{ "type", do_type },
};

static void do_deed(const char *word, struct frame reply)
{
	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++)
		if (str_eq(word, deeds[i].word))
			deeds[i].run(reply);
}

/* --- the honest part -------------------------------------------------------------------------- */

static void on_hello(const struct frame *frame)
{
	const struct frame answer = { .type = FRAME_HELLO, .flags = FRAME_ACK };
	CLEANUP(buf_fini) struct buf payload = { 0 };

	if (answer_hello(frame, "evil", &payload))
		put_frame(answer, buf_at(&payload), buf_len(&payload));
}

static void on_frame(const char *word, const struct frame *frame)
{
	struct frame answer = { .channel = frame->channel, .type = FRAME_REPLY, .id = frame->id };
	const struct msg_opened opened = { 0 };
	enum msg_type type;
	void *body;

	if (frame->type == FRAME_HELLO) {
		on_hello(frame);
	} else if (frame->type == FRAME_OPEN) {
		answer.type = FRAME_OPEN;
		answer.flags = FRAME_ACK;
		put_message(answer, MSG_OPENED, &opened);
	} else if (frame->type == FRAME_REQUEST) {
		if (wire_decode(frame->payload, frame->length, &type, &body, NULL) < 0) {
			put_frame(answer, frame->payload, frame->length);
			return;
		}
		wire_free(type, body);
		if (type == MSG_PS)
			do_deed(word, answer);
		else
			put_message(answer, MSG_DONE, NULL);
	}
}

int main(int argc, char **argv)
{
	CLEANUP(buf_fini) struct buf input = { 0 };
	struct frame frame;

	link_fd = accept4(LAUNCH_FD_AGENT, NULL, NULL, SOCK_CLOEXEC);
	while (link_fd >= 0 && argc == 2) {
		uint8_t *to = buf_reserve(&input, 65536);
		ssize_t n = to == NULL ? -1 : read(link_fd, to, 65536);

		if (n <= 0)
			break;
		buf_commit(&input, (size_t)n);
		while (frame_next(&input, &frame, NULL) == 1) {
			on_frame(argv[1], &frame);
			buf_consume(&input, FRAME_HEADER + frame.length);
		}
	}
	return 0;
}
