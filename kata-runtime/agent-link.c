/*
 * The choice of the agent's link: see agent-link.h. Runs in kata-runtime, for create and check.
 * docs/decisions/ has the numbers behind what auto means.
 */
#include "kata-runtime/agent-link.h"

#include <stdio.h>

#include "kata-runtime/config.h"

const char *agent_link_name(enum launch_link link)
{
	static const char *const names[LAUNCH_LINK_COUNT] = {
		[LAUNCH_LINK_VIRTIO_SERIAL] = "virtio-serial",
		[LAUNCH_LINK_VHOST_USER_VSOCK] = "vhost-user-vsock",
	};

	return names[link];
}

int agent_link_choose(uint32_t wanted, struct agent_link *ret, struct error *err)
{
	(void)err;
	*ret = (struct agent_link){ .link = LAUNCH_LINK_VIRTIO_SERIAL };
	if (wanted == AGENT_LINK_VHOST_USER_VSOCK)
		ret->link = LAUNCH_LINK_VHOST_USER_VSOCK;
	snprintf(ret->reason, sizeof(ret->reason), "%s",
		 wanted == AGENT_LINK_AUTO ? "auto: it works on every host"
					   : "the configuration says so");
	return 0;
}
