/* The argument vector: kata-runtime/argv.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "kata-runtime/argv.h"

Test(argv, grows_and_ends_in_null)
{
	CLEANUP(argv_fini) struct argv argv = { 0 };
	char text[] = "copied";

	argv_add(&argv, text);
	text[0] = 'x';
	for (int i = 0; i < 1000; i++)
		argv_addf(&argv, "%d-%s", i, "x");
	argv_add(&argv, "");
	cr_assert_eq(argv.failed, 0);
	cr_assert_eq(argv.count, 1002);
	cr_expect_str_eq(argv.items[0], "copied");
	cr_expect_str_eq(argv.items[1000], "999-x");
	cr_expect_str_eq(argv.items[1001], "");
	cr_expect_null(argv.items[1002]);
}

/* After a failed add the vector takes nothing more, so that no argument slips out unnoticed. */
Test(argv, error_sticks)
{
	CLEANUP(argv_fini) struct argv argv = { .failed = -ENOMEM };

	argv_add(&argv, "a");
	argv_addf(&argv, "%d", 1);
	cr_expect_eq(argv.failed, -ENOMEM);
	cr_expect_eq(argv.count, 0);
	argv_fini(&argv);
	argv_add(&argv, "again");
	cr_expect_eq(argv.failed, 0);
	cr_expect_eq(argv.count, 1);
}
