/* Signal names: see signal-name.h. */
#include "kata-runtime/signal-name.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"

enum { REALTIME_FIRST = 34, SIGNAL_LAST = 64 };

/* "RTMIN", "RTMIN+n", "RTMAX-n". */
static int parse_realtime(const char *name, int *ret_signal)
{
	bool min = strncasecmp(name, "RTMIN", 5) == 0, max = strncasecmp(name, "RTMAX", 5) == 0;
	uint64_t n = 0;

	if (!min && !max)
		return -EINVAL;
	if (name[5] != '\0' && (name[5] != (min ? '+' : '-') ||
				str_to_u64(name + 6, SIGNAL_LAST - REALTIME_FIRST, &n) < 0))
		return -EINVAL;
	*ret_signal = min ? REALTIME_FIRST + (int)n : SIGNAL_LAST - (int)n;
	return 0;
}

int signal_parse(const char *text, int *ret_signal, struct error *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t number;

	if (str_to_u64(text, SIGNAL_LAST, &number) == 0) {
		*ret_signal = (int)number;
		return 0;
	}
	if (parse_realtime(name, ret_signal) == 0)
		return 0;
	for (int s = 1; s < REALTIME_FIRST; s++) {
		const char *known = sigabbrev_np(s);

		if (known != NULL && strcasecmp(name, known) == 0) {
			*ret_signal = s;
			return 0;
		}
	}
	return error_say(err, EINVAL, "unknown signal \"%s\"", text);
}
