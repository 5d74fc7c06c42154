/* The duties of pid 1 in the guest, before any container. */
#ifndef KATA_AGENT_INIT_H
#define KATA_AGENT_INIT_H

#include "common/error.h"

#define INIT_MODULES "/etc/modules.list"
#define INIT_CGROUP "/sys/fs/cgroup"
#define INIT_RUN "/run/kata-containers"

/*
 * Makes the root one that pivot_root(2) can leave, mounts the kernel's filesystems, opens the
 * console as descriptors 0 to 2 and starts the log there, loads the modules, makes the root
 * read-only, sets the guest's sysctls and brings the loopback interface up. Errors that containers
 * can live with are only logged.
 */
int init_guest(struct error *err);

#endif
