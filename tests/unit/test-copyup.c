/* kata-agent/copyup.c: a tree arrives as it was, links unfollowed. */
#include "kata-agent/copyup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static char dir[] = "/tmp/kata-test-copyup.XXXXXX";
static int from = -1, to = -1;

static void make_tree(void)
{
	cr_assert_not_null(mkdtemp(dir));
	cr_assert(chdir(dir) == 0 && mkdir("from", 0755) == 0 && mkdir("to", 0755) == 0);
	from = open("from", O_PATH | O_DIRECTORY | O_CLOEXEC);
	to = open("to", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void remove_tree(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf -- %s", dir);
	cr_expect(system(command) == 0);
	fd_close(&from);
	fd_close(&to);
}

TestSuite(copyup, .init = make_tree, .fini = remove_tree);

static void put(const char *path, const char *text, mode_t mode)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	cr_assert(chmod(path, mode) == 0);
}

Test(copyup, a_tree)
{
	struct timespec times[2] = { { 1000, 1 }, { 2000, 2 } };
	struct stat st;
	char text[64];
	ssize_t n;

	put("from/one", "one", 04751);
	cr_assert(utimensat(AT_FDCWD, "from/one", times, 0) == 0);
	cr_assert(mkdir("from/sub", 0701) == 0 && mkdir("from/sub/empty", 0755) == 0);
	put("from/sub/two", "", 0);
	cr_assert(symlink("/etc/passwd", "from/link") == 0);
	cr_assert(mkfifo("from/fifo", 0640) == 0);
	for (int i = 0; i < 300; i++) { /* more than one read of the directory */
		snprintf(text, sizeof(text), "from/sub/a-file-with-a-rather-long-name-%d", i);
		put(text, text, 0644);
	}
	cr_assert(copyup_directory(from, to, NULL) == 0);
	cr_assert(stat("to/one", &st) == 0);
	cr_expect(st.st_mode == (S_IFREG | 04751) && st.st_size == 3);
	cr_expect(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 2);
	cr_expect(stat("to/sub", &st) == 0 && st.st_mode == (S_IFDIR | 0701));
	cr_expect(stat("to/sub/empty", &st) == 0 && S_ISDIR(st.st_mode));
	cr_expect(lstat("to/fifo", &st) == 0 && st.st_mode == (S_IFIFO | 0640));
	n = readlink("to/link", text, sizeof(text));
	cr_expect(n == 11 && memcmp(text, "/etc/passwd", 11) == 0);
	cr_expect(stat("to/sub/a-file-with-a-rather-long-name-299", &st) == 0 && st.st_size == 43);
}

Test(copyup, too_deep_a_tree)
{
	char path[512] = "from";

	for (int i = 0; i < 40; i++) {
		strcat(path, "/d");
		cr_assert(mkdir(path, 0755) == 0);
	}
	cr_expect(copyup_directory(from, to, NULL) == -ELOOP);
}

Test(copyup, a_name_that_is_taken)
{
	struct error err;

	put("from/x", "x", 0644);
	put("to/x", "y", 0644);
	cr_expect(copyup_directory(from, to, &err) == -EEXIST);
}
