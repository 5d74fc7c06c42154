/* Kernel parameters of a container's namespaces. */
#ifndef KATA_AGENT_SYSCTL_H
#define KATA_AGENT_SYSCTL_H

#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

/* Sets them for the namespaces of the calling process, in order. The error names the parameter. */
int sysctl_set_all(const struct msg_sysctl *sysctls, uint32_t count, struct error *err);

/*
 * The two parts of it: a container with a user namespace may not set net.*, which belong to the VM
 * as the network does, so the agent does that for it.
 */
int sysctl_set_net(const struct msg_sysctl *sysctls, uint32_t count, struct error *err);
int sysctl_set_others(const struct msg_sysctl *sysctls, uint32_t count, struct error *err);

#endif
