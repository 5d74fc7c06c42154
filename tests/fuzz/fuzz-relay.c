/* Any bytes in any pieces as records of the name relay. */
#include <stdlib.h>

#include "common/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf input = { 0 };
	struct relay_record record;
	volatile uint8_t last;
	int r = 0;

	while (size > 0 && r >= 0) {
		size_t n = 1U + data[0] % 16U;

		n = n < size ? n : size;
		if (buf_append(&input, data, n) < 0)
			abort();
		data += n;
		size -= n;
		while ((r = relay_next(&input, &record)) == 1) {
			if (record.len > 0)
				last = record.message[record.len - 1];
			relay_took(&input, &record);
		}
	}
	(void)last;
	buf_fini(&input);
	return 0;
}
