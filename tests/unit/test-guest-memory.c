/* kata-proxy/guest-memory.c: what is mapped, and which addresses lie in it. */
#include "kata-proxy/guest-memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fake/fake-driver.h"

enum { PAGE = 4096, BIG = 16 * PAGE };

static int sealed(off_t size, int seals)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

Test(guest_memory, addresses)
{
	CLEANUP(fd_close) int one = sealed(BIG, F_SEAL_SHRINK);
	CLEANUP(fd_close) int two = sealed(BIG, F_SEAL_SHRINK);
	const struct guest_region regions[] = {
		{ .guest = 0x1000, .size = 2 * PAGE, .user = 0x50000, .offset = 0 },
		{ .guest = UINT64_C(1) << 32, .size = PAGE + 100, .user = 0x10000, .offset = PAGE },
	};
	const int fds[] = { one, two };
	struct guest_memory memory;
	struct error err;
	uint8_t *low, *high;

	cr_assert(guest_memory_map(&memory, regions, 2, fds, &err) == 0, "%s", err.text);
	low = guest_memory_at(&memory, 0x1000, 2 * PAGE);
	high = guest_memory_at(&memory, UINT64_C(1) << 32, PAGE + 100);
	cr_assert(low != NULL && high != NULL);
	cr_expect(guest_memory_at_user(&memory, 0x50000, 1) == low);
	cr_expect(guest_memory_at_user(&memory, 0x10000 + 99, 1) == high + 99);
	cr_expect(pwrite(two, "x", 1, PAGE + 5) == 1 && high[5] == 'x');
	/* Outside, over an end, around the end of all addresses. */
	cr_expect(guest_memory_at(&memory, 0xfff, 1) == NULL);
	cr_expect(guest_memory_at(&memory, 0x1000 + 2 * PAGE, 1) == NULL);
	cr_expect(guest_memory_at(&memory, 0x1000 + 2 * PAGE, 0) == NULL);
	cr_expect(guest_memory_at(&memory, 0x1001, 2 * PAGE) == NULL);
	cr_expect(guest_memory_at(&memory, 0x1000 + PAGE, UINT64_MAX) == NULL);
	cr_expect(guest_memory_at(&memory, UINT64_MAX, 1) == NULL);
	cr_expect(guest_memory_at(&memory, (UINT64_C(1) << 32) + PAGE + 99, 2) == NULL);
	cr_expect(guest_memory_at_user(&memory, 0x1000, 1) == NULL);
	guest_memory_unmap(&memory);
	cr_expect(guest_memory_at(&memory, 0x1000, 1) == NULL);
}

Test(guest_memory, refused)
{
	CLEANUP(fd_close) int good = sealed(BIG, F_SEAL_SHRINK);
	CLEANUP(fd_close) int open_ended = sealed(BIG, F_SEAL_GROW);
	CLEANUP(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct {
		struct guest_region region;
		int fd;
	} cases[] = {
		{ { .size = 0 }, good },
		{ { .size = BIG + 1 }, good },
		{ { .size = PAGE, .offset = BIG }, good },
		{ { .size = BIG, .offset = PAGE }, good },
		{ { .size = UINT64_MAX - PAGE + 1, .offset = 2 * PAGE }, good },
		{ { .size = PAGE, .guest = UINT64_MAX - 1 }, good },
		{ { .size = PAGE, .user = UINT64_MAX - 1 }, good },
		{ { .size = PAGE, .offset = 1 }, good }, /* nothing maps from there */
		{ { .size = PAGE }, open_ended },
		{ { .size = PAGE }, null },
		{ { .size = PAGE }, -1 },
	};
	const struct guest_region many[GUEST_REGIONS_MAX + 1] = { { .size = PAGE } };
	struct guest_memory memory;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_region regions[] = { { .guest = 1 << 20, .size = PAGE },
						  cases[i].region };
		const int fds[] = { good, cases[i].fd };

		cr_expect(guest_memory_map(&memory, regions, 2, fds, &err) < 0, "case %zu", i);
		cr_expect(memory.count == 0, "case %zu", i);
	}
	cr_expect(guest_memory_map(&memory, many, ARRAY_SIZE(many), NULL, &err) == -EINVAL);
}
