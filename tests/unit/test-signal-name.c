/* kata-runtime/signal-name.h */
#include <criterion/criterion.h>
#include <errno.h>

#include "common/cleanup.h"
#include "kata-runtime/signal-name.h"

static const struct {
	const char *text;
	int signal; /* -1: refused */
} cases[] = {
	{ "TERM", 15 },     { "SIGTERM", 15 }, { "sigterm", 15 },
	{ "term", 15 },     { "15", 15 },      { "9", 9 },
	{ "KILL", 9 },      { "0", 0 },        { "64", 64 },
	{ "SIGRTMIN", 34 }, { "RTMIN+3", 37 }, { "SIGRTMIN+30", 64 },
	{ "SIGRTMAX", 64 }, { "RTMAX-1", 63 }, { "rtmax-30", 34 },
	{ "WINCH", 28 },    { "SIGUSR1", 10 }, { "65", -1 },
	{ "-1", -1 },       { "", -1 },        { "SIG", -1 },
	{ "NOSUCH", -1 },   { "15x", -1 },     { "RTMIN+31", -1 },
	{ "RTMIN-1", -1 },  { "RTMAX+1", -1 }, { "RTMIN+", -1 },
	{ "RTMINX", -1 },   { " 9", -1 },      { "99999999999", -1 },
};

Test(signal_name, table)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };
		int signal = -1, r = signal_parse(cases[i].text, &signal, &err);

		if (cases[i].signal >= 0) {
			cr_expect_eq(r, 0, "\"%s\": %s", cases[i].text, err.text);
			cr_expect_eq(signal, cases[i].signal, "\"%s\": %d", cases[i].text, signal);
		} else {
			cr_expect_eq(r, -EINVAL, "\"%s\"", cases[i].text);
			cr_expect_eq(signal, -1, "\"%s\" was written", cases[i].text);
		}
	}
}
