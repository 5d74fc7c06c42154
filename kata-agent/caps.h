/*
 * Capability sets of a container's process; bit N of a set is capability N. The kernel is asked
 * directly: libcap-ng reads /proc for its state, and in a container that is not ours.
 */
#ifndef KATA_AGENT_CAPS_H
#define KATA_AGENT_CAPS_H

#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * What can really be set (capset(2)): nothing beyond available, effective within permitted,
 * inheritable within bounding, and ambient within permitted and inheritable.
 */
void caps_narrow(struct msg_capabilities *sets, uint64_t available);

/* What this process may give: its permitted set. */
int caps_available(uint64_t *ret_set, struct error *err);

/* Takes every capability that is not in keep from the bounding set. Needs CAP_SETPCAP. */
int caps_limit(uint64_t keep, struct error *err);

/* Sets all but the bounding set, and reads them back. */
int caps_apply(const struct msg_capabilities *sets, struct error *err);

#endif
