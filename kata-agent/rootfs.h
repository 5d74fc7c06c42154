/* The file tree of a container, from its CREATE message to pivot_root. */
#ifndef KATA_AGENT_ROOTFS_H
#define KATA_AGENT_ROOTFS_H

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/terminal.h"

/*
 * Builds the container's root in the mount namespace of the caller, which must be a new one, and
 * makes it "/". share is the path of the shared directory. With a terminal asked for it is opened
 * from the container's devpts and put at its /dev/console. shm: a detached mount that takes the
 * place of the container's tmpfs at /dev/shm, or negative; it stays the caller's.
 */
int rootfs_enter(const struct msg_create *create, const char *share, int shm,
		 struct terminal *ret_terminal, struct error *err);

#endif
