/*
 * Copy of a directory tree for tmpcopyup: see copyup.h. Called by mount.c in the forked child, so
 * directories are read with getdents64(2) and not with readdir(3), which allocates.
 */
#include "kata-agent/copyup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { DEPTH_MAX = 32 };

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static int copy_directory(int from, int to, int depth, struct error *err);

/* Owner first: changing it clears the set-user-id bits. Links have no mode. */
static int copy_attributes(int to, const char *name, const struct stat *st, struct error *err)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0) ||
	    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, errno, "copy the attributes of %s", name);
	return 0;
}

static int copy_file(int from, int to, const char *name, struct error *err)
{
	CLEANUP(fd_close)
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	CLEANUP(fd_close)
	int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		return error_set(err, errno, "copy %s", name);
	do {
		n = sendfile(out, in, NULL, 1 << 20);
	} while (n > 0);
	return n < 0 ? error_set(err, errno, "copy %s", name) : 0;
}

static int copy_link(int from, int to, const char *name, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return error_set(err, errno, "read the link %s", name);
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? error_set(err, errno, "make the link %s", name)
					       : 0;
}

static int copy_subdirectory(int from, int to, const char *name, int depth, struct error *err)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	CLEANUP(fd_close) int in = openat(from, name, flags);
	CLEANUP(fd_close) int out = -1;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return error_set(err, errno, "copy the directory %s", name);
	out = openat(to, name, flags);
	if (out < 0)
		return error_set(err, errno, "copy the directory %s", name);
	return copy_directory(in, out, depth + 1, err);
}

static int copy_entry(int from, int to, const char *name, int depth, struct error *err)
{
	struct stat st;
	int r;

	if (str_eq(name, ".") || str_eq(name, ".."))
		return 0;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, errno, "look at %s", name);
	if (S_ISREG(st.st_mode))
		r = copy_file(from, to, name, err);
	else if (S_ISDIR(st.st_mode))
		r = copy_subdirectory(from, to, name, depth, err);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(from, to, name, err);
	else if (S_ISFIFO(st.st_mode))
		r = mkfifoat(to, name, 0600) < 0 ? error_set(err, errno, "make %s", name) : 0;
	else
		return 0;
	return r < 0 ? r : copy_attributes(to, name, &st, err);
}

static int copy_directory(int from, int to, int depth, struct error *err)
{
	_Alignas(struct directory_entry) char buffer[2048];

	if (depth > DEPTH_MAX)
		return error_say(err, ELOOP, "the directory to copy is over %d levels deep",
				 DEPTH_MAX);
	for (;;) {
		long n = syscall(SYS_getdents64, from, buffer, sizeof(buffer));

		if (n < 0)
			return error_set(err, errno, "read a directory");
		if (n == 0)
			return 0;
		for (long at = 0; at < n;) {
			const struct directory_entry *entry =
				(const struct directory_entry *)(const void *)(buffer + at);
			int r = copy_entry(from, to, entry->name, depth, err);

			if (r < 0)
				return r;
			at += entry->length;
		}
	}
}

int copyup_directory(int from_fd, int to_fd, struct error *err)
{
	CLEANUP(fd_close) int from = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_close) int to = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (from < 0 || to < 0)
		return error_set(err, errno, "open the directory to copy");
	return copy_directory(from, to, 0, err);
}
