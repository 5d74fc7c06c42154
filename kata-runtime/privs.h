/*
 * What a process of a sandbox is and may, as the kernel tells it, and whether that is within its
 * row of common/privsep.def. Both as JSON objects with the same members, so that a report can be
 * kept and be the measure of a later one:
 *
 *	user            "base+N" of the VM's block, "mapped 0" in a user namespace, else "host N"
 *	groups          further ones
 *	capabilities    names, of all sets together
 *	no_new_privs    whether it is set
 *	seccomp         whether every thread has a filter
 *	syscalls        how many a filter lets through; null: the kernel does not tell
 *	namespaces      those that are not the caller's
 *	root            names in its root directory; null: any
 *	descriptors     number to kind; a policy has the kinds allowed at any number in "other"
 */
#ifndef KATA_RUNTIME_PRIVS_H
#define KATA_RUNTIME_PRIVS_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/privsep.h"

struct json_object;

/*
 * Looks at a running process; uid_base is the first uid of its VM's block. *ret is the caller's:
 * json_object_put().
 */
int privs_observe(pid_t pid, uint32_t uid_base, struct json_object **ret, struct error *err);

/* "socket", "pipe", ... */
const char *privs_kind_name(enum privsep_kind kind);

/* What the row allows. NULL: out of memory. */
struct json_object *privs_policy(enum privsep_process process);

/*
 * Adds a sentence to the array for each thing in which observed exceeds the policy: how many.
 * -EINVAL when the policy is none.
 */
int privs_compare(struct json_object *observed, struct json_object *policy,
		  struct json_object *sentences, struct error *err);

#endif
