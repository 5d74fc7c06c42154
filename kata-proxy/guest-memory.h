/*
 * The guest's memory as a vhost-user back-end sees it: regions of files that the front-end, QEMU,
 * has handed over, and addresses in them made into pointers. What lies there may change at any
 * moment: whoever reads it copies it first and looks at the copy.
 */
#ifndef KATA_PROXY_GUEST_MEMORY_H
#define KATA_PROXY_GUEST_MEMORY_H

#include <stdint.h>

#include "common/error.h"

enum { GUEST_REGIONS_MAX = 8 };

/* As the vhost-user protocol has it: where the guest, QEMU and the file have these bytes. */
struct guest_region {
	uint64_t guest, size, user, offset;
};

struct guest_memory {
	struct guest_region regions[GUEST_REGIONS_MAX];
	uint8_t *maps[GUEST_REGIONS_MAX];
	unsigned count;
};

/*
 * Maps count regions of the files fds, which stay the caller's. Refused, with nothing mapped: a
 * region that wraps around or reaches beyond its file, and a file that may still be cut short,
 * since touching what is cut off would be the end of this process. -EINVAL or an errno.
 */
int guest_memory_map(struct guest_memory *memory, const struct guest_region *regions,
		     unsigned count, const int *fds, struct error *err);

void guest_memory_unmap(struct guest_memory *memory);

/* The len bytes at a guest's physical address: NULL when they do not lie within one region. */
void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t len);

/* The same for an address of QEMU's. */
void *guest_memory_at_user(const struct guest_memory *memory, uint64_t address, uint64_t len);

#endif
