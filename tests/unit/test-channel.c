/* common/channel.c: over real socket pairs, against a peer that is a plain descriptor. */
#include "common/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/wire.h"

/* A channel and what became of it. The other end of the pair is fd. */
struct world {
	uv_loop_t loop;
	uv_timer_t timer;
	struct channel *channel; /* on the heap, freed by on_closed() */
	int fd;
	unsigned frames, ended, drained, closed;
	int ended_num; /* 0: the peer ended */
	char ended_text[ERROR_TEXT_MAX];
	size_t bytes;
	/* what on_frame() does */
	unsigned close_at, pause_at, finish_at;
	bool echo;
	void (*tick)(struct world *world);
};

static void on_frame(struct channel *channel, const struct frame *frame)
{
	struct world *world = channel->owner;

	cr_assert_eq(world->ended, 0);
	world->frames++;
	world->bytes += frame->length;
	if (world->echo)
		channel_send(channel, frame, NULL, 0, frame->payload, frame->length);
	if (world->frames == world->close_at) {
		channel_close(channel);
		channel_close(channel);
		cr_assert_eq(channel_send(channel, frame, NULL, 0, "\xc0", 1), -EPIPE);
	}
	if (world->frames == world->pause_at)
		channel_pause(channel);
	if (world->frames == world->finish_at)
		channel_finish(channel);
	/* The payload still holds. */
	cr_assert_eq(frame->payload[frame->length - 1], 0xc0);
}

static void on_ended(struct channel *channel, const struct error *err)
{
	struct world *world = channel->owner;

	world->ended++;
	if (err != NULL) {
		world->ended_num = err->num;
		memcpy(world->ended_text, err->text, sizeof(world->ended_text));
	}
	channel_close(channel);
}

static void on_drained(struct channel *channel)
{
	struct world *world = channel->owner;

	cr_assert_leq(channel->queued, CHANNEL_LOW);
	world->drained++;
}

static void on_closed(struct channel *channel)
{
	struct world *world = channel->owner;

	world->closed++;
	world->channel = NULL;
	memset(channel, 0xee, sizeof(*channel));
	free(channel);
	if (world->tick == NULL)
		uv_stop(&world->loop);
}

static const struct channel_ops ops = {
	.frame = on_frame, .ended = on_ended, .drained = on_drained, .closed = on_closed
};

static void on_timer(uv_timer_t *timer)
{
	struct world *world = timer->data;

	if (world->tick == NULL)
		cr_assert_fail("timed out");
	world->tick(world);
}

static void world_open(struct world *world, const struct channel_ops *with)
{
	struct error err;
	int fds[2];

	memset(world, 0, sizeof(*world));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	cr_assert_eq(loop_start(&world->loop, &err), 0);
	world->channel = malloc(sizeof(*world->channel));
	world->fd = fds[1];
	cr_assert_eq(channel_open(world->channel, &world->loop, fds[0], with, world, &err), 0);
	uv_timer_init(&world->loop, &world->timer);
	world->timer.data = world;
	uv_timer_start(&world->timer, on_timer, 10000, 0);
}

/* Calls tick every few ms until it clears itself. */
static void world_tick(struct world *world, void (*tick)(struct world *world))
{
	world->tick = tick;
	uv_timer_start(&world->timer, on_timer, 2, 2);
}

static void world_run(struct world *world)
{
	uv_run(&world->loop, UV_RUN_DEFAULT);
}

/* Ends all; that nothing is left open is checked each time. */
static void world_close(struct world *world)
{
	struct error err;

	if (world->channel != NULL)
		channel_close(world->channel);
	uv_close((uv_handle_t *)&world->timer, NULL);
	cr_assert_eq(loop_run(&world->loop, 1000, &err), 0, "%s", err.text);
	cr_assert_eq(world->closed, 1);
	if (world->fd >= 0)
		close(world->fd);
}

/* Writes one frame of n payload bytes into the plain end. */
static void put_frame(struct buf *out, uint8_t type, uint32_t n)
{
	const struct frame frame = { .length = n, .channel = 1, .type = type };
	uint8_t *to = buf_reserve(out, FRAME_HEADER + n);

	frame_put_header(to, &frame);
	memset(to + FRAME_HEADER, 0xc0, n);
	buf_commit(out, FRAME_HEADER + n);
}

static void write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		cr_assert_gt(done, 0);
		p += done;
		n -= (size_t)done;
	}
}

static void write_frames(struct world *world, unsigned count, uint32_t n)
{
	struct buf out = { 0 };

	for (unsigned i = 0; i < count; i++)
		put_frame(&out, FRAME_EVENT, n);
	write_all(world->fd, buf_at(&out), buf_len(&out));
	buf_fini(&out);
}

/* Reads what is there; the whole frames in it are counted. */
static unsigned read_frames(int fd, struct buf *input, size_t most)
{
	struct frame frame;
	struct error err;
	unsigned count = 0;
	ssize_t n = recv(fd, buf_reserve(input, most), most, MSG_DONTWAIT);

	if (n > 0)
		buf_commit(input, (size_t)n);
	while (frame_next(input, &frame, &err) == 1) {
		cr_assert_eq(frame.payload[0], 0xc0);
		cr_assert_eq(frame.payload[frame.length - 1], 0xc0);
		buf_consume(input, FRAME_HEADER + frame.length);
		count++;
	}
	return count;
}

static int send_frame(struct world *world, size_t n)
{
	static uint8_t payload[FRAME_CONTROL_MAX];
	const struct frame frame = { .channel = 1, .type = FRAME_EVENT };

	memset(payload, 0xc0, n);
	return channel_send(world->channel, &frame, payload, n / 3, payload + n / 3, n - n / 3);
}

Test(channel, frames_and_the_end_of_the_peer)
{
	struct world world;

	world_open(&world, &ops);
	write_frames(&world, 5, 100);
	close(world.fd);
	world.fd = -1;
	world_run(&world);
	cr_assert_eq(world.frames, 5);
	cr_assert_eq(world.ended, 1);
	cr_assert_eq(world.ended_num, 0);
	world_close(&world);
}

Test(channel, close_inside_frame)
{
	struct world world;

	world_open(&world, &ops);
	world.close_at = 3;
	write_frames(&world, 10, 50);
	world_run(&world);
	cr_assert_eq(world.frames, 3, "none follows");
	cr_assert_eq(world.ended, 0);
	world_close(&world);
}

Test(channel, finish_inside_frame)
{
	struct world world;

	world_open(&world, &ops);
	world.finish_at = 2;
	write_frames(&world, 10, 50);
	world_run(&world);
	cr_assert_eq(world.frames, 2);
	cr_assert_eq(world.ended, 0);
	world_close(&world);
}

Test(channel, hostile_bytes)
{
	static const struct {
		const char *what;
		uint8_t bytes[FRAME_HEADER];
		size_t n;
	} cases[] = {
		{ "unknown type", { 0, 0, 0, 1, 0, 0, 0, 0, 77 }, FRAME_HEADER },
		{ "type 0", { 0, 0, 0, 1 }, FRAME_HEADER },
		{ "unknown flags", { 0, 0, 0, 1, 0, 0, 0, 0, 6, 2 }, FRAME_HEADER },
		{ "reserved bytes", { 0, 0, 0, 1, 0, 0, 0, 0, 6, 0, 1 }, FRAME_HEADER },
		{ "no payload", { 0, 0, 0, 0, 0, 0, 0, 0, 6 }, FRAME_HEADER },
		{ "4 GiB", { 255, 255, 255, 255, 0, 0, 0, 0, 6 }, FRAME_HEADER },
		{ "1 MiB and a byte", { 0, 16, 0, 1, 0, 0, 0, 0, 6 }, FRAME_HEADER },
		{ "DATA beyond 64 KiB", { 0, 1, 0, 1, 0, 0, 0, 0, 7 }, FRAME_HEADER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world world;

		world_open(&world, &ops);
		write_frames(&world, 1, 10);
		write_all(world.fd, cases[i].bytes, cases[i].n);
		world_run(&world);
		cr_expect_eq(world.frames, 1, "%s", cases[i].what);
		cr_expect_eq(world.ended, 1, "%s", cases[i].what);
		cr_expect_eq(world.ended_num, EBADMSG, "%s", cases[i].what);
		world_close(&world);
	}
}

static struct buf drip;

static void drip_bytes(struct world *world)
{
	size_t n = buf_len(&drip) < 7 ? buf_len(&drip) : 7;

	if (n == 0) {
		world->tick = NULL;
		uv_stop(&world->loop);
		return;
	}
	write_all(world->fd, buf_at(&drip), n);
	buf_consume(&drip, n);
}

Test(channel, byte_by_byte_and_idle_costs_nothing)
{
	struct world world;

	world_open(&world, &ops);
	for (unsigned i = 0; i < 10; i++)
		put_frame(&drip, FRAME_EVENT, 20);
	world_tick(&world, drip_bytes);
	world_run(&world);
	cr_assert_eq(world.frames, 10);
	cr_assert_null(world.channel->input.data);
	put_frame(&drip, FRAME_EVENT, 20);
	drip_bytes(&world); /* the start of a frame */
	uv_run(&world.loop, UV_RUN_NOWAIT);
	cr_assert_leq(world.channel->input.size, 4096);
	buf_fini(&drip);
	world_close(&world);
}

Test(channel, a_frame_of_greatest_size)
{
	struct world world;
	struct buf out = { 0 };
	size_t at = 0;

	world_open(&world, &ops);
	put_frame(&out, FRAME_REQUEST, FRAME_CONTROL_MAX);
	fcntl(world.fd, F_SETFL, O_NONBLOCK);
	while (world.frames == 0) {
		ssize_t n = write(world.fd, buf_at(&out) + at, buf_len(&out) - at);

		at += n > 0 ? (size_t)n : 0;
		uv_run(&world.loop, UV_RUN_NOWAIT);
	}
	cr_assert_eq(world.bytes, FRAME_CONTROL_MAX);
	cr_assert_null(world.channel->input.data);
	buf_fini(&out);
	world_close(&world);
}

/* Reads slowly until nothing is queued. */
static struct buf slow;
static unsigned slow_frames;

static void read_slowly(struct world *world)
{
	slow_frames += read_frames(world->fd, &slow, 50000);
	if (world->channel == NULL || world->channel->queued > 0)
		return;
	for (unsigned n = 1; n > 0;) {
		size_t before = buf_len(&slow);

		n = read_frames(world->fd, &slow, 50000);
		slow_frames += n;
		n += before != buf_len(&slow);
	}
	world->tick = NULL;
	uv_stop(&world->loop);
}

Test(channel, queue_is_counted_and_drained_once)
{
	static const size_t sizes[] = { 1, 3, 100, 4080, 4081, 5000, 16384, 65000, 300000 };
	struct world world;
	unsigned sent = 0;

	world_open(&world, &ops);
	for (unsigned round = 0; round < 4; round++) {
		channel_flush(world.channel);
		world.channel->gathers = round == 1 || round == 2;
		world.channel->device = round == 2; /* which takes no more than 32 KiB at once */
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++, sent++)
			cr_assert_eq(send_frame(&world, sizes[i]), 0);
	}
	cr_assert_gt(world.channel->queued, CHANNEL_HIGH);
	cr_assert_eq(world.drained, 0);
	world_tick(&world, read_slowly);
	world_run(&world);
	cr_assert_eq(world.channel->queued, 0);
	cr_assert_eq(slow_frames, sent);
	cr_assert_eq(buf_len(&slow), 0);
	cr_assert_eq(world.drained, 1);
	buf_fini(&slow);
	world_close(&world);
}

Test(channel, a_small_send_needs_no_queue)
{
	struct world world;
	struct buf input = { 0 };

	world_open(&world, &ops);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(send_frame(&world, 1000), 0);
		cr_assert_eq(world.channel->queued, 0);
		cr_assert_eq(read_frames(world.fd, &input, 5000), 1, "before the loop runs");
	}
	buf_fini(&input);
	world_close(&world);
}

/* What the other end gets in one read: bytes. */
static size_t read_once(const struct world *world)
{
	static uint8_t bytes[200000];
	ssize_t n = recv(world->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

Test(channel, gathered_frames_go_out_together)
{
	struct world world;

	world_open(&world, &ops);
	world.channel->gathers = true;
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(send_frame(&world, 1000), 0);
	cr_assert_eq(read_once(&world), 0, "nothing before the flush");
	channel_flush(world.channel);
	cr_assert_eq(read_once(&world), 10 * (FRAME_HEADER + 1000));
	channel_flush(world.channel);
	cr_assert_eq(read_once(&world), 0, "and nothing twice");
	/* What is long is not copied: it goes at once, behind the others. */
	cr_assert_eq(send_frame(&world, 1000), 0);
	cr_assert_eq(send_frame(&world, 40000), 0);
	cr_assert_eq(read_once(&world), 2 * FRAME_HEADER + 41000);
	/* A device takes 32 KiB at once: what does not fit any more makes room. */
	world.channel->device = true;
	cr_assert_eq(send_frame(&world, 20000), 0);
	cr_assert_eq(send_frame(&world, 20000), 0);
	cr_assert_eq(read_once(&world), FRAME_HEADER + 20000);
	cr_assert_eq(send_frame(&world, 40000), 0);
	cr_assert_eq(read_once(&world), 2 * FRAME_HEADER + 60000);
	world_close(&world);
}

Test(channel, a_frame_is_made_in_place_and_nothing_of_it_stays)
{
	static const size_t sizes[] = { 1, 5000, 30000, 32000, 60000 };
	const struct frame frame = { .type = FRAME_DATA, .id = 1 };
	static uint8_t memory[FRAME_HEADER + FRAME_DATA_HEAD + 60000], before[sizeof(memory)];
	static uint8_t got[sizeof(memory)];
	uint8_t *body = memory + FRAME_HEADER + FRAME_DATA_HEAD, head[FRAME_DATA_HEAD];
	struct world world;

	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 7);
	memcpy(before, memory, sizeof(memory));
	world_open(&world, &ops);
	world.channel->gathers = true;
	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i / 2], len = frame_put_data_head(head, 12345, n);

		world.channel->device = i % 2 == 0;
		cr_assert_eq(channel_send_in_place(world.channel, &frame, head, len, body, n), 0);
		channel_flush(world.channel);
		cr_assert_eq(memcmp(memory, before, sizeof(memory)), 0, "case %zu", i);
		cr_assert_eq(recv(world.fd, got, sizeof(got), MSG_DONTWAIT),
			     (ssize_t)(FRAME_HEADER + len + n), "case %zu", i);
		cr_expect_eq(memcmp(got + FRAME_HEADER, head, len), 0, "case %zu", i);
		cr_expect_eq(memcmp(got + FRAME_HEADER + len, body, n), 0, "case %zu", i);
	}
	world_close(&world);
}

Test(channel, finish_writes_what_was_gathered_and_close_drops_it)
{
	struct world world;

	world_open(&world, &ops);
	world.channel->gathers = true;
	cr_assert_eq(send_frame(&world, 1000), 0);
	channel_finish(world.channel);
	cr_assert_eq(read_once(&world), FRAME_HEADER + 1000);
	world_close(&world);

	world_open(&world, &ops);
	world.channel->gathers = true;
	cr_assert_eq(send_frame(&world, 1000), 0);
	channel_close(world.channel);
	channel_flush(world.channel);
	cr_assert_eq(read_once(&world), 0);
	world_close(&world);

	world_open(&world, &ops);
	world.channel->gathers = true;
	cr_assert_eq(send_frame(&world, 1000), 0);
	close(world.fd);
	world.fd = -1;
	channel_flush(world.channel);
	channel_flush(world.channel);
	world_run(&world);
	cr_assert_eq(world.ended, 1, "the end of the peer is still read");
	world_close(&world);
}

Test(channel, close_with_a_full_queue)
{
	struct world world;

	world_open(&world, &ops);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(send_frame(&world, 100000), 0);
	channel_close(world.channel);
	world_run(&world);
	cr_assert_eq(world.ended, 0);
	world_close(&world);
}

static void read_until_closed(struct world *world)
{
	slow_frames += read_frames(world->fd, &slow, 50000);
	if (world->closed > 0 && recv(world->fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
		world->tick = NULL;
		uv_stop(&world->loop);
	}
}

Test(channel, finish_writes_the_queue)
{
	struct world world;

	world_open(&world, &ops);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(send_frame(&world, 100000), 0);
	channel_finish(world.channel);
	channel_finish(world.channel);
	cr_assert_eq(send_frame(&world, 1), -EPIPE);
	write_frames(&world, 3, 10);
	world_tick(&world, read_until_closed);
	world_run(&world);
	cr_assert_eq(slow_frames, 10);
	cr_assert_eq(world.frames, 0, "nothing more is read");
	cr_assert_eq(world.ended, 0);
	buf_fini(&slow);
	world_close(&world);
}

Test(channel, finish_ends_when_the_peer_is_gone)
{
	struct world world;

	world_open(&world, &ops);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(send_frame(&world, 100000), 0);
	channel_finish(world.channel);
	close(world.fd);
	world.fd = -1;
	world_run(&world);
	cr_assert_eq(world.closed, 1);
	world_close(&world);
}

Test(channel, the_last_words_are_read_though_writing_fails)
{
	struct world world;

	world_open(&world, &ops);
	write_frames(&world, 2, 100);
	close(world.fd);
	world.fd = -1;
	cr_assert_eq(send_frame(&world, 100), -EPIPE);
	cr_assert_eq(send_frame(&world, 100), -EPIPE);
	cr_assert_eq(world.ended, 0, "not within the send");
	world_run(&world);
	cr_assert_eq(world.frames, 2);
	cr_assert_eq(world.ended, 1);
	world_close(&world);
}

Test(channel, a_paused_channel_sees_the_end_when_writing_fails)
{
	struct world world;

	world_open(&world, &ops);
	channel_pause(world.channel);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(send_frame(&world, 100000), 0);
	close(world.fd);
	world.fd = -1;
	world_run(&world);
	cr_assert_eq(world.ended, 1);
	world_close(&world);
}

static void resume(struct world *world)
{
	cr_assert_eq(world->frames, 1, "frames of one read");
	world->pause_at = 0;
	channel_resume(world->channel);
	channel_resume(world->channel);
	world->tick = NULL;
	uv_timer_start(&world->timer, on_timer, 10000, 0);
}

Test(channel, pause_and_resume)
{
	struct world world;

	world_open(&world, &ops);
	world.pause_at = 1;
	write_frames(&world, 1, 10);
	while (world.frames == 0)
		uv_run(&world.loop, UV_RUN_ONCE);
	write_frames(&world, 4, 10);
	world_tick(&world, resume);
	close(world.fd);
	world.fd = -1;
	world_run(&world);
	cr_assert_eq(world.frames, 5);
	world_close(&world);
}

Test(channel, sizes_that_are_no_frame)
{
	const struct frame frame = { .type = FRAME_EVENT };
	struct world world;

	world_open(&world, &ops);
	cr_assert_eq(channel_send(world.channel, &frame, NULL, 0, NULL, 0), -EMSGSIZE);
	cr_assert_eq(channel_send(world.channel, &frame, "", 1, "", FRAME_CONTROL_MAX), -EMSGSIZE);
	cr_assert_eq(channel_send(world.channel, &frame, "", SIZE_MAX, "", SIZE_MAX), -EMSGSIZE);
	cr_assert_eq(channel_send(world.channel, &frame, "", 2, "", SIZE_MAX), -EMSGSIZE);
	world_close(&world);
}

Test(channel, message)
{
	const struct msg_close body = { .reason = CLOSE_LIMIT, .text = (char *)"too much" };
	struct world world;
	struct buf input = { 0 };
	struct frame frame;
	struct error err;
	void *got;
	ssize_t n;

	world_open(&world, &ops);
	cr_assert_eq(channel_send_message(world.channel, FRAME_CLOSE, 0, 7, 9, MSG_CLOSE, &body),
		     0);
	n = recv(world.fd, buf_reserve(&input, 1000), 1000, MSG_DONTWAIT);
	cr_assert_gt(n, 0);
	buf_commit(&input, (size_t)n);
	cr_assert_eq(frame_next(&input, &frame, &err), 1);
	cr_assert_eq(frame.channel, 7);
	cr_assert_eq(frame.id, 9);
	cr_assert_eq(wire_decode_as(MSG_CLOSE, frame.payload, frame.length, &got, &err), 0);
	cr_assert_str_eq(((struct msg_close *)got)->text, "too much");
	wire_free(MSG_CLOSE, got);
	cr_assert_lt(channel_send_message(world.channel, FRAME_CLOSE, 0, 0, 0, MSG_NONE, NULL), 0);
	buf_fini(&input);
	world_close(&world);
}

/* Drops bytes up to a '!'. */
static int skip_to_mark(struct channel *channel, struct buf *input)
{
	struct world *world = channel->owner;
	uint8_t byte;

	cr_assert_eq(world->frames, 0);
	while (buf_len(input) > 0) {
		byte = *buf_at(input);
		buf_consume(input, 1);
		if (byte == '!')
			return 1;
		if (byte == 'x')
			return -EPROTO;
	}
	return 0;
}

static const struct channel_ops marked_ops = {
	.frame = on_frame, .ended = on_ended, .closed = on_closed, .preamble = skip_to_mark
};

Test(channel, preamble)
{
	struct world world;

	world_open(&world, &marked_ops);
	write_all(world.fd, "rubbish", 7);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	write_all(world.fd, "more!", 5);
	write_frames(&world, 2, 30);
	close(world.fd);
	world.fd = -1;
	world_run(&world);
	cr_assert_eq(world.frames, 2);
	cr_assert_eq(world.ended_num, 0);
	world_close(&world);

	world_open(&world, &marked_ops);
	write_all(world.fd, "rubbix", 6);
	world_run(&world);
	cr_assert_eq(world.ended, 1);
	cr_assert_eq(world.ended_num, EPROTO);
	world_close(&world);
}

Test(channel, descriptors_that_cannot_be_waited_for)
{
	static const char *const paths[] = { "/proc/self/exe", "/dev/null", "/" };
	struct channel channel;
	struct error err;
	uv_loop_t loop;
	int fd;

	cr_assert_eq(loop_start(&loop, &err), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		cr_assert_geq(fd, 0);
		cr_expect_lt(channel_open(&channel, &loop, fd, &ops, NULL, &err), 0, "%s",
			     paths[i]);
		cr_expect_eq(fcntl(fd, F_GETFD), -1, "%s is closed", paths[i]);
	}
	fd = open("/", O_PATH | O_CLOEXEC);
	cr_expect_lt(channel_open(&channel, &loop, fd, &ops, NULL, &err), 0, "O_PATH");
	cr_expect_lt(channel_open(&channel, &loop, -1, &ops, NULL, &err), 0, "-1");
	cr_assert_eq(loop_run(&loop, 100, &err), 0, "nothing is owed: %s", err.text);
}

Test(channel, a_character_device)
{
	struct world world = { 0 };
	struct error err;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	cr_assert_geq(master, 0);
	cr_assert_eq(grantpt(master), 0);
	cr_assert_eq(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(slave, 0);
	cr_assert_eq(loop_start(&world.loop, &err), 0);
	world.channel = malloc(sizeof(*world.channel));
	cr_assert_eq(channel_open(world.channel, &world.loop, master, &ops, &world, &err), 0);
	cr_assert_eq(send_frame(&world, 10), 0);
	close(slave);
	world_run(&world);
	cr_assert_eq(world.ended, 1, "a device that hangs up");
	cr_assert_eq(world.closed, 1);
	cr_assert_eq(loop_run(&world.loop, 100, &err), 0, "%s", err.text);
}
