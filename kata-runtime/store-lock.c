/*
 * A sandbox's lock: see store.h. The file is unlinked by who holds it when the sandbox is removed,
 * so who has waited looks whether what it locked still is the file of that name.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/store.h"

enum { RETRY_MS = 5 };

static int lock_path(const struct store *store, const char *sid, const char *kind,
		     char path[PATH_MAX], struct error *err)
{
	int r = sid_check(sid, err);

	path[0] = '\0';
	if (r < 0)
		return r;
	if (str_format(path, PATH_MAX, "%s/l/%s.%s", store->base, sid, kind) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->base);
	return 0;
}

/* Whether fd still is the file at path. */
static bool is_current(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

/* One try: the descriptor, -EAGAIN when somebody has it or it was just removed. */
static int try_lock(const char *path, struct error *err)
{
	CLEANUP(fd_close)
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	if (fd < 0)
		return error_set(err, errno, "lock %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : error_set(err, errno, "lock %s", path);
	return is_current(fd, path) ? steal_fd(&fd) : -EAGAIN;
}

/* Says who has it and since when: "PID START_TICKS MONOTONIC_MS". */
static void write_holder(int fd)
{
	uint64_t ticks = 0;
	char text[96];
	int n;

	process_start_time(getpid(), &ticks, NULL);
	n = snprintf(text, sizeof(text), "%d %" PRIu64 " %" PRId64 "\n", getpid(), ticks,
		     deadline_now_ms());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return; /* without it nobody can be found, and nobody is killed */
}

static int read_holder(const char *path, struct store_holder *ret, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char text[96];
	int64_t since;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", path);
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%d %" SCNu64 " %" SCNd64, &ret->process.pid, &ret->process.start_ticks,
		   &since) != 3 ||
	    !process_alive(ret->process.pid, ret->process.start_ticks))
		return 0;
	ret->held_ms = deadline_now_ms() - since;
	return 1;
}

static int busy(const char *path, struct error *err)
{
	struct store_holder holder;

	if (read_holder(path, &holder, NULL) == 1)
		return error_say(err, ETIMEDOUT,
				 "another call works on this container: process %d, since %" PRId64
				 " ms",
				 holder.process.pid, holder.held_ms);
	return error_say(err, ETIMEDOUT, "another call works on this container");
}

static int take(struct store_lock *ret, int64_t deadline, struct error *err)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	int fd;

	while ((fd = try_lock(ret->path, err)) == -EAGAIN) {
		if (deadline_left_ms(deadline) == 0)
			return busy(ret->path, err);
		nanosleep(&pause, NULL);
	}
	if (fd < 0)
		return fd;
	write_holder(fd);
	ret->fd = fd;
	return 0;
}

int store_lock(const struct store *store, const char *sid, int64_t deadline, struct store_lock *ret,
	       struct error *err)
{
	int r = lock_path(store, sid, "lock", ret->path, err);

	ret->fd = -1;
	return r < 0 ? r : take(ret, deadline, err);
}

int store_lock_pod(const struct store *store, const char *sandbox, int64_t deadline,
		   struct store_lock *ret, struct error *err)
{
	int r = lock_path(store, sandbox, "pod", ret->path, err);

	ret->fd = -1;
	return r < 0 ? r : take(ret, deadline, err);
}

int store_lock_size(const struct store *store, const char *sandbox, int64_t deadline,
		    struct store_lock *ret, struct error *err)
{
	int r = store_path(store, sandbox, "size.lock", ret->path, err);

	ret->fd = -1;
	return r < 0 ? r : take(ret, deadline, err);
}

int store_lock_open(const struct store *store, const char *sid, struct error *err)
{
	char path[PATH_MAX];
	int fd, r = lock_path(store, sid, "lock", path, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	return fd < 0 ? error_set(err, errno, "lock %s", path) : fd;
}

int store_lock_take(int fd, int64_t deadline, struct error *err)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set(err, errno, "lock the sandbox");
		if (deadline_left_ms(deadline) == 0)
			return error_say(err, ETIMEDOUT, "another call works on this container");
		nanosleep(&pause, NULL);
	}
	write_holder(fd);
	return 0;
}

void store_lock_leave(int fd)
{
	if (ftruncate(fd, 0) < 0)
		errno = 0; /* the next holder overwrites it */
	flock(fd, LOCK_UN);
}

void store_lock_renew(const struct store_lock *lock)
{
	if (lock->fd >= 0)
		write_holder(lock->fd);
}

void store_unlock(struct store_lock *lock)
{
	if (lock->fd >= 0 && ftruncate(lock->fd, 0) < 0)
		errno = 0; /* the next holder overwrites it */
	fd_close(&lock->fd);
}

void store_drop_lock(const struct store *store, const char *sid)
{
	static const char *const kinds[] = { "lock", "pod" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		CLEANUP(fd_close) int fd = -1;
		char path[PATH_MAX];

		if (lock_path(store, sid, kinds[i], path, NULL) < 0)
			continue;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_current(fd, path))
			unlink(path);
	}
}

int store_lock_holder(const struct store *store, const char *sid, struct store_holder *ret,
		      struct error *err)
{
	char path[PATH_MAX];
	int r = lock_path(store, sid, "lock", path, err);

	return r < 0 ? r : read_holder(path, ret, err);
}

int store_pod_holder(const struct store *store, const char *sandbox, struct store_holder *ret,
		     struct error *err)
{
	char path[PATH_MAX];
	int r = lock_path(store, sandbox, "pod", path, err);

	return r < 0 ? r : read_holder(path, ret, err);
}
