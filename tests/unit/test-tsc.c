/* kata-runtime/tsc.h: the frequency of the host's time stamp counter. */
#include "kata-runtime/tsc.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Where it can be told it is the same twice, and one that processors have. */
Test(tsc, frequency_is_constant)
{
	uint32_t a = tsc_measure_khz(), b = tsc_measure_khz();

	if (a == 0 || b == 0)
		cr_skip("this host's counter cannot be told");
	cr_expect(a > 400000 && a < 10000000, "%u kHz", a);
	cr_expect(llabs((long long)a - b) < a / 200, "%u and %u kHz", a, b);
}
