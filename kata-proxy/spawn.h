/*
 * Starts the three programs of a VM, each with exactly its descriptors and its own rights. The
 * child reports whatever fails before its exec, so that the caller knows, and not only a log.
 *
 *	SPAWN_QEMU       uid and gid given, no capability, own net, ipc, uts and mount namespaces
 *	                 without the share
 *	SPAWN_VIRTIOFSD  uid 0 of an identity-mapped user namespace, few capabilities in it, a slave
 *	                 mount namespace whose copy of the share's tmpfs is read-only
 *	SPAWN_WORKER     the caller's ids, which have no capability already
 *
 * All: empty environment but PATH, / as directory, 0 and 1 on /dev/null, no core dump,
 * no_new_privs.
 */
#ifndef KATA_PROXY_SPAWN_H
#define KATA_PROXY_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

enum spawn_rights { SPAWN_QEMU, SPAWN_VIRTIOFSD, SPAWN_WORKER };

enum { SPAWN_FDS_MAX = 32, SPAWN_FD_MAX = 31 };

/* A descriptor of the caller's and its number in the child, 2 to SPAWN_FD_MAX. */
struct spawn_fd {
	int from, to;
};

struct spawn {
	const char *name; /* for error texts: "start NAME: ..." */
	enum spawn_rights rights;
	int program;       /* the program, opened; close-on-exec */
	char *const *args; /* NULL-terminated */
	struct spawn_fd fds[SPAWN_FDS_MAX];
	size_t n_fds;
	uid_t uid;     /* SPAWN_QEMU: and gid */
	gid_t kvm_gid; /* SPAWN_QEMU: supplementary group, 0: none */
};

/* Adds a descriptor; a negative one is left out. */
void spawn_pass(struct spawn *spawn, int from, int to);

/*
 * Starts the program: *ret_pid once its exec has happened. The caller's descriptors stay its own.
 * A child that failed is reaped here. Takes at most some seconds.
 */
int spawn_start(const struct spawn *spawn, pid_t *ret_pid, struct error *err);

#endif
