/* A virtio driver and a vhost-user front-end for tests: see fake-driver.h. */
#include "tests/fake/fake-driver.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

enum {
	QUEUE_STEP = 0x4000, /* from one queue's rings to the next */
	AVAILABLE = 0x1000,
	USED = 0x2000,
	ANSWER_MS = 5000,
};

/* A test cannot go on without these. */
static void must(bool done)
{
	if (!done)
		abort();
}

void driver_init(struct fake_driver *driver)
{
	*driver = (struct fake_driver){ .fd = memfd_create("guest",
							   MFD_CLOEXEC | MFD_ALLOW_SEALING) };
	must(driver->fd >= 0 && ftruncate(driver->fd, DRIVER_BYTES) == 0);
	must(fcntl(driver->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	driver->bytes = mmap(NULL, DRIVER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver->fd, 0);
	must(driver->bytes != MAP_FAILED);
	for (int i = 0; i < DRIVER_QUEUES; i++) {
		struct fake_queue *q = &driver->queues[i];
		uint8_t *at = driver->bytes + i * QUEUE_STEP;

		q->descriptors = (struct vring_desc *)(void *)at;
		q->available = (struct vring_avail *)(void *)(at + AVAILABLE);
		q->used = (struct vring_used *)(void *)(at + USED);
		q->kick = q->call = -1;
	}
}

void driver_fini(struct fake_driver *driver)
{
	for (int i = 0; i < DRIVER_QUEUES; i++) {
		fd_close(&driver->queues[i].kick);
		fd_close(&driver->queues[i].call);
	}
	munmap(driver->bytes, DRIVER_BYTES);
	fd_close(&driver->fd);
}

struct guest_region driver_region(void)
{
	return (struct guest_region){ .guest = DRIVER_GUEST,
				      .size = DRIVER_BYTES,
				      .user = DRIVER_USER };
}

struct virtqueue_rings driver_rings(int queue)
{
	uint64_t at = DRIVER_USER + (uint64_t)queue * QUEUE_STEP;

	return (struct virtqueue_rings){ .size = DRIVER_SIZE,
					 .descriptors = at,
					 .available = at + AVAILABLE,
					 .used = at + USED };
}

void driver_describe(struct fake_driver *driver, int queue, unsigned i, uint64_t offset,
		     uint32_t len, uint16_t flags, uint16_t next)
{
	driver->queues[queue].descriptors[i] = (struct vring_desc){
		.addr = DRIVER_GUEST + offset, .len = len, .flags = flags, .next = next
	};
}

void driver_offer(struct fake_driver *driver, int queue, uint16_t head)
{
	struct fake_queue *q = &driver->queues[queue];

	q->available->ring[q->offered++ % DRIVER_SIZE] = head;
	__atomic_store_n(&q->available->idx, q->offered, __ATOMIC_RELEASE);
}

bool driver_take(struct fake_driver *driver, int queue, struct vring_used_elem *ret)
{
	struct fake_queue *q = &driver->queues[queue];

	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->seen)
		return false;
	*ret = q->used->ring[q->seen++ % DRIVER_SIZE];
	return true;
}

/* Each descriptor of each queue has 16 KiB of its own. */
static uint64_t buffer_of(int queue, unsigned i)
{
	return DRIVER_BUFFERS + ((uint64_t)queue * DRIVER_SIZE + i) * 0x4000;
}

struct virtio_vsock_hdr driver_packet(uint16_t op, uint32_t guest_port, uint32_t host_port,
				      uint32_t len)
{
	return (struct virtio_vsock_hdr){ .src_cid = 3,
					  .dst_cid = 2,
					  .src_port = guest_port,
					  .dst_port = host_port,
					  .len = len,
					  .type = VIRTIO_VSOCK_TYPE_STREAM,
					  .op = op,
					  .buf_alloc = 65536 };
}

void driver_send(struct fake_driver *driver, unsigned i, const struct virtio_vsock_hdr *header,
		 const void *data, size_t len)
{
	uint64_t at = buffer_of(1, i);

	memcpy(driver->bytes + at, header, sizeof(*header));
	if (len > 0)
		memcpy(driver->bytes + at + sizeof(*header), data, len);
	driver_describe(driver, 1, i, at, (uint32_t)(sizeof(*header) + len), 0, 0);
	driver_offer(driver, 1, (uint16_t)i);
}

void driver_make_room(struct fake_driver *driver, unsigned i, uint32_t len)
{
	driver_describe(driver, 0, i, buffer_of(0, i), len, VRING_DESC_F_WRITE, 0);
	driver_offer(driver, 0, (uint16_t)i);
}

bool driver_receive(struct fake_driver *driver, struct virtio_vsock_hdr *ret, uint8_t **ret_data,
		    unsigned *ret_i)
{
	struct vring_used_elem used;
	uint8_t *at;

	if (!driver_take(driver, 0, &used))
		return false;
	at = driver->bytes + buffer_of(0, used.id);
	memcpy(ret, at, sizeof(*ret));
	must(used.len == sizeof(*ret) + ret->len);
	*ret_data = at + sizeof(*ret);
	*ret_i = used.id;
	return true;
}

/* --- the front-end ---------------------------------------------------------------------------- */

void front_send(int socket, uint32_t request, bool need_reply, const void *payload, uint32_t size,
		const int *fds, size_t count)
{
	uint32_t header[3] = { request, need_reply ? 9 : 1, size };
	struct iovec parts[2] = { { header, sizeof(header) },
				  { (void *)(uintptr_t)payload, size } };
	union {
		char bytes[CMSG_SPACE(32 * sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1 };

	if (count > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	must(sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)(sizeof(header) + size));
}

static bool read_all(int socket, void *data, size_t len)
{
	struct pollfd p = { .fd = socket, .events = POLLIN };

	for (size_t done = 0; done < len;) {
		ssize_t n = poll(&p, 1, ANSWER_MS) == 1
				    ? recv(socket, (uint8_t *)data + done, len - done, 0)
				    : 0;

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

int front_receive(int socket, uint32_t request, void *payload, size_t size)
{
	uint32_t header[3];

	if (!read_all(socket, header, sizeof(header)))
		return -1;
	must(header[0] == request && header[1] == 5 && header[2] <= size);
	must(read_all(socket, payload, header[2]));
	return (int)header[2];
}

static uint64_t ask(int socket, uint32_t request)
{
	uint64_t number;

	front_send(socket, request, false, NULL, 0, NULL, 0);
	must(front_receive(socket, request, &number, sizeof(number)) == sizeof(number));
	return number;
}

static void hand_over_queue(struct fake_driver *driver, int socket, uint32_t i)
{
	struct virtqueue_rings rings = driver_rings((int)i);
	const uint32_t size[2] = { i, DRIVER_SIZE }, base[2] = { i, 0 }, enable[2] = { i, 1 };
	const uint64_t address[5] = { i, rings.descriptors, rings.used, rings.available, 0 };
	const uint64_t index = i;
	struct fake_queue *q = &driver->queues[i];

	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(q->kick >= 0 && q->call >= 0);
	front_send(socket, 8, false, size, sizeof(size), NULL, 0);
	front_send(socket, 10, false, base, sizeof(base), NULL, 0);
	front_send(socket, 9, false, address, sizeof(address), NULL, 0);
	front_send(socket, 12, false, &index, sizeof(index), &q->kick, 1);
	front_send(socket, 13, false, &index, sizeof(index), &q->call, 1);
	front_send(socket, 18, false, enable, sizeof(enable), NULL, 0);
}

void front_hand_over(struct fake_driver *driver, int socket)
{
	uint64_t features = ask(socket, 1), protocol = ask(socket, 15), status;
	struct guest_region region = driver_region();
	const uint64_t table[5] = { 1, region.guest, region.size, region.user, region.offset };
	const uint32_t config[5] = { 0, 8, 0, 0, 0 };
	uint32_t answer[5];

	front_send(socket, 16, false, &protocol, sizeof(protocol), NULL, 0);
	front_send(socket, 3, false, NULL, 0, NULL, 0);
	front_send(socket, 24, false, config, sizeof(config), NULL, 0);
	must(front_receive(socket, 24, answer, sizeof(answer)) == sizeof(answer) && answer[3] == 3);
	front_send(socket, 2, false, &features, sizeof(features), NULL, 0);
	front_send(socket, 5, true, table, sizeof(table), &driver->fd, 1);
	must(front_receive(socket, 5, &status, sizeof(status)) == sizeof(status) && status == 0);
	for (uint32_t i = 0; i < DRIVER_QUEUES; i++)
		hand_over_queue(driver, socket, i);
}

void front_kick(struct fake_driver *driver, int queue)
{
	const uint64_t one = 1;

	must(write(driver->queues[queue].kick, &one, sizeof(one)) == sizeof(one));
}

bool front_await_call(struct fake_driver *driver, int queue)
{
	struct pollfd p = { .fd = driver->queues[queue].call, .events = POLLIN };
	uint64_t count;

	return poll(&p, 1, ANSWER_MS) == 1 && read(p.fd, &count, sizeof(count)) == sizeof(count);
}
