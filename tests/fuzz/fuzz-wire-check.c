/*
 * Fuzzer of wire_check(): whatever it lets through, msgpack-c must take to the last byte, and with
 * no more memory than the bytes warrant. Values of one byte each are the worst: an object apiece.
 */
#include <msgpack.h>
#include <stdlib.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From the sanitizers' runtime: bytes allocated at the moment. tests/coverage builds without. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated(void)
{
	return __sanitizer_get_current_allocated_bytes != NULL
		       ? __sanitizer_get_current_allocated_bytes()
		       : 0;
}

/* One chunk of msgpack's memory is lost whenever a larger piece is asked for. */
enum { SPARE = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = allocated(), offset = 0, after;
	msgpack_unpacked unpacked;

	if (wire_check(data, size) < 0)
		return 0;
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, (const char *)data, size, &offset) !=
		    MSGPACK_UNPACK_SUCCESS ||
	    offset != size)
		__builtin_trap();
	after = allocated();
	if (after > before && after - before > 2 * size * sizeof(msgpack_object) + SPARE)
		__builtin_trap();
	msgpack_unpacked_destroy(&unpacked);
	return 0;
}
