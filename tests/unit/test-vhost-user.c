/* kata-proxy/vhost-user.c: the handshake, and everything a hostile front-end can say. */
#include "kata-proxy/vhost-user.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fake/fake-driver.h"

enum {
	GET_FEATURES = 1,
	SET_FEATURES,
	SET_OWNER,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR,
	SET_VRING_BASE,
	GET_VRING_BASE,
	SET_VRING_KICK,
	SET_VRING_CALL,
	SET_VRING_ERR,
	GET_PROTOCOL_FEATURES,
	SET_PROTOCOL_FEATURES,
	GET_QUEUE_NUM,
	SET_VRING_ENABLE,
	GET_CONFIG = 24,
	NEED_REPLY = 9,
};

static struct fake_driver driver;
static struct vhost_user user;
static struct virtqueue queues[VHOST_USER_QUEUES];
static struct vhost_user_message reply;
static struct error err;
static unsigned open_before;

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static void start(void)
{
	open_before = count_fds();
	driver_init(&driver);
	vhost_user_init(&user, 3, queues);
}

/* Whatever was said, no descriptor is left. */
static void stop(void)
{
	vhost_user_fini(&user);
	driver_fini(&driver);
	cr_expect(count_fds() == open_before, "%u descriptors leak", count_fds() - open_before);
}

TestSuite(vhost_user, .init = start, .fini = stop);

/* Sends a message as vsock-link.c would have read it; fds are copies. */
static int say_flags(uint32_t request, uint32_t flags, const void *payload, size_t size,
		     const int *fds, size_t count)
{
	struct vhost_user_message message = { .request = request,
					      .flags = flags,
					      .size = (uint32_t)size };
	int copies[64] = { 0 };

	if (size > 0)
		memcpy(message.payload, payload, size);
	for (size_t i = 0; i < count; i++)
		copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
	memset(&reply, 0, sizeof(reply));
	return vhost_user_take(&user, &message, copies, count, &reply, &err);
}

static int say(uint32_t request, const void *payload, size_t size)
{
	return say_flags(request, 1, payload, size, NULL, 0);
}

static int say_number(uint32_t request, uint64_t number, const int *fds, size_t count)
{
	return say_flags(request, 1, &number, sizeof(number), fds, count);
}

static int say_state(uint32_t request, uint32_t index, uint32_t number)
{
	const uint32_t state[2] = { index, number };

	return say(request, state, sizeof(state));
}

static uint64_t reply_number(void)
{
	uint64_t number;

	cr_assert(reply.size == sizeof(number) && reply.flags == 5);
	memcpy(&number, reply.payload, sizeof(number));
	return number;
}

static int say_memory(uint32_t count, size_t fds)
{
	struct guest_region region = driver_region();
	uint64_t table[1 + 4 * (GUEST_REGIONS_MAX + 1)] = { count };
	const int copies[] = { driver.fd, driver.fd };

	for (uint32_t i = 0; i < count && i <= GUEST_REGIONS_MAX; i++) {
		table[1 + 4 * i] = region.guest + i * region.size;
		table[2 + 4 * i] = region.size;
		table[3 + 4 * i] = region.user + i * region.size;
	}
	return say_flags(SET_MEM_TABLE, NEED_REPLY, table, 8 + 32 * (size_t)count, copies, fds);
}

static int say_address(uint32_t index, struct virtqueue_rings rings)
{
	const uint64_t address[5] = { index, rings.descriptors, rings.used, rings.available, 0 };

	return say(SET_VRING_ADDR, address, sizeof(address));
}

static void start_queue(uint32_t i)
{
	CLEANUP(fd_close) int event = eventfd(0, EFD_CLOEXEC);

	cr_assert(say_state(SET_VRING_NUM, i, DRIVER_SIZE) == 0);
	cr_assert(say_state(SET_VRING_BASE, i, 0) == 0);
	cr_assert(say_address(i, driver_rings((int)i)) == 0);
	cr_assert(say_number(SET_VRING_KICK, i, &event, 1) == 0);
	cr_assert(say_number(SET_VRING_CALL, i, &event, 1) == 0);
	cr_assert(say_state(SET_VRING_ENABLE, i, 1) == 0);
}

static void hand_over(void)
{
	cr_assert(say(GET_FEATURES, NULL, 0) == 1);
	cr_assert(say_number(SET_FEATURES, reply_number(), NULL, 0) == 0);
	cr_assert(say(GET_PROTOCOL_FEATURES, NULL, 0) == 1);
	cr_assert(say_number(SET_PROTOCOL_FEATURES, reply_number(), NULL, 0) == 0);
	cr_assert(say(SET_OWNER, NULL, 0) == 0);
	cr_assert(say_memory(1, 1) == 1 && reply_number() == 0, "%s", err.text);
	start_queue(0);
	start_queue(1);
}

Test(vhost_user, handshake)
{
	uint32_t config[5] = { 0, 8, 0, 0, 0 };

	hand_over();
	cr_expect(virtqueue_runs(&queues[0]) && virtqueue_runs(&queues[1]));
	cr_expect(queues[0].event_idx && queues[0].indirect);
	cr_expect(say(GET_QUEUE_NUM, NULL, 0) == 1 && reply_number() == 2);
	cr_assert(say(GET_CONFIG, config, sizeof(config)) == 1 && reply.size == sizeof(config));
	memcpy(config, reply.payload, sizeof(config));
	cr_expect(config[1] == 8 && config[3] == 3 && config[4] == 0);
}

/* Each of these must be there, and each can be taken away again. */
Test(vhost_user, a_queue_runs_when_all_is_there)
{
	hand_over();
	cr_expect(say_state(SET_VRING_ENABLE, 1, 0) == 0);
	cr_expect_not(virtqueue_runs(&queues[1]));
	cr_expect(say_state(SET_VRING_ENABLE, 1, 1) == 0);
	cr_expect(virtqueue_runs(&queues[1]) && virtqueue_runs(&queues[0]));
	cr_expect(say_state(GET_VRING_BASE, 1, 0) == 1);
	cr_expect_not(virtqueue_runs(&queues[1]));
	cr_expect(user.rings[1].kick < 0);
	start_queue(1);
	cr_expect(virtqueue_runs(&queues[1]));
}

/* The ring goes on where the guest's memory says it is, which GET_VRING_BASE also tells. */
Test(vhost_user, base)
{
	uint32_t state[2];

	driver.queues[0].used->idx = 4711;
	hand_over();
	cr_expect(queues[0].next == 4711);
	cr_assert(say_state(GET_VRING_BASE, 0, 0) == 1 && reply.size == sizeof(state));
	memcpy(state, reply.payload, sizeof(state));
	cr_expect(state[0] == 0 && state[1] == 4711);
}

/* New memory under queues that run: they move there. */
Test(vhost_user, memory_changes)
{
	hand_over();
	cr_assert(say_memory(2, 2) == 1 && reply_number() == 0, "%s", err.text);
	cr_expect(virtqueue_runs(&queues[0]) && virtqueue_runs(&queues[1]));
	cr_expect(user.memory.count == 2);
	cr_assert(say_memory(0, 0) == 1);
	cr_expect_not(virtqueue_runs(&queues[0]) || virtqueue_runs(&queues[1]));
	cr_assert(say_memory(1, 1) == 1);
	cr_expect(virtqueue_runs(&queues[0]) && virtqueue_runs(&queues[1]));
}

/* A ring where none can be: the guest's own choice, which stops its queue and nothing else. */
Test(vhost_user, bad_ring)
{
	struct virtqueue_rings rings = driver_rings(1);

	hand_over();
	rings.used = DRIVER_USER + DRIVER_BYTES;
	cr_expect(say_address(1, rings) == 0);
	cr_expect_not(virtqueue_runs(&queues[1]));
	cr_expect(virtqueue_runs(&queues[0]));
	cr_expect(say_state(SET_VRING_NUM, 1, 5) == 0);
	cr_expect(say_address(1, driver_rings(1)) == 0);
	cr_expect_not(virtqueue_runs(&queues[1]), "five descriptors");
}

Test(vhost_user, headers)
{
	static const struct {
		uint32_t words[3];
		bool good;
	} cases[] = {
		{ { GET_FEATURES, 1, 0 }, true },
		{ { GET_FEATURES, 9, VHOST_USER_PAYLOAD_MAX }, true },
		{ { GET_FEATURES, 1, VHOST_USER_PAYLOAD_MAX + 1 }, false },
		{ { GET_FEATURES, 1, UINT32_MAX }, false },
		{ { GET_FEATURES, 0, 0 }, false },
		{ { GET_FEATURES, 2, 0 }, false },
		{ { GET_FEATURES, 5, 0 }, false }, /* a reply to nothing */
		{ { GET_FEATURES, 17, 0 }, false },
	};
	struct vhost_user_message message;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = vhost_user_parse_header((const void *)cases[i].words, &message, &err);

		cr_expect((r == 0) == cases[i].good, "%zu", i);
	}
}

/* Every request with every size: what is not exactly right ends the connection. */
Test(vhost_user, sizes)
{
	static const struct {
		uint32_t request;
		size_t size;
	} right[] = {
		{ GET_FEATURES, 0 },   { SET_FEATURES, 8 },          { SET_OWNER, 0 },
		{ SET_VRING_NUM, 8 },  { SET_VRING_ADDR, 40 },       { SET_VRING_BASE, 8 },
		{ GET_VRING_BASE, 8 }, { GET_PROTOCOL_FEATURES, 0 }, { SET_PROTOCOL_FEATURES, 8 },
		{ GET_QUEUE_NUM, 0 },  { SET_VRING_ENABLE, 8 },
	};
	static const uint8_t zeros[VHOST_USER_PAYLOAD_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
		for (size_t size = 0; size <= 48; size++) {
			int r = say(right[i].request, zeros, size);

			cr_expect((r >= 0) == (size == right[i].size), "request %u of %zu bytes",
				  right[i].request, size);
		}
	}
	/* Requests nobody agreed on, QEMU's later ones among them. */
	for (uint32_t request = 0; request < 300; request++) {
		bool known = request >= GET_FEATURES && request <= SET_VRING_ENABLE &&
			     request != 4 && request != 6 && request != 7;

		if (!known && request != GET_CONFIG)
			cr_expect(say(request, zeros, 8) == -EBADMSG, "request %u", request);
	}
	cr_expect(say(UINT32_MAX, zeros, 8) == -EBADMSG);
}

Test(vhost_user, lies)
{
	CLEANUP(fd_close) int event = eventfd(0, EFD_CLOEXEC);
	const int fds[] = { event, event };
	uint32_t config[5] = { 0, 8, 0, 0, 0 };

	cr_expect(say_number(SET_FEATURES, UINT64_C(1) << 26, NULL, 0) == -EBADMSG);
	cr_expect(say_number(SET_PROTOCOL_FEATURES, 2, NULL, 0) == -EBADMSG);
	cr_expect(say_state(SET_VRING_NUM, 2, 16) == -EBADMSG);
	cr_expect(say_state(SET_VRING_ENABLE, UINT32_MAX, 1) == -EBADMSG);
	cr_expect(say_state(GET_VRING_BASE, 2, 0) == -EBADMSG);
	cr_expect(say_address(2, driver_rings(0)) == -EBADMSG);
	cr_expect(say_number(SET_VRING_KICK, 2, fds, 1) == -EBADMSG);
	cr_expect(say_number(SET_VRING_KICK, 0, NULL, 0) == -EBADMSG);
	cr_expect(say_number(SET_VRING_KICK, 0, fds, 2) == -EBADMSG);
	cr_expect(say_number(SET_VRING_KICK, 256, NULL, 0) == -EBADMSG, "polling");
	cr_expect(say_number(SET_VRING_KICK, 512, fds, 1) == -EBADMSG);
	cr_expect(say_number(SET_VRING_CALL, 256, fds, 1) == -EBADMSG);
	cr_expect(say_number(SET_VRING_CALL, 256, NULL, 0) == 0, "no interrupts are fine");
	cr_expect(say_number(SET_VRING_ERR, 1, fds, 1) == 0);
	cr_expect(say_number(GET_FEATURES, 0, fds, 1) == -EBADMSG);
	cr_expect(say_flags(SET_OWNER, 1, NULL, 0, fds, 2) == -EBADMSG, "with descriptors");
	config[0] = 1;
	cr_expect(say(GET_CONFIG, config, sizeof(config)) == -EBADMSG, "beyond its end");
	config[0] = UINT32_MAX;
	cr_expect(say(GET_CONFIG, config, sizeof(config)) == -EBADMSG);
	config[0] = 0;
	config[1] = UINT32_MAX;
	cr_expect(say(GET_CONFIG, config, sizeof(config)) == -EBADMSG);
	cr_expect(say(GET_CONFIG, config, 8) == -EBADMSG);
}

Test(vhost_user, memory_lies)
{
	const uint32_t many[130] = { UINT32_MAX };
	int fds[GUEST_REGIONS_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = driver.fd;
	hand_over();
	cr_expect(say_memory(1, 0) == -EBADMSG, "no descriptor");
	cr_expect(say_memory(1, 2) == -EBADMSG, "one too many");
	cr_expect(say_memory(GUEST_REGIONS_MAX + 1, 2) == -EBADMSG);
	cr_expect(say(SET_MEM_TABLE, many, 4) == -EBADMSG);
	cr_expect(say(SET_MEM_TABLE, many, sizeof(many) - 8) == -EBADMSG);
	cr_expect(say_flags(SET_MEM_TABLE, 1, many, 40, fds, ARRAY_SIZE(fds)) == -EBADMSG);
	cr_expect(virtqueue_runs(&queues[0]), "a message that is none changes nothing");
	cr_expect(ftruncate(driver.fd, DRIVER_BYTES) == 0);
	cr_expect(say_memory(2, 2) == 1);
}

/* Memory that cannot be mapped is the end, and no queue is left in memory that is gone. */
Test(vhost_user, memory_beyond_its_file)
{
	uint64_t table[5] = { 1, DRIVER_GUEST, 2 * DRIVER_BYTES, DRIVER_USER, 0 };

	hand_over();
	cr_expect(say_flags(SET_MEM_TABLE, 1, table, sizeof(table), &driver.fd, 1) == -EINVAL);
	cr_expect_not(virtqueue_runs(&queues[0]) || virtqueue_runs(&queues[1]));
	cr_expect(user.memory.count == 0);
}
