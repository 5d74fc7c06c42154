/*
 * A guest's place among the host's vsocks, where the kernel's vhost_vsock module is the device: a
 * context id (CID) that no other guest has, and a port at which the host listens for this guest
 * alone. Both are claimed from the kernel, which knows what is taken, and are free again when the
 * last descriptor is closed, however its holder ended.
 */
#ifndef KATA_RUNTIME_VHOST_VSOCK_H
#define KATA_RUNTIME_VHOST_VSOCK_H

#include <stdint.h>

#include "common/error.h"

#define VHOST_VSOCK_DEVICE "/dev/vhost-vsock"

struct vhost_vsock {
	int device;    /* /dev/vhost-vsock, with the CID */
	int listening; /* at the port, for the guest's connection */
	uint32_t cid;  /* and the port's number: the host's ports are shared by all its guests */
};
#define VHOST_VSOCK_NONE \
	{ \
		.device = -1, .listening = -1 \
	}

/* The kernel, or a test's stand-in: descriptors, 0, or negative errno. */
struct vhost_vsock_kernel {
	int (*open_device)(void); /* loads the module */
	int (*set_cid)(int device, uint64_t cid);
	int (*listen)(uint32_t port);
};

/*
 * Claims both; which numbers are tried first depends on the sandbox's id. kernel is NULL but in
 * tests. -ENOENT and the like: there is no such device here; -EADDRINUSE: every number tried is
 * taken.
 */
int vhost_vsock_claim(const char *sid, const struct vhost_vsock_kernel *kernel,
		      struct vhost_vsock *ret, struct error *err);
void vhost_vsock_release(struct vhost_vsock *vsock);

#endif
