/*
 * Any messages with any descriptors to a vhost-user back-end, and its device used between them; the
 * back-end may be the next one, with any state and any descriptors that the one before has left.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kata-proxy/vhost-user.h"
#include "kata-proxy/vsock-device.h"

enum { MEMORY = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A descriptor of some kind: memory, an eventfd, or what is neither. */
static int make_fd(uint8_t kind)
{
	static int memory = -1;

	if (memory < 0) {
		memory = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (memory < 0 || ftruncate(memory, MEMORY) < 0 ||
		    fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
			abort();
	}
	switch (kind % 4) {
	case 0:
		return fcntl(memory, F_DUPFD_CLOEXEC, 3);
	case 1:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case 2:
		return memfd_create("open", MFD_CLOEXEC);
	default:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

/* The next message of the input: whether there was one and the connection goes on. */
static bool step(struct vhost_user *user, const uint8_t **data, size_t *size)
{
	struct vhost_user_message message, reply;
	uint8_t header[VHOST_USER_HEADER] = { 0 };
	uint8_t bytes[VHOST_USER_HEADER + VHOST_USER_PAYLOAD_MAX];
	int fds[VHOST_USER_FDS_MAX + 2];
	size_t n_fds;
	int r;

	if (*size < 6)
		return false;
	header[0] = (*data)[0];
	header[4] = (*data)[1];
	header[8] = (*data)[2];
	header[9] = (*data)[3];
	n_fds = (*data)[4] % (VHOST_USER_FDS_MAX + 3);
	if (vhost_user_parse_header(header, &message, NULL) < 0 || message.size > *size - 6)
		return false;
	memcpy(message.payload, *data + 6, message.size);
	for (size_t i = 0; i < n_fds; i++)
		fds[i] = make_fd((uint8_t)((*data)[5] + i));
	*data += 6 + message.size;
	*size -= 6 + message.size;
	r = vhost_user_take(user, &message, fds, n_fds, &reply, NULL);
	if (r > 0 && vhost_user_format(&reply, bytes) > sizeof(bytes))
		abort();
	return r >= 0;
}

/* What the input begins with is the saved state: whether the back-end goes on. */
static bool restore(struct vhost_user *user, const uint8_t **data, size_t *size)
{
	struct vhost_user_saved saved;

	if (*size < sizeof(saved) + 2)
		return false;
	memcpy(&saved, *data, sizeof(saved));
	saved.regions_count %= GUEST_REGIONS_MAX + 2;
	for (unsigned i = 0; i < GUEST_REGIONS_MAX && (*data)[sizeof(saved)] % 4 != 0; i++) {
		saved.regions[i].size %= MEMORY + 2; /* more often what can be mapped */
		saved.regions[i].offset %= MEMORY;
	}
	for (uint8_t i = 0; i < GUEST_REGIONS_MAX; i++)
		if (((*data)[sizeof(saved)] >> i & 1) != 0)
			user->memory_fds[i] = make_fd((*data)[sizeof(saved) + 1]);
	for (uint8_t i = 0; i < VHOST_USER_QUEUES; i++) {
		user->rings[i].kick = make_fd((uint8_t)((*data)[sizeof(saved) + 1] / 4 + i));
		user->rings[i].call = make_fd((uint8_t)((*data)[sizeof(saved) + 1] / 16 + i));
	}
	*data += sizeof(saved) + 2;
	*size -= sizeof(saved) + 2;
	return vhost_user_restore(user, &saved, NULL) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vsock_device device;
	struct vhost_user user;
	bool goes_on = true;
	int probe, again;

	close(make_fd(0)); /* its file stays open from the first time on */
	probe = make_fd(3);
	close(probe);
	vsock_device_init(&device);
	vhost_user_init(&user, VSOCK_GUEST_CID, device.queues);
	if (size > 0 && data[0] == 0xff) {
		data++;
		size--;
		goes_on = restore(&user, &data, &size);
		vsock_device_run(&device);
	}
	while (goes_on && step(&user, &data, &size))
		vsock_device_run(&device);
	vhost_user_fini(&user);
	vsock_device_fini(&device);
	again = make_fd(3);
	close(again);
	if (again != probe) /* a descriptor was forgotten */
		abort();
	return 0;
}
