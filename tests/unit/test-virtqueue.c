/* kata-proxy/virtqueue.c: chains of every kind, and every rule a hostile driver can break. */
#include "kata-proxy/virtqueue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/fake/fake-driver.h"

enum { Q = 1, NEXT = VRING_DESC_F_NEXT, WRITE = VRING_DESC_F_WRITE, TABLE = VRING_DESC_F_INDIRECT };

static struct fake_driver driver;
static struct guest_memory memory;
static struct virtqueue queue;
static struct virtqueue_chain chain;

static void start_with(uint64_t features)
{
	struct virtqueue_rings rings = driver_rings(Q);
	struct guest_region region = driver_region();
	struct error err;

	driver_init(&driver);
	cr_assert(guest_memory_map(&memory, &region, 1, &driver.fd, &err) == 0, "%s", err.text);
	cr_assert(virtqueue_start(&queue, &memory, &rings, features, &err) == 0, "%s", err.text);
}

static void start(void)
{
	start_with(DRIVER_FEATURES_BITS);
}

static void stop(void)
{
	guest_memory_unmap(&memory);
	driver_fini(&driver);
}

TestSuite(virtqueue, .init = start, .fini = stop);

Test(virtqueue, chains)
{
	struct vring_used_elem used;
	char text[16] = "";

	cr_expect(virtqueue_peek(&queue, false, &chain) == 0);
	memcpy(driver.bytes + DRIVER_BUFFERS, "hello, ", 7);
	memcpy(driver.bytes + DRIVER_BUFFERS + 100, "world", 5);
	driver_describe(&driver, Q, 3, DRIVER_BUFFERS, 7, NEXT, 9);
	driver_describe(&driver, Q, 9, DRIVER_BUFFERS + 50, 0, NEXT, 0);
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS + 100, 5, 0, 77);
	driver_offer(&driver, Q, 3);
	for (int i = 0; i < 2; i++) { /* it is taken by complete, not by peek */
		cr_assert(virtqueue_peek(&queue, false, &chain) == 1);
		cr_expect(chain.head == 3 && chain.count == 2 && chain.size == 12);
	}
	cr_expect(virtqueue_read(&chain, 0, text, sizeof(text)) == 12);
	cr_expect_str_eq(text, "hello, world");
	cr_expect(virtqueue_read(&chain, 5, text, 4) == 4 && memcmp(text, ", wo", 4) == 0);
	cr_expect(virtqueue_read(&chain, 12, text, 4) == 0);
	virtqueue_complete(&queue, &chain, 5);
	cr_assert(driver_take(&driver, Q, &used));
	cr_expect(used.id == 3 && used.len == 5);
	cr_expect(virtqueue_peek(&queue, false, &chain) == 0);
}

Test(virtqueue, writes)
{
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS, 3, NEXT | WRITE, 1);
	driver_describe(&driver, Q, 1, DRIVER_BUFFERS + 10, 3, WRITE, 0);
	driver_offer(&driver, Q, 0);
	cr_assert(virtqueue_peek(&queue, true, &chain) == 1);
	cr_expect(virtqueue_write(&chain, 0, "abcdefgh", 8) == 6);
	cr_expect(virtqueue_write(&chain, 2, "XY", 2) == 2);
	cr_expect(memcmp(driver.bytes + DRIVER_BUFFERS, "abX", 3) == 0);
	cr_expect(memcmp(driver.bytes + DRIVER_BUFFERS + 10, "Yef\0", 4) == 0);
}

Test(virtqueue, indirect)
{
	struct vring_desc *table = (void *)(driver.bytes + DRIVER_BUFFERS);

	table[0] = (struct vring_desc){ DRIVER_GUEST + DRIVER_BUFFERS + 0x1000, 4, NEXT, 2 };
	table[2] = (struct vring_desc){ DRIVER_GUEST + DRIVER_BUFFERS + 0x2000, 6, 0, 0 };
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS + 0x3000, 1, NEXT, 5);
	driver_describe(&driver, Q, 5, DRIVER_BUFFERS, 3 * sizeof(*table), TABLE, 0);
	driver_offer(&driver, Q, 0);
	cr_assert(virtqueue_peek(&queue, false, &chain) == 1);
	cr_expect(chain.count == 3 && chain.size == 11);
}

/* The ring's numbers wrap at 65536, and a later back-end goes on where they stand. */
Test(virtqueue, wraps_and_resumes)
{
	struct virtqueue_rings rings = driver_rings(Q);
	struct vring_used_elem used;
	struct error err;

	driver_describe(&driver, Q, 4, DRIVER_BUFFERS, 1, 0, 0);
	for (unsigned i = 0; i < 65536 + 100; i++) {
		if (i % 30000 == 17) {
			virtqueue_stop(&queue);
			cr_expect(virtqueue_peek(&queue, false, &chain) == 0);
			cr_assert(virtqueue_start(&queue, &memory, &rings, 0, &err) == 0);
		}
		driver_offer(&driver, Q, 4);
		cr_assert(virtqueue_peek(&queue, false, &chain) == 1, "%u", i);
		virtqueue_complete(&queue, &chain, i);
		cr_assert(driver_take(&driver, Q, &used) && used.len == i, "%u", i);
	}
}

static void break_with(void (*arrange)(void), const char *rule)
{
	stop();
	start();
	arrange();
	cr_expect(virtqueue_peek(&queue, false, &chain) == -EBADMSG, "%s", rule);
	cr_expect_str_eq(queue.broken != NULL ? queue.broken : "nothing", rule);
	cr_expect(virtqueue_peek(&queue, false, &chain) == -EBADMSG, "it stays broken");
	cr_expect_not(virtqueue_runs(&queue) || virtqueue_listen(&queue) ||
		      virtqueue_must_signal(&queue));
}

static void too_many(void)
{
	driver.queues[Q].available->idx = DRIVER_SIZE + 1;
}

static void backwards(void)
{
	driver.queues[Q].available->idx = UINT16_MAX;
}

static void wild_head(void)
{
	driver_offer(&driver, Q, DRIVER_SIZE);
}

static void wild_next(void)
{
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS, 1, NEXT, DRIVER_SIZE);
	driver_offer(&driver, Q, 0);
}

static void loop(void)
{
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS, 1, NEXT, 1);
	driver_describe(&driver, Q, 1, DRIVER_BUFFERS, 1, NEXT, 0);
	driver_offer(&driver, Q, 0);
}

static void self_loop_of_nothing(void)
{
	driver_describe(&driver, Q, 7, DRIVER_BUFFERS, 0, NEXT, 7);
	driver_offer(&driver, Q, 7);
}

static void wrong_direction(void)
{
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, Q, 0);
}

static void below_memory(void)
{
	driver_describe(&driver, Q, 0, (uint64_t)-1, 1, 0, 0);
	driver_offer(&driver, Q, 0);
}

static void over_the_end(void)
{
	driver_describe(&driver, Q, 0, DRIVER_BYTES - 1, 2, 0, 0);
	driver_offer(&driver, Q, 0);
}

static void overflowing(void)
{
	driver_describe(&driver, Q, 0, UINT64_MAX - DRIVER_GUEST - 1, UINT32_MAX, 0, 0);
	driver_offer(&driver, Q, 0);
}

static void offer_table(uint64_t offset, uint32_t len, uint16_t flags)
{
	driver_describe(&driver, Q, 0, offset, len, (uint16_t)(TABLE | flags), 1);
	driver_offer(&driver, Q, 0);
}

static void nested(void)
{
	struct vring_desc *table = (void *)(driver.bytes + DRIVER_BUFFERS);

	table[0] = (struct vring_desc){ DRIVER_GUEST + DRIVER_BUFFERS, 16, TABLE, 0 };
	offer_table(DRIVER_BUFFERS, 16, 0);
}

static void table_with_next(void)
{
	offer_table(DRIVER_BUFFERS, 16, NEXT);
}

static void table_too_large(void)
{
	offer_table(DRIVER_BUFFERS, 16 * (DRIVER_SIZE + 1), 0);
}

static void table_of_a_part(void)
{
	offer_table(DRIVER_BUFFERS, 17, 0);
}

static void table_of_nothing(void)
{
	offer_table(DRIVER_BUFFERS, 0, 0);
}

static void table_outside(void)
{
	offer_table(DRIVER_BYTES - 16, 32, 0);
}

static void table_unaligned(void)
{
	offer_table(DRIVER_BUFFERS + 1, 16, 0);
}

static void table_loop(void)
{
	struct vring_desc *table = (void *)(driver.bytes + DRIVER_BUFFERS);

	table[0] = (struct vring_desc){ DRIVER_GUEST + DRIVER_BUFFERS, 1, NEXT, 0 };
	offer_table(DRIVER_BUFFERS, 16, 0);
}

static void table_next_outside(void)
{
	struct vring_desc *table = (void *)(driver.bytes + DRIVER_BUFFERS);

	table[0] = (struct vring_desc){ DRIVER_GUEST + DRIVER_BUFFERS, 1, NEXT, 1 };
	offer_table(DRIVER_BUFFERS, 16, 0);
}

static void table_not_negotiated(void)
{
	stop();
	start_with(0);
	offer_table(DRIVER_BUFFERS, 16, 0);
}

Test(virtqueue, broken_rules)
{
	static const struct {
		void (*arrange)(void);
		const char *rule;
	} cases[] = {
		{ too_many, "more chains than descriptors" },
		{ backwards, "more chains than descriptors" },
		{ wild_head, "a descriptor outside of its table" },
		{ wild_next, "a descriptor outside of its table" },
		{ loop, "a chain without an end" },
		{ self_loop_of_nothing, "a chain without an end" },
		{ wrong_direction, "a buffer of the wrong direction" },
		{ below_memory, "a buffer outside of the memory" },
		{ over_the_end, "a buffer outside of the memory" },
		{ overflowing, "a buffer outside of the memory" },
		{ nested, "an indirect table in an indirect table" },
		{ table_with_next, "an indirect table with a successor" },
		{ table_too_large, "an indirect table of an impossible size" },
		{ table_of_a_part, "an indirect table of an impossible size" },
		{ table_of_nothing, "an indirect table of an impossible size" },
		{ table_outside, "an indirect table outside of the memory" },
		{ table_unaligned, "an indirect table that is not aligned" },
		{ table_loop, "a chain without an end" },
		{ table_next_outside, "a descriptor outside of its table" },
		{ table_not_negotiated, "an indirect table that was not negotiated" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		break_with(cases[i].arrange, cases[i].rule);
}

/* A queue as large as allowed can name more buffers than a chain may have. */
Test(virtqueue, too_many_parts)
{
	struct virtqueue_rings rings = driver_rings(Q);
	struct error err;

	rings.size =
		128; /* the driver's structures have room, the ring of available ones differs */
	rings.available = DRIVER_USER + 0x10000;
	rings.used = DRIVER_USER + 0x12000;
	cr_assert(virtqueue_start(&queue, &memory, &rings, 0, &err) == 0);
	for (unsigned i = 0; i <= VIRTQUEUE_PARTS_MAX; i++)
		driver_describe(&driver, Q, i, DRIVER_BUFFERS, 1, NEXT, (uint16_t)(i + 1));
	((struct vring_avail *)(void *)(driver.bytes + 0x10000))->idx = 1;
	cr_expect(virtqueue_peek(&queue, false, &chain) == -EBADMSG);
	cr_expect_str_eq(queue.broken, "a chain of too many buffers");
}

Test(virtqueue, impossible_rings)
{
	const struct virtqueue_rings good = driver_rings(Q);
	struct virtqueue_rings cases[11];
	struct virtqueue other;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cases[i] = good;
	cases[0].size = 0;
	cases[1].size = 3;
	cases[2].size = 2 * VIRTQUEUE_SIZE_MAX;
	cases[3].size = (1U << 31) + 16;
	cases[4].descriptors += 8;
	cases[5].available += 1;
	cases[6].used += 2;
	cases[7].descriptors = DRIVER_USER - 16;
	cases[8].available = DRIVER_USER + DRIVER_BYTES - 2;
	cases[9].used = UINT64_MAX - 3;
	cases[10].used = DRIVER_USER + DRIVER_BYTES - 4 - 8 * DRIVER_SIZE; /* the event misses */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_expect(virtqueue_start(&other, &memory, &cases[i], 0, &err) == -EINVAL, "%zu",
			  i);
		cr_expect(virtqueue_peek(&other, false, &chain) == 0, "it does not run: %zu", i);
	}
}

static void complete_one(void)
{
	driver_describe(&driver, Q, 0, DRIVER_BUFFERS, 1, 0, 0);
	driver_offer(&driver, Q, 0);
	cr_assert(virtqueue_peek(&queue, false, &chain) == 1);
	virtqueue_complete(&queue, &chain, 0);
}

/* With EVENT_IDX the driver names the completion it wants to hear of, and we the chain. */
Test(virtqueue, events)
{
	struct fake_queue *q = &driver.queues[Q];
	uint16_t wish;

	virtqueue_must_signal(&queue); /* what an earlier back-end may not have told */
	q->available->ring[DRIVER_SIZE] = 0;
	cr_expect_not(virtqueue_must_signal(&queue));
	complete_one();
	cr_expect(virtqueue_must_signal(&queue));
	cr_expect_not(virtqueue_must_signal(&queue));
	complete_one();
	cr_expect_not(virtqueue_must_signal(&queue), "it asked for the first one only");
	q->available->ring[DRIVER_SIZE] = 3;
	complete_one();
	complete_one();
	cr_expect(virtqueue_must_signal(&queue));
	cr_expect_not(virtqueue_listen(&queue));
	memcpy(&wish, &q->used->ring[DRIVER_SIZE], sizeof(wish));
	cr_expect(wish == 4);
	driver_offer(&driver, Q, 0);
	cr_expect(virtqueue_listen(&queue), "one is there already");
}

Test(virtqueue, events_without_index)
{
	struct fake_queue *q = &driver.queues[Q];

	stop();
	start_with(0);
	q = &driver.queues[Q];
	virtqueue_must_signal(&queue);
	complete_one();
	cr_expect(virtqueue_must_signal(&queue));
	q->available->flags = VRING_AVAIL_F_NO_INTERRUPT;
	complete_one();
	cr_expect_not(virtqueue_must_signal(&queue));
	virtqueue_mute(&queue);
	cr_expect(q->used->flags == VRING_USED_F_NO_NOTIFY);
	cr_expect_not(virtqueue_listen(&queue));
	cr_expect(q->used->flags == 0);
}

/* Telling may wait until a quarter of the descriptors is completed and the driver does not know. */
Test(virtqueue, telling_can_wait)
{
	cr_expect_not(virtqueue_can_wait(&queue), "what an earlier back-end told is not known");
	for (int round = 0; round < 2; round++) {
		virtqueue_must_signal(&queue);
		for (int i = 0; i < DRIVER_SIZE / 4; i++) {
			complete_one();
			cr_expect(virtqueue_can_wait(&queue), "%d", i);
		}
		complete_one();
		cr_expect_not(virtqueue_can_wait(&queue));
	}
}

/* A long chain is as much as many short ones. */
Test(virtqueue, long_chains_cannot_wait)
{
	virtqueue_must_signal(&queue);
	for (unsigned i = 0; i <= DRIVER_SIZE / 4; i++)
		driver_describe(&driver, Q, i, DRIVER_BUFFERS, 1, i < DRIVER_SIZE / 4 ? NEXT : 0,
				(uint16_t)(i + 1));
	driver_offer(&driver, Q, 0);
	cr_assert(virtqueue_peek(&queue, false, &chain) == 1);
	virtqueue_complete(&queue, &chain, 0);
	cr_expect_not(virtqueue_can_wait(&queue));
}

/* A back-end that takes over cannot know what the last one told: it tells once more. */
Test(virtqueue, signals_after_start)
{
	driver.queues[Q].available->ring[DRIVER_SIZE] = 1000; /* another one is not asked for */
	cr_expect(virtqueue_must_signal(&queue));
	cr_expect_not(virtqueue_must_signal(&queue));
}
