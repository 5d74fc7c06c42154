/*
 * How often the worker has crashed of late, as pure state: a few crashes are mended by starting
 * another worker, many in a short time are a reason to give up.
 */
#ifndef KATA_PROXY_CRASHES_H
#define KATA_PROXY_CRASHES_H

#include <stdbool.h>
#include <stdint.h>

enum { CRASHES_WINDOW_MS = 30000, CRASHES_LIMIT_MAX = 1000 };

struct crashes {
	uint64_t count;
	int64_t times[CRASHES_LIMIT_MAX]; /* of the last ones; crash n is at n modulo limit */
};

/*
 * Notes a crash at a time of deadline_now_ms(): true while no more than limit of them, this one
 * included, lie within CRASHES_WINDOW_MS. limit is always the same, 0 to CRASHES_LIMIT_MAX.
 */
bool crashes_note(struct crashes *crashes, unsigned limit, int64_t now);

#endif
