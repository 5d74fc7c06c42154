/* The file tree of a container, from its CREATE message to pivot_root. */
#ifndef KATA_AGENT_ROOTFS_H
#define KATA_AGENT_ROOTFS_H

#include "common/error.h"
#include "common/protocol.h"
#include "kata-agent/terminal.h"

/*
 * Opens the container's part of the directory shared at path: the one that its root is in, which is
 * the first word of the root's path. To be done by the guest's root: nobody else may look into
 * what is shared.
 */
int rootfs_open_share(const struct msg_create *create, const char *path, struct error *err);

/*
 * Builds the container's root in the mount namespace of the caller, which must be a new one, and
 * makes it "/". share is from rootfs_open_share(). With a terminal asked for it is opened from the
 * container's devpts and put at its /dev/console. shm: a detached mount that takes the place of the
 * container's tmpfs at /dev/shm, or negative; it stays the caller's.
 */
int rootfs_enter(const struct msg_create *create, int share, int shm, struct terminal *ret_terminal,
		 struct error *err);

#endif
