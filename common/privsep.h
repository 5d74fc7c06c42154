/*
 * Giving up rights, step by step; the order is told in ARCHITECTURE.md ("Rights"). Every failure
 * is fatal to the caller: a process that cannot drop must not go on. One thread only.
 */
#ifndef KATA_PRIVSEP_H
#define KATA_PRIVSEP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* Closes every descriptor but 0, 1, 2 and the count given in keep (any order). */
int privsep_close_others(const int *keep, size_t count, struct error *err);

/* umask 077, no core dump, no SIGPIPE, default signal dispositions, empty signal mask. */
int privsep_quiet(struct error *err);

/*
 * Puts the process into a mount namespace of its own whose root is the directory dirfd (read-only,
 * nosuid, nodev, noexec), or an empty read-only tmpfs when dirfd is negative. dirfd may be O_PATH
 * and from another mount namespace; its path must lead to the same directory in ours. Needs
 * CAP_SYS_ADMIN and a directory /proc, with procfs when dirfd is given.
 */
int privsep_enter_root(int dirfd, struct error *err);

/*
 * For good: no supplementary groups but the count given, gid, uid, no capability in any set (the
 * bounding set included), no_new_privs, not dumpable; then verifies all of it. uid is not 0.
 */
int privsep_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct error *err);

/* What privsep_drop() promises, checked against the kernel: 0, or -EPERM naming what is left. */
int privsep_verify(uid_t uid, gid_t gid, struct error *err);

#endif
