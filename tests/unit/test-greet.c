/* The shim's HELLO and what it accepts as the answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/str.h"
#include "common/wire.h"
#include "kata-shim/greet.h"

/* A frame HELLO with flags, whose payload is in out. */
static struct frame answer(struct buf *out, const uint8_t nonce[FRAME_NONCE], uint8_t flags,
			   uint32_t version)
{
	struct msg_hello hello = { .version = version,
				   .component = (char[]){ "agent" },
				   .release = (char[]){ "1" } };

	cr_assert_eq(frame_put_hello(out, nonce, &hello, NULL), 0);
	return (struct frame){ .type = FRAME_HELLO,
			       .flags = flags,
			       .length = (uint32_t)buf_len(out),
			       .payload = buf_at(out) };
}

Test(greet, hello_names_us)
{
	uint8_t nonce[FRAME_NONCE], other[FRAME_NONCE], got[FRAME_NONCE];
	struct buf out = { 0 }, out2 = { 0 };
	struct msg_hello *hello;
	struct error err;
	struct frame frame;

	cr_assert_eq(greet_hello(nonce, &out, &err), 0);
	cr_assert_eq(greet_hello(other, &out2, &err), 0);
	cr_expect(memcmp(nonce, other, FRAME_NONCE) != 0, "each connection has its own nonce");
	frame = (struct frame){ .type = FRAME_HELLO,
				.length = (uint32_t)buf_len(&out),
				.payload = buf_at(&out) };
	cr_assert_eq(frame_get_hello(&frame, got, &hello, &err), 0, "%s", err.text);
	cr_expect(memcmp(got, nonce, FRAME_NONCE) == 0);
	cr_expect(str_eq(hello->component, "shim"));
	cr_expect_eq(hello->version, PROTOCOL_VERSION);
	wire_free(MSG_HELLO, hello);
	buf_fini(&out);
	buf_fini(&out2);
}

Test(greet, check)
{
	uint8_t nonce[FRAME_NONCE], other[FRAME_NONCE];
	struct buf out = { 0 };
	struct error err;
	struct frame frame;

	cr_assert_eq(greet_hello(nonce, &out, &err), 0);
	buf_fini(&out);
	memcpy(other, nonce, FRAME_NONCE);
	other[FRAME_NONCE - 1] ^= 1;

	frame = answer(&out, nonce, FRAME_ACK, PROTOCOL_VERSION);
	cr_expect_eq(greet_check(&frame, nonce, &err), 0);
	frame.length--;
	cr_expect_eq(greet_check(&frame, nonce, &err), -EBADMSG, "a cut payload");
	frame.length = 0;
	cr_expect_eq(greet_check(&frame, nonce, &err), -EBADMSG, "no payload");
	buf_fini(&out);
	frame = answer(&out, nonce, 0, PROTOCOL_VERSION);
	cr_expect_eq(greet_check(&frame, nonce, &err), -EBADMSG, "no answer but a question");
	buf_fini(&out);
	frame = answer(&out, other, FRAME_ACK, PROTOCOL_VERSION);
	cr_expect_eq(greet_check(&frame, nonce, &err), -EBADMSG, "an answer to somebody else");
	buf_fini(&out);
	frame = answer(&out, nonce, FRAME_ACK, PROTOCOL_VERSION + 1);
	cr_expect_eq(greet_check(&frame, nonce, &err), -EPROTONOSUPPORT, "another version");
	cr_expect(strstr(err.text, "version 2") != NULL, "%s", err.text);
	buf_fini(&out);
}
