/*
 * The back-end's side of the vhost-user protocol for a vsock device: what QEMU, the front-end, says
 * of the guest's memory and of the two queues. A state machine over whole messages; who reads and
 * writes the socket is vsock-link.c.
 *
 * QEMU is not trusted: a message of the wrong size, with descriptors it should not have, or about
 * what is not there ends the connection. Offered are CONFIG and REPLY_ACK alone, so that no message
 * with a logic of its own (postcopy, logging, IOTLB, in-flight buffers) is ever valid.
 */
#ifndef KATA_PROXY_VHOST_USER_H
#define KATA_PROXY_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kata-proxy/guest-memory.h"
#include "kata-proxy/virtqueue.h"

enum {
	VHOST_USER_HEADER = 12,
	VHOST_USER_PAYLOAD_MAX = 512,
	VHOST_USER_FDS_MAX = GUEST_REGIONS_MAX,
	VHOST_USER_QUEUES = 2,
};

/* A message: its header, in this machine's byte order, and its payload. */
struct vhost_user_message {
	uint32_t request, flags, size;
	uint8_t payload[VHOST_USER_PAYLOAD_MAX];
};

struct vhost_user_ring {
	struct virtqueue_rings rings;
	bool addressed, enabled;
	int kick, call; /* eventfds, -1: none yet */
};

/* What messages changed, as bits for vhost_user.changed. */
enum {
	VHOST_USER_MEMORY = 1,
	VHOST_USER_KICK = 2,                      /* of queue 0, then of the others */
	VHOST_USER_CALL = 2 << VHOST_USER_QUEUES, /* likewise */
};

/* All but the descriptors, for the next back-end. */
struct vhost_user_saved {
	uint64_t features, protocol_features;
	uint32_t regions_count;
	struct guest_region regions[GUEST_REGIONS_MAX];
	struct {
		struct virtqueue_rings rings;
		uint32_t addressed, enabled;
	} rings[VHOST_USER_QUEUES];
};

struct vhost_user {
	uint64_t cid;
	uint64_t features; /* as negotiated: virtio's, and the protocol's own bit 30 */
	uint64_t protocol_features;
	struct guest_memory memory;
	int memory_fds[GUEST_REGIONS_MAX]; /* memory.count of them are open */
	struct vhost_user_ring rings[VHOST_USER_QUEUES];
	struct virtqueue *queues[VHOST_USER_QUEUES]; /* the caller's */
	unsigned changed; /* descriptors that are others than before; the caller clears it */
};

/* queues are VHOST_USER_QUEUES of the caller's, started and stopped here. */
void vhost_user_init(struct vhost_user *user, uint64_t cid, struct virtqueue *queues);
void vhost_user_fini(struct vhost_user *user);

/*
 * Checks a header of 12 bytes as it was received: 0 with request, flags and size in *ret, or
 * -EBADMSG.
 */
int vhost_user_parse_header(const uint8_t header[VHOST_USER_HEADER], struct vhost_user_message *ret,
			    struct error *err);

/*
 * Takes a whole message and its count descriptors, which belong to user afterwards or are closed.
 * 1: *reply is to be sent; 0; negative: the connection cannot go on.
 */
int vhost_user_take(struct vhost_user *user, const struct vhost_user_message *message,
		    const int *fds, size_t count, struct vhost_user_message *reply,
		    struct error *err);

void vhost_user_save(const struct vhost_user *user, struct vhost_user_saved *ret);

/*
 * Goes on where another back-end was; user is as vhost_user_init() left it but for its descriptors,
 * which the caller has put into it, regions_count of them for the memory. What is saved is not
 * trusted more than QEMU. After an error vhost_user_fini() is to follow.
 */
int vhost_user_restore(struct vhost_user *user, const struct vhost_user_saved *saved,
		       struct error *err);

/* The bytes of a message to send: their number. */
size_t vhost_user_format(const struct vhost_user_message *message,
			 uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_PAYLOAD_MAX]);

#endif
