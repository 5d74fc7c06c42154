/* kata-agent/link.c: which link the kernel's command line asks for. */
#include "kata-agent/link.h"

#include <criterion/criterion.h>

#include "common/cleanup.h"

Test(link, command_line)
{
	static const struct {
		const char *text;
		int64_t port; /* -1: no vsock */
	} cases[] = {
		{ "", -1 },
		{ "quiet panic=-1\n", -1 },
		{ "quiet kata.link=vsock:1025 panic=-1\n", 1025 },
		{ "kata.link=vsock:4294967294", 4294967294 },
		{ "kata.link=vsock:1\n", 1 },
		{ "kata.link=vsock:1025 kata.link=vsock:7", 1025 }, /* ours stands first */
		{ "xkata.link=vsock:1025", -1 },
		{ "kata.link=vsock:", -1 },
		{ "kata.link=vsock:-1", -1 },
		{ "kata.link=vsock:1025x", -1 },
		{ "kata.link=vsock:4294967295", -1 },
		{ "kata.link=vsock:00000000000000001025", -1 },
		{ "kata.link=vsock", -1 },
		{ "kata.link=serial", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t port = 0;
		bool found = link_parse_vsock(cases[i].text, &port);

		cr_expect(found == (cases[i].port >= 0), "\"%s\"", cases[i].text);
		cr_expect(!found || port == cases[i].port, "\"%s\": %u", cases[i].text, port);
	}
}
