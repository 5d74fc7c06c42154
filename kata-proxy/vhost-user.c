/*
 * vhost-user messages: see vhost-user.h. Called by vsock-link.c in the worker. Numbers and layouts
 * are those of QEMU's docs/interop/vhost-user.rst; all are in the machine's own byte order, since
 * both ends are on one machine.
 */
#include "kata-proxy/vhost-user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

enum {
	VERSION_MASK = 3,
	VERSION = 1,
	FLAG_REPLY = 1 << 2,
	FLAG_NEED_REPLY = 1 << 3,
	FLAGS_KNOWN = VERSION_MASK | FLAG_REPLY | FLAG_NEED_REPLY,
};

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	GET_CONFIG = 24,
	REQUEST_COUNT
};

#define BIT(n) (UINT64_C(1) << (n))

#define PROTOCOL_FEATURES_BIT 30 /* of the features: the protocol has features of its own */
#define FEATURES \
	(BIT(VIRTIO_F_VERSION_1) | BIT(PROTOCOL_FEATURES_BIT) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define REPLY_ACK 3
#define CONFIG 9
#define PROTOCOL_FEATURES (BIT(REPLY_ACK) | BIT(CONFIG))

enum { RING_MASK = 0xff, RING_NO_FD = 1 << 8, CONFIG_MAX = 256 };

struct ring_state {
	uint32_t index, number;
};

struct ring_address {
	uint32_t index, flags;
	uint64_t descriptors, used, available, log;
};

struct region {
	uint64_t guest, size, user, offset;
};

struct memory_table {
	uint32_t count, padding;
	struct region regions[GUEST_REGIONS_MAX];
};

struct config {
	uint32_t offset, size, flags;
	uint8_t bytes[CONFIG_MAX];
};

enum {
	TABLE_HEAD = offsetof(struct memory_table, regions),
	CONFIG_HEAD = offsetof(struct config, bytes),
};

void vhost_user_init(struct vhost_user *user, uint64_t cid, struct virtqueue *queues)
{
	*user = (struct vhost_user){ .cid = cid };
	for (int i = 0; i < GUEST_REGIONS_MAX; i++)
		user->memory_fds[i] = -1;
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		user->rings[i].kick = user->rings[i].call = -1;
		user->queues[i] = &queues[i];
	}
}

static void drop_memory(struct vhost_user *user)
{
	for (int i = 0; i < GUEST_REGIONS_MAX; i++)
		fd_close(&user->memory_fds[i]);
	guest_memory_unmap(&user->memory);
}

void vhost_user_fini(struct vhost_user *user)
{
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		virtqueue_stop(user->queues[i]);
		fd_close(&user->rings[i].kick);
		fd_close(&user->rings[i].call);
	}
	drop_memory(user);
}

int vhost_user_parse_header(const uint8_t header[VHOST_USER_HEADER], struct vhost_user_message *ret,
			    struct error *err)
{
	memcpy(&ret->request, header, sizeof(ret->request));
	memcpy(&ret->flags, header + 4, sizeof(ret->flags));
	memcpy(&ret->size, header + 8, sizeof(ret->size));
	if ((ret->flags & VERSION_MASK) != VERSION || (ret->flags & ~(uint32_t)FLAGS_KNOWN) != 0 ||
	    (ret->flags & FLAG_REPLY) != 0)
		return error_say(err, EBADMSG, "vhost-user message %u has the flags 0x%x",
				 ret->request, ret->flags);
	if (ret->size > sizeof(ret->payload))
		return error_say(err, EBADMSG, "vhost-user message %u has %u bytes", ret->request,
				 ret->size);
	return 0;
}

size_t vhost_user_format(const struct vhost_user_message *message,
			 uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_PAYLOAD_MAX])
{
	memcpy(bytes, &message->request, sizeof(message->request));
	memcpy(bytes + 4, &message->flags, sizeof(message->flags));
	memcpy(bytes + 8, &message->size, sizeof(message->size));
	memcpy(bytes + VHOST_USER_HEADER, message->payload, message->size);
	return VHOST_USER_HEADER + message->size;
}

/* --- what a handler works on ------------------------------------------------------------------ */

struct call {
	struct vhost_user *user;
	const struct vhost_user_message *message;
	int fds[VHOST_USER_FDS_MAX]; /* -1 for those that were taken */
	size_t n_fds;
	struct vhost_user_message *reply;
};

static int answer(struct call *call, const void *payload, size_t size)
{
	call->reply->request = call->message->request;
	call->reply->flags = VERSION | FLAG_REPLY;
	call->reply->size = (uint32_t)size;
	memcpy(call->reply->payload, payload, size);
	return 1;
}

static int answer_number(struct call *call, uint64_t number)
{
	return answer(call, &number, sizeof(number));
}

static uint64_t number_of(const struct call *call)
{
	uint64_t number;

	memcpy(&number, call->message->payload, sizeof(number));
	return number;
}

/* NULL with *err filled when there is no such queue. */
static struct vhost_user_ring *find_ring(struct call *call, uint64_t index, struct error *err)
{
	if (index < VHOST_USER_QUEUES)
		return &call->user->rings[index];
	error_say(err, EBADMSG, "there is no queue %llu", (unsigned long long)index);
	return NULL;
}

/* The queue of a message that has its number and another one. */
static struct vhost_user_ring *get_state(struct call *call, struct ring_state *ret,
					 struct error *err)
{
	memcpy(ret, call->message->payload, sizeof(*ret));
	return find_ring(call, ret->index, err);
}

/*
 * Starts or stops a queue as its ring stands now. The guest chooses where its rings lie: those
 * that cannot be used stop their queue and nothing else.
 */
static void follow(struct vhost_user *user, const struct vhost_user_ring *ring)
{
	struct virtqueue *queue = user->queues[ring - user->rings];
	bool enabled = ring->enabled || (user->features & BIT(PROTOCOL_FEATURES_BIT)) == 0;
	struct error err;

	if (!ring->addressed || ring->kick < 0 || !enabled)
		virtqueue_stop(queue);
	else if (queue->descriptors == NULL &&
		 virtqueue_start(queue, &user->memory, &ring->rings, user->features, &err) < 0)
		log_warning("a queue of the guest cannot be used", KV("queue", ring - user->rings),
			    KV_ERR(&err));
}

/* --- one function a message ------------------------------------------------------------------- */

static int get_features(struct call *call, struct error *err)
{
	(void)err;
	return answer_number(call, FEATURES);
}

static int set_features(struct call *call, struct error *err)
{
	uint64_t features = number_of(call);

	if ((features & ~FEATURES) != 0)
		return error_say(err, EBADMSG, "features 0x%llx were not offered",
				 (unsigned long long)features);
	call->user->features = features;
	return 0;
}

static int get_protocol_features(struct call *call, struct error *err)
{
	(void)err;
	return answer_number(call, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct call *call, struct error *err)
{
	uint64_t features = number_of(call);

	if ((features & ~PROTOCOL_FEATURES) != 0)
		return error_say(err, EBADMSG, "protocol features 0x%llx were not offered",
				 (unsigned long long)features);
	call->user->protocol_features = features;
	return 0;
}

static int set_owner(struct call *call, struct error *err)
{
	(void)call;
	(void)err;
	return 0;
}

static int get_queue_num(struct call *call, struct error *err)
{
	(void)err;
	return answer_number(call, VHOST_USER_QUEUES);
}

/* The device's configuration is the guest's CID, 8 bytes. */
static int get_config(struct call *call, struct error *err)
{
	struct config config = { 0 };
	uint64_t cid = call->user->cid;

	if (call->message->size < CONFIG_HEAD)
		return error_say(err, EBADMSG, "GET_CONFIG has %u bytes", call->message->size);
	memcpy(&config, call->message->payload, CONFIG_HEAD);
	if (config.size != call->message->size - CONFIG_HEAD || config.size > sizeof(cid) ||
	    config.offset > sizeof(cid) - config.size)
		return error_say(err, EBADMSG, "GET_CONFIG asks for %u bytes from %u", config.size,
				 config.offset);
	memcpy(config.bytes, (uint8_t *)&cid + config.offset, config.size);
	return answer(call, &config, CONFIG_HEAD + config.size);
}

/*
 * The guest's memory, all of it anew. Queues that run go on in the new mapping; both are stopped
 * meanwhile, so that none is left in the old one when this fails.
 */
static int set_mem_table(struct call *call, struct error *err)
{
	struct vhost_user *user = call->user;
	struct guest_region regions[GUEST_REGIONS_MAX];
	struct memory_table table = { 0 };
	int r;

	if (call->message->size < TABLE_HEAD || call->message->size > sizeof(table))
		return error_say(err, EBADMSG, "SET_MEM_TABLE has %u bytes", call->message->size);
	memcpy(&table, call->message->payload, call->message->size);
	if (table.count > GUEST_REGIONS_MAX ||
	    call->message->size != TABLE_HEAD + table.count * sizeof(struct region) ||
	    call->n_fds != table.count)
		return error_say(err, EBADMSG, "SET_MEM_TABLE names %u regions", table.count);
	for (int i = 0; i < VHOST_USER_QUEUES; i++)
		virtqueue_stop(user->queues[i]);
	drop_memory(user);
	user->changed |= VHOST_USER_MEMORY;
	for (uint32_t i = 0; i < table.count; i++)
		regions[i] = (struct guest_region){ .guest = table.regions[i].guest,
						    .size = table.regions[i].size,
						    .user = table.regions[i].user,
						    .offset = table.regions[i].offset };
	r = guest_memory_map(&user->memory, regions, table.count, call->fds, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < table.count; i++)
		user->memory_fds[i] = steal_fd(&call->fds[i]);
	for (int i = 0; i < VHOST_USER_QUEUES; i++)
		follow(user, &user->rings[i]);
	return 0;
}

static int set_vring_num(struct call *call, struct error *err)
{
	struct ring_state state;
	struct vhost_user_ring *ring = get_state(call, &state, err);

	if (ring == NULL)
		return -EBADMSG;
	ring->rings.size = state.number;
	return 0;
}

static int set_vring_addr(struct call *call, struct error *err)
{
	struct vhost_user_ring *ring;
	struct ring_address address;

	memcpy(&address, call->message->payload, sizeof(address));
	ring = find_ring(call, address.index, err);
	if (ring == NULL)
		return -EBADMSG;
	ring->rings.descriptors = address.descriptors;
	ring->rings.available = address.available;
	ring->rings.used = address.used;
	ring->addressed = true;
	virtqueue_stop(call->user->queues[address.index]);
	follow(call->user, ring);
	return 0;
}

/* QEMU says 0 to a back-end that is new to it; the guest's memory says how far the ring is. */
static int set_vring_base(struct call *call, struct error *err)
{
	struct ring_state state;

	return get_state(call, &state, err) != NULL ? 0 : -EBADMSG;
}

/*
 * Stops the queue. Its connection lives on: the guest is only paused, or else it is gone for good,
 * since QEMU does not let it reboot.
 */
static int get_vring_base(struct call *call, struct error *err)
{
	struct ring_state state;
	struct vhost_user_ring *ring = get_state(call, &state, err);

	if (ring == NULL)
		return -EBADMSG;
	state.number = call->user->queues[state.index]->next;
	virtqueue_stop(call->user->queues[state.index]);
	ring->addressed = false;
	fd_close(&ring->kick);
	call->user->changed |= (unsigned)VHOST_USER_KICK << state.index;
	return answer(call, &state, sizeof(state));
}

/* The queue of a message that has its number, and an eventfd unless it says so: *ret_fd or -1. */
static struct vhost_user_ring *get_event(struct call *call, int *ret_fd, struct error *err)
{
	uint64_t number = number_of(call);
	bool none = (number & RING_NO_FD) != 0;

	if ((number & ~(uint64_t)(RING_MASK | RING_NO_FD)) != 0 || call->n_fds != (none ? 0 : 1)) {
		error_say(err, EBADMSG, "vhost-user message %u: 0x%llx with %zu descriptors",
			  call->message->request, (unsigned long long)number, call->n_fds);
		return NULL;
	}
	*ret_fd = none ? -1 : call->fds[0];
	return find_ring(call, number & RING_MASK, err);
}

static int set_vring_kick(struct call *call, struct error *err)
{
	int fd;
	struct vhost_user_ring *ring = get_event(call, &fd, err);

	if (ring == NULL)
		return -EBADMSG;
	if (fd < 0)
		return error_say(err, EBADMSG, "a queue without an eventfd is not polled here");
	fd_close(&ring->kick);
	ring->kick = steal_fd(&call->fds[0]);
	call->user->changed |= (unsigned)VHOST_USER_KICK << (ring - call->user->rings);
	follow(call->user, ring);
	return 0;
}

static int set_vring_call(struct call *call, struct error *err)
{
	int fd;
	struct vhost_user_ring *ring = get_event(call, &fd, err);

	if (ring == NULL)
		return -EBADMSG;
	fd_close(&ring->call);
	call->user->changed |= (unsigned)VHOST_USER_CALL << (ring - call->user->rings);
	if (fd < 0)
		return 0;
	/* Whatever it is, writing to it must not hold us up. */
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, errno, "a queue's eventfd");
	ring->call = steal_fd(&call->fds[0]);
	return 0;
}

/* Nothing is ever reported there, so it is not kept. */
static int set_vring_err(struct call *call, struct error *err)
{
	int fd;

	return get_event(call, &fd, err) != NULL ? 0 : -EBADMSG;
}

static int set_vring_enable(struct call *call, struct error *err)
{
	struct ring_state state;
	struct vhost_user_ring *ring = get_state(call, &state, err);

	if (ring == NULL)
		return -EBADMSG;
	ring->enabled = state.number != 0;
	follow(call->user, ring);
	return 0;
}

enum { ANY = -1 };

static const struct {
	int (*take)(struct call *call, struct error *err);
	int size; /* of the payload, or ANY: the function looks */
	bool fds; /* descriptors may come with it */
} requests[REQUEST_COUNT] = {
	[GET_FEATURES] = { get_features, 0, false },
	[SET_FEATURES] = { set_features, sizeof(uint64_t), false },
	[SET_OWNER] = { set_owner, 0, false },
	[SET_MEM_TABLE] = { set_mem_table, ANY, true },
	[SET_VRING_NUM] = { set_vring_num, sizeof(struct ring_state), false },
	[SET_VRING_ADDR] = { set_vring_addr, sizeof(struct ring_address), false },
	[SET_VRING_BASE] = { set_vring_base, sizeof(struct ring_state), false },
	[GET_VRING_BASE] = { get_vring_base, sizeof(struct ring_state), false },
	[SET_VRING_KICK] = { set_vring_kick, sizeof(uint64_t), true },
	[SET_VRING_CALL] = { set_vring_call, sizeof(uint64_t), true },
	[SET_VRING_ERR] = { set_vring_err, sizeof(uint64_t), true },
	[GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, false },
	[SET_PROTOCOL_FEATURES] = { set_protocol_features, sizeof(uint64_t), false },
	[GET_QUEUE_NUM] = { get_queue_num, 0, false },
	[SET_VRING_ENABLE] = { set_vring_enable, sizeof(struct ring_state), false },
	[GET_CONFIG] = { get_config, ANY, false },
};

static int dispatch(struct call *call, struct error *err)
{
	uint32_t request = call->message->request;
	int r;

	if (request >= REQUEST_COUNT || requests[request].take == NULL)
		return error_say(err, EBADMSG, "vhost-user message %u was not agreed on", request);
	if (requests[request].size != ANY &&
	    (uint32_t)requests[request].size != call->message->size)
		return error_say(err, EBADMSG, "vhost-user message %u has %u bytes", request,
				 call->message->size);
	if (call->n_fds > 0 && !requests[request].fds)
		return error_say(err, EBADMSG, "vhost-user message %u brings descriptors", request);
	r = requests[request].take(call, err);
	/* With REPLY_ACK: 0 is success, and a failure ends the connection anyway. */
	if (r == 0 && (call->message->flags & FLAG_NEED_REPLY) != 0 &&
	    (call->user->protocol_features & BIT(REPLY_ACK)) != 0)
		r = answer_number(call, 0);
	return r;
}

int vhost_user_take(struct vhost_user *user, const struct vhost_user_message *message,
		    const int *fds, size_t count, struct vhost_user_message *reply,
		    struct error *err)
{
	struct call call = { .user = user, .message = message, .reply = reply };
	int r;

	if (count > VHOST_USER_FDS_MAX) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return error_say(err, EBADMSG, "vhost-user message %u brings %zu descriptors",
				 message->request, count);
	}
	call.n_fds = count;
	memcpy(call.fds, fds, count * sizeof(*fds));
	r = dispatch(&call, err);
	for (size_t i = 0; i < count; i++)
		fd_close(&call.fds[i]);
	return r;
}

/* --- from one back-end to the next ------------------------------------------------------------ */

void vhost_user_save(const struct vhost_user *user, struct vhost_user_saved *ret)
{
	*ret = (struct vhost_user_saved){ .features = user->features,
					  .protocol_features = user->protocol_features,
					  .regions_count = user->memory.count };
	memcpy(ret->regions, user->memory.regions, sizeof(ret->regions));
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		ret->rings[i].rings = user->rings[i].rings;
		ret->rings[i].addressed = user->rings[i].addressed;
		ret->rings[i].enabled = user->rings[i].enabled;
	}
}

int vhost_user_restore(struct vhost_user *user, const struct vhost_user_saved *saved,
		       struct error *err)
{
	int r = guest_memory_map(&user->memory, saved->regions, saved->regions_count,
				 user->memory_fds, err);

	if (r < 0)
		return r;
	user->features = saved->features & FEATURES;
	user->protocol_features = saved->protocol_features & PROTOCOL_FEATURES;
	for (int i = 0; i < VHOST_USER_QUEUES; i++) {
		user->rings[i].rings = saved->rings[i].rings;
		user->rings[i].addressed = saved->rings[i].addressed != 0;
		user->rings[i].enabled = saved->rings[i].enabled != 0;
		follow(user, &user->rings[i]);
	}
	return 0;
}
