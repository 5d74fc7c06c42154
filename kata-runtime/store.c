/*
 * State on disk: see store.h. Called by every verb; below the base everything belongs to root and
 * only to us, so a link or a foreign owner there is an error and never followed.
 */
#include "kata-runtime/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/id.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/json.h"

enum { REMOVE_DEPTH_MAX = 8, GENERATIONS_MAX = 64 };

#define STATE_FILE "state.json"
#define INTENT_FILE "intent.json"

/* --- directories and names ------------------------------------------------------------------ */

/* Makes a directory with all that is missing above it. */
static int make_dirs(const char *path, mode_t mode, struct error *err)
{
	char part[PATH_MAX];
	struct stat st;

	if (str_format(part, sizeof(part), "%s", path) < 0)
		return error_set(err, ENAMETOOLONG, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0711) < 0 && errno != EEXIST)
			return error_set(err, errno, "make directory %s", part);
		*slash = '/';
	}
	if (mkdir(part, mode) < 0 && errno != EEXIST)
		return error_set(err, errno, "make directory %s", part);
	if (stat(part, &st) < 0)
		return error_set(err, errno, "directory %s", part);
	if (!S_ISDIR(st.st_mode))
		return error_say(err, EEXIST, "%s is there and is no directory", part);
	if (st.st_uid != geteuid())
		return error_say(err, EPERM, "directory %s belongs to uid %u", part, st.st_uid);
	return 0;
}

static int make_below(const struct store *store, const char *name, struct error *err)
{
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/%s", store->base, name) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->base);
	return make_dirs(path, 0700, err);
}

int store_open(struct store *ret, const char *root, const char *base, bool create,
	       struct error *err)
{
	int r;

	if (str_format(ret->base, sizeof(ret->base), "%s", base != NULL ? base : STORE_BASE) < 0 ||
	    (root != NULL ? str_format(ret->root, sizeof(ret->root), "%s", root)
			  : str_format(ret->root, sizeof(ret->root), "%s/c", ret->base)) < 0)
		return error_set(err, ENAMETOOLONG, "--root");
	if (ret->root[0] != '/')
		return error_say(err, EINVAL, "--root %s: the path is not absolute", ret->root);
	if (!create)
		return 0;
	r = make_dirs(ret->base, 0711, err);
	if (r == 0)
		r = make_dirs(ret->root, 0711, err);
	if (r == 0)
		r = make_below(ret, "s", err);
	if (r == 0)
		r = make_below(ret, "l", err);
	return r;
}

static int link_path(const struct store *store, const char *id, char ret[PATH_MAX],
		     struct error *err)
{
	int r = id_check(id, err);

	if (r < 0)
		return r;
	if (str_format(ret, PATH_MAX, "%s/%s", store->root, id) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->root);
	return 0;
}

/* The sid that ROOT/ID leads to, when it is a link of ours: 1, else 0. */
static int read_link(const struct store *store, const char *id, char sid[SID_SIZE])
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *last;
	ssize_t n;

	if (link_path(store, id, path, NULL) < 0)
		return 0;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return 0;
	target[n] = '\0';
	last = strrchr(target, '/');
	if (last == NULL || sid_check(last + 1, NULL) < 0)
		return 0;
	memcpy(sid, last + 1, SID_SIZE);
	return 1;
}

static bool is_departed(const struct store *store, const char *sid)
{
	CLEANUP(state_fini) struct state state = { 0 };

	return store_read_state(store, sid, &state, NULL) == 0 && state.departed;
}

int store_sid(const struct store *store, const char *id, char ret[SID_SIZE], struct error *err)
{
	if (read_link(store, id, ret) == 1)
		return 0;
	for (unsigned generation = 0; generation < GENERATIONS_MAX; generation++) {
		int r = sid_derive(store->root, id, generation, ret, err);

		if (r < 0 || !is_departed(store, ret))
			return r;
	}
	return error_say(err, EBUSY,
			 "container id %s: too many VMs whose first container had this id and was "
			 "deleted still have other containers",
			 id);
}

int store_path(const struct store *store, const char *sid, const char *name, char ret[PATH_MAX],
	       struct error *err)
{
	int r = sid_check(sid, err);

	if (r < 0)
		return r;
	if (str_format(ret, PATH_MAX, "%s/s/%s%s%s", store->base, sid, name[0] != '\0' ? "/" : "",
		       name) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->base);
	return 0;
}

/* --- sandboxes ------------------------------------------------------------------------------ */

int store_create(const struct store *store, const char *id, const char *sid, struct error *err)
{
	char dir[PATH_MAX], path[PATH_MAX];
	int r = store_path(store, sid, "", dir, err);

	if (r == 0)
		r = link_path(store, id, path, err);
	if (r < 0)
		return r;
	if (store_exists(store, id, sid))
		return error_say(err, EEXIST, "container with id exists: %s", id);
	/* The link comes first: with it alone the container exists and can be deleted. */
	if (symlink(dir, path) < 0)
		return error_set(err, errno, "make %s", path);
	if (mkdir(dir, 0700) < 0) {
		r = error_set(err, errno, "make %s", dir);
		unlink(path);
	}
	return r;
}

int store_exists(const struct store *store, const char *id, const char *sid)
{
	char path[PATH_MAX];
	struct stat st;

	if (link_path(store, id, path, NULL) == 0 && lstat(path, &st) == 0)
		return 1;
	return store_path(store, sid, "", path, NULL) == 0 && lstat(path, &st) == 0;
}

static int open_dir(const struct store *store, const char *sid, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, r = store_path(store, sid, "", path, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "%s", path);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		return error_say(err, EBADMSG, "%s belongs to another user", path);
	}
	return fd;
}

static int write_synced(int fd, const char *text)
{
	size_t len = strlen(text);

	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_document(const struct store *store, const struct state *state, const char *name,
			  struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(fd_close) int dir = -1;
	CLEANUP(fd_close) int fd = -1;
	char temp[32];
	int r = state_format(state, &text, err);

	if (r < 0)
		return r;
	dir = open_dir(store, state->sid, err);
	if (dir < 0)
		return dir;
	snprintf(temp, sizeof(temp), "%s.new", name);
	unlinkat(dir, temp, 0);
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, errno, "write the state of container %s", state->id);
	r = write_synced(fd, text);
	if (r < 0)
		return error_set(err, -r, "write the state of container %s", state->id);
	if (renameat(dir, temp, dir, name) < 0 || fsync(dir) < 0)
		return error_set(err, errno, "write the state of container %s", state->id);
	return 0;
}

int store_write_state(const struct store *store, const struct state *state, struct error *err)
{
	return write_document(store, state, STATE_FILE, err);
}

int store_write_intent(const struct store *store, const struct state *state, struct error *err)
{
	return write_document(store, state, INTENT_FILE, err);
}

/* Anything but "there is none" becomes -EBADMSG: there is a container, its state is of no use. */
static int unusable(struct error *err)
{
	error_prefix(err, "the state of the container cannot be used");
	if (err != NULL)
		err->num = EBADMSG;
	return -EBADMSG;
}

static int read_document(const struct store *store, const char *sid, const char *name,
			 struct state *ret, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(fd_close) int dir = -1;
	CLEANUP(fd_close) int fd = -1;
	struct stat st;
	size_t len;
	int r;

	dir = open_dir(store, sid, err);
	if (dir == -ENOENT)
		return dir;
	if (dir < 0)
		return unusable(err);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		r = error_set(err, errno, "%s/%s", sid, name);
	else if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		r = error_say(err, EBADMSG, "%s/%s: others may write it", sid, name);
	else
		r = json_read_fd(fd, name, &text, &len, err);
	if (r == 0)
		r = state_parse(name, text, len, ret, err);
	if (r == 0 && !str_eq(ret->sid, sid)) {
		state_fini(ret);
		r = error_say(err, EBADMSG, "%s is of another sandbox", name);
	}
	return r < 0 ? unusable(err) : 0;
}

int store_read_state(const struct store *store, const char *sid, struct state *ret,
		     struct error *err)
{
	return read_document(store, sid, STATE_FILE, ret, err);
}

int store_read_intent(const struct store *store, const char *sid, struct state *ret,
		      struct error *err)
{
	return read_document(store, sid, INTENT_FILE, ret, err);
}

/* --- removing ------------------------------------------------------------------------------- */

static int remove_entry(int dir, const char *name, unsigned depth, struct error *err);

static int empty_dir(int fd, unsigned depth, struct error *err)
{
	CLEANUP(dir_close) DIR *stream = fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (stream == NULL) {
		close(fd);
		return error_set(err, errno, "read a directory");
	}
	while (r == 0 && (entry = readdir(stream)) != NULL)
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			r = remove_entry(dirfd(stream), entry->d_name, depth, err);
	return r;
}

/*
 * The directory NAME of dir, never behind a link or a mount, also not one of the same filesystem.
 */
static int open_below(int dir, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve =
					RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

/* Removes a file, or a directory with what is in it; a mount point in it stops it. */
static int remove_entry(int dir, const char *name, unsigned depth, struct error *err)
{
	int fd, r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno == EBUSY)
		return error_say(err, EBUSY, "remove %s: something is mounted there", name);
	if (errno != EISDIR && errno != EPERM)
		return error_set(err, errno, "remove %s", name);
	fd = open_below(dir, name);
	if (fd < 0 && errno == EXDEV)
		return error_say(err, EBUSY, "remove %s: something is mounted there", name);
	if (fd < 0)
		return error_set(err, errno, "remove %s", name);
	if (depth == 0) {
		close(fd);
		return error_say(err, ELOOP, "remove %s: nested too deeply", name);
	}
	r = empty_dir(fd, depth - 1, err);
	if (r < 0)
		return r;
	if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set(err, errno, "remove %s", name);
	return 0;
}

int store_unlink(const struct store *store, const char *id, const char *sid, struct error *err)
{
	char link[PATH_MAX], other[SID_SIZE];
	struct stat st;
	int r = link_path(store, id, link, err);

	if (r < 0)
		return r;
	if (lstat(link, &st) < 0 || !S_ISLNK(st.st_mode))
		return 0;
	if (read_link(store, id, other) == 1 && !str_eq(other, sid))
		return 0;
	if (unlink(link) < 0 && errno != ENOENT)
		return error_set(err, errno, "remove %s", link);
	return 0;
}

int store_remove(const struct store *store, const char *id, const char *sid,
		 struct store_lock *lock, struct error *err)
{
	CLEANUP(fd_close) int dir = -1;
	char path[PATH_MAX];
	int r = sid_check(sid, err);

	if (r < 0)
		return r;
	if (str_format(path, sizeof(path), "%s/s", store->base) < 0)
		return error_set(err, ENAMETOOLONG, "%s", store->base);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno != ENOENT)
		return error_set(err, errno, "%s", path);
	r = dir < 0 ? 0 : remove_entry(dir, sid, REMOVE_DEPTH_MAX, err);
	/* The link goes last: as long as it is there the container can be deleted again. */
	if (r == 0)
		r = store_unlink(store, id, sid, err);
	if (r == 0 && lock->fd >= 0) {
		unlink(lock->path);
		store_unlock(lock);
	}
	return r;
}

/* --- listing -------------------------------------------------------------------------------- */

int store_list(const struct store *store,
	       int (*each)(const char *id, const char *sid, const struct state *state,
			   const struct error *why, void *userdata),
	       void *userdata, struct error *err)
{
	CLEANUP(dir_close) DIR *root = opendir(store->root);
	struct dirent *entry;
	char sid[SID_SIZE];
	int r = 0;

	if (root == NULL)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", store->root);
	while (r == 0 && (entry = readdir(root)) != NULL) {
		CLEANUP(state_fini) struct state state = { 0 };
		struct error why = { 0 };
		int usable;

		if (entry->d_name[0] == '.' || !read_link(store, entry->d_name, sid))
			continue;
		usable = store_read_state(store, sid, &state, &why);
		r = each(entry->d_name, sid, usable == 0 ? &state : NULL, &why, userdata);
	}
	return r;
}

/* --- exec processes ------------------------------------------------------------------------- */

/* What stands before the pid in the name of a record. */
static const char *const exec_prefix[] = { [STORE_EXEC_SHIM] = "", [STORE_EXEC_VERB] = "verb-" };

static int exec_path(const struct store *store, const char *sid, enum store_exec kind, pid_t pid,
		     char path[PATH_MAX], struct error *err)
{
	char name[32];

	snprintf(name, sizeof(name), "exec/%s%d", exec_prefix[kind], pid);
	return store_path(store, sid, name, path, err);
}

int store_add_exec(const struct store *store, const char *sid, enum store_exec kind,
		   struct process_ref process, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_MAX], temp[PATH_MAX], text[32];
	int r = store_path(store, sid, "exec", path, err);

	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "make %s", path);
	r = exec_path(store, sid, kind, process.pid, path, err);
	if (r == 0 && str_format(temp, sizeof(temp), "%s.new", path) < 0)
		r = error_set(err, ENAMETOOLONG, "%s", path);
	if (r < 0)
		return r;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, errno, "make %s", temp);
	snprintf(text, sizeof(text), "%" PRIu64, process.start_ticks);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || rename(temp, path) < 0)
		return error_set(err, errno, "write %s", path);
	return 0;
}

int store_remove_exec(const struct store *store, const char *sid, enum store_exec kind, pid_t pid,
		      struct error *err)
{
	char path[PATH_MAX];
	int r = exec_path(store, sid, kind, pid, path, err);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = error_set(err, errno, "remove %s", path);
	return r;
}

/* The start time in an exec's file: 0 with *ret, or negative when it cannot be used. */
static int read_exec(int dir, const char *name, uint64_t *ret)
{
	CLEANUP(fd_close) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[32];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -EBADMSG;
	text[n] = '\0';
	return str_to_u64(text, UINT64_MAX, ret);
}

int store_each_exec(const struct store *store, const char *sid, enum store_exec kind,
		    int (*each)(struct process_ref process, void *userdata), void *userdata,
		    struct error *err)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	const char *prefix = exec_prefix[kind];
	struct process_ref process;
	struct dirent *entry;
	char path[PATH_MAX];
	uint64_t pid;
	int r = store_path(store, sid, "exec", path, err);

	if (r < 0)
		return r;
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s", path);
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (!str_starts(entry->d_name, prefix) ||
		    str_to_u64(entry->d_name + strlen(prefix), INT32_MAX, &pid) < 0 ||
		    read_exec(dirfd(dir), entry->d_name, &process.start_ticks) < 0)
			continue;
		process.pid = (pid_t)pid;
		r = each(process, userdata);
	}
	return r;
}
