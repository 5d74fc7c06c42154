/* Points in monotonic time, in milliseconds, so that every wait can have an end. */
#ifndef KATA_DEADLINE_H
#define KATA_DEADLINE_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

static inline int64_t deadline_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int64_t deadline_in_ms(int64_t ms)
{
	return deadline_now_ms() + ms;
}

/* Milliseconds left, 0 when it has passed: fit for poll(2). */
static inline int deadline_left_ms(int64_t deadline)
{
	int64_t left = deadline - deadline_now_ms();

	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

#endif
