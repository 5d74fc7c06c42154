/*
 * Mounts as descriptors: made detached, given their attributes, and only then put at a place that
 * is a descriptor too. No path is looked up twice, so nobody can change it in between.
 */
#ifndef KATA_AGENT_MOUNT_H
#define KATA_AGENT_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

/*
 * A new mount of a filesystem, not yet attached: its descriptor, or a negative errno. source and
 * data may be empty; flags are MS_*; data is what mount(2) takes, "name=value,name".
 */
int mount_new(const char *type, const char *source, uint64_t flags, const char *data,
	      struct error *err);

/* A detached copy of what fd (may be O_PATH) shows, with the mounts below it when recursive. */
int mount_clone(int fd, bool recursive, struct error *err);

/* Sets what MS_* flags ask for (read-only, nosuid, ...) on the mount of which fd is the root. */
int mount_set_flags(int mount_fd, uint64_t flags, struct error *err);

/* Sets MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with MS_REC on all below; 0 is nothing. */
int mount_set_propagation(int mount_fd, uint32_t propagation, struct error *err);

/* Puts a detached mount onto target, a directory or file as the mount's own root is. */
int mount_attach(int mount_fd, int target_fd, struct error *err);

/* Puts a detached mount of a directory at path below root, which is made when it misses. */
int mount_put(int root_fd, const char *path, int mount_fd, struct error *err);

/* One mount of a container: root is its root, share where sources of type share lie. */
int mount_apply(int root_fd, int share_fd, const struct msg_mount *m, struct error *err);

/*
 * Takes the next option from data, "name=value,name": false at the end. buffer gets a copy cut at
 * '=' and value points into it, or is NULL. An option longer than the buffer gives name "".
 */
bool mount_next_option(const char **data, char *buffer, size_t size, char **ret_value);

#endif
