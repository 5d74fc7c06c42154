/*
 * What the process still owes to its readers, as pure state: EXIT brings the offsets at which
 * stdout and stderr stood when the process was reaped, and the shim may end when all before them
 * is written. It does not wait for END: a background child may hold a stream open for ever.
 */
#ifndef KATA_DRAIN_H
#define KATA_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/protocol.h"

struct drain {
	bool exited;                    /* EXIT has come */
	uint64_t ends[STREAM_COUNT];    /* its offsets */
	uint64_t written[STREAM_COUNT]; /* bytes written, or dropped for want of a reader */
	bool over[STREAM_COUNT];        /* END has come */
};

/* EXIT has come: false when it had before, and then nothing changes. */
bool drain_exit(struct drain *drain, uint64_t stdout_end, uint64_t stderr_end);

/*
 * Whether nothing is left to wait for. linked: more may come from the agent; pending: bytes of
 * each stream that are here and not yet written.
 */
bool drain_done(const struct drain *drain, bool linked, const uint64_t pending[STREAM_COUNT]);

/* Whether the exit is known and all before it is written or pending: the VM is not needed more. */
bool drain_complete(const struct drain *drain, const uint64_t pending[STREAM_COUNT]);

#endif
