/* kata-runtime/uids.c: ranges, and slots taken against other processes. */
#include "kata-runtime/uids.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/launch.h"
#include "common/str.h"

Test(uids, ranges)
{
	static const struct {
		const char *text;
		uint32_t start, count; /* count 0: refused */
	} cases[] = {
		{ "65536:8", 65536, 8 },
		{ "2000000000:65536", 2000000000, 65536 },
		{ "2147483640:8", 2147483640, 8 },
		{ "2147483641:8", 0, 0 },
		{ "65535:100", 0, 0 },
		{ "61184:4", 0, 0 },
		{ "60000:10000", 0, 0 },
		{ "65519:1000", 0, 0 },
		{ "0:4294967295", 0, 0 },
		{ "1000:8", 0, 0 },
		{ "100000:7", 0, 0 },
		{ "100000:0", 0, 0 },
		{ "100000", 0, 0 },
		{ "100000:", 0, 0 },
		{ ":100000", 0, 0 },
		{ "", 0, 0 },
		{ "-1:8", 0, 0 },
		{ "100000:8:8", 0, 0 },
		{ " 100000:8", 0, 0 },
		{ "100000:8 ", 0, 0 },
		{ "100000:99999999999999999999", 0, 0 },
		{ "99999999999999999999999999:8", 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct uid_range range = { 0 };
		struct error err = { 0 };
		int r = uids_parse_range(cases[i].text, &range, &err);

		cr_expect(r == (cases[i].count > 0 ? 0 : -EINVAL), "%s", cases[i].text);
		cr_expect(range.start == cases[i].start && range.count == cases[i].count);
		cr_expect((err.text[0] != '\0') == (r < 0), "%s", cases[i].text);
	}
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
}

Test(uids, subuid_and_subgid)
{
	char dir[] = "/tmp/kata-test-uids-XXXXXX";
	struct uid_range range;
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
	cr_expect(uids_find_range_in("u", "g", &range, &err) == -ENOENT);
	cr_expect(strstr(err.text, "runtime.uid_range") != NULL, "%s", err.text);
	put("u", "root:100000:65536\nkatarina:1:2\n");
	cr_expect(uids_find_range_in("u", "g", &range, &err) == -ENOENT);
	put("u", "root:100000:65536\nkata:200000:65536");
	cr_expect(uids_find_range_in("u", "g", &range, &err) == -EINVAL);
	cr_expect_str_eq(err.text, "u has the line kata:200000:65536, but g does not repeat it");
	put("g", "kata:200000:65537\n");
	cr_expect(uids_find_range_in("u", "g", &range, &err) == -EINVAL);
	put("g", "kata:200000:65536\nkata:1:2\n");
	cr_expect(uids_find_range_in("u", "g", &range, &err) == 0, "%s", err.text);
	cr_expect(range.start == 200000 && range.count == 65536);
	put("u", "kata:1000:65536\n");
	put("g", "kata:1000:65536\n");
	cr_expect(uids_find_range_in("u", "g", &range, &err) == -EINVAL);
	cr_expect(str_starts(err.text, "u: the line of kata: "), "%s", err.text);
	cr_expect(uids_find_range("300000:8", &range, &err) == 0 && range.start == 300000);
	unlink("u");
	unlink("g");
	rmdir(dir);
}

/* --- slots --- */

static char dir[] = "/tmp/kata-test-slots-XXXXXX";

static void make_dir(void)
{
	cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
}

static size_t count_files(void)
{
	DIR *d = opendir("uid");
	size_t n = 0;

	cr_assert(d != NULL);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void remove_dir(void)
{
	char name[32];

	for (unsigned i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "uid/%u", i);
		unlink(name);
	}
	rmdir("uid");
	cr_expect(rmdir(dir) == 0);
}

/* A range of this many slots, far from what runs here. */
static const struct uid_range eight = { 1900000000, 8 * UID_BLOCK };

Test(uids, each_taker_gets_another_block, .init = make_dir, .fini = remove_dir)
{
	struct error err = { 0 };
	uint32_t slot, base, seen = 0;
	struct stat st;
	int fds[9];

	for (unsigned i = 0; i < 8; i++) {
		cr_assert(uids_take("uid", &eight, "same", &fds[i], &slot, &base, &err) == 0, "%s",
			  err.text);
		cr_assert(slot < 8 && (seen & 1u << slot) == 0);
		cr_assert(base == eight.start + slot * UID_BLOCK);
		cr_assert((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
		seen |= 1u << slot;
	}
	cr_assert(stat("uid", &st) == 0 && (st.st_mode & 07777) == 0700);
	cr_assert(uids_take("uid", &eight, "x", &fds[8], &slot, &base, &err) == -EAGAIN);
	cr_expect_str_eq(err.text,
			 "no uids left: all 8 blocks of the range 1900000000:64 are in use");
	/* Who lets go of a slot lets the next one have it. */
	close(fds[3]);
	cr_assert(uids_take("uid", &eight, "x", &fds[3], &slot, &base, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
}

Test(uids, release_leaves_a_held_slot, .init = make_dir, .fini = remove_dir)
{
	struct error err = { 0 };
	uint32_t slot, base, again;
	int fd, other;

	cr_assert(uids_release("uid", 3, &err) == 0, "%s", err.text);
	cr_assert(uids_take("uid", &eight, "a", &fd, &slot, &base, &err) == 0);
	cr_assert(uids_release("uid", slot, &err) == 0 && count_files() == 1);
	cr_assert(uids_take("uid", &eight, "a", &other, &again, &base, &err) == 0);
	cr_assert(again != slot);
	close(other);
	cr_assert(uids_release("uid", again, &err) == 0 && count_files() == 1);
	close(fd);
	cr_assert(uids_release("uid", slot, &err) == 0 && count_files() == 0);
}

Test(uids, a_killed_holder_frees_its_slot, .init = make_dir, .fini = remove_dir)
{
	static const struct uid_range one = { 1900000000, UID_BLOCK };
	struct error err = { 0 };
	uint32_t slot, base;
	int fd, ready[2];
	pid_t child;
	char c;

	cr_assert(pipe(ready) == 0);
	child = fork();
	if (child == 0) {
		if (uids_take("uid", &one, "a", &fd, &slot, &base, NULL) == 0 &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	cr_assert(read(ready[0], &c, 1) == 1);
	cr_assert(uids_take("uid", &one, "b", &fd, &slot, &base, &err) == -EAGAIN);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert(uids_take("uid", &one, "b", &fd, &slot, &base, &err) == 0, "%s", err.text);
	close(fd);
	close(ready[0]);
}

/* A process that still runs under a uid or a gid of the block, while nobody holds its lock. */
Test(uids, a_block_in_use_is_passed_over, .init = make_dir, .fini = remove_dir)
{
	/* Not the range of the tests that run beside this one. */
	static const struct uid_range one = { 1800000000, UID_BLOCK };

	if (geteuid() != 0)
		return;
	for (unsigned as_group = 0; as_group < 2; as_group++) {
		struct error err = { 0 };
		uint32_t slot, base;
		int fd, ready[2];
		pid_t child;
		char c;

		cr_assert(pipe(ready) == 0);
		child = fork();
		if (child == 0) {
			if ((as_group ? setresgid((gid_t)-1, (gid_t)-1, one.start + 2)
				      : setresuid((uid_t)-1, (uid_t)-1, one.start + 3)) == 0 &&
			    write(ready[1], "x", 1) == 1)
				pause();
			_exit(1);
		}
		close(ready[1]);
		cr_assert(read(ready[0], &c, 1) == 1);
		cr_assert(uids_take("uid", &one, "b", &fd, &slot, &base, &err) == -EAGAIN);
		cr_assert(count_files() == 0);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		cr_assert(uids_take("uid", &one, "b", &fd, &slot, &base, &err) == 0);
		close(fd);
		close(ready[0]);
	}
}

/* As many creates at once, each its own process; SIGKILL of all of them leaves every block free. */
Test(uids, takers_at_the_same_time, .init = make_dir, .fini = remove_dir)
{
	enum { TAKERS = 60 };
	static const struct uid_range sixty = { 1700000000, TAKERS * UID_BLOCK };
	pid_t children[TAKERS];
	struct error err = { 0 };
	uint32_t slot, base;
	int result[2], fd;

	for (unsigned round = 0; round < 2; round++) {
		bool seen[TAKERS] = { false };

		cr_assert(pipe(result) == 0);
		for (unsigned i = 0; i < TAKERS; i++) {
			children[i] = fork();
			if (children[i] == 0) {
				if (uids_take("uid", &sixty, "a", &fd, &slot, &base, NULL) < 0)
					slot = 99;
				if (write(result[1], &slot, sizeof(slot)) == sizeof(slot))
					pause();
				_exit(1);
			}
		}
		close(result[1]);
		for (unsigned i = 0; i < TAKERS; i++) {
			cr_assert(read(result[0], &slot, sizeof(slot)) == sizeof(slot));
			cr_assert(slot < TAKERS && !seen[slot], "slot %u", slot);
			seen[slot] = true;
		}
		cr_expect_eq(uids_take("uid", &sixty, "one more", &fd, &slot, &base, &err),
			     -EAGAIN);
		cr_expect_str_eq(err.text, "no uids left: all 60 blocks of the range "
					   "1700000000:480 are in use");
		for (unsigned i = 0; i < TAKERS; i++)
			kill(children[i], SIGKILL);
		for (unsigned i = 0; i < TAKERS; i++)
			waitpid(children[i], NULL, 0);
		close(result[0]);
	}
}

Test(uids, shared_is_the_first_block_for_all, .init = make_dir, .fini = remove_dir)
{
	static const struct uid_range two = { 1600000000, 2 * UID_BLOCK };
	struct error err = { 0 };
	uint32_t slot, base;
	int first, second, alone;

	cr_assert_eq(uids_share("uid", &two, &first, &slot, &base, &err), 0, "%s", err.text);
	cr_expect(slot == 0 && base == two.start);
	cr_assert_eq(uids_share("uid", &two, &second, &slot, &base, &err), 0, "%s", err.text);
	cr_expect(slot == 0 && base == two.start);
	/* Who wants uids of his own gets others. */
	cr_assert_eq(uids_take("uid", &two, "a", &alone, &slot, &base, &err), 0, "%s", err.text);
	cr_expect_eq(slot, 1);
	close(alone);
	/* The file stays while anybody shares it. */
	close(first);
	cr_assert_eq(uids_release("uid", 0, &err), 0);
	cr_assert_eq(uids_take("uid", &(struct uid_range){ two.start, UID_BLOCK }, "a", &alone,
			       &slot, &base, &err),
		     -EAGAIN);
	close(second);
	cr_assert_eq(uids_take("uid", &(struct uid_range){ two.start, UID_BLOCK }, "a", &alone,
			       &slot, &base, &err),
		     0);
	cr_assert_eq(uids_share("uid", &two, &first, &slot, &base, &err), -EAGAIN);
	close(alone);
}

Test(uids, refuses_a_directory_of_others, .init = make_dir, .fini = remove_dir)
{
	struct error err = { 0 };
	uint32_t slot, base;
	int fd;

	cr_assert(mkdir("uid", 0755) == 0);
	cr_assert(uids_take("uid", &eight, "a", &fd, &slot, &base, &err) == -EACCES);
	cr_assert(rmdir("uid") == 0 && symlink("/tmp", "uid") == 0);
	cr_assert(uids_take("uid", &eight, "a", &fd, &slot, &base, &err) < 0);
	unlink("uid");
}
