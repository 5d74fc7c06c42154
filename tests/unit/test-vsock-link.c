/* kata-proxy/vsock-link.c: the device in a loop, between front-end, driver and the link's end. */
#include "kata-proxy/vsock-link.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/loop.h"
#include "kata-proxy/park.h"
#include "tests/fake/fake-driver.h"

enum { PORT = 5000, HEADER = sizeof(struct virtio_vsock_hdr), WAIT_MS = 5000 };

static uv_loop_t loop;
static struct vsock_link link_;
static struct fake_driver driver;
static int front, other; /* QEMU's end, the link's other end */
static int kept_front;   /* the worker's end, as the monitor keeps it */
static int park_monitor, park_worker, slots[PARK_SLOTS];

/* A worker begins, with copies of what the monitor has. */
static int open_link(struct error *err)
{
	int parked[VSOCK_SLOTS];

	for (int i = 0; i < VSOCK_SLOTS; i++)
		parked[i] = slots[i] < 0 ? -1 : fcntl(slots[i], F_DUPFD_CLOEXEC, 3);
	return vsock_link_open(&link_, &loop, fcntl(kept_front, F_DUPFD_CLOEXEC, 3), park_worker,
			       parked, err);
}

static void start(void)
{
	struct error err;
	int pair[2];

	cr_assert(loop_start(&loop, &err) == 0);
	cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	cr_assert(park_open(&park_monitor, &park_worker, &err) == 0);
	front = pair[0];
	kept_front = pair[1];
	for (int i = 0; i < PARK_SLOTS; i++)
		slots[i] = -1;
	slots[VSOCK_SLOT_STATE] = vsock_link_make_state(&err);
	other = open_link(&err);
	cr_assert(other >= 0, "%s", err.text);
	driver_init(&driver);
}

/* Everything is closed, or the loop says which handle is not. */
static void stop(void)
{
	struct error err;

	vsock_link_close(&link_);
	cr_expect(loop_run(&loop, 1000, &err) == 0, "%s", err.text);
	driver_fini(&driver);
	for (int i = 0; i < PARK_SLOTS; i++)
		fd_close(&slots[i]);
	fd_close(&park_monitor);
	fd_close(&park_worker);
	fd_close(&kept_front);
	fd_close(&front);
	fd_close(&other);
}

TestSuite(vsock_link, .init = start, .fini = stop);

/* Runs the loop until nothing happens for a moment. */
static void turn(void)
{
	struct pollfd p = { .fd = uv_backend_fd(&loop), .events = POLLIN };

	do {
		uv_run(&loop, UV_RUN_NOWAIT);
	} while (uv_loop_alive(&loop) && (uv_backend_timeout(&loop) == 0 || poll(&p, 1, 20) > 0));
}

static void *front_end(void *unused)
{
	front_hand_over(&driver, front);
	return unused;
}

/* The front-end waits for answers, so it needs a thread of its own while the loop turns. */
static void hand_over(void)
{
	int64_t deadline = deadline_in_ms(WAIT_MS);
	pthread_t thread;

	cr_assert(pthread_create(&thread, NULL, front_end, NULL) == 0);
	while (!virtqueue_runs(&link_.device.queues[1]) && deadline_left_ms(deadline) > 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert(virtqueue_runs(&link_.device.queues[0]));
	cr_assert(pthread_join(thread, NULL) == 0);
	turn();
}

static void connect_guest(void)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 0);
	uint8_t *data;
	unsigned i;

	for (i = 0; i < 8; i++)
		driver_make_room(&driver, i, HEADER + 4096);
	driver_send(&driver, 0, &header, NULL, 0);
	front_kick(&driver, VSOCK_TX);
	turn();
	cr_assert(driver_receive(&driver, &header, &data, &i));
	cr_assert(header.op == VIRTIO_VSOCK_OP_RESPONSE);
	cr_expect(front_await_call(&driver, VSOCK_RX), "the guest is interrupted");
}

static void guest_says(const void *data, uint32_t len)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, len);

	driver_send(&driver, 1, &header, data, len);
	front_kick(&driver, VSOCK_TX);
	turn();
}

static bool other_ended(void)
{
	char byte;

	return recv(other, &byte, 1, MSG_DONTWAIT) == 0;
}

Test(vsock_link, carries_bytes)
{
	struct virtio_vsock_hdr header;
	char text[16] = "";
	uint8_t *data;
	unsigned i;

	/* What is written before anybody is there waits. */
	cr_expect(write(other, "early", 5) == 5);
	turn();
	hand_over();
	connect_guest();
	cr_assert(driver_receive(&driver, &header, &data, &i));
	cr_expect(header.len == 5 && memcmp(data, "early", 5) == 0);
	guest_says("hello", 5);
	cr_expect(recv(other, text, sizeof(text), MSG_DONTWAIT) == 5 && strcmp(text, "hello") == 0);
	cr_expect(write(other, "host", 4) == 4);
	turn();
	cr_assert(driver_receive(&driver, &header, &data, &i));
	cr_expect(header.len == 4 && memcmp(data, "host", 4) == 0);
}

static bool called(int queue)
{
	struct pollfd p = { .fd = driver.queues[queue].call, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* That its packets were taken is told the guest together, or when it says nothing for a while. */
Test(vsock_link, tells_late_what_was_taken)
{
	const struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, 1);
	struct fake_queue *tx = &driver.queues[VSOCK_TX];
	uint16_t used;

	hand_over();
	connect_guest();
	cr_expect(front_await_call(&driver, VSOCK_TX), "what an earlier worker told is not known");
	memcpy(&used, &tx->used->idx, sizeof(used));
	tx->available->ring[DRIVER_SIZE] = used;
	guest_says("a", 1);
	cr_expect_not(called(VSOCK_TX));
	for (int i = 0; i < 100 && !called(VSOCK_TX); i++) {
		poll(NULL, 0, 5);
		turn();
	}
	cr_expect(front_await_call(&driver, VSOCK_TX), "it is told though it says nothing");
	tx->available->ring[DRIVER_SIZE] = (uint16_t)(used + 1);
	for (int i = 0; i <= DRIVER_SIZE / 4; i++)
		driver_send(&driver, 1, &header, "x", 1);
	front_kick(&driver, VSOCK_TX);
	uv_run(&loop, UV_RUN_NOWAIT); /* once: the timer does not run yet */
	cr_expect(called(VSOCK_TX), "many are told at once");
}

/* Nobody reads the link: the guest's bytes stay with us up to its credit, and none is lost. */
Test(vsock_link, keeps_what_is_not_read)
{
	static uint8_t data[8192], back[8192];
	size_t sent = 0, got = 0;
	ssize_t n;

	hand_over();
	connect_guest();
	for (; sent < VSOCK_BUFFER; sent += sizeof(data)) {
		memset(data, (int)(sent / sizeof(data)), sizeof(data));
		guest_says(data, sizeof(data));
	}
	cr_expect(link_.device.state == VSOCK_OPEN);
	for (int i = 0; i < 200 && got < sent; i++) {
		while ((n = recv(other, back, sizeof(back), MSG_DONTWAIT)) > 0) {
			for (ssize_t k = 0; k < n; k++)
				cr_assert(back[k] == (uint8_t)((got + (size_t)k) / sizeof(data)));
			got += (size_t)n;
		}
		turn();
	}
	cr_expect(got == sent);
}

Test(vsock_link, ends_with_the_connection)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VSOCK_AGENT_PORT, 0);
	char text[8];

	hand_over();
	connect_guest();
	guest_says("bye", 3);
	header.flags = 3;
	driver_send(&driver, 0, &header, NULL, 0);
	front_kick(&driver, VSOCK_TX);
	turn();
	cr_expect(recv(other, text, sizeof(text), MSG_DONTWAIT) == 3);
	cr_expect(other_ended());
}

Test(vsock_link, ends_with_the_front_end)
{
	hand_over();
	connect_guest();
	fd_close(&front);
	turn();
	cr_expect(other_ended());
}

/* The link's other end is closed: the guest's bytes have nowhere to go, and nothing breaks. */
Test(vsock_link, survives_the_other_end)
{
	hand_over();
	connect_guest();
	fd_close(&other);
	turn();
	guest_says("hello", 5);
	guest_says("hello", 5);
	cr_expect(link_.stream < 0);
}

static void expect_end_after(const void *bytes, size_t n)
{
	cr_expect(write(front, bytes, n) == (ssize_t)n);
	turn();
	cr_expect(other_ended());
}

Test(vsock_link, refuses_nonsense)
{
	const uint32_t nonsense[] = { 99, 1, 0 };

	expect_end_after(nonsense, sizeof(nonsense));
}

Test(vsock_link, refuses_large_messages)
{
	const uint32_t large[] = { 1, 1, 1 << 30 };

	expect_end_after(large, sizeof(large));
}

/* A message may come byte by byte. */
Test(vsock_link, takes_messages_in_pieces)
{
	const uint32_t message[] = { 17, 1, 0 };
	uint64_t number;

	for (size_t i = 0; i < sizeof(message); i++) {
		cr_expect(write(front, (const char *)message + i, 1) == 1);
		turn();
	}
	cr_expect(front_receive(front, 17, &number, sizeof(number)) == 8 && number == 2);
}

/* A front-end that asks and never reads: its socket fills, and that is its end. */
Test(vsock_link, gives_up_who_does_not_read)
{
	const uint32_t message[] = { 1, 1, 0 };

	fcntl(front, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100000 && link_.stream >= 0; i++) {
		if (write(front, message, sizeof(message)) < 0)
			break;
		if (i % 16 == 0)
			uv_run(&loop, UV_RUN_NOWAIT);
	}
	turn();
	cr_expect(other_ended());
}

/* An eventfd that is a file: epoll does not know it, and the connection ends. */
Test(vsock_link, refuses_a_file_as_eventfd)
{
	CLEANUP(fd_close) int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const uint64_t queue = 0;

	front_send(front, 12, false, &queue, sizeof(queue), &file, 1);
	turn();
	cr_expect(other_ended());
}

/* One that is always readable and never read empty must not spin. */
Test(vsock_link, stops_a_dead_eventfd)
{
	const uint64_t queue = 0;
	int pair[2], turns = 0;

	cr_assert(pipe2(pair, O_CLOEXEC) == 0);
	front_send(front, 12, false, &queue, sizeof(queue), pair, 1);
	close(pair[1]);
	close(pair[0]);
	while (turns < 1000 && uv_run(&loop, UV_RUN_NOWAIT) != 0 &&
	       poll(&(struct pollfd){ .fd = uv_backend_fd(&loop), .events = POLLIN }, 1, 50) > 0)
		turns++;
	cr_expect(turns < 10, "%d turns", turns);
}

/* What the guest does to its queues in every other way is told once and hurts nobody. */
Test(vsock_link, reports_a_broken_queue)
{
	hand_over();
	connect_guest();
	driver.queues[VSOCK_TX].available->idx += 1000;
	front_kick(&driver, VSOCK_TX);
	turn();
	cr_expect(link_.told_broken[VSOCK_TX]);
	cr_expect_not(link_.told_broken[VSOCK_RX]);
	cr_expect(link_.stream >= 0);
	for (int i = 0; i < 10; i++) {
		front_kick(&driver, VSOCK_TX);
		turn();
	}
}

/* --- the next worker -------------------------------------------------------------------------- */

/* The worker is gone, with what it had read; the monitor has what it parked. */
static void die(void)
{
	vsock_link_close(&link_);
	while (uv_run(&loop, UV_RUN_NOWAIT) != 0)
		;
	fd_close(&other);
	park_take(park_monitor, slots, &(struct park_text){ 0 });
}

static void expect_packet(uint16_t op)
{
	struct virtio_vsock_hdr header = { 0 };
	uint8_t *data;
	unsigned i;

	cr_assert(driver_receive(&driver, &header, &data, &i), "operation %u", op);
	cr_expect(header.op == op && header.dst_port == PORT, "operation %u", header.op);
	driver_make_room(&driver, i, HEADER + 4096);
}

static void dial(void)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 0);

	driver_send(&driver, 2, &header, NULL, 0);
	front_kick(&driver, VSOCK_TX);
	turn();
	expect_packet(VIRTIO_VSOCK_OP_RESPONSE);
}

Test(vsock_link, is_taken_over)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, 4);
	struct error err;
	char text[8] = "";

	hand_over();
	connect_guest();
	for (int life = 0; life < 5; life++) {
		die();
		/* What the guest says meanwhile is of a connection that is over. */
		driver_send(&driver, 1, &header, "lost", 4);
		front_kick(&driver, VSOCK_TX);
		other = open_link(&err);
		cr_assert(other >= 0, "%s", err.text);
		turn();
		cr_expect(front_await_call(&driver, VSOCK_RX), "the guest is told");
		expect_packet(VIRTIO_VSOCK_OP_RST);
		expect_packet(VIRTIO_VSOCK_OP_RST);
		dial();
		guest_says("here", 4);
		cr_expect(recv(other, text, 4, MSG_DONTWAIT) == 4 && strcmp(text, "here") == 0);
	}
}

/* QEMU goes on talking to the next one, which keeps what it hears. */
Test(vsock_link, next_one_hears_qemu)
{
	const uint32_t state[2] = { 1, 0 };
	uint32_t answer[2];
	struct error err;

	hand_over();
	die();
	other = open_link(&err);
	cr_assert(other >= 0, "%s", err.text);
	front_send(front, 11, false, state, sizeof(state), NULL, 0);
	turn();
	cr_expect(front_receive(front, 11, answer, sizeof(answer)) == sizeof(answer));
	cr_expect_not(virtqueue_runs(&link_.device.queues[1]));
	die();
	cr_expect(slots[VSOCK_SLOT_KICK + 1] < 0 && slots[VSOCK_SLOT_KICK] >= 0);
	other = open_link(&err);
	cr_assert(other >= 0, "%s", err.text);
	cr_expect_not(virtqueue_runs(&link_.device.queues[1]));
	cr_expect(virtqueue_runs(&link_.device.queues[0]));
}

/* Before QEMU has said anything, and again. */
Test(vsock_link, is_taken_over_at_once)
{
	struct error err;

	die();
	other = open_link(&err);
	cr_assert(other >= 0, "%s", err.text);
	hand_over();
	connect_guest();
}

static void expect_refusal(const char *why)
{
	struct error err = { 0 };

	die();
	other = open_link(&err);
	cr_expect(other < 0 && strstr(err.text, why) != NULL, "%s", err.text);
}

/* Half a message was read: what it was nobody knows. */
Test(vsock_link, cannot_go_on_in_a_message)
{
	const uint32_t half[] = { 1, 1 };

	hand_over();
	cr_expect(write(front, half, sizeof(half)) == sizeof(half));
	turn();
	expect_refusal("ended within a message");
}

/* A worker that the guest owned wrote something else there. */
Test(vsock_link, does_not_trust_the_state)
{
	uint8_t nonsense[64];

	hand_over();
	memset(nonsense, 0xff, sizeof(nonsense));
	die();
	cr_expect(pwrite(slots[VSOCK_SLOT_STATE], nonsense, 4, 0) == 4);
	expect_refusal("of another release");
}

Test(vsock_link, does_not_trust_the_saved_memory)
{
	struct error err = { 0 };
	uint32_t many = UINT32_MAX;

	hand_over();
	die();
	/* Behind magic, busy, port, a hole, and two numbers of 8 bytes: how many regions. */
	cr_expect(pwrite(slots[VSOCK_SLOT_STATE], &many, sizeof(many), 32) == sizeof(many));
	other = open_link(&err);
	cr_expect(other < 0 && strstr(err.text, "memory regions") != NULL, "%s", err.text);
	die();
	many = 2; /* and the second one has no descriptor */
	cr_expect(pwrite(slots[VSOCK_SLOT_STATE], &many, sizeof(many), 32) == sizeof(many));
	other = open_link(&err);
	cr_expect(other < 0, "%s", err.text);
}
