/*
 * Split rings: see virtqueue.h. Called by vsock-device.c in the worker; pure but for the memory it
 * is given. Every word of a ring is read once, into a variable, and that is what is checked.
 */
#include "kata-proxy/virtqueue.h"

#include <errno.h>
#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { EVENT_SIZE = 2 }; /* of the wish behind each ring */

static bool aligned(const void *at, uintptr_t unit)
{
	return (uintptr_t)at % unit == 0;
}

static uint16_t load16(const void *word)
{
	return le16toh(__atomic_load_n((const uint16_t *)word, __ATOMIC_ACQUIRE));
}

static void store16(void *word, uint16_t value)
{
	__atomic_store_n((uint16_t *)word, htole16(value), __ATOMIC_RELEASE);
}

/* Behind the ring of available buffers: the completed chain the driver wants to be told of. */
static uint16_t *used_event(const struct virtqueue *queue)
{
	return &queue->available->ring[queue->size];
}

/* Behind the ring of used buffers: the available chain that we want to be told of. */
static void *available_event(const struct virtqueue *queue)
{
	return &queue->used->ring[queue->size];
}

int virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory,
		    const struct virtqueue_rings *rings, uint64_t features, struct error *err)
{
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint64_t n = rings->size;

	*queue = (struct virtqueue){ .memory = memory,
				     .size = (uint16_t)n,
				     .event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
				     .indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1 };
	if (n == 0 || n > VIRTQUEUE_SIZE_MAX || (n & (n - 1)) != 0)
		return error_say(err, EINVAL, "a virtqueue of %u descriptors", rings->size);
	available = guest_memory_at_user(memory, rings->available,
					 sizeof(struct vring_avail) + n * sizeof(uint16_t) +
						 EVENT_SIZE);
	used = guest_memory_at_user(memory, rings->used,
				    sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) +
					    EVENT_SIZE);
	descriptors =
		guest_memory_at_user(memory, rings->descriptors, n * sizeof(struct vring_desc));
	if (available == NULL || used == NULL || descriptors == NULL)
		return error_say(err, EINVAL, "a ring of a virtqueue lies outside of the memory");
	if (!aligned(descriptors, VRING_DESC_ALIGN_SIZE) ||
	    !aligned(available, VRING_AVAIL_ALIGN_SIZE) || !aligned(used, VRING_USED_ALIGN_SIZE))
		return error_say(err, EINVAL, "a ring of a virtqueue is not aligned");
	queue->descriptors = descriptors;
	queue->available = available;
	queue->used = used;
	queue->next = load16(&used->idx);
	queue->signalled = queue->next;
	queue->untold = true;
	return 0;
}

void virtqueue_stop(struct virtqueue *queue)
{
	queue->descriptors = NULL;
}

static int break_off(struct virtqueue *queue, const char *rule)
{
	queue->broken = rule;
	return -EBADMSG;
}

/* How many chains wait; a driver cannot offer more than it has descriptors. */
static int count_available(struct virtqueue *queue)
{
	uint16_t n = (uint16_t)(load16(&queue->available->idx) - queue->next);

	return n <= queue->size ? n : break_off(queue, "more chains than descriptors");
}

/* A table of descriptors: the queue's own or an indirect one. */
struct table {
	const struct vring_desc *descriptors;
	uint32_t size, used; /* used: as many were followed, so that a loop ends */
	bool indirect;
};

static struct vring_desc load_descriptor(const struct table *table, uint32_t i)
{
	const volatile struct vring_desc *d = &table->descriptors[i];

	return (struct vring_desc){ .addr = le64toh(d->addr),
				    .len = le32toh(d->len),
				    .flags = le16toh(d->flags),
				    .next = le16toh(d->next) };
}

/* The table behind an indirect descriptor becomes the one to follow. */
static int enter_indirect(struct virtqueue *queue, const struct vring_desc *d, struct table *table)
{
	uint32_t n = d->len / (uint32_t)sizeof(struct vring_desc);

	if (!queue->indirect)
		return break_off(queue, "an indirect table that was not negotiated");
	if (table->indirect)
		return break_off(queue, "an indirect table in an indirect table");
	if ((d->flags & VRING_DESC_F_NEXT) != 0)
		return break_off(queue, "an indirect table with a successor");
	if (d->len % sizeof(struct vring_desc) != 0 || n == 0 || n > queue->size)
		return break_off(queue, "an indirect table of an impossible size");
	table->descriptors = guest_memory_at(queue->memory, d->addr, d->len);
	if (table->descriptors == NULL)
		return break_off(queue, "an indirect table outside of the memory");
	if (!aligned(table->descriptors, sizeof(uint64_t)))
		return break_off(queue, "an indirect table that is not aligned");
	table->size = n;
	table->used = 0;
	table->indirect = true;
	return 0;
}

static int add_part(struct virtqueue *queue, const struct vring_desc *d, bool writable,
		    struct virtqueue_chain *chain)
{
	void *at;

	if (((d->flags & VRING_DESC_F_WRITE) != 0) != writable)
		return break_off(queue, "a buffer of the wrong direction");
	if (d->len == 0)
		return 0;
	at = guest_memory_at(queue->memory, d->addr, d->len);
	if (at == NULL)
		return break_off(queue, "a buffer outside of the memory");
	if (chain->count == VIRTQUEUE_PARTS_MAX)
		return break_off(queue, "a chain of too many buffers");
	chain->parts[chain->count++] = (struct iovec){ .iov_base = at, .iov_len = d->len };
	chain->size += d->len;
	return 0;
}

/* Follows a chain from descriptor i on. */
static int walk(struct virtqueue *queue, struct table *table, uint32_t i, bool writable,
		struct virtqueue_chain *chain)
{
	for (;;) {
		struct vring_desc d;
		int r;

		if (i >= table->size)
			return break_off(queue, "a descriptor outside of its table");
		if (table->used++ == table->size)
			return break_off(queue, "a chain without an end");
		d = load_descriptor(table, i);
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			r = enter_indirect(queue, &d, table);
			if (r < 0)
				return r;
			i = 0;
			continue;
		}
		r = add_part(queue, &d, writable, chain);
		if (r < 0)
			return r;
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return 1;
		i = d.next;
	}
}

int virtqueue_peek(struct virtqueue *queue, bool writable, struct virtqueue_chain *ret)
{
	struct table table = { .descriptors = queue->descriptors, .size = queue->size };
	int r;

	if (!virtqueue_runs(queue))
		return queue->broken != NULL ? -EBADMSG : 0;
	r = count_available(queue);
	if (r <= 0)
		return r;
	ret->head = load16(&queue->available->ring[queue->next & (queue->size - 1)]);
	ret->count = 0;
	ret->size = 0;
	return walk(queue, &table, ret->head, writable, ret);
}

void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
			uint32_t written)
{
	volatile struct vring_used_elem *e = &queue->used->ring[queue->next & (queue->size - 1)];

	e->id = htole32(chain->head);
	e->len = htole32(written);
	queue->next++;
	queue->owed += chain->count;
	store16(&queue->used->idx, queue->next);
}

bool virtqueue_can_wait(const struct virtqueue *queue)
{
	return !queue->untold && queue->owed <= queue->size / 4U;
}

bool virtqueue_must_signal(struct virtqueue *queue)
{
	uint16_t before = queue->signalled;

	if (!virtqueue_runs(queue))
		return false;
	queue->owed = 0;
	if (queue->untold) {
		queue->untold = false;
		queue->signalled = queue->next;
		return true;
	}
	if (before == queue->next)
		return false;
	queue->signalled = queue->next;
	/* What was completed is seen before the driver's wish is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (queue->event_idx)
		return vring_need_event(load16(used_event(queue)), queue->next, before);
	return (load16(&queue->available->flags) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
}

bool virtqueue_listen(struct virtqueue *queue)
{
	if (!virtqueue_runs(queue))
		return false;
	if (queue->event_idx)
		store16(available_event(queue), queue->next);
	else
		store16(&queue->used->flags, 0);
	/* Our wish is seen before we look for the last time. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return count_available(queue) > 0;
}

/* With EVENT_IDX nothing need be said: the driver tells of one chain only, and that is past. */
void virtqueue_mute(struct virtqueue *queue)
{
	if (virtqueue_runs(queue) && !queue->event_idx)
		store16(&queue->used->flags, VRING_USED_F_NO_NOTIFY);
}

/* Where offset lies: the part's index, and *offset made relative to it. */
static unsigned find_part(const struct virtqueue_chain *chain, size_t *offset)
{
	unsigned i = 0;

	while (i < chain->count && *offset >= chain->parts[i].iov_len)
		*offset -= chain->parts[i++].iov_len;
	return i;
}

static size_t part_len(const struct iovec *part, size_t offset, size_t wanted)
{
	size_t room = part->iov_len - offset;

	return wanted < room ? wanted : room;
}

size_t virtqueue_read(const struct virtqueue_chain *chain, size_t offset, void *to, size_t len)
{
	size_t done = 0;

	for (unsigned i = find_part(chain, &offset); i < chain->count && done < len; i++) {
		size_t n = part_len(&chain->parts[i], offset, len - done);

		memcpy((uint8_t *)to + done, (uint8_t *)chain->parts[i].iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t virtqueue_write(const struct virtqueue_chain *chain, size_t offset, const void *from,
		       size_t len)
{
	size_t done = 0;

	for (unsigned i = find_part(chain, &offset); i < chain->count && done < len; i++) {
		size_t n = part_len(&chain->parts[i], offset, len - done);

		memcpy((uint8_t *)chain->parts[i].iov_base + offset, (const uint8_t *)from + done,
		       n);
		done += n;
		offset = 0;
	}
	return done;
}
