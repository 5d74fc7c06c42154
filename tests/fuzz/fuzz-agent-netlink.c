/* Any bytes as the kernel's answer to the agent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kata-agent/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t *copy = malloc(size + 1); /* aligned, and of exactly its size for the sanitizer */
	int errnum = 0;

	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	netlink_find_in(copy, size, mac);
	if (netlink_take_ack(copy, size, 0, &errnum) == 1 && (errnum < 0 || errnum > 4095))
		abort();
	free(copy);
	return 0;
}
