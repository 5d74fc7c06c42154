/* Connecting to a Unix socket: see connect.h. Used by the runtime and the shim. */
#include "common/connect.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/str.h"

int connect_unix(const char *path, const char *peer, int timeout_ms, struct error *err)
{
	const struct timeval limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return error_set(err, errno, "make a socket");
	if (str_format(address.sun_path, sizeof(address.sun_path), "%s", path) < 0)
		return error_set(err, ENAMETOOLONG, "connect to %s at %s", peer, path);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_set(err, errno, "limit the time to connect");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno == EAGAIN ? ETIMEDOUT : errno, "connect to %s at %s",
				 peer, path);
	return steal_fd(&fd);
}
