/* HELLO: see greet.h. Called by shim.c for each connection to the proxy. */
#include "kata-shim/greet.h"

#include <errno.h>
#include <string.h>

#include "common/wire.h"

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
