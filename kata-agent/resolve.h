/*
 * Paths inside a container's root, which its image and its processes may have filled with symbolic
 * links: they are followed as the container would see them and never lead outside (SECURITY R6).
 * The result is a descriptor and only that is used from then on.
 */
#ifndef KATA_AGENT_RESOLVE_H
#define KATA_AGENT_RESOLVE_H

#include <stdbool.h>

#include "common/error.h"

/*
 * Opens path with root as "/": the descriptor (close-on-exec), or a negative errno. flags as
 * open(2). Magic links (/proc/PID/fd/N) are refused with -ELOOP.
 */
int resolve_open(int root, const char *path, int flags, struct error *err);

/*
 * As resolve_open with O_PATH, but what is missing is made: directories 0755, and an empty file
 * 0644 at the end when directory is false. A link to nothing is followed and its target is made.
 */
int resolve_create(int root, const char *path, bool directory, struct error *err);

/* Makes the directories above path: a descriptor of the last, and *ret_name within path. */
int resolve_parent(int root, const char *path, const char **ret_name, struct error *err);

#endif
