/*
 * OCI hooks that run on the host: all but startContainer, which the guest runs. createContainer
 * hooks are found on the host and run in the container's network, uts and ipc namespaces there,
 * which its shim holds; the container's file tree is the one the bundle names.
 */
#ifndef KATA_RUNTIME_HOOKS_H
#define KATA_RUNTIME_HOOKS_H

#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

/* What a hook gets to know: the OCI state, as JSON on its standard input. */
struct hooks_state {
	const char *id;
	const char *status; /* "creating", "created", "running", "stopped" */
	pid_t pid;          /* stands in for the container; 0: none any more */
};

/*
 * Runs one hook with the bundle as working directory: 0, -EIO with what it said, or -ETIMEDOUT
 * after it was killed. Without a timeout of its own a hook has HOOKS_TIMEOUT_S.
 */
enum { HOOKS_TIMEOUT_S = 300 };
int hooks_run_one(const struct spec *spec, enum spec_hook_kind kind, uint32_t index,
		  const struct hooks_state *state, struct error *err);

/* The time a hook has. */
uint32_t hooks_timeout_s(const struct spec_hook *hook);

/* The OCI state of a bundle: to be freed; NULL when memory is out. */
char *hooks_state_json(const struct spec *spec, const struct hooks_state *state);

#endif
