/* Which link a VM's agent is reached by, and why: the configuration's agent_link made a choice. */
#ifndef KATA_RUNTIME_AGENT_LINK_H
#define KATA_RUNTIME_AGENT_LINK_H

#include <stdint.h>

#include "common/error.h"
#include "common/launch.h"
#include "kata-runtime/vhost-vsock.h"

struct agent_link {
	enum launch_link link;
	char reason[ERROR_TEXT_MAX]; /* one sentence */
	struct vhost_vsock vsock;    /* claimed for LAUNCH_LINK_VHOST_VSOCK */
};
#define AGENT_LINK_NONE \
	{ \
		.vsock = VHOST_VSOCK_NONE \
	}

/* "virtio-serial", "vhost-user-vsock", "vhost-vsock": as the configuration calls it. */
const char *agent_link_name(enum launch_link link);

/*
 * Decides, and claims what the link needs for the sandbox. wanted is a value of enum
 * config_agent_link; kernel is NULL but in tests. Negative: what it names cannot be had here, which
 * auto never is.
 */
int agent_link_choose(uint32_t wanted, const char *sid, const struct vhost_vsock_kernel *kernel,
		      struct agent_link *ret, struct error *err);
void agent_link_release(struct agent_link *link);

#endif
