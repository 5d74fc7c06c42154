/*
 * One virtqueue with split rings (VIRTIO 1.2, section 2.7) as a device serves it: descriptor chains
 * are taken and completed in order, so that one number is both how far the driver's ring has been
 * read and how far ours has been written. EVENT_IDX and indirect descriptors are understood.
 *
 * The rings lie in the guest's memory and are hostile. A queue that breaks a rule is broken from
 * then on: it is not served any more, and virtqueue_start() alone mends it.
 */
#ifndef KATA_PROXY_VIRTQUEUE_H
#define KATA_PROXY_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "kata-proxy/guest-memory.h"

enum { VIRTQUEUE_SIZE_MAX = 1024, VIRTQUEUE_PARTS_MAX = 64 };

/* What the front-end says of a queue; the addresses are QEMU's. */
struct virtqueue_rings {
	uint32_t size;
	uint64_t descriptors, available, used;
};

struct vring_desc;
struct vring_avail;
struct vring_used;

struct virtqueue {
	const struct guest_memory *memory;
	struct vring_desc *descriptors; /* NULL: not started */
	struct vring_avail *available;
	struct vring_used *used;
	uint16_t size;
	uint16_t next;      /* chains taken, and completed, modulo 65536 */
	uint16_t signalled; /* of these, as many as the driver was told of or need not be */
	unsigned owed;      /* parts of chains completed since it was last told or need not be */
	bool untold;        /* nobody knows what an earlier back-end told it */
	bool event_idx, indirect;
	const char *broken; /* the rule that was broken, or NULL */
};

/* A chain of buffers, all for reading or all for writing; they lie in the guest's memory. */
struct virtqueue_chain {
	uint16_t head;
	unsigned count;
	size_t size; /* bytes of all of them */
	struct iovec parts[VIRTQUEUE_PARTS_MAX];
};

/*
 * Starts at what the ring of used buffers says in the guest's memory, which is the only place that
 * every earlier back-end wrote down how far it had come. features are virtio's, as negotiated.
 * -EINVAL: a size or an address that no driver has.
 */
int virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory,
		    const struct virtqueue_rings *rings, uint64_t features, struct error *err);
void virtqueue_stop(struct virtqueue *queue);

static inline bool virtqueue_runs(const struct virtqueue *queue)
{
	return queue->descriptors != NULL && queue->broken == NULL;
}

/*
 * The next chain, which is taken by virtqueue_complete() only: 1, 0 when there is none, -EBADMSG
 * when the queue is or gets broken. writable: whether its buffers are to be written.
 */
int virtqueue_peek(struct virtqueue *queue, bool writable, struct virtqueue_chain *ret);

/* Gives the chain of the last peek back to the driver, with written bytes in it. */
void virtqueue_complete(struct virtqueue *queue, const struct virtqueue_chain *chain,
			uint32_t written);

/* Whether the driver wants to hear of what was completed since the last call. */
bool virtqueue_must_signal(struct virtqueue *queue);

/*
 * Whether the driver can do without being told for a while: of what it may have underway at most a
 * quarter is completed and it does not know. Not for buffers that it waits for.
 */
bool virtqueue_can_wait(const struct virtqueue *queue);

/*
 * Asks the driver to tell of the next chain; true when one is there already and nobody will tell.
 * virtqueue_mute() says that we look again without being told.
 */
bool virtqueue_listen(struct virtqueue *queue);
void virtqueue_mute(struct virtqueue *queue);

/* Copies at most len bytes between a chain, from offset on, and own memory: how many. */
size_t virtqueue_read(const struct virtqueue_chain *chain, size_t offset, void *to, size_t len);
size_t virtqueue_write(const struct virtqueue_chain *chain, size_t offset, const void *from,
		       size_t len);

#endif
