/* Making a running VM large enough for its containers. */
#ifndef KATA_RUNTIME_VM_GROW_H
#define KATA_RUNTIME_VM_GROW_H

#include "common/error.h"
#include "kata-runtime/config.h"
#include "kata-runtime/decoder.h"
#include "kata-runtime/store.h"

/*
 * state: of the container whose limits are new, which stand in it; those of the others in its VM
 * are on disk. One call after the other grows a VM; nobody's end waits for that. When it returns 0
 * the guest has the memory and uses the processors, and the caller has the lock that makes the next
 * call wait: until the new limits are on disk too, or it would count the old ones. -EINVAL: more
 * than is allowed, -ENOSPC: more than this VM can get, -ETIMEDOUT: the guest did not take it. A VM
 * never gets smaller.
 */
int vm_grow(const struct store *store, const struct state *state, const struct config *config,
	    struct decoder *decoder, struct store_lock *ret_lock, struct error *err);

#endif
