/* kata-proxy/park.c: what a worker parks, and what one may send that is no such thing. */
#include "kata-proxy/park.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fdpass.h"

static struct {
	int monitor, worker;
	int slots[PARK_SLOTS];
	struct park_text text;
} rig;

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void set_up(void)
{
	struct error err;

	cr_assert(park_open(&rig.monitor, &rig.worker, &err) == 0, "%s", err.text);
	for (int i = 0; i < PARK_SLOTS; i++)
		rig.slots[i] = -1;
}

TestSuite(park, .init = set_up);

static ino_t inode(int fd)
{
	struct stat st;

	cr_assert(fstat(fd, &st) == 0);
	return st.st_ino;
}

Test(park, keeps_replaces_and_empties)
{
	int one = memfd_create("one", MFD_CLOEXEC), two = memfd_create("two", MFD_CLOEXEC);
	int before = count_fds();

	cr_assert_eq(park_put(rig.worker, 0, one), 0);
	cr_assert_eq(park_put(rig.worker, PARK_SLOTS - 1, two), 0);
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_assert_eq(inode(rig.slots[0]), inode(one));
	cr_assert_eq(inode(rig.slots[PARK_SLOTS - 1]), inode(two));
	cr_assert_eq(park_put(rig.worker, 0, two), 0);
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_assert_eq(inode(rig.slots[0]), inode(two));
	cr_assert_eq(count_fds(), before + 2);
	cr_assert_eq(park_put(rig.worker, 0, -1), 0);
	cr_assert_eq(park_put(rig.worker, PARK_SLOTS - 1, -1), 0);
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_assert_eq(rig.slots[0], -1);
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(park_put(rig.worker, PARK_SLOTS, one), -EINVAL);
}

Test(park, key)
{
	const uint8_t key[FRAME_KEY] = "secret!";
	uint8_t got[FRAME_KEY];
	struct error err;

	cr_assert_eq(park_receive_key(rig.worker, got, &err), -EAGAIN);
	cr_assert_eq(park_send_key(rig.monitor, key, &err), 0);
	cr_assert_eq(park_send_key(rig.monitor, key, &err), 0);
	cr_assert_eq(park_receive_key(rig.worker, got, &err), 0);
	cr_assert_eq(memcmp(got, key, FRAME_KEY), 0);
	/* Workers that never read do not stop the monitor. */
	for (int i = 0; i < 10000; i++)
		cr_assert_eq(park_send_key(rig.monitor, key, &err), 0, "%s", err.text);
	cr_assert_eq(park_receive_key(rig.worker, got, &err), 0);
}

/* A packet for a slot with n descriptors, which park_put() does not send. */
static void put_many(uint8_t slot, int fd, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &slot, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(int));
	cr_assert_eq(sendmsg(rig.worker, &msg, MSG_NOSIGNAL), 1);
}

/* A worker that the guest owns may send anything. */
Test(park, what_is_no_packet_of_ours_changes_nothing)
{
	int fd = memfd_create("one", MFD_CLOEXEC);
	int before = count_fds();
	struct error err;
	char junk[8192];

	memset(junk, 0, sizeof(junk));
	cr_assert(send(rig.worker, junk, sizeof(junk), 0) == sizeof(junk));
	cr_assert(send(rig.worker, "\xff", 1, 0) == 1);
	cr_assert(send(rig.worker, "", 0, 0) == 0);
	cr_assert_eq(fdpass_send_one(rig.worker, fd, "two bytes", INT64_MAX, &err), 0);
	park_take(rig.monitor, rig.slots, &rig.text);
	for (int i = 1; i < PARK_SLOTS; i++)
		cr_expect_eq(rig.slots[i], -1);
	cr_expect_eq(rig.slots[0], -1);
	for (size_t n = 2; n <= 16; n++)
		put_many(1, fd, n);
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_expect_eq(rig.slots[1], -1);
	cr_expect_eq(count_fds(), before, "descriptors were kept");
	/* One after the other: the last one stays. */
	for (int i = 0; i < 200; i++)
		if (park_put(rig.worker, 1, fd) < 0)
			break;
	for (int i = 0; i < 10; i++)
		park_take(rig.monitor, rig.slots, &rig.text);
	cr_expect_eq(count_fds(), before + 1);
}

Test(park, last_words)
{
	char longer[5000];

	park_say(rig.worker, "the VM ended: \x1b[31mred\nnext\rline");
	park_say(rig.worker, "a second time");
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_expect_str_eq(rig.text.words, "the VM ended: \\x1b[31mred\nnext\\x0dline");
	cr_expect_str_eq(rig.text.note, "");
	park_note(rig.worker, "7 (sh)\n");
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_expect_str_eq(rig.text.note, "7 (sh)\\x0a");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	rig.text.words[0] = '\0';
	park_say(rig.worker, longer);
	park_take(rig.monitor, rig.slots, &rig.text);
	cr_expect_eq(strlen(rig.text.words), PARK_WORDS_SIZE - 2, "%zu", strlen(rig.text.words));
}
