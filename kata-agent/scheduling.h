/* How a container's process is scheduled: processor and block I/O. */
#ifndef KATA_AGENT_SCHEDULING_H
#define KATA_AGENT_SCHEDULING_H

#include "common/error.h"
#include "common/protocol.h"

/* Sets what the process asks for, for the calling one. */
int scheduling_set(const struct msg_process *process, struct error *err);

#endif
