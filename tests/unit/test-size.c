/* kata-runtime/size.c: sizes as people write them. */
#include "kata-runtime/size.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/cleanup.h"

Test(size, words)
{
	static const struct {
		const char *text;
		bool bytes;
		int r;
		int64_t value;
	} cases[] = {
		{ "0", false, 0, 0 },
		{ "12", true, 0, 12 },
		{ "-1", true, 0, -1 },
		{ "-1", false, 0, -1 },
		{ "64m", true, 0, 64 << 20 },
		{ "64M", true, 0, 64 << 20 },
		{ "64MB", true, 0, 64 << 20 },
		{ "64MiB", true, 0, 64 << 20 },
		{ "3b", true, 0, 3 },
		{ "1k", true, 0, 1024 },
		{ "2G", true, 0, INT64_C(2) << 30 },
		{ "1t", true, 0, INT64_C(1) << 40 },
		{ "8191p", true, 0, INT64_C(8191) << 50 },
		{ "9223372036854775807", true, 0, INT64_MAX },
		{ "8192p", true, -ERANGE, 0 },
		{ "9223372036854775808", true, -ERANGE, 0 },
		{ "99999999999999999999999999", true, -EINVAL, 0 },
		{ "64m", false, -EINVAL, 0 },
		{ "", true, -EINVAL, 0 },
		{ "-", true, -EINVAL, 0 },
		{ "m", true, -EINVAL, 0 },
		{ "1x", true, -EINVAL, 0 },
		{ "1bb", true, -EINVAL, 0 },
		{ "1mm", true, -EINVAL, 0 },
		{ "1.5m", true, -EINVAL, 0 },
		{ " 1", true, -EINVAL, 0 },
		{ "+1", true, -EINVAL, 0 },
		{ "0x10", true, -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t value = 0;

		cr_expect(size_parse(cases[i].text, cases[i].bytes, &value) == cases[i].r, "%s",
			  cases[i].text);
		cr_expect(value == cases[i].value, "%s", cases[i].text);
	}
}
