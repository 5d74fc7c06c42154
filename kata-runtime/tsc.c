/*
 * Measuring the time stamp counter: see tsc.h. Called by create. A guest measures it too, against a
 * timer that QEMU emulates; on a busy host QEMU does not run for parts of that, and the guest's
 * clock then is wrong by any factor for good. Here it is known when a look was disturbed.
 */
#include "kata-runtime/tsc.h"

#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>

enum { LOOKS = 100, DISTANCE_MS = 10, NS_PER_MS = 1000000 };

struct look {
	uint64_t ticks, ns;
};

/* Clock and counter at one moment: of several looks the one that was least disturbed. */
static struct look look(void)
{
	struct look best = { 0 };
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < LOOKS; i++) {
		struct timespec now;
		uint64_t before = __rdtsc(), after;

		clock_gettime(CLOCK_MONOTONIC_RAW, &now);
		after = __rdtsc();
		if (after < before || after - before >= least)
			continue;
		least = after - before;
		best.ticks = before + least / 2;
		best.ns = (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
	}
	return best;
}

static uint64_t measure_once(void)
{
	const struct timespec pause = { .tv_nsec = DISTANCE_MS * NS_PER_MS };
	struct look first = look(), second;

	nanosleep(&pause, NULL);
	second = look();
	if (second.ns <= first.ns || second.ticks <= first.ticks)
		return 0;
	return (second.ticks - first.ticks) * NS_PER_MS / (second.ns - first.ns);
}

uint32_t tsc_measure_khz(void)
{
	uint64_t a = measure_once(), b = measure_once();
	uint64_t off = a > b ? a - b : b - a;

	/* The kernel corrects one percent by itself, no more. */
	return a == 0 || a > UINT32_MAX || off > a / 500 ? 0 : (uint32_t)a;
}
#else
uint32_t tsc_measure_khz(void)
{
	return 0;
}
#endif
