/*
 * Uids of a VM: a block of UID_BLOCK (common/launch.h) uids, and gids of the same numbers, that no
 * other VM has. A block is a slot of the range; a slot is taken by a lock on DIR/SLOT. The lock's
 * descriptor is given to the VM's monitor, which outlives every process of the VM: no clean-up is
 * needed however the VM ends, and the caller closes its copy.
 */
#ifndef KATA_UIDS_H
#define KATA_UIDS_H

#include <stdint.h>

#include "common/error.h"

struct uid_range {
	uint32_t start, count;
};

/*
 * "START:COUNT". Refused: below 65536, fewer than one block, beyond what Linux has, or over the
 * uids that systemd hands out by itself (61184-65519).
 */
int uids_parse_range(const char *text, struct uid_range *ret, struct error *err);

/*
 * The range to use: text when it is not "", else the line "kata:START:COUNT" of /etc/subuid, which
 * /etc/subgid has to repeat. -ENOENT with what to do when there is none.
 */
int uids_find_range(const char *text, struct uid_range *ret, struct error *err);
/* The same with the two files named: for tests. */
int uids_find_range_in(const char *subuid, const char *subgid, struct uid_range *ret,
		       struct error *err);

/*
 * Takes a free slot; dir (0700) is made when it misses. *ret_lock_fd is close-on-exec and the
 * caller's. A slot is passed over while a process has one of its uids. -EAGAIN: none is free.
 */
int uids_take(const char *dir, const struct uid_range *range, const char *sid, int *ret_lock_fd,
	      uint32_t *ret_slot, uint32_t *ret_base, struct error *err);

/*
 * The first block of the range for whoever wants it: with it VMs are not apart from each other. The
 * lock is a shared one, so that uids_take() never gives that block away.
 */
int uids_share(const char *dir, const struct uid_range *range, int *ret_lock_fd, uint32_t *ret_slot,
	       uint32_t *ret_base, struct error *err);

/* Removes the file of a slot that nobody holds any more; who still holds it keeps it (0 too). */
int uids_release(const char *dir, uint32_t slot, struct error *err);

#endif
