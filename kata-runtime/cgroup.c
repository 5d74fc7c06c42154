/*
 * The container's cgroups on the host, made, joined and removed: see cgroup.h. Called by create,
 * exec and delete as root. What is ours to remove is what cgroup_plan() found missing.
 */
#include "kata-runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"

enum { RETRY_MS = 5, DEPTH_MAX = 16, MOVE_ROUNDS = 16, MAKE_ROUNDS = 100 };

/* --- making and joining --------------------------------------------------------------------- */

static char *read_text(const char *path)
{
	CLEANUP(file_close) FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (file == NULL || getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_text(const char *path, const char *text)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, len) == (ssize_t)len ? 0 : -errno;
}

/* A new v1 cpuset has no processors and takes no process: it gets its parent's. */
static int inherit_cpuset(const char *dir, const char *file)
{
	char from[PATH_MAX], to[PATH_MAX];
	CLEANUP(freep) char *text = NULL;

	if (str_format(to, sizeof(to), "%s/%s", dir, file) < 0 ||
	    str_format(from, sizeof(from), "%s/../%s", dir, file) < 0)
		return -ENAMETOOLONG;
	text = read_text(to);
	if (text != NULL && text[0] != '\n' && text[0] != '\0')
		return 0;
	free(text);
	text = read_text(from);
	return text == NULL ? -errno : write_text(to, text);
}

/*
 * v2: lets the cgroups below dir account what dir itself can, for the manager's statistics. What
 * the host does not allow is left.
 */
static void enable_controllers(const char *dir)
{
	CLEANUP(freep) char *text = NULL;
	char path[PATH_MAX], word[64], *rest, *name;

	if (str_format(path, sizeof(path), "%s/cgroup.controllers", dir) < 0)
		return;
	text = read_text(path);
	if (text == NULL || str_format(path, sizeof(path), "%s/cgroup.subtree_control", dir) < 0)
		return;
	for (rest = text; (name = strsep(&rest, " \n")) != NULL;)
		if (name[0] != '\0' && str_format(word, sizeof(word), "+%s", name) == 0)
			write_text(path, word);
}

/* It was removed: ENODEV of one whose file was open by then. */
static bool is_gone(int r)
{
	return r == -ENOENT || r == -ENODEV;
}

/* last: the leaf, which has processes and so no cgroups below it. */
static int make_level(const struct cgroup_dir *dir, const char *path, bool last)
{
	int r;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (dir->v2 && !last)
		enable_controllers(path);
	if (!dir->cpuset)
		return 0;
	r = inherit_cpuset(path, "cpuset.cpus");
	return r < 0 ? r : inherit_cpuset(path, "cpuset.mems");
}

/* Those above the leaf, and it. */
static int make_levels(const struct cgroup_dir *dir, char *path)
{
	int r = 0;

	for (char *slash = strchr(path + dir->base + 1, '/'); slash != NULL && r == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = make_level(dir, path, false);
		*slash = '/';
	}
	return r == 0 ? make_level(dir, path, true) : r;
}

static int make_dir(const struct cgroup_dir *dir, struct error *err)
{
	CLEANUP(freep) char *path = strdup(dir->path);
	int r = -ENOENT;

	if (path == NULL)
		return error_set(err, ENOMEM, "cgroups");
	if (dir->v2) {
		path[dir->base] = '\0';
		enable_controllers(path);
		path[dir->base] = '/';
	}
	/* A neighbour's delete removes a parent that it leaves empty, before ours has a child. */
	for (int i = 0; i < MAKE_ROUNDS && is_gone(r); i++)
		r = make_levels(dir, path);
	return r < 0 ? error_set(err, -r, "make cgroup %s", path) : 0;
}

int cgroup_create(const struct cgroup *cgroup, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++) {
		r = make_dir(&cgroup->dirs[i], err);
		if (cgroup->lenient)
			r = 0;
	}
	return r;
}

static int join_dir(const struct cgroup_dir *dir, pid_t pid, struct error *err)
{
	char path[PATH_MAX], text[16];
	int r;

	snprintf(text, sizeof(text), "%d", pid);
	if (str_format(path, sizeof(path), "%s/cgroup.procs", dir->path) < 0)
		return error_set(err, ENAMETOOLONG, "cgroup %s", dir->path);
	r = write_text(path, text);
	return r < 0 ? error_set(err, -r, "put process %d into cgroup %s", pid, dir->path) : 0;
}

int cgroup_join(const struct cgroup *cgroup, pid_t pid, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++) {
		r = join_dir(&cgroup->dirs[i], pid, err);
		if (cgroup->lenient)
			r = 0;
	}
	return r;
}

int cgroup_enter(const struct cgroup *cgroup, pid_t pid, struct error *err)
{
	int r = -ENOENT;

	for (int i = 0; i < MAKE_ROUNDS && is_gone(r); i++) {
		r = cgroup_create(cgroup, err);
		if (r < 0)
			return r; /* it has tried as often itself */
		r = cgroup_join(cgroup, pid, err);
	}
	return r;
}

/* --- moving --------------------------------------------------------------------------------- */

/* One round over what is in a cgroup now: how many were moved, or a negative errno. */
static int move_round(const char *from, const struct cgroup_dir *to)
{
	CLEANUP(file_close) FILE *file = NULL;
	char path[PATH_MAX];
	int pid, moved = 0;

	if (str_format(path, sizeof(path), "%s/cgroup.procs", from) < 0)
		return -ENAMETOOLONG;
	file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &pid) == 1) {
		struct error err = { 0 };

		/* One that has ended meanwhile need not be moved. */
		if (join_dir(to, pid, &err) < 0 && err.num != ESRCH)
			return -err.num;
		moved++;
	}
	return moved;
}

static int move_dir(const struct cgroup_dir *from, const struct cgroup_dir *to, struct error *err)
{
	int moved = 1, r = make_dir(to, err);

	/* A process that forks at this moment leaves a child behind for the next round. */
	for (int i = 0; i < MOVE_ROUNDS && r == 0 && moved > 0; i++) {
		moved = move_round(from->path, to);
		if (moved < 0)
			r = error_set(err, -moved, "move processes out of cgroup %s", from->path);
	}
	return r;
}

static int path_beside(const struct cgroup_dir *dir, const char *name, char **ret)
{
	const char *slash = strrchr(dir->path, '/');

	if (dir->levels == 0) {
		*ret = strdup(dir->path);
		return *ret != NULL ? 0 : -ENOMEM;
	}
	if (asprintf(ret, "%.*s/%s", (int)(slash - dir->path), dir->path, name) >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

int cgroup_move_beside(const struct cgroup *cgroup, const char *name, struct cgroup *ret_beside,
		       struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup beside = { .lenient = cgroup->lenient };
	int r = 0;

	for (size_t i = 0; i < cgroup->count && r == 0; i++) {
		const struct cgroup_dir *from = &cgroup->dirs[i];
		struct cgroup_dir *to = &beside.dirs[beside.count++];

		*to = *from;
		r = path_beside(from, name, &to->path);
		if (r < 0)
			return error_set(err, ENOMEM, "cgroups");
		if (from->levels > 0 && !str_eq(from->path, to->path))
			r = move_dir(from, to, err);
		if (cgroup->lenient)
			r = 0;
	}
	if (r < 0)
		return r;
	*ret_beside = beside;
	beside = (struct cgroup){ 0 };
	return 0;
}

/* --- removing ------------------------------------------------------------------------------- */

/* A file of a cgroup that this kernel or hierarchy may not have. */
static int tell(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), "%s/%s", dir, file) < 0)
		return -ENAMETOOLONG;
	return write_text(path, text);
}

/* What is still in it: nothing that we want to live, since the directory is ours. */
static void kill_members(const char *dir)
{
	CLEANUP(file_close) FILE *file = NULL;
	char path[PATH_MAX];
	int pid;

	tell(dir, "freezer.state", "THAWED"); /* the frozen do not die */
	tell(dir, "cgroup.freeze", "0");
	if (str_format(path, sizeof(path), "%s/cgroup.procs", dir) < 0)
		return;
	file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &pid) == 1)
		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
}

/* Empties a cgroup as far as it goes at once: its processes, and the cgroups below it. */
static void empty(const char *dir, unsigned depth)
{
	CLEANUP(dir_close) DIR *entries = NULL;
	struct dirent *entry;
	char path[PATH_MAX];

	kill_members(dir);
	entries = depth < DEPTH_MAX ? opendir(dir) : NULL;
	while (entries != NULL && (entry = readdir(entries)) != NULL) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    str_format(path, sizeof(path), "%s/%s", dir, entry->d_name) < 0)
			continue;
		empty(path, depth + 1);
		rmdir(path);
	}
}

/* The leaf, until the deadline: its processes may take a moment to be gone. */
static int remove_leaf(const char *path, int64_t deadline, struct error *err)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };

	while (rmdir(path) < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || deadline_left_ms(deadline) == 0)
			return error_set(err, errno, "remove cgroup %s", path);
		empty(path, 0);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int remove_dir(const struct cgroup_dir *dir, int64_t deadline, struct error *err)
{
	CLEANUP(freep) char *path = strdup(dir->path);
	int r;

	if (path == NULL)
		return error_set(err, ENOMEM, "cgroups");
	if (dir->levels == 0)
		return 0;
	r = remove_leaf(path, deadline, err);
	/* The levels above may have got other children meanwhile: they stay then. */
	for (unsigned i = 1; r == 0; i++) {
		*strrchr(path, '/') = '\0';
		if (i >= dir->levels && !str_eq(path + dir->base, CGROUP_OWN))
			break;
		if (rmdir(path) < 0)
			break;
	}
	return r;
}

int cgroup_remove(const struct cgroup *cgroup, int64_t deadline, struct error *err)
{
	struct error first = { 0 };
	int r = 0;

	for (size_t i = 0; i < cgroup->count; i++) {
		struct error one = { 0 };
		int n = remove_dir(&cgroup->dirs[i], deadline, &one);

		if (n < 0 && r == 0 && !cgroup->lenient) {
			r = n;
			first = one;
		}
	}
	if (r < 0 && err != NULL)
		*err = first;
	return r;
}

static int oom_path(const struct cgroup_dir *dir, char path[PATH_MAX])
{
	return str_format(path, PATH_MAX, "%s/%s", dir->path,
			  dir->v2 ? "memory.events" : "memory.oom_control");
}

/* "oom_kill N" in a file of lines; 0 when it is not there. */
static uint64_t count_oom_kills(const struct cgroup_dir *dir)
{
	CLEANUP(file_close) FILE *file = NULL;
	char path[PATH_MAX], line[128];
	uint64_t count;

	if (oom_path(dir, path) < 0)
		return 0;
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "oom_kill %" SCNu64, &count) == 1)
			return count;
	return 0;
}

bool cgroup_oom_killed(const struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (count_oom_kills(&cgroup->dirs[i]) > 0)
			return true;
	return false;
}

int cgroup_open_oom(const struct cgroup *cgroup)
{
	char path[PATH_MAX];
	int fd = -1;

	for (size_t i = 0; i < cgroup->count && fd < 0; i++)
		if (oom_path(&cgroup->dirs[i], path) == 0)
			fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd;
}
