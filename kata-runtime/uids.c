/*
 * Uids of a VM: see uids.h. Called by `create` before the monitor is forked, and by `delete`. The
 * lock's descriptor belongs to the caller, who hands it to the monitor; nothing else keeps a slot.
 */
#include "kata-runtime/uids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/launch.h"
#include "common/str.h"

enum {
	UID_LEAST = 65536,         /* below are the host's users */
	UID_SYSTEMD_FIRST = 61184, /* DynamicUser= */
	UID_SYSTEMD_LAST = 65519
};

/* Beyond it tools take uids for negative numbers. */
static const uint32_t UID_MOST = INT32_MAX;

int uids_parse_range(const char *text, struct uid_range *ret, struct error *err)
{
	char start_text[16];
	const char *colon = strchr(text, ':');
	uint64_t start, count;

	if (colon == NULL ||
	    str_format(start_text, sizeof(start_text), "%.*s", (int)(colon - text), text) < 0 ||
	    str_to_u64(start_text, UINT32_MAX, &start) < 0 ||
	    str_to_u64(colon + 1, UINT32_MAX, &count) < 0)
		return error_say(err, EINVAL, "expected START:COUNT, two numbers");
	if (count < UID_BLOCK)
		return error_say(err, EINVAL,
				 "a range of %" PRIu64 " uids is too small: a VM needs %d", count,
				 UID_BLOCK);
	if (start <= UID_SYSTEMD_LAST && start + count > UID_SYSTEMD_FIRST)
		return error_say(err, EINVAL, "the range holds uids that systemd hands out (%d-%d)",
				 UID_SYSTEMD_FIRST, UID_SYSTEMD_LAST);
	if (start < UID_LEAST)
		return error_say(err, EINVAL, "the range begins below %d", UID_LEAST);
	if (start + count - 1 > UID_MOST)
		return error_say(err, EINVAL, "the range ends above %" PRIu32, UID_MOST);
	*ret = (struct uid_range){ (uint32_t)start, (uint32_t)count };
	return 0;
}

/*
 * The line kata:START:COUNT of a file like /etc/subuid: 1 with text filled, 0 when there is none.
 */
static int find_line(const char *path, char text[64], struct error *err)
{
	CLEANUP(file_close) FILE *file = fopen(path, "re");
	char line[256];

	if (file == NULL && errno == ENOENT)
		return 0;
	if (file == NULL)
		return error_set(err, errno, "open %s", path);
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (!str_starts(line, "kata:"))
			continue;
		if (str_format(text, 64, "%s", line + 5) < 0)
			return error_say(err, EINVAL, "%s: the line of kata is too long", path);
		return 1;
	}
	if (ferror(file))
		return error_say(err, EIO, "%s: cannot be read", path);
	return 0;
}

int uids_find_range_in(const char *subuid, const char *subgid, struct uid_range *ret,
		       struct error *err)
{
	char uids[64], gids[64];
	int r = find_line(subuid, uids, err);

	if (r == 0)
		return error_say(
			err, ENOENT,
			"no uids for VMs: set runtime.uid_range in the configuration, or put "
			"a line such as kata:2000000000:65536 into %s and %s",
			subuid, subgid);
	if (r < 0 || (r = find_line(subgid, gids, err)) < 0)
		return r;
	if (r == 0 || !str_eq(uids, gids))
		return error_say(err, EINVAL, "%s has the line kata:%s, but %s does not repeat it",
				 subuid, uids, subgid);
	if (uids_parse_range(uids, ret, err) < 0)
		return error_prefix(err, "%s: the line of kata", subuid);
	return 0;
}

int uids_find_range(const char *text, struct uid_range *ret, struct error *err)
{
	if (text[0] != '\0')
		return uids_parse_range(text, ret, err);
	return uids_find_range_in("/etc/subuid", "/etc/subgid", ret, err);
}

/* Whether the line "Uid:" or "Gid:" of a status file names one of the block. */
static bool line_in_block(const char *line, uint32_t base)
{
	unsigned long id[4];

	if (sscanf(line + 4, "%lu %lu %lu %lu", &id[0], &id[1], &id[2], &id[3]) != 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		if (id[i] >= base && id[i] < base + UID_BLOCK)
			return true;
	return false;
}

static bool process_in_block(int proc, const char *pid, uint32_t base)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64], text[4096], *line;
	ssize_t n;

	if (str_format(path, sizeof(path), "%s/status", pid) < 0)
		return false;
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false; /* gone meanwhile */
	text[n] = '\0';
	line = strstr(text, "\nUid:");
	if (line != NULL && line_in_block(line + 1, base))
		return true;
	line = strstr(text, "\nGid:");
	return line != NULL && line_in_block(line + 1, base);
}

/* 1 when a process has one of the block's ids. */
static int block_in_use(uint32_t base, struct error *err)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (proc == NULL)
		return error_set(err, errno, "open /proc");
	while ((entry = readdir(proc)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    process_in_block(dirfd(proc), entry->d_name, base))
			return 1;
	return 0;
}

/*
 * Locks a slot's file: 1 with *ret_fd, 0 when somebody has it. A file that was unlinked between
 * open and lock is another one's by now: try again.
 */
static int lock_slot(int dir, uint32_t slot, int operation, int *ret_fd, struct error *err)
{
	struct stat locked, named;
	char name[16];

	snprintf(name, sizeof(name), "%" PRIu32, slot);
	for (unsigned tries = 0; tries < 16; tries++) {
		CLEANUP(fd_close)
		int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return error_set(err, errno, "open uid slot %s", name);
		if (flock(fd, operation | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				return 0;
			return error_set(err, errno, "lock uid slot %s", name);
		}
		if (fstat(fd, &locked) < 0)
			return error_set(err, errno, "stat uid slot %s", name);
		if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    locked.st_ino == named.st_ino && locked.st_dev == named.st_dev) {
			*ret_fd = steal_fd(&fd);
			return 1;
		}
	}
	return 0;
}

/* The caller holds its lock. */
static int unlink_slot(int dir, uint32_t slot, struct error *err)
{
	char name[16];

	snprintf(name, sizeof(name), "%" PRIu32, slot);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return error_set(err, errno, "remove uid slot %s", name);
	return 0;
}

static int open_dir(const char *path, struct error *err)
{
	struct stat st;
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		close(fd);
		return error_say(err, EACCES, "%s: expected a directory of mode 0700 of our own",
				 path);
	}
	return fd;
}

/* Where to begin: spreads the sandboxes, so that few locks are tried. */
static uint32_t first_slot(const char *sid, uint32_t slots)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *p = sid; *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return hash % slots;
}

int uids_take(const char *dir, const struct uid_range *range, const char *sid, int *ret_lock_fd,
	      uint32_t *ret_slot, uint32_t *ret_base, struct error *err)
{
	uint32_t slots = range->count / UID_BLOCK, first = first_slot(sid, slots);
	CLEANUP(fd_close) int dir_fd = open_dir(dir, err);

	if (dir_fd < 0)
		return dir_fd;
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t slot = (uint32_t)(((uint64_t)first + i) % slots);
		uint32_t base = range->start + slot * UID_BLOCK;
		CLEANUP(fd_close) int fd = -1;
		int r = lock_slot(dir_fd, slot, LOCK_EX, &fd, err);

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		r = block_in_use(base, err);
		if (r < 0)
			return r;
		if (r > 0) {
			unlink_slot(dir_fd, slot, NULL);
			continue;
		}
		*ret_lock_fd = steal_fd(&fd);
		*ret_slot = slot;
		*ret_base = base;
		return 0;
	}
	return error_say(err, EAGAIN,
			 "no uids left: all %" PRIu32 " blocks of the range %" PRIu32 ":%" PRIu32
			 " are in use",
			 slots, range->start, range->count);
}

int uids_share(const char *dir, const struct uid_range *range, int *ret_lock_fd, uint32_t *ret_slot,
	       uint32_t *ret_base, struct error *err)
{
	CLEANUP(fd_close) int dir_fd = open_dir(dir, err);
	int r;

	if (dir_fd < 0)
		return dir_fd;
	r = lock_slot(dir_fd, 0, LOCK_SH, ret_lock_fd, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_say(err, EAGAIN,
				 "the first uids of the range %" PRIu32 ":%" PRIu32
				 " belong to a VM that does not share them",
				 range->start, range->count);
	*ret_slot = 0;
	*ret_base = range->start;
	return 0;
}

int uids_release(const char *dir, uint32_t slot, struct error *err)
{
	CLEANUP(fd_close) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(fd_close) int fd = -1;
	char name[16];
	int r;

	if (dir_fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "open %s", dir);
	snprintf(name, sizeof(name), "%" PRIu32, slot);
	if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	r = lock_slot(dir_fd, slot, LOCK_EX, &fd, err);
	if (r <= 0)
		return r;
	return unlink_slot(dir_fd, slot, err);
}
