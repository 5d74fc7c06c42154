/*
 * Starts the three programs of a VM, each with exactly its descriptors and the rights of its
 * row. The child reports whatever fails before its exec, so that the caller knows, and not only
 * a log.
 *
 *	PRIVSEP_QEMU       uid and gid given, no capability, own net, ipc, uts and mount
 *	                   namespaces without the share; its system call filter
 *	PRIVSEP_VIRTIOFSD  uid 0 of an identity-mapped user namespace, few capabilities in it, a
 *	                   slave mount namespace whose copy of the share's tmpfs is read-only;
 *	                   a filter beside its own
 *	PRIVSEP_VIRTIOFSD_MKNOD  the same without the user namespace
 *	PRIVSEP_WORKER     the caller's ids, which have no capability already; it loads its
 *	                   filter itself
 *
 * All: empty environment but PATH, / as directory, 0 and 1 on /dev/null, no core dump,
 * no_new_privs.
 */
#ifndef KATA_PROXY_SPAWN_H
#define KATA_PROXY_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/privsep.h"

enum { SPAWN_FDS_MAX = 32 };

/* A descriptor of the caller's and its number in the child: 2 or one of the row's. */
struct spawn_fd {
	int from, to;
};

struct spawn {
	const char *name; /* for error texts: "start NAME: ..." */
	enum privsep_process row;
	int program;       /* the program, opened; close-on-exec */
	char *const *args; /* NULL-terminated */
	struct spawn_fd fds[SPAWN_FDS_MAX];
	size_t n_fds;
	uid_t uid;        /* PRIVSEP_QEMU: and gid */
	gid_t kvm_gid;    /* PRIVSEP_QEMU: supplementary group, 0: none */
	bool seccomp_log; /* what the filter lacks is logged and done */
	bool in_unit;     /* PRIVSEP_WORKER: as PRIVSEP_WORKER_UNIT, its caller is that of a unit */
};

/* Adds a descriptor; a negative one is left out. */
void spawn_pass(struct spawn *spawn, int from, int to);

/*
 * Starts the program: *ret_pid once its exec has happened. The caller's descriptors stay its own.
 * A child that failed is reaped here. Takes at most some seconds.
 */
int spawn_start(const struct spawn *spawn, pid_t *ret_pid, struct error *err);

#endif
