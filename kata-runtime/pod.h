/*
 * Which VM a new container belongs to. A container manager says it by annotations (CRI, CRI-O and
 * podman, dockershim), or only by the paths of namespaces, /proc/PID/ns/TYPE, where PID stands in
 * for a container of ours. A container that says neither gets a VM of its own, which others may
 * join later.
 */
#ifndef KATA_RUNTIME_POD_H
#define KATA_RUNTIME_POD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "kata-runtime/spec.h"
#include "kata-runtime/store.h"

struct pod {
	bool member;          /* it joins a VM that is there */
	bool pause;           /* it only holds a pod together, as its annotations say */
	struct state sandbox; /* then: what is known of that VM, with its sid */
	/* Ids of the containers whose namespaces it shares; "": its own. */
	char *pid_of, *ipc_of, *uts_of;
};

/*
 * Decides. netns: the network namespace the new container is to be in, -1 for a new one; all
 * containers of a VM have the same. Refused by name: what names no container of ours below the
 * store's root, or one whose VM has ended, containers of different VMs, another network.
 */
int pod_find(const struct store *store, const struct spec *spec, int netns, struct pod *ret,
	     struct error *err);
void pod_fini(struct pod *pod);

/*
 * What the annotations say. 0: nothing. 2: it is a pod's sandbox. 1: a member, and *ret_sandbox is
 * the id of its sandbox, *ret_key the annotation that says so (both borrowed). -EINVAL.
 */
int pod_annotated(const struct spec *spec, const char **ret_sandbox, const char **ret_key,
		  struct error *err);

/* The process of a path /proc/PID/ns/NAME, or 0 when it is none. */
pid_t pod_namespace_pid(const char *path, const char *name);

/* Whether it is the first of its VM, in whose directory the VM's files are. */
bool pod_is_first(const struct state *state);

/*
 * Whether its VM has containers but it: 1 or 0, and under the VM's lock that stays so; else a
 * negative errno: it cannot be told now.
 */
int pod_has_others(const struct store *store, const struct state *state, struct error *err);

/* Whether a container but it runs in its VM. */
bool pod_others_run(const struct store *store, const struct state *state);

#endif
