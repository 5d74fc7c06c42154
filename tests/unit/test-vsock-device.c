/* kata-proxy/vsock-device.c: the connection's life, credit both ways, and a hostile guest. */
#include "kata-proxy/vsock-device.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "tests/fake/fake-driver.h"

enum {
	PORT = 40000, /* the guest's */
	HEADER = sizeof(struct virtio_vsock_hdr),
	ROOM = HEADER + 4096,
};

static struct fake_driver driver;
static struct guest_memory memory;
static struct vsock_device device;

static void start(void)
{
	struct guest_region region = driver_region();
	struct error err;

	driver_init(&driver);
	cr_assert(guest_memory_map(&memory, &region, 1, &driver.fd, &err) == 0, "%s", err.text);
	vsock_device_init(&device);
	for (int i = 0; i < VSOCK_QUEUES; i++) {
		struct virtqueue_rings rings = driver_rings(i);

		cr_assert(virtqueue_start(&device.queues[i], &memory, &rings, DRIVER_FEATURES_BITS,
					  &err) == 0);
	}
}

static void stop(void)
{
	vsock_device_fini(&device);
	guest_memory_unmap(&memory);
	driver_fini(&driver);
}

TestSuite(vsock_device, .init = start, .fini = stop);

static void make_rooms(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		driver_make_room(&driver, i, ROOM);
}

/* Sends a packet of no data, with the buffer and consumed bytes given, and lets the device run. */
static void say(uint16_t op, uint32_t guest_port, uint32_t host_port, uint32_t buffer,
		uint32_t consumed)
{
	struct virtio_vsock_hdr header = driver_packet(op, guest_port, host_port, 0);
	struct vring_used_elem used;

	header.buf_alloc = buffer;
	header.fwd_cnt = consumed;
	driver_send(&driver, 0, &header, NULL, 0);
	cr_expect_not(vsock_device_run(&device));
	cr_expect(driver_take(&driver, VSOCK_TX, &used));
}

static void say_data(const void *data, uint32_t len)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, len);
	struct vring_used_elem used;

	driver_send(&driver, 0, &header, data, len);
	vsock_device_run(&device);
	cr_expect(driver_take(&driver, VSOCK_TX, &used));
}

/* The next packet to the guest is this one: its header. Its buffer is offered again. */
static struct virtio_vsock_hdr expect(uint16_t op, uint32_t guest_port)
{
	struct virtio_vsock_hdr header = { 0 };
	uint8_t *data;
	unsigned i;

	cr_assert(driver_receive(&driver, &header, &data, &i), "operation %u", op);
	cr_expect(header.op == op && header.dst_port == guest_port, "operation %u", header.op);
	cr_expect(header.src_cid == 2 && header.dst_cid == 3);
	cr_expect(header.type == VIRTIO_VSOCK_TYPE_STREAM && header.buf_alloc == VSOCK_BUFFER);
	driver_make_room(&driver, i, ROOM);
	return header;
}

static void expect_nothing(void)
{
	struct virtio_vsock_hdr header;
	uint8_t *data;
	unsigned i;

	cr_expect_not(driver_receive(&driver, &header, &data, &i), "operation %u", header.op);
}

static void connect_with(uint32_t buffer)
{
	make_rooms(8);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, buffer, 0);
	expect(VIRTIO_VSOCK_OP_RESPONSE, PORT);
	cr_assert(device.state == VSOCK_OPEN);
}

Test(vsock_device, connects_and_echoes)
{
	struct virtio_vsock_hdr header;
	uint8_t *data;
	unsigned i;

	connect_with(65536);
	say_data("hello", 5);
	cr_assert(buf_len(&device.input) == 5 && memcmp(buf_at(&device.input), "hello", 5) == 0);
	vsock_device_consumed(&device, 5);
	expect_nothing(); /* so little is not worth a packet */
	cr_expect(vsock_device_send(&device, "world!", 6) == 6);
	cr_assert(driver_receive(&driver, &header, &data, &i));
	cr_expect(header.op == VIRTIO_VSOCK_OP_RW && header.len == 6 && header.fwd_cnt == 5);
	cr_expect(memcmp(data, "world!", 6) == 0);
}

/* The answer to a connection waits for a buffer. */
Test(vsock_device, answers_when_there_is_room)
{
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 65536, 0);
	cr_expect(device.state == VSOCK_OPEN && vsock_device_send(&device, "x", 1) == 0);
	make_rooms(2);
	vsock_device_run(&device);
	expect(VIRTIO_VSOCK_OP_RESPONSE, PORT);
	cr_expect(vsock_device_send(&device, "x", 1) == 1);
	expect(VIRTIO_VSOCK_OP_RW, PORT);
}

/* One port, one connection, in the whole life. */
Test(vsock_device, refuses_others)
{
	make_rooms(8);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT + 1, 65536, 0);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, 22, 65536, 0);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
	cr_assert(device.state == VSOCK_LISTENING);
	connect_with(65536);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT + 1, VSOCK_AGENT_PORT, 65536, 0);
	expect(VIRTIO_VSOCK_OP_RST, PORT + 1);
	cr_expect(device.state == VSOCK_OPEN, "the first one is not disturbed");
	say(VIRTIO_VSOCK_OP_SHUTDOWN, PORT, VSOCK_AGENT_PORT, 65536, 0);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
	cr_expect(device.state == VSOCK_CLOSED);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT + 2, VSOCK_AGENT_PORT, 65536, 0);
	expect(VIRTIO_VSOCK_OP_RST, PORT + 2);
	expect_nothing();
}

Test(vsock_device, closes_by_reset)
{
	connect_with(65536);
	say_data("last", 4);
	say(VIRTIO_VSOCK_OP_RST, PORT + 1, VSOCK_AGENT_PORT, 0, 0);
	cr_expect(device.state == VSOCK_OPEN, "a reset of another connection");
	say(VIRTIO_VSOCK_OP_RST, PORT, VSOCK_AGENT_PORT, 0, 0);
	cr_expect(device.state == VSOCK_CLOSED);
	expect_nothing(); /* a reset is never answered */
	cr_expect(buf_len(&device.input) == 4, "what was said before still counts");
	cr_expect(vsock_device_send(&device, "x", 1) == 0);
	vsock_device_consumed(&device, 4);
	expect_nothing();
}

/* What the guest has no room for is not sent. */
Test(vsock_device, respects_credit)
{
	static const uint8_t data[12000];

	connect_with(5000);
	cr_expect(vsock_device_send(&device, data, sizeof(data)) == 5000);
	cr_expect(expect(VIRTIO_VSOCK_OP_RW, PORT).len == 4096);
	cr_expect(expect(VIRTIO_VSOCK_OP_RW, PORT).len == 904);
	cr_expect(vsock_device_send(&device, data, 1) == 0);
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 5000, 100);
	cr_expect(vsock_device_send(&device, data, sizeof(data)) == 100);
	/* A smaller buffer than what is underway: nothing, and no number that wraps. */
	say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 10, 100);
	cr_expect(vsock_device_send(&device, data, 1) == 0);
}

/* The totals of credit wrap at 2^32. */
Test(vsock_device, credit_wraps)
{
	static const uint8_t data[4096];
	const uint32_t begin = UINT32_MAX - 10000;

	make_rooms(8);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 65536, begin);
	expect(VIRTIO_VSOCK_OP_RESPONSE, PORT);
	for (uint32_t i = 1; i <= 8; i++) {
		cr_expect(vsock_device_send(&device, data, sizeof(data)) == sizeof(data));
		expect(VIRTIO_VSOCK_OP_RW, PORT);
		say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 65536,
		    begin + i * (uint32_t)sizeof(data));
		cr_assert(device.state == VSOCK_OPEN, "%u", i);
	}
}

Test(vsock_device, gives_credit)
{
	static const uint8_t data[8192];
	size_t sum = 0;

	connect_with(65536);
	for (sum = 0; sum < VSOCK_BUFFER; sum += sizeof(data))
		say_data(data, sizeof(data));
	cr_assert(device.state == VSOCK_OPEN && buf_len(&device.input) == VSOCK_BUFFER);
	vsock_device_consumed(&device, VSOCK_BUFFER / 2 - 1);
	expect_nothing();
	vsock_device_consumed(&device, 1);
	cr_expect(expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT).fwd_cnt == VSOCK_BUFFER / 2);
	say(VIRTIO_VSOCK_OP_CREDIT_REQUEST, PORT, VSOCK_AGENT_PORT, 65536, 0);
	expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT);
	expect_nothing();
}

static void expect_reset_for(struct virtio_vsock_hdr header, const char *what)
{
	struct vring_used_elem used;

	stop();
	start();
	connect_with(65536);
	driver_send(&driver, 0, &header, NULL, header.len <= 100 ? header.len : 0);
	vsock_device_run(&device);
	cr_expect(driver_take(&driver, VSOCK_TX, &used), "%s", what);
	cr_expect(device.state == VSOCK_CLOSED, "%s", what);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
	expect_nothing();
}

/* A guest that breaks a rule of its connection loses it. */
Test(vsock_device, resets_a_liar)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 0);

	header.fwd_cnt = 1;
	expect_reset_for(header, "it consumed what was never sent");
	header.fwd_cnt = UINT32_MAX;
	expect_reset_for(header, "it consumed less than before");
	header = driver_packet(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 0);
	expect_reset_for(header, "it connects again");
	header = driver_packet(VIRTIO_VSOCK_OP_RESPONSE, PORT, VSOCK_AGENT_PORT, 0);
	expect_reset_for(header, "it answers what nobody asked");
	header = driver_packet(99, PORT, VSOCK_AGENT_PORT, 0);
	expect_reset_for(header, "it invents an operation");
}

Test(vsock_device, resets_who_exceeds_credit)
{
	static const uint8_t data[8192];

	connect_with(65536);
	for (size_t sum = 0; sum < VSOCK_BUFFER; sum += sizeof(data))
		say_data(data, sizeof(data));
	say_data("x", 1);
	cr_expect(device.state == VSOCK_CLOSED && buf_len(&device.input) == VSOCK_BUFFER);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
}

/* Packets that are none, and of others: dropped, and the connection lives. */
Test(vsock_device, drops)
{
	const struct virtio_vsock_hdr good =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, 4);
	struct virtio_vsock_hdr cases[6] = { good, good, good, good, good, good };
	struct vring_used_elem used;

	cases[0].src_cid = 4;
	cases[1].dst_cid = 1;
	cases[2].src_cid |= UINT64_C(1) << 32; /* compared as a whole */
	cases[3].len = 5;                      /* more than came */
	cases[4].len = VSOCK_PACKET_MAX + 1;
	cases[5].len = UINT32_MAX;
	connect_with(65536);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		driver_send(&driver, 0, &cases[i], "evil", 4);
		vsock_device_run(&device);
		cr_expect(driver_take(&driver, VSOCK_TX, &used), "%zu", i);
		cr_expect(device.faults == i + 1 && buf_len(&device.input) == 0, "%zu", i);
	}
	/* Shorter than a header, in one buffer and in two. */
	driver_describe(&driver, VSOCK_TX, 0, DRIVER_BUFFERS, HEADER - 1, 0, 0);
	driver_offer(&driver, VSOCK_TX, 0);
	driver_describe(&driver, VSOCK_TX, 1, DRIVER_BUFFERS, 20, VRING_DESC_F_NEXT, 2);
	driver_describe(&driver, VSOCK_TX, 2, DRIVER_BUFFERS, 23, 0, 0);
	driver_offer(&driver, VSOCK_TX, 1);
	vsock_device_run(&device);
	cr_expect(device.faults == ARRAY_SIZE(cases) + 2);
	expect_nothing();
	cr_expect(device.state == VSOCK_OPEN);
	say_data("good", 4); /* takes the used elements of the two before */
	cr_expect(buf_len(&device.input) == 4);
}

Test(vsock_device, refuses_other_types)
{
	struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 0);

	make_rooms(4);
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	driver_send(&driver, 0, &header, NULL, 0);
	vsock_device_run(&device);
	expect(VIRTIO_VSOCK_OP_RST, PORT);
	header.op = VIRTIO_VSOCK_OP_RST;
	driver_send(&driver, 0, &header, NULL, 0);
	vsock_device_run(&device);
	expect_nothing();
	cr_expect(device.state == VSOCK_LISTENING);
}

/* Answers that nobody takes are few; the packets that ask for more of them wait. */
Test(vsock_device, bounds_resets)
{
	struct virtio_vsock_hdr header = driver_packet(VIRTIO_VSOCK_OP_RW, PORT, 7, 0);
	struct vring_used_elem used;
	unsigned taken = 0, resets = 0;
	uint8_t *data;
	unsigned i;

	for (int round = 0; round < 4; round++) {
		for (unsigned d = 0; d < DRIVER_SIZE / 2; d++)
			driver_send(&driver, d, &header, NULL, 0);
		cr_expect_not(vsock_device_run(&device), "it waits for the guest");
		while (driver_take(&driver, VSOCK_TX, &used))
			taken++;
		if (round >= 1)
			break;
	}
	cr_expect(taken == VSOCK_RESETS_MAX && device.n_resets == VSOCK_RESETS_MAX);
	driver_send(&driver, 0, &header, NULL, 0);
	vsock_device_run(&device);
	cr_expect_not(driver_take(&driver, VSOCK_TX, &used), "one more waits in its queue");
	for (int round = 0; round < 3; round++) {
		make_rooms(8);
		vsock_device_run(&device);
		while (driver_receive(&driver, &header, &data, &i))
			resets += header.op == VIRTIO_VSOCK_OP_RST;
	}
	cr_expect(resets == VSOCK_RESETS_MAX + 1);
	cr_expect(driver_take(&driver, VSOCK_TX, &used));
}

/* A guest that fills its queue as fast as it is emptied does not hold the loop. */
Test(vsock_device, has_a_budget)
{
	struct fake_queue *q = &driver.queues[VSOCK_TX];
	struct virtio_vsock_hdr header;

	connect_with(65536);
	/* One descriptor offered again and again: each chain is a whole packet. */
	header = driver_packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 0);
	driver_send(&driver, 0, &header, NULL, 0);
	for (int i = 0; i < DRIVER_SIZE; i++)
		q->available->ring[i] = 0;
	for (int run = 0; run < 20; run++) {
		uint16_t before = q->used->idx;
		bool more;

		/* As many as a queue may hold: more than that would break it. */
		q->available->idx = (uint16_t)(before + DRIVER_SIZE);
		more = vsock_device_run(&device);
		cr_expect((uint16_t)(q->used->idx - before) <= VSOCK_BUDGET);
		cr_expect_not(more, "the queue is smaller than the budget");
	}
}

/* The same with a queue that is larger than a budget. */
Test(vsock_device, yields)
{
	struct virtqueue_rings rings = driver_rings(VSOCK_TX);
	struct vring_avail *available = (void *)(driver.bytes + 0x10000);
	struct virtio_vsock_hdr header;
	struct error err;
	int runs = 0;

	connect_with(65536);
	header = driver_packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE, PORT, VSOCK_AGENT_PORT, 0);
	driver_send(&driver, 0, &header, NULL, 0);
	rings.size = 512;
	rings.available = DRIVER_USER + 0x10000;
	rings.used = DRIVER_USER + 0x12000;
	cr_assert(virtqueue_start(&device.queues[VSOCK_TX], &memory, &rings, 0, &err) == 0);
	available->idx = 512; /* descriptor 0, as often */
	while (vsock_device_run(&device))
		runs++;
	cr_expect(runs == 512 / VSOCK_BUDGET);
	cr_expect(((struct vring_used *)(void *)(driver.bytes + 0x12000))->idx == 512);
}

/* A receive buffer too small for a header breaks that queue, and the other one still works. */
Test(vsock_device, breaks_one_queue_only)
{
	driver_make_room(&driver, 0, HEADER - 1);
	say(VIRTIO_VSOCK_OP_REQUEST, PORT, VSOCK_AGENT_PORT, 65536, 0);
	cr_expect(device.queues[VSOCK_RX].broken != NULL);
	expect_nothing();
	say_data("on", 2);
	cr_expect(device.queues[VSOCK_TX].broken == NULL && buf_len(&device.input) == 2);
}

Test(vsock_device, resets_an_old_port)
{
	make_rooms(4);
	vsock_device_reset_port(&device, 777);
	vsock_device_run(&device);
	cr_expect(expect(VIRTIO_VSOCK_OP_RST, 777).src_port == VSOCK_AGENT_PORT);
}

/* Another processor of the guest, which rewrites a packet while the device looks at it. */
static void *rewrite(void *over)
{
	static const uint32_t lens[] = { 100, VSOCK_PACKET_MAX + 1, 51, UINT32_MAX };
	static const uint32_t sizes[] = { HEADER + 100, HEADER + 50, HEADER - 1, HEADER + 100 };
	volatile struct vring_desc *d = &driver.queues[VSOCK_TX].descriptors[0];
	volatile struct virtio_vsock_hdr *header = (void *)(driver.bytes + DRIVER_BUFFERS);

	for (unsigned i = 0; !__atomic_load_n((bool *)over, __ATOMIC_RELAXED); i++) {
		header->len = lens[i % ARRAY_SIZE(lens)];
		d->len = sizes[i / 3 % ARRAY_SIZE(sizes)];
	}
	return NULL;
}

/* Whatever was read when it was checked is what is used: a packet has one of its lengths. */
Test(vsock_device, reads_once)
{
	const struct virtio_vsock_hdr header =
		driver_packet(VIRTIO_VSOCK_OP_RW, PORT, VSOCK_AGENT_PORT, 100);
	static const uint8_t data[100];
	struct vring_used_elem used;
	int64_t deadline = deadline_in_ms(400);
	unsigned taken = 0, dropped = 0;
	bool over = false;
	pthread_t thread;

	connect_with(65536);
	driver_describe(&driver, VSOCK_TX, 0, DRIVER_BUFFERS, HEADER + 100, 0, 0);
	memcpy(driver.bytes + DRIVER_BUFFERS, &header, HEADER);
	memcpy(driver.bytes + DRIVER_BUFFERS + HEADER, data, sizeof(data));
	cr_assert(pthread_create(&thread, NULL, rewrite, &over) == 0);
	while (deadline_left_ms(deadline) > 0) {
		size_t n;

		driver_offer(&driver, VSOCK_TX, 0);
		vsock_device_run(&device);
		cr_assert(driver_take(&driver, VSOCK_TX, &used));
		n = buf_len(&device.input);
		cr_assert(n == 0 || n == 51 || n == 100, "a packet of %zu bytes", n);
		cr_assert(device.state == VSOCK_OPEN);
		taken += n > 0;
		dropped += n == 0;
		vsock_device_consumed(&device, n);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	cr_expect(taken > 0 && dropped > 0, "%u taken, %u dropped", taken, dropped);
}
