/*
 * Claiming a CID and a port: see vhost-vsock.h. Runs in kata-runtime as root, in create. Nothing is
 * written down: two that claim the same number at the same time are told apart by the kernel.
 */
#include "kata-runtime/vhost-vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

enum {
	TRIES = 256,
	FIRST = 0x10000, /* below are the CIDs and ports that people choose by hand */
};
#define NUMBERS (UINT32_MAX - FIRST - 1) /* the last one means any */

static int open_device(void)
{
	int fd = open(VHOST_VSOCK_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int set_cid(int device, uint64_t cid)
{
	return ioctl(device, VHOST_VSOCK_SET_GUEST_CID, &cid) < 0 ? -errno : 0;
}

static int listen_at(uint32_t port)
{
	const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
					     .svm_cid = VMADDR_CID_HOST,
					     .svm_port = port };
	CLEANUP(fd_close)
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		return -errno;
	return steal_fd(&fd);
}

static const struct vhost_vsock_kernel the_kernel = { open_device, set_cid, listen_at };

/* Spreads the sandboxes, so that most find their first number free. */
static uint32_t hash(const char *sid)
{
	uint32_t h = UINT32_C(2166136261);

	for (; *sid != '\0'; sid++)
		h = (h ^ (uint8_t)*sid) * UINT32_C(16777619);
	return h;
}

/* 0; -EADDRINUSE when either is taken. A device takes another CID in place of the one before. */
static int try_number(const struct vhost_vsock_kernel *kernel, struct vhost_vsock *vsock)
{
	int r = kernel->set_cid(vsock->device, vsock->cid);

	if (r < 0)
		return r;
	vsock->listening = kernel->listen(vsock->cid);
	return vsock->listening < 0 ? vsock->listening : 0;
}

int vhost_vsock_claim(const char *sid, const struct vhost_vsock_kernel *kernel,
		      struct vhost_vsock *ret, struct error *err)
{
	CLEANUP(vhost_vsock_release) struct vhost_vsock vsock = VHOST_VSOCK_NONE;
	uint32_t first = hash(sid) % NUMBERS;
	int r = -EADDRINUSE;

	if (kernel == NULL)
		kernel = &the_kernel;
	vsock.device = kernel->open_device();
	if (vsock.device < 0)
		return error_set(err, -vsock.device, "open " VHOST_VSOCK_DEVICE);
	for (uint32_t i = 0; i < TRIES && r == -EADDRINUSE; i++) {
		vsock.cid = FIRST + (uint32_t)(((uint64_t)first + i) % NUMBERS);
		r = try_number(kernel, &vsock);
	}
	if (r < 0)
		return error_set(err, -r, "claim a vsock CID and port for the guest");
	*ret = vsock;
	vsock.device = vsock.listening = -1;
	return 0;
}

void vhost_vsock_release(struct vhost_vsock *vsock)
{
	fd_close(&vsock->device);
	fd_close(&vsock->listening);
}
