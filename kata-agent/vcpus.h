/* ONLINE: processors that were plugged are taken into use, which nobody else does in this guest. */
#ifndef KATA_AGENT_VCPUS_H
#define KATA_AGENT_VCPUS_H

#include <uv.h>

#include "common/error.h"
#include "kata-agent/client.h"

#define VCPUS_DIR "/sys/devices/system/cpu"

struct vcpus {
	const char *dir;               /* VCPUS_DIR; NULL: they are not ours */
	uint32_t wanted;               /* 0: nobody waits */
	struct client_request request; /* whose that is */
	uv_timer_t timer;
	int64_t deadline;
};

void vcpus_init(struct vcpus *vcpus, uv_loop_t *loop, const char *dir);

/* Ends: nothing waits any more. Its handle is closed. */
void vcpus_stop(struct vcpus *vcpus);

/*
 * Brings one of them online that is not: 1, or 0 when there is none. *ret_online is how many are
 * then.
 */
int vcpus_step(const char *dir, uint32_t *ret_online, struct error *err);

/*
 * Has so many online, or all that the kernel can have when those are fewer: 1 when that is done,
 * 0 when the request is kept and will be answered, or an error. The kernel may take seconds to find
 * them. A later request takes the place of one that waits, which fails then.
 */
int vcpus_online(struct vcpus *vcpus, uint32_t wanted, const struct client_request *request,
		 struct error *err);

/* The client is gone, and does not wait for an answer any more. */
void vcpus_forget(struct vcpus *vcpus, const struct client *client);

#endif
