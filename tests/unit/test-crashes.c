/* kata-proxy/crashes.c: how many crashes of the worker are mended. */
#include "kata-proxy/crashes.h"

#include <criterion/criterion.h>

Test(crashes, a_few_in_the_window_are_allowed)
{
	static struct crashes crashes;
	int64_t now = 1000;

	for (int i = 0; i < 5; i++)
		cr_expect(crashes_note(&crashes, 5, now + 100 * i), "crash %d", i + 1);
	cr_expect(!crashes_note(&crashes, 5, now + CRASHES_WINDOW_MS - 1), "the sixth in 30 s");
}

Test(crashes, old_ones_do_not_count)
{
	static struct crashes crashes;

	for (int i = 0; i < 100; i++)
		cr_expect(crashes_note(&crashes, 5, i * (CRASHES_WINDOW_MS / 5)), "crash %d",
			  i + 1);
	cr_expect(!crashes_note(&crashes, 5, 99 * (CRASHES_WINDOW_MS / 5) + 1));
	cr_expect_eq(crashes.count, 101);
}

Test(crashes, limits)
{
	static struct crashes none, most;

	cr_expect(!crashes_note(&none, 0, 5));
	for (int i = 0; i < CRASHES_LIMIT_MAX; i++)
		cr_expect(crashes_note(&most, CRASHES_LIMIT_MAX, i));
	cr_expect(!crashes_note(&most, CRASHES_LIMIT_MAX, CRASHES_LIMIT_MAX));
	cr_expect(!crashes_note(&most, CRASHES_LIMIT_MAX + 1, 100), "an array of its own size");
}
