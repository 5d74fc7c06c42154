/* See answer-hello.h. In what runs in QEMU's place: crash/fake-vm, security/evil-agent. */
#include "tests/fake/answer-hello.h"

#include "common/wire.h"

bool answer_hello(const struct frame *frame, const char *release, struct buf *out)
{
	const struct msg_hello mine = { .version = PROTOCOL_VERSION,
					.component = (char *)"agent",
					.release = (char *)release };
	struct msg_hello *theirs;
	uint8_t nonce[FRAME_NONCE];

	if (frame_get_hello(frame, nonce, &theirs, NULL) < 0)
		return false;
	wire_free(MSG_HELLO, theirs);
	return frame_put_hello(out, nonce, &mine, NULL) == 0;
}
