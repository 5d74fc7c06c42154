/* common/connect.c: a socket that is there, one that is not, and one that nobody serves. */
#include "common/connect.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

Test(connect, unix)
{
	char long_path[200], path[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct error err;
	int listener, fd;

	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	cr_expect_eq(connect_unix(long_path, "the proxy", 1000, &err), -ENAMETOOLONG);
	cr_expect_eq(connect_unix("/nonexistent/proxy.sock", "the proxy", 1000, &err), -ENOENT);
	cr_expect(strstr(err.text, "o such file") == NULL, "managers read that text: %s", err.text);

	snprintf(path, sizeof(path), "/tmp/test-connect-%d.sock", getpid());
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 0), 0);
	fd = connect_unix(path, "the proxy", 1000, &err);
	cr_expect_geq(fd, 0, "%s", err.text);
	/* The queue of one is full now: nobody accepts, and the wait ends. */
	cr_expect_eq(connect_unix(path, "the proxy", 100, &err), -ETIMEDOUT,
		     "a proxy that never accepts");
	close(fd);
	close(listener);
	unlink(path);
}
