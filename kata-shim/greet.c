/* Connect and HELLO: see greet.h. Called by shim.c for each connection to the proxy. */
#include "kata-shim/greet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"

int greet_connect(const char *path, int timeout_ms, struct error *err)
{
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (fd < 0)
		return error_set(err, errno, "make a socket");
	r = str_format(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (r < 0)
		return error_set(err, -r, "path of the proxy's socket");
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_set(err, errno, "limit the time to connect");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "connect to the proxy");
	return steal_fd(&fd);
}

int greet_hello(uint8_t ret_nonce[FRAME_NONCE], struct buf *out, struct error *err)
{
	struct msg_hello hello = { .version = PROTOCOL_VERSION,
				   .component = (char[]){ "shim" },
				   .release = (char[]){ KATA_VERSION } };

	frame_new_nonce(ret_nonce);
	return frame_put_hello(out, ret_nonce, &hello, err);
}

int greet_check(const struct frame *frame, const uint8_t nonce[FRAME_NONCE], struct error *err)
{
	uint8_t answered[FRAME_NONCE];
	struct msg_hello *hello;
	int r = frame_get_hello(frame, answered, &hello, err);

	if (r < 0)
		return r;
	wire_free(MSG_HELLO, hello);
	if (!(frame->flags & FRAME_ACK) || memcmp(answered, nonce, FRAME_NONCE) != 0)
		return error_say(err, EBADMSG, "a HELLO came that does not answer ours");
	return 0;
}
