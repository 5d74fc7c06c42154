/*
 * QEMU's root directory. Its start needs the host's /usr: the loader, libraries, modules, firmware.
 * What it needs later it has by descriptor, so that its root becomes an empty one as soon as it
 * serves, before any code of a container's runs.
 */
#ifndef KATA_RUNTIME_QEMU_ROOT_H
#define KATA_RUNTIME_QEMU_ROOT_H

#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/store.h"

/* uid is QEMU's, a child of the monitor. -ESRCH: it has ended. */
int qemu_root_empty(const struct process_ref *monitor, uid_t uid, struct error *err);

#endif
