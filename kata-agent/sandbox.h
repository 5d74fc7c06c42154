/* The sandbox as a whole: what the VM gets before its first container, and its end. */
#ifndef KATA_AGENT_SANDBOX_H
#define KATA_AGENT_SANDBOX_H

#include "common/error.h"
#include "common/protocol.h"

struct agent;

/*
 * Host name, clock, log level, the shared directory. Once: -EALREADY. Outside a VM only the log
 * level and the host name are set.
 */
int sandbox_prepare(struct agent *agent, const struct msg_create_sandbox *wanted,
		    struct error *err);

/*
 * Has the host let go of the files of a container that is removed: virtiofsd keeps them open as
 * long as our kernel remembers them. Looks for them again when what that knows of names has
 * expired, a second later; the host has taken them away by then. Does not wait. mounts, the mount
 * namespace of the container or -1, is taken over and given up then.
 */
void sandbox_let_go(const struct agent *agent, const char *container, int mounts);

/* Writes the file systems back, with a limit of time, and ends the VM. Does not return. */
_Noreturn void sandbox_power_off(void);

#endif
