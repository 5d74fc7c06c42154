/* Kernel parameters of a container's namespaces. */
#ifndef KATA_AGENT_SYSCTL_H
#define KATA_AGENT_SYSCTL_H

#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

/* Sets them for the namespaces of the calling process, in order. The error names the parameter. */
int sysctl_set_all(const struct msg_sysctl *sysctls, uint32_t count, struct error *err);

#endif
