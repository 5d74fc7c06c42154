/*
 * Starting kata-shim for a container or exec: forked early, held on a socket until its process is.
 */
#ifndef KATA_RUNTIME_SHIM_H
#define KATA_RUNTIME_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/store.h"

struct shim {
	struct process_ref process; /* our child */
	int control;                /* socketpair that holds it */
};
#define SHIM_NONE \
	{ \
		.control = -1 \
	}

struct shim_options {
	const struct config *config;
	const struct state *state;
	const char *exec;                /* name of an exec, "" for the container itself */
	const struct wire_strings *args; /* shown as its command line */
	int stdio[3];                    /* borrowed; a terminal's slave three times */
	int shared;                      /* SID/client */
	int exit;                        /* SID/exit; -1: of an exec */
	int netns, pidns;                /* to join; -1: a new one */
	const struct cgroup *cgroup;     /* joined by it; NULL: none */
	bool debug;
};

/* Starts it in its namespaces and cgroups; it waits for shim_attach(). */
int shim_start(struct shim *shim, const struct shim_options *options, struct error *err);

/* It has ended before it was attached: an error that says why, as far as it said so. */
int shim_explain(struct shim *shim, struct error *err);

/*
 * Lets it attach to the process with that handle: returns when it has, and then it lives without
 * us. relay: it also answers what containers ask of the name server in its network namespace.
 * -ENOTCONN when it ended instead.
 */
int shim_attach(struct shim *shim, uint64_t handle, bool terminal, bool relay, int64_t deadline,
		struct error *err);

/* Undoes shim_start(): kills and reaps it; nothing when there is none. */
void shim_abort(struct shim *shim);

#endif
