/*
 * The choice of the agent's link: see agent-link.h. Runs in kata-runtime, for create and check.
 * docs/decisions/ has the numbers behind what auto means.
 */
#include "kata-runtime/agent-link.h"

#include <stdio.h>
#include <string.h>

#include "kata-runtime/config.h"

const char *agent_link_name(enum launch_link link)
{
	static const char *const names[LAUNCH_LINK_COUNT] = {
		[LAUNCH_LINK_VIRTIO_SERIAL] = "virtio-serial",
		[LAUNCH_LINK_VHOST_USER_VSOCK] = "vhost-user-vsock",
		[LAUNCH_LINK_VHOST_VSOCK] = "vhost-vsock",
	};

	return names[link];
}

/* vhost-vsock where it can be had, else what works everywhere, with the reason that it cannot. */
static void choose_best(const char *sid, const struct vhost_vsock_kernel *kernel,
			struct agent_link *ret)
{
	struct error err;

	if (vhost_vsock_claim(sid, kernel, &ret->vsock, &err) == 0) {
		ret->link = LAUNCH_LINK_VHOST_VSOCK;
		snprintf(ret->reason, sizeof(ret->reason), "auto: " VHOST_VSOCK_DEVICE " opens");
		return;
	}
	ret->link = LAUNCH_LINK_VIRTIO_SERIAL;
	error_prefix(&err, "auto: no vhost-vsock here");
	memcpy(ret->reason, err.text, sizeof(ret->reason));
}

int agent_link_choose(uint32_t wanted, const char *sid, const struct vhost_vsock_kernel *kernel,
		      struct agent_link *ret, struct error *err)
{
	static const enum launch_link links[] = {
		[AGENT_LINK_VIRTIO_SERIAL] = LAUNCH_LINK_VIRTIO_SERIAL,
		[AGENT_LINK_VHOST_USER_VSOCK] = LAUNCH_LINK_VHOST_USER_VSOCK,
		[AGENT_LINK_VHOST_VSOCK] = LAUNCH_LINK_VHOST_VSOCK,
	};

	*ret = (struct agent_link)AGENT_LINK_NONE;
	if (wanted == AGENT_LINK_AUTO) {
		choose_best(sid, kernel, ret);
		return 0;
	}
	ret->link = links[wanted];
	if (ret->link == LAUNCH_LINK_VHOST_VSOCK &&
	    vhost_vsock_claim(sid, kernel, &ret->vsock, err) < 0)
		return error_prefix(err, "agent_link \"vhost-vsock\"");
	snprintf(ret->reason, sizeof(ret->reason), "the configuration says so");
	return 0;
}

void agent_link_release(struct agent_link *link)
{
	vhost_vsock_release(&link->vsock);
}
