/*
 * Handing a directory or file of the host to a sandbox: as a detached copy of its mount tree that
 * is moved below the sandbox's share. Nothing shows in the host's mount table, nothing has to be
 * undone: the mount is gone with the sandbox's mount namespace.
 */
#ifndef KATA_RUNTIME_SHARE_H
#define KATA_RUNTIME_SHARE_H

#include <stdbool.h>

#include "common/error.h"
#include "kata-runtime/store.h"

/*
 * source: an absolute host path, symbolic links in it are followed. name: its place below the
 * share, "CONTAINER/NAME". readonly holds against the guest's root too. monitor: the process whose
 * mount namespace has the share. Runs as root; ends within the kernel's time for these calls.
 */
int share_add(const struct process_ref *monitor, const char *source, const char *name,
	      bool readonly, struct error *err);

/*
 * Takes away what was handed in below "CONTAINER/", so that its filesystems can be let go of. A
 * guest that still has something of it open keeps that until it closes it. Nothing there is no
 * error, nor is it that the sandbox has ended.
 */
int share_remove(const struct process_ref *monitor, const char *container, struct error *err);

/*
 * Why source cannot be handed to a VM: 0 when it can, or -ENOTSUP with a sentence: a device node,
 * or a directory of a kernel filesystem (proc, sysfs, ...) that shows the host's kernel.
 */
int share_check(const char *source, struct error *err);

#endif
