/*
 * Rings and packets: the guest's memory is written in pieces that the input names, and between them
 * the device runs. The invariants are those that the worker relies on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kata-proxy/vsock-device.h"

enum { MEMORY = 1 << 16, QUEUE_STEP = 0x2000, AVAILABLE = 0x800, USED = 0xa00, SIZE = 64 };
#define BASE UINT64_C(0x10000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start_queues(struct vsock_device *device, const struct guest_memory *memory,
			 uint64_t features)
{
	for (uint64_t i = 0; i < VSOCK_QUEUES; i++) {
		const uint64_t at = BASE + i * QUEUE_STEP;
		const struct virtqueue_rings rings = { .size = SIZE,
						       .descriptors = at,
						       .available = at + AVAILABLE,
						       .used = at + USED };

		virtqueue_start(&device->queues[i], memory, &rings, features, NULL);
	}
}

static void check(const struct vsock_device *device)
{
	if (buf_len(&device->input) > VSOCK_BUFFER || device->n_resets > VSOCK_RESETS_MAX ||
	    (device->state != VSOCK_OPEN && device->owes_response))
		abort();
}

static void use(struct vsock_device *device, uint8_t how)
{
	static const uint8_t bytes[3000];

	vsock_device_run(device);
	check(device);
	if (vsock_device_send(device, bytes, (size_t)how * 12) > (size_t)how * 12)
		abort();
	if (how % 3 == 0)
		vsock_device_consumed(device, buf_len(&device->input));
	for (int i = 0; i < VSOCK_QUEUES; i++)
		virtqueue_must_signal(&device->queues[i]);
	check(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = calloc(1, MEMORY); /* exactly so large, for the sanitizer */
	struct guest_memory memory = {
		.regions = { { .guest = BASE, .size = MEMORY, .user = BASE } },
		.maps = { bytes },
		.count = 1,
	};
	struct vsock_device device;

	if (bytes == NULL || size < 1) {
		free(bytes);
		return 0;
	}
	vsock_device_init(&device);
	start_queues(&device, &memory, (uint64_t)data[0] << 24);
	data++;
	size--;
	/* Each piece: its place, its length, how the device is used after it, its bytes. */
	while (size >= 4) {
		size_t at = (size_t)data[0] << 8 | data[1];
		size_t n = data[2] < size - 4 ? data[2] : size - 4;
		uint8_t how = data[3];

		if (n > MEMORY - at)
			n = MEMORY - at;
		memcpy(bytes + at, data + 4, n);
		if (how != 0)
			use(&device, how);
		data += 4 + n;
		size -= 4 + n;
	}
	vsock_device_fini(&device);
	free(bytes);
	return 0;
}
