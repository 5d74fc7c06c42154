/* Crashes of the worker: see crashes.h. Used by monitor.c in the monitor process. */
#include "kata-proxy/crashes.h"

bool crashes_note(struct crashes *crashes, unsigned limit, int64_t now)
{
	int64_t *oldest;
	bool allowed;

	if (limit == 0 || limit > CRASHES_LIMIT_MAX) {
		crashes->count++;
		return false;
	}
	oldest = &crashes->times[crashes->count % limit]; /* limit crashes ago */
	allowed = crashes->count < limit || now - *oldest >= CRASHES_WINDOW_MS;
	*oldest = now;
	crashes->count++;
	return allowed;
}
