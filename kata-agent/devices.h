/* Device nodes of a container: the default ones, those asked for, and the links beside them. */
#ifndef KATA_AGENT_DEVICES_H
#define KATA_AGENT_DEVICES_H

#include <stdbool.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * Opens the guest's /dev/null (O_PATH) and checks that it is the null device: what masks files
 * must not be something else (CVE-2025-31133).
 */
int devices_open_null(struct error *err);

/* null, zero, full, random, urandom, tty and the links fd, stdin, stdout, stderr, ptmx, core. */
int devices_make_default(int root_fd, struct error *err);

/* Whether the rules give all devices: a privileged container, for which engines list the host's. */
bool devices_are_all_allowed(const struct msg_create *create);

/*
 * The nodes that are asked for. One whose device the guest does not have is refused, since it is a
 * device of the host; in a privileged container it is left out, and the guest's own come instead.
 */
int devices_make_asked(int root_fd, const struct msg_create *create, struct error *err);

/*
 * One node: made with mknod(2) where the filesystem takes it (a tmpfs), else the guest's own node
 * of the same number is bound there.
 */
int devices_make(int root_fd, const struct msg_device *device, struct error *err);

#endif
