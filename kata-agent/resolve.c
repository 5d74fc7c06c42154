/*
 * Paths below a directory that somebody else fills: see resolve.h. Runs in the forked child that
 * becomes a container's process, so it allocates nothing.
 */
#include "kata-agent/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

/* As many links as the kernel follows; tries when something else moves directories meanwhile. */
enum { LINKS_MAX = 40, TRIES_MAX = 64 };

static int open_in_root(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = -1;

	for (int i = 0; i < TRIES_MAX; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int resolve_open(int root, const char *path, int flags, struct error *err)
{
	int fd = open_in_root(root, path, flags);

	if (fd < 0)
		return error_set(err, -fd, "open %s in the container", path);
	return fd;
}

/* The place in a path where the walk stands. */
struct walk {
	char path[PATH_MAX];
	int parent; /* directory that holds the component at start */
	int links;
};

/* The component [start, end) is a link to nothing: puts its target in its place. */
static int walk_follow(struct walk *w, size_t start, size_t end)
{
	char saved = w->path[end], target[PATH_MAX], joined[PATH_MAX];
	ssize_t n;
	int r;

	w->path[end] = '\0';
	n = readlinkat(w->parent, w->path + start, target, sizeof(target) - 1);
	w->path[end] = saved;
	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	target[n] = '\0';
	r = str_format(joined, sizeof(joined), "%.*s%s%s", target[0] == '/' ? 0 : (int)start,
		       w->path, target, w->path + end);
	if (r < 0)
		return r;
	memcpy(w->path, joined, sizeof(joined));
	return 0;
}

/* Makes name in parent and opens it; a link that appears there meanwhile is not followed. */
static int make_component(int parent, const char *name, bool directory)
{
	int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0);
	CLEANUP(fd_close) int made = -1;
	int fd;

	if (directory) {
		if (mkdirat(parent, name, 0755) < 0)
			return -errno;
	} else {
		made = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			      0644);
		if (made < 0)
			return -errno;
	}
	fd = openat(parent, name, flags);
	return fd < 0 ? -errno : fd;
}

/* One component: its descriptor; 0 when a link was put in and the walk begins again; or errno. */
static int walk_component(struct walk *w, int root, size_t start, size_t end, bool directory)
{
	char saved = w->path[end];
	int fd;

	w->path[end] = '\0';
	fd = open_in_root(root, w->path, O_PATH | (directory ? O_DIRECTORY : 0));
	if (fd == -ENOENT) {
		fd = make_component(w->parent, w->path + start, directory);
		w->path[end] = saved;
		if (fd == -EEXIST) {
			fd = walk_follow(w, start, end);
			/* Made by somebody else meanwhile: it is there now. */
			return fd == -EINVAL ? 0 : fd;
		}
	}
	w->path[end] = saved;
	return fd;
}

/* Walks once from the root: the last component's descriptor, 0 to begin again, or errno. */
static int walk_path(struct walk *w, int root, bool directory)
{
	CLEANUP(fd_close) int parent = fcntl(root, F_DUPFD_CLOEXEC, 3);
	size_t start = 0, end;

	if (parent < 0)
		return -errno;
	for (;;) {
		bool last;
		int fd;

		start += strspn(w->path + start, "/");
		end = start + strcspn(w->path + start, "/");
		last = w->path[end + strspn(w->path + end, "/")] == '\0';
		if (start == end)
			return steal_fd(&parent);
		w->parent = parent;
		fd = walk_component(w, root, start, end, !last || directory);
		if (fd <= 0 || last)
			return fd;
		close(parent);
		parent = fd;
		start = end;
	}
}

int resolve_create(int root, const char *path, bool directory, struct error *err)
{
	struct walk w = { .parent = -1 };
	int r = open_in_root(root, path, O_PATH | (directory ? O_DIRECTORY : 0));

	if (r != -ENOENT)
		return r >= 0 ? r : error_set(err, -r, "open %s in the container", path);
	r = str_format(w.path, sizeof(w.path), "%s", path);
	for (int i = 0; r == 0 && i < LINKS_MAX + TRIES_MAX; i++)
		r = walk_path(&w, root, directory);
	if (r <= 0)
		return error_set(err, r < 0 ? -r : ELOOP, "make %s in the container", path);
	return r;
}

int resolve_parent(int root, const char *path, const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char parent[PATH_MAX];
	int fd;

	if (name[0] == '\0' || str_eq(name, ".") || str_eq(name, ".."))
		return error_say(err, EINVAL, "%s names no file", path);
	if (str_format(parent, sizeof(parent), "/%.*s", (int)(name - path), path) < 0)
		return error_set(err, ENAMETOOLONG, "%s", path);
	fd = resolve_create(root, parent, true, err);
	if (fd >= 0)
		*ret_name = name;
	return fd;
}
