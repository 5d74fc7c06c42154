/* common/deadline.h: points in monotonic time as poll(2) wants them. */
#include "common/deadline.h"

#include <criterion/criterion.h>
#include <poll.h>

Test(deadline, now_goes_on)
{
	int64_t before = deadline_now_ms(), after;

	cr_assert(before > 0);
	poll(NULL, 0, 20);
	after = deadline_now_ms();
	cr_assert(after - before >= 19 && after - before < 20000);
}

Test(deadline, left)
{
	int left;

	left = deadline_left_ms(deadline_in_ms(10000));
	cr_assert(left > 5000 && left <= 10000);
	cr_assert(deadline_left_ms(deadline_in_ms(0)) == 0);
	cr_assert(deadline_left_ms(deadline_in_ms(-1000)) == 0);
	cr_assert(deadline_left_ms(0) == 0);
	cr_assert(deadline_left_ms(-5) == 0);
	cr_assert(deadline_left_ms(INT64_MIN / 2) == 0);
}

/* Never negative, which poll would take for "for ever". */
Test(deadline, left_fits_int)
{
	cr_assert(deadline_left_ms(INT64_MAX) == INT_MAX);
	cr_assert(deadline_left_ms(deadline_in_ms((int64_t)INT_MAX + 10000)) == INT_MAX);
	cr_assert(deadline_left_ms(deadline_in_ms((int64_t)1 << 40)) == INT_MAX);
}

Test(deadline, passes)
{
	int64_t deadline = deadline_in_ms(30);

	cr_assert(deadline_left_ms(deadline) > 0);
	while (deadline_left_ms(deadline) > 0)
		poll(NULL, 0, deadline_left_ms(deadline));
	cr_assert(deadline_now_ms() >= deadline);
}
