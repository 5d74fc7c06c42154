/*
 * cgroup2 directories of containers: see cgroup.h. Called by the agent, which owns the descriptors.
 * Names below a container's cgroup come from the container: they are used one at a time, as names.
 */
#include "kata-agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"

/* Deeper trees than any manager makes are left alone. */
enum { DEPTH_MAX = 16, SIGNALLED_MAX = 32768 };

static int format_path(const char *root, const char *id, char path[PATH_MAX], struct error *err)
{
	if (str_format(path, PATH_MAX, "%s/kata%s%s", root, id[0] != '\0' ? "/" : "", id) < 0)
		return error_set(err, ENAMETOOLONG, "cgroup of %s", id);
	return 0;
}

static int make_directory(const char *root, const char *id, char path[PATH_MAX], struct error *err)
{
	int r = format_path(root, id, path, err);

	if (r == 0 && mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "make the cgroup %s", path);
	return r;
}

int cgroup_read(int cgroup, const char *name, char *text, size_t size)
{
	CLEANUP(fd_close) int fd = openat(cgroup, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return (int)n;
}

static int write_file(int cgroup, const char *name, const char *value)
{
	CLEANUP(fd_close) int fd = openat(cgroup, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	size_t len = strlen(value);

	if (fd < 0 || write(fd, value, len) != (ssize_t)len)
		return -errno;
	return 0;
}

/* Passes the controllers on from a directory to those below it. */
static int pass_controllers(const char *path, struct error *err)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char text[512], word[64], *save = NULL;

	if (fd < 0 || cgroup_read(fd, "cgroup.controllers", text, sizeof(text)) < 0)
		return error_set(err, errno, "controllers of the cgroup %s", path);
	for (char *name = strtok_r(text, " \n", &save); name != NULL;
	     name = strtok_r(NULL, " \n", &save)) {
		int r = str_format(word, sizeof(word), "+%s", name);

		if (r == 0)
			r = write_file(fd, "cgroup.subtree_control", word);
		if (r < 0)
			log_info("a controller of cgroups is not passed on", KV_S("name", name),
				 KV("errno", -r));
	}
	return 0;
}

int cgroup_prepare(const char *root, struct error *err)
{
	char path[PATH_MAX];
	int r = make_directory(root, "", path, err);

	if (r == 0)
		r = pass_controllers(root, err);
	return r < 0 ? r : pass_controllers(path, err);
}

int cgroup_create(const char *root, const char *id, struct error *err)
{
	char path[PATH_MAX];
	int fd, r;

	r = make_directory(root, "", path, err);
	if (r == 0)
		r = make_directory(root, id, path, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "open the cgroup %s", path) : fd;
}

/* Calls visit for each directory below fd, which it takes over. Errors are the visitor's matter. */
static void each_child(int fd, int depth,
		       void (*visit)(int parent, const char *name, int depth, void *arg), void *arg)
{
	CLEANUP(dir_close) DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		close(fd);
		return;
	}
	while (depth < DEPTH_MAX && (entry = readdir(dir)) != NULL) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			visit(dirfd(dir), entry->d_name, depth + 1, arg);
	}
}

struct pid_list {
	pid_t *pids;
	size_t size, count;
};

static void read_pids(int cgroup, struct pid_list *list)
{
	CLEANUP(fd_close)
	int fd = openat(cgroup, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	CLEANUP(file_close) FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char line[32];

	if (file != NULL)
		fd = -1; /* fclose(3) closes it */
	while (file != NULL && list->count < list->size &&
	       fgets(line, sizeof(line), file) != NULL) {
		uint64_t pid;

		line[strcspn(line, "\n")] = '\0';
		/* 0 stands for a process that this pid namespace does not show */
		if (str_to_u64(line, INT_MAX, &pid) == 0 && pid > 0)
			list->pids[list->count++] = (pid_t)pid;
	}
}

static void visit_pids(int parent, const char *name, int depth, void *arg)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	read_pids(fd, arg);
	each_child(fd, depth, visit_pids, arg);
}

int cgroup_pids(int cgroup, pid_t *pids, size_t size, struct error *err)
{
	struct pid_list list = { .pids = pids, .size = size };
	int fd = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "read the container's cgroup");
	read_pids(fd, &list);
	each_child(fd, 0, visit_pids, &list);
	return (int)list.count;
}

int cgroup_signal(int cgroup, int signum, struct error *err)
{
	CLEANUP(freep) pid_t *pids = NULL;
	int count;

	if (signum == SIGKILL) {
		CLEANUP(fd_close) int fd = openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "1", 1) != 1)
			return error_set(err, errno, "kill the container's processes");
		return 0;
	}
	pids = malloc(SIGNALLED_MAX * sizeof(*pids));
	if (pids == NULL)
		return error_set(err, ENOMEM, "signal the container's processes");
	count = cgroup_pids(cgroup, pids, SIGNALLED_MAX, err);
	for (int i = 0; i < count; i++)
		kill(pids[i], signum); /* one that has ended meanwhile needs none */
	return count < 0 ? count : 0;
}

/* Files of controllers, and no path. */
static bool is_limit(const char *file)
{
	return strchr(file, '/') == NULL && strchr(file, '.') != NULL && file[0] != '.' &&
	       strncmp(file, "cgroup.", 7) != 0;
}

int cgroup_set(int cgroup, const struct msg_cgroup_value *values, uint32_t count, struct error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *file = values[i].file;
		int r;

		if (!is_limit(file))
			return error_say(err, EINVAL, "resource limit %s: no file of a limit",
					 file);
		r = write_file(cgroup, file, values[i].value);
		if (r < 0 && !values[i].can_miss)
			return error_set(err, -r, "resource limit: set %s to \"%s\"", file,
					 values[i].value);
		if (r < 0)
			log_info("a resource limit is not applied", KV_S("file", file),
				 KV_S("value", values[i].value), KV("errno", -r));
	}
	return 0;
}

int cgroup_check_memory(int cgroup, const struct msg_cgroup_value *values, uint32_t count,
			struct error *err)
{
	unsigned long long usage, limit;
	char text[32];
	int r;

	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(values[i].file, "memory.max") != 0 ||
		    sscanf(values[i].value, "%llu", &limit) != 1)
			continue;
		r = cgroup_read(cgroup, "memory.current", text, sizeof(text));
		if (r < 0 || sscanf(text, "%llu", &usage) != 1)
			return error_set(err, r < 0 ? -r : EINVAL,
					 "read the container's memory.current");
		if (usage >= limit)
			return error_say(err, EBUSY, "rejecting memory limit %llu <= usage %llu",
					 limit, usage);
	}
	return 0;
}

int cgroup_freeze(int cgroup, bool freeze, struct error *err)
{
	int r = write_file(cgroup, "cgroup.freeze", freeze ? "1" : "0");

	if (r < 0)
		return error_set(err, -r, freeze ? "freeze the container" : "thaw the container");
	return 0;
}

int cgroup_is_frozen(int cgroup, struct error *err)
{
	char text[256];
	int r = cgroup_read(cgroup, "cgroup.events", text, sizeof(text));

	if (r < 0)
		return error_set(err, -r, "read the container's cgroup.events");
	return strstr(text, "frozen 1") != NULL;
}

static void visit_remove(int parent, const char *name, int depth, void *arg)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	each_child(fd, depth, visit_remove, arg);
	unlinkat(parent, name, AT_REMOVEDIR);
}

int cgroup_remove(const char *root, const char *id, struct error *err)
{
	char path[PATH_MAX];
	int r = format_path(root, id, path, err);
	int fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		each_child(fd, 0, visit_remove, NULL);
	if (rmdir(path) < 0 && errno != ENOENT)
		return error_set(err, errno, "remove the cgroup %s", path);
	return 0;
}
