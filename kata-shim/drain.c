/* When the shim may end: see drain.h. shim.c owns the one struct drain. */
#include "kata-shim/drain.h"

bool drain_exit(struct drain *drain, uint64_t stdout_end, uint64_t stderr_end)
{
	if (drain->exited)
		return false;
	drain->exited = true;
	drain->ends[STREAM_STDOUT] = stdout_end;
	drain->ends[STREAM_STDERR] = stderr_end;
	return true;
}

bool drain_done(const struct drain *drain, bool linked, const uint64_t pending[STREAM_COUNT])
{
	for (unsigned i = STREAM_STDOUT; i <= STREAM_STDERR; i++) {
		if (drain->exited && drain->written[i] >= drain->ends[i])
			continue;
		if (linked && !(drain->exited && drain->over[i]))
			return false; /* more is to come */
		if (pending[i] > 0)
			return false;
	}
	return true;
}

bool drain_complete(const struct drain *drain, const uint64_t pending[STREAM_COUNT])
{
	for (unsigned i = STREAM_STDOUT; i <= STREAM_STDERR; i++) {
		if (drain->written[i] + pending[i] < drain->ends[i])
			return false;
	}
	return drain->exited;
}
