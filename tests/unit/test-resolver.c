/* kata-runtime/resolver.c: which resolv.conf names only servers that a container cannot reach. */
#include "kata-runtime/resolver.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

Test(resolver, unreachable)
{
	static const struct {
		const char *text, *server; /* NULL: fine */
	} cases[] = {
		{ "", NULL },
		{ "\n\n", NULL },
		{ "search example.org\n", NULL },
		{ "nameserver 127.0.0.53\noptions edns0 trust-ad\n", "127.0.0.53" },
		{ "# made by hand\nnameserver\t127.0.0.1\nnameserver ::1", "127.0.0.1" },
		{ "nameserver ::1\r\n", "::1" },
		{ "nameserver 127.0.0.53#dot\n", "127.0.0.53" },
		{ "nameserver 127.0.0.53\nnameserver 192.0.2.1\n", NULL },
		{ "nameserver 192.0.2.1\nnameserver 127.0.0.53\n", NULL },
		{ "nameserver 127.0.0.11\noptions ndots:0\n", NULL },
		{ "nameserver fe80::1%eth0\n", NULL },
		{ "#nameserver 127.0.0.53\n", NULL },
		{ "nameserver\n127.0.0.53\n", NULL },
		{ "nameserver127.0.0.53\n", NULL },
		{ "nameserver "
		  "12700000000000000000000000000000000000000000000000000000000000000000\n",
		  NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char server[RESOLVER_SIZE];
		bool unreachable = resolver_unreachable(cases[i].text, server);

		cr_expect(unreachable == (cases[i].server != NULL), "%s", cases[i].text);
		if (unreachable)
			cr_expect_str_eq(server, cases[i].server);
	}
}

Test(resolver, files)
{
	char path[] = "/tmp/kata-test-resolver-XXXXXX", server[RESOLVER_SIZE];
	int fd = mkstemp(path);

	cr_assert(fd >= 0);
	cr_expect(!resolver_unreachable_file(path, server));
	dprintf(fd, "nameserver 127.0.0.54\n");
	close(fd);
	cr_expect(resolver_unreachable_file(path, server));
	cr_expect_str_eq(server, "127.0.0.54");
	unlink(path);
	cr_expect(!resolver_unreachable_file(path, server));
	cr_assert(mkfifo(path, 0600) == 0);
	cr_expect(!resolver_unreachable_file(path, server)); /* nor does it wait */
	unlink(path);
	cr_expect(!resolver_unreachable_file("/tmp", server));
}
