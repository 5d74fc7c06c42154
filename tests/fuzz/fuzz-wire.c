/*
 * Fuzzer of the codec: what wire_decode() makes of any bytes can be encoded, and decodes to the
 * same; what it refuses has an error that says so. Both directions know the same limits then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */

/* Now and then begins with a message of the table, so that no corpus is needed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	const struct wire_message *all;
	size_t n;

	all = wire_messages(&n);
	if (seed % 32 == 0 && wire_encode(all[seed / 32 % n].type, NULL, &out, NULL) == 0 &&
	    buf_len(&out) <= max_size) {
		size = buf_len(&out);
		memcpy(data, buf_at(&out), size);
	}
	return LLVMFuzzerMutate(data, size, max_size);
}

/* Encodes body and decodes that again; the two encodings must be equal. */
static void encode_again(enum msg_type type, const void *body)
{
	CLEANUP(buf_fini) struct buf first = { 0 }, second = { 0 };
	enum msg_type got;
	struct error err;
	void *copy;

	if (wire_encode(type, body, &first, &err) < 0) {
		/* Short forms of a peer may be longer in ours. */
		if (err.num != EMSGSIZE || strstr(err.text, "bytes are over") == NULL)
			__builtin_trap();
		return;
	}
	if (wire_decode(buf_at(&first), buf_len(&first), &got, &copy, &err) < 0 || got != type)
		__builtin_trap();
	if (wire_encode(type, copy, &second, &err) < 0 || buf_len(&first) != buf_len(&second) ||
	    memcmp(buf_at(&first), buf_at(&second), buf_len(&first)) != 0)
		__builtin_trap();
	wire_free(got, copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { 0 };
	enum msg_type type;
	void *body;
	int r;

	r = wire_decode(data, size, &type, &body, &err);
	if (r == 0) {
		if (wire_message(type) == NULL)
			__builtin_trap();
		encode_again(type, body);
		wire_free(type, body);
	} else if (r != -err.num || err.text[0] == '\0' ||
		   !str_is_utf8(err.text, strlen(err.text))) {
		__builtin_trap();
	}
	r = wire_decode_as(MSG_CREATED, data, size, &body, &err);
	if (r == 0)
		wire_free(MSG_CREATED, body);
	else if (r > 0)
		__builtin_trap();
	return 0;
}
