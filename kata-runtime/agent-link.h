/* Which link a VM's agent is reached by, and why: the configuration's agent_link made a choice. */
#ifndef KATA_RUNTIME_AGENT_LINK_H
#define KATA_RUNTIME_AGENT_LINK_H

#include <stdint.h>

#include "common/error.h"
#include "common/launch.h"

enum { AGENT_LINK_REASON_MAX = 256 };

struct agent_link {
	enum launch_link link;
	char reason[AGENT_LINK_REASON_MAX]; /* one sentence */
};

/* "virtio-serial", "vhost-user-vsock": as the configuration calls it. */
const char *agent_link_name(enum launch_link link);

/* Decides. wanted is a value of enum config_agent_link. */
int agent_link_choose(uint32_t wanted, struct agent_link *ret, struct error *err);

#endif
