/*
 * Packets of the virtio socket device: see vsock-device.h. Called by vsock-link.c in the worker.
 * A packet's header and payload are copied out of the guest's memory before they are looked at.
 */
#include "kata-proxy/vsock-device.h"

#include <endian.h>
#include <linux/virtio_vsock.h>
#include <string.h>

enum { HEADER = sizeof(struct virtio_vsock_hdr) };

void vsock_device_init(struct vsock_device *device)
{
	*device = (struct vsock_device){ .state = VSOCK_LISTENING };
}

void vsock_device_fini(struct vsock_device *device)
{
	buf_fini(&device->input);
	for (int i = 0; i < VSOCK_QUEUES; i++)
		virtqueue_stop(&device->queues[i]);
}

static void close_connection(struct vsock_device *device)
{
	if (device->state == VSOCK_OPEN)
		device->state = VSOCK_CLOSED;
	device->owes_response = false;
	device->owes_credit = false;
}

/* --- to the guest ----------------------------------------------------------------------------- */

/* Sends one packet: the bytes of data it holds, or -1 when the guest has no buffer for it. */
static ssize_t put(struct vsock_device *device, enum virtio_vsock_op op, uint32_t host_port,
		   uint32_t guest_port, const void *data, size_t len)
{
	struct virtqueue *rx = &device->queues[VSOCK_RX];
	struct virtio_vsock_hdr header = {
		.src_cid = htole64(VSOCK_HOST_CID),
		.dst_cid = htole64(VSOCK_GUEST_CID),
		.src_port = htole32(host_port),
		.dst_port = htole32(guest_port),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16((uint16_t)op),
		.buf_alloc = htole32(VSOCK_BUFFER),
		.fwd_cnt = htole32(device->consumed),
	};
	struct virtqueue_chain chain;
	int r = virtqueue_peek(rx, true, &chain);

	if (r == 0 && virtqueue_listen(rx)) /* a buffer came while we asked to hear of it */
		r = virtqueue_peek(rx, true, &chain);
	if (r <= 0)
		return -1;
	if (chain.size < HEADER) {
		rx->broken = "a buffer that is smaller than a packet's header";
		return -1;
	}
	if (len > chain.size - HEADER)
		len = chain.size - HEADER;
	if (len > VSOCK_PACKET_MAX)
		len = VSOCK_PACKET_MAX;
	header.len = htole32((uint32_t)len);
	virtqueue_write(&chain, 0, &header, HEADER);
	virtqueue_write(&chain, HEADER, data, len);
	virtqueue_complete(rx, &chain, (uint32_t)(HEADER + len));
	return (ssize_t)len;
}

/* A packet of the connection, which carries what we have consumed. */
static ssize_t put_own(struct vsock_device *device, enum virtio_vsock_op op, const void *data,
		       size_t len)
{
	ssize_t n = put(device, op, VSOCK_AGENT_PORT, device->guest_port, data, len);

	if (n >= 0) {
		device->told = device->consumed;
		device->owes_credit = false;
	}
	return n;
}

/* What was promised: resets, the answer to a connection, credit. */
static void send_owed(struct vsock_device *device)
{
	while (device->n_resets > 0) {
		const struct vsock_reset *reset = &device->resets[device->n_resets - 1];

		if (put(device, VIRTIO_VSOCK_OP_RST, reset->host_port, reset->guest_port, NULL, 0) <
		    0)
			return;
		device->n_resets--;
	}
	if (device->owes_response && put_own(device, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0) >= 0)
		device->owes_response = false;
	if (device->owes_credit && !device->owes_response)
		put_own(device, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
}

/* How many bytes the guest still has room for. */
static uint32_t peer_room(const struct vsock_device *device)
{
	uint32_t underway = device->sent - device->peer_consumed;

	return underway < device->peer_buffer ? device->peer_buffer - underway : 0;
}

size_t vsock_device_send(struct vsock_device *device, const void *data, size_t len)
{
	size_t done = 0;

	while (device->state == VSOCK_OPEN && !device->owes_response && done < len) {
		uint32_t room = peer_room(device);
		ssize_t n;

		if (room == 0)
			break;
		n = put_own(device, VIRTIO_VSOCK_OP_RW, (const uint8_t *)data + done,
			    len - done < room ? len - done : room);
		if (n <= 0)
			break;
		device->sent += (uint32_t)n;
		done += (size_t)n;
	}
	return done;
}

void vsock_device_consumed(struct vsock_device *device, size_t n)
{
	buf_consume(&device->input, n);
	device->consumed += (uint32_t)n;
	/* Not for every packet: half of the buffer is always open to the guest. */
	if (device->state == VSOCK_OPEN && device->consumed - device->told >= VSOCK_BUFFER / 2)
		device->owes_credit = true;
	send_owed(device);
}

static void owe_reset(struct vsock_device *device, uint32_t host_port, uint32_t guest_port)
{
	if (device->n_resets < VSOCK_RESETS_MAX)
		device->resets[device->n_resets++] = (struct vsock_reset){ host_port, guest_port };
}

void vsock_device_reset_port(struct vsock_device *device, uint32_t guest_port)
{
	owe_reset(device, VSOCK_AGENT_PORT, guest_port);
}

/* --- from the guest --------------------------------------------------------------------------- */

/* A packet as it was found, its header in this machine's byte order. */
struct packet {
	const struct virtqueue_chain *chain;
	uint32_t host_port, guest_port, len, buffer, consumed;
	uint16_t op;
};

/*
 * Reads a header: 1; 0 when the packet is none, or one that no answer could reach. Of another type
 * than a stream: an answer is owed.
 */
static int parse(struct vsock_device *device, const struct virtqueue_chain *chain,
		 struct packet *ret)
{
	struct virtio_vsock_hdr header;

	if (virtqueue_read(chain, 0, &header, HEADER) != HEADER)
		return 0;
	*ret = (struct packet){ .chain = chain,
				.host_port = le32toh(header.dst_port),
				.guest_port = le32toh(header.src_port),
				.len = le32toh(header.len),
				.buffer = le32toh(header.buf_alloc),
				.consumed = le32toh(header.fwd_cnt),
				.op = le16toh(header.op) };
	if (le64toh(header.src_cid) != VSOCK_GUEST_CID || le64toh(header.dst_cid) != VSOCK_HOST_CID)
		return 0;
	if (ret->len > VSOCK_PACKET_MAX || ret->len > chain->size - HEADER)
		return 0;
	if (le16toh(header.type) != VIRTIO_VSOCK_TYPE_STREAM) {
		if (ret->op != VIRTIO_VSOCK_OP_RST)
			owe_reset(device, ret->host_port, ret->guest_port);
		return 0;
	}
	return 1;
}

static void fail(struct vsock_device *device, const struct packet *packet)
{
	device->faults++;
	close_connection(device);
	owe_reset(device, packet->host_port, packet->guest_port);
}

/* What the guest says of its buffer; it cannot have consumed what was never sent. */
static bool take_credit(struct vsock_device *device, const struct packet *packet)
{
	if (packet->consumed - device->peer_consumed > device->sent - device->peer_consumed)
		return false;
	device->peer_consumed = packet->consumed;
	device->peer_buffer = packet->buffer;
	return true;
}

static void take_request(struct vsock_device *device, const struct packet *packet)
{
	if (device->state != VSOCK_LISTENING || packet->host_port != VSOCK_AGENT_PORT) {
		owe_reset(device, packet->host_port, packet->guest_port);
		return;
	}
	device->state = VSOCK_OPEN;
	device->guest_port = packet->guest_port;
	if (device->port_note != NULL)
		*device->port_note = packet->guest_port;
	device->peer_buffer = packet->buffer;
	device->peer_consumed = packet->consumed;
	device->sent = packet->consumed;
	device->owes_response = true;
}

/* False when the guest sends more than it was told there is room for, or memory is short. */
static bool take_data(struct vsock_device *device, const struct packet *packet)
{
	uint8_t *to;

	if (packet->len > VSOCK_BUFFER - buf_len(&device->input))
		return false;
	if (packet->len == 0)
		return true;
	to = buf_reserve(&device->input, packet->len);
	if (to == NULL || virtqueue_read(packet->chain, HEADER, to, packet->len) != packet->len)
		return false;
	buf_commit(&device->input, packet->len);
	return true;
}

/* A packet of the open connection. */
static void take_own(struct vsock_device *device, const struct packet *packet)
{
	if (!take_credit(device, packet)) {
		fail(device, packet);
		return;
	}
	switch (packet->op) {
	case VIRTIO_VSOCK_OP_RW:
		if (!take_data(device, packet))
			fail(device, packet);
		return;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		return;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		device->owes_credit = true;
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN: /* of either direction: the link is of no use with one */
		close_connection(device);
		owe_reset(device, packet->host_port, packet->guest_port);
		return;
	default:
		fail(device, packet);
	}
}

static void take(struct vsock_device *device, const struct packet *packet)
{
	bool own = device->state == VSOCK_OPEN && packet->host_port == VSOCK_AGENT_PORT &&
		   packet->guest_port == device->guest_port;

	if (packet->op == VIRTIO_VSOCK_OP_RST) {
		if (own)
			close_connection(device);
	} else if (own) {
		take_own(device, packet);
	} else if (packet->op == VIRTIO_VSOCK_OP_REQUEST) {
		take_request(device, packet);
	} else {
		owe_reset(device, packet->host_port, packet->guest_port);
	}
}

/* Takes one packet: whether there was one, and the answers to it have a place. */
static bool take_next(struct vsock_device *device)
{
	struct virtqueue *tx = &device->queues[VSOCK_TX];
	struct virtqueue_chain chain;
	struct packet packet;

	if (device->n_resets == VSOCK_RESETS_MAX)
		send_owed(device);
	if (device->n_resets == VSOCK_RESETS_MAX || virtqueue_peek(tx, false, &chain) <= 0)
		return false;
	if (parse(device, &chain, &packet) > 0)
		take(device, &packet);
	else
		device->faults++;
	virtqueue_complete(tx, &chain, 0);
	return true;
}

bool vsock_device_run(struct vsock_device *device)
{
	struct virtqueue *tx = &device->queues[VSOCK_TX];
	int budget = VSOCK_BUDGET;

	virtqueue_mute(tx);
	do {
		while (budget > 0 && take_next(device))
			budget--;
		send_owed(device);
		if (budget == 0)
			return true;
	} while (device->n_resets < VSOCK_RESETS_MAX && virtqueue_listen(tx));
	return false;
}
