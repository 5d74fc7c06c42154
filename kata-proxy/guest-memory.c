/*
 * Mapping the guest's memory: see guest-memory.h. Called by vhost-user.c in the worker, and only
 * when the agent's link is vhost-user-vsock.
 */
#include "kata-proxy/guest-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static bool wraps(uint64_t start, uint64_t size)
{
	return start + size < start;
}

static int check(const struct guest_region *region, unsigned i, int fd, struct error *err)
{
	off_t file_size;
	int seals;

	if (region->size == 0 || wraps(region->guest, region->size) ||
	    wraps(region->user, region->size) || wraps(region->offset, region->size))
		return error_say(err, EINVAL, "memory region %u: its size is impossible", i);
	file_size = lseek(fd, 0, SEEK_END);
	if (file_size < 0)
		return error_set(err, errno, "memory region %u", i);
	if (region->offset + region->size > (uint64_t)file_size)
		return error_say(err, EINVAL, "memory region %u is larger than its file", i);
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
		return error_say(err, EINVAL, "memory region %u: its file may be cut short", i);
	return 0;
}

static int map_one(struct guest_memory *memory, const struct guest_region *region, unsigned i,
		   int fd, struct error *err)
{
	void *map;
	int r = check(region, i, fd, err);

	if (r < 0)
		return r;
	map = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		   (off_t)region->offset);
	if (map == MAP_FAILED)
		return error_set(err, errno, "map memory region %u", i);
	madvise(map, region->size, MADV_DONTDUMP);
	memory->regions[i] = *region;
	memory->maps[i] = map;
	memory->count = i + 1;
	return 0;
}

int guest_memory_map(struct guest_memory *memory, const struct guest_region *regions,
		     unsigned count, const int *fds, struct error *err)
{
	int r = 0;

	*memory = (struct guest_memory){ .count = 0 };
	if (count > GUEST_REGIONS_MAX)
		return error_say(err, EINVAL, "%u memory regions: at most %d are possible", count,
				 GUEST_REGIONS_MAX);
	for (unsigned i = 0; i < count && r == 0; i++)
		r = map_one(memory, &regions[i], i, fds[i], err);
	if (r < 0)
		guest_memory_unmap(memory);
	return r;
}

void guest_memory_unmap(struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		munmap(memory->maps[i], memory->regions[i].size);
	memory->count = 0;
}

/* Whether len bytes at address lie within the size bytes from start: *ret_at is how far in. */
static bool within(uint64_t start, uint64_t size, uint64_t address, uint64_t len, uint64_t *ret_at)
{
	*ret_at = address - start;
	return address >= start && *ret_at < size && len <= size - *ret_at;
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t len)
{
	uint64_t at;

	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->regions[i];

		if (within(region->guest, region->size, address, len, &at))
			return memory->maps[i] + at;
	}
	return NULL;
}

void *guest_memory_at_user(const struct guest_memory *memory, uint64_t address, uint64_t len)
{
	uint64_t at;

	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->regions[i];

		if (within(region->user, region->size, address, len, &at))
			return memory->maps[i] + at;
	}
	return NULL;
}
