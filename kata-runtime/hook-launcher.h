/*
 * The process that executes a container's hooks, so that the verb which needs them can give up
 * executing anything: a hook is due what runc gives it, the whole bounding set and no filter, and
 * would inherit what the verb has. It is forked when config.json has been read and nothing else was
 * touched, runs the hooks of that config.json and no other program, and ends with its verb.
 */
#ifndef KATA_RUNTIME_HOOK_LAUNCHER_H
#define KATA_RUNTIME_HOOK_LAUNCHER_H

#include <sys/types.h>

#include "common/error.h"
#include "common/privsep.h"
#include "kata-runtime/spec.h"

struct hook_launcher {
	int socket; /* -1: there is none */
	pid_t pid;
};
#define HOOK_LAUNCHER_NONE ((struct hook_launcher){ .socket = -1 })

/*
 * Forks it, if spec (NULL: none) has hooks of the kind first or a later one that the host runs.
 * Then cuts the bounding set: what the caller executes from now on has no more than the row rights.
 * The spec may be freed. Nothing is forked on failure.
 */
int hook_launcher_start(struct hook_launcher *launcher, enum privsep_process rights,
			const struct spec *spec, const char *id, enum spec_hook_kind first,
			struct error *err);

/*
 * Runs the hooks of a kind in their order; spec is the one it was started with, pid stands in for
 * the container (0: nobody any more). The first that fails ends it: -EIO with what it said, or
 * -ETIMEDOUT after it was killed.
 */
int hook_launcher_run(struct hook_launcher *launcher, const struct spec *spec,
		      enum spec_hook_kind kind, pid_t pid, struct error *err);

/* The same, but all are run, and what fails is logged. */
void hook_launcher_run_all(struct hook_launcher *launcher, const struct spec *spec,
			   enum spec_hook_kind kind, pid_t pid);

/* Ends and reaps it; there need not be one. */
void hook_launcher_end(struct hook_launcher *launcher);

#endif
