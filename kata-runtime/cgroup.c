/*
 * The container's cgroups on the host: see cgroup.h. Called by create, exec and delete as root; the
 * kernel's files are the only state, what is ours among them is what cgroup_plan() found missing.
 */
#include "kata-runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

enum { RETRY_MS = 5 };

void cgroup_mounts_fini(struct cgroup_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++)
		free(mounts->items[i].path);
	mounts->count = 0;
}

/* Undoes the octal escapes of proc_pid_mountinfo(5), in place. */
static void unescape(char *text)
{
	char *to = text;

	for (char *p = text; *p != '\0'; p++, to++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*to = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to = *p;
		}
	}
	*to = '\0';
}

/* Whether the comma-separated options hold the word. */
static bool has_option(const char *options, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = options; p != NULL; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	}
	return false;
}

static int add_mount(struct cgroup_mounts *mounts, const char *path, bool v2, const char *options,
		     struct error *err)
{
	struct cgroup_mount *m = &mounts->items[mounts->count];

	for (size_t i = 0; i < mounts->count; i++)
		if (str_eq(mounts->items[i].path, path))
			return 0;
	if (mounts->count == CGROUP_HIERARCHIES_MAX)
		return error_say(err, E2BIG, "more than %d cgroup hierarchies are mounted",
				 CGROUP_HIERARCHIES_MAX);
	m->path = strdup(path);
	if (m->path == NULL)
		return error_set(err, ENOMEM, "cgroups");
	m->v2 = v2;
	m->cpuset = !v2 && has_option(options, "cpuset");
	mounts->count++;
	return 0;
}

/* One line: "ID PARENT DEV ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS". */
static int parse_mount_line(char *line, struct cgroup_mounts *mounts, struct error *err)
{
	char *separator = strstr(line, " - "), *field = line, *save = NULL;
	char *type, *options, *root = NULL, *path = NULL;
	bool v2;

	if (separator == NULL)
		return 0;
	*separator = '\0';
	type = strtok_r(separator + 3, " ", &save);
	options = strtok_r(NULL, " ", &save) != NULL ? strtok_r(NULL, " ", &save) : NULL;
	if (type == NULL || options == NULL)
		return 0;
	v2 = str_eq(type, "cgroup2");
	if (!v2 && !str_eq(type, "cgroup"))
		return 0;
	save = NULL;
	for (int i = 0; i < 5; i++, field = NULL) {
		char *word = strtok_r(field, " ", &save);

		if (word == NULL)
			return 0;
		if (i == 3)
			root = word;
		if (i == 4)
			path = word;
	}
	if (root == NULL || path == NULL || !str_eq(root, "/"))
		return 0; /* a part of a hierarchy, mounted for somebody else */
	unescape(path);
	return add_mount(mounts, path, v2, options, err);
}

int cgroup_parse_mounts(const char *mountinfo, struct cgroup_mounts *ret, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(mountinfo);
	char *save = NULL;
	int r = 0;

	*ret = (struct cgroup_mounts){ .count = 0 };
	if (copy == NULL)
		return error_set(err, ENOMEM, "cgroups");
	for (char *line = strtok_r(copy, "\n", &save); line != NULL && r == 0;
	     line = strtok_r(NULL, "\n", &save))
		r = parse_mount_line(line, ret, err);
	if (r < 0)
		cgroup_mounts_fini(ret);
	return r;
}

/* --- paths ---------------------------------------------------------------------------------- */

static int check_path(const char *path, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(path);
	char *save = NULL;

	if (copy == NULL)
		return error_set(err, ENOMEM, "cgroups");
	for (char *part = strtok_r(copy, "/", &save); part != NULL;
	     part = strtok_r(NULL, "/", &save))
		if (str_eq(part, "..") || str_eq(part, ".") || strlen(part) > NAME_MAX)
			return error_say(err, EINVAL, "linux.cgroupsPath: \"%s\" is not allowed in %s",
					 part, path);
	return 0;
}

/* "a-b.slice" lies in "a.slice/a-b.slice", as systemd nests them (systemd.slice(5)). */
static int put_slices(char *out, size_t size, const char *slice, struct error *err)
{
	size_t len = strlen(slice), used = 0;
	const char *suffix = ".slice";

	if (str_eq(slice, "") || str_eq(slice, "-.slice")) {
		out[0] = '\0';
		return 0;
	}
	if (len <= strlen(suffix) || !str_eq(slice + len - strlen(suffix), suffix))
		return error_say(err, EINVAL, "linux.cgroupsPath: \"%s\" is no slice", slice);
	len -= strlen(suffix);
	for (size_t i = 1; i <= len; i++) {
		int n;

		if (slice[i] != '-' && i != len)
			continue;
		n = snprintf(out + used, size - used, "/%.*s%s", (int)i, slice, suffix);
		if (n < 0 || (size_t)n >= size - used)
			return error_say(err, ENAMETOOLONG, "linux.cgroupsPath: %s", slice);
		used += (size_t)n;
	}
	return 0;
}

static int systemd_path(const char *text, char *out, size_t size, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(text);
	char *prefix, *name, slices[PATH_MAX];
	int r;

	if (copy == NULL)
		return error_set(err, ENOMEM, "cgroups");
	prefix = strchr(copy, ':');
	*prefix++ = '\0';
	name = strchr(prefix, ':');
	if (name == NULL || strchr(name + 1, ':') != NULL || strchr(copy, '/') != NULL)
		return error_say(err, EINVAL,
				 "linux.cgroupsPath: \"%s\" is not slice:prefix:name", text);
	*name++ = '\0';
	r = put_slices(slices, sizeof(slices), copy[0] != '\0' ? copy : "system.slice", err);
	if (r < 0)
		return r;
	if (str_format(out, size, "%s/%s%s%s.scope", slices, prefix, prefix[0] != '\0' ? "-" : "",
		       name) < 0)
		return error_say(err, ENAMETOOLONG, "linux.cgroupsPath: %s", text);
	return 0;
}

int cgroup_path(const char *cgroups_path, const char *sid, char **ret, struct error *err)
{
	char path[PATH_MAX];
	int r;

	if (cgroups_path[0] == '\0')
		r = str_format(path, sizeof(path), "/kata/%s", sid);
	else if (cgroups_path[0] != '/' && strchr(cgroups_path, ':') != NULL)
		r = systemd_path(cgroups_path, path, sizeof(path), err);
	else
		r = str_format(path, sizeof(path), "%s%s", cgroups_path[0] == '/' ? "" : "/",
			       cgroups_path);
	if (r == -ENAMETOOLONG)
		return error_say(err, ENAMETOOLONG, "linux.cgroupsPath: %s", cgroups_path);
	if (r == 0)
		r = check_path(path, err);
	if (r < 0)
		return r;
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	if (str_eq(path, "/"))
		return error_say(err, EINVAL, "linux.cgroupsPath: / is the host's own cgroup");
	*ret = strdup(path);
	return *ret != NULL ? 0 : error_set(err, ENOMEM, "cgroups");
}

/* --- planning ------------------------------------------------------------------------------- */

/* How many of the path's last components are not there yet. */
static unsigned missing_levels(const char *path, size_t base)
{
	CLEANUP(freep) char *copy = strdup(path);
	unsigned levels = 0;
	struct stat st;

	while (copy != NULL && strlen(copy) > base && stat(copy, &st) < 0) {
		levels++;
		*strrchr(copy, '/') = '\0';
	}
	return levels;
}

static int plan_one(const struct cgroup_mount *mount, const char *path, struct cgroup *cgroup,
		    struct error *err)
{
	struct cgroup_dir *dir = &cgroup->dirs[cgroup->count];

	if (asprintf(&dir->path, "%s%s", mount->path, path) < 0) {
		dir->path = NULL;
		return error_set(err, ENOMEM, "cgroups");
	}
	dir->base = (unsigned)strlen(mount->path);
	dir->levels = missing_levels(dir->path, dir->base);
	dir->v2 = mount->v2;
	dir->cpuset = mount->cpuset;
	cgroup->count++;
	return 0;
}

int cgroup_plan_on(const struct cgroup_mounts *mounts, const char *path, bool lenient,
		   struct cgroup *ret, struct error *err)
{
	struct cgroup cgroup = { .lenient = lenient };
	int r = 0;

	for (size_t i = 0; i < mounts->count && r == 0; i++)
		r = plan_one(&mounts->items[i], path, &cgroup, err);
	if (r < 0)
		cgroup_fini(&cgroup);
	else
		*ret = cgroup;
	return r;
}

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

int cgroup_plan(const char *cgroups_path, const char *sid, bool lenient, struct cgroup *ret,
		struct error *err)
{
	CLEANUP(cgroup_mounts_fini) struct cgroup_mounts mounts = { .count = 0 };
	CLEANUP(freep) char *text = read_text("/proc/self/mountinfo");
	CLEANUP(freep) char *path = NULL;
	int r;

	if (text == NULL)
		return error_set(err, errno, "/proc/self/mountinfo");
	r = cgroup_path(cgroups_path, sid, &path, err);
	if (r == 0)
		r = cgroup_parse_mounts(text, &mounts, err);
	return r < 0 ? r : cgroup_plan_on(&mounts, path, lenient, ret, err);
}

/* --- making and joining --------------------------------------------------------------------- */

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

static int make_level(const struct cgroup_dir *dir, const char *path)
{
	int r;

	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (!dir->cpuset)
		return 0;
	r = inherit_cpuset(path, "cpuset.cpus");
	return r < 0 ? r : inherit_cpuset(path, "cpuset.mems");
}

static int make_dir(const struct cgroup_dir *dir, struct error *err)
{
	CLEANUP(freep) char *path = strdup(dir->path);
	int r = 0;

	if (path == NULL)
		return error_set(err, ENOMEM, "cgroups");
	for (char *slash = strchr(path + dir->base + 1, '/'); slash != NULL && r == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = make_level(dir, path);
		*slash = '/';
	}
	if (r == 0)
		r = make_level(dir, path);
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

/* --- removing ------------------------------------------------------------------------------- */

/* What is still in it: nothing that we want to live, since the directory is ours. */
static void kill_members(const char *dir)
{
	CLEANUP(file_close) FILE *file = NULL;
	char path[PATH_MAX];
	int pid;

	if (str_format(path, sizeof(path), "%s/cgroup.procs", dir) < 0)
		return;
	file = fopen(path, "re");
	while (file != NULL && fscanf(file, "%d", &pid) == 1)
		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
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
		kill_members(path);
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
	for (unsigned i = 1; i < dir->levels && r == 0; i++) {
		*strrchr(path, '/') = '\0';
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

/* --- in state.json -------------------------------------------------------------------------- */

static void free_strings(struct wire_strings *strings)
{
	for (uint32_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct wire_strings){ 0 };
}

/* "LEVELS BASE KIND PATH"; KIND is 1, 2, or s for a v1 cpuset. */
int cgroup_save(const struct cgroup *cgroup, struct wire_strings *ret, struct error *err)
{
	struct wire_strings out = { .items = calloc(cgroup->count + 1, sizeof(char *)) };

	if (out.items == NULL)
		return error_set(err, ENOMEM, "cgroups");
	for (size_t i = 0; i < cgroup->count; i++) {
		const struct cgroup_dir *dir = &cgroup->dirs[i];

		if (asprintf(&out.items[i], "%u %u %c %s", dir->levels, dir->base,
			     dir->v2	   ? '2'
			     : dir->cpuset ? 's'
					   : '1',
			     dir->path) < 0) {
			free_strings(&out);
			return error_set(err, ENOMEM, "cgroups");
		}
		out.count++;
	}
	*ret = out;
	return 0;
}

static int load_one(const char *text, struct cgroup_dir *dir, struct error *err)
{
	unsigned levels, base, slashes = 0;
	int at = 0;
	char kind;

	if (sscanf(text, "%5u %5u %c %n", &levels, &base, &kind, &at) != 3 || at == 0 ||
	    text[at] != '/' || strchr("12s", kind) == NULL || base == 0 ||
	    base >= strlen(text + at) || text[at + base] != '/' || strlen(text + at) >= PATH_MAX)
		return error_say(err, EBADMSG, "state: cgroups: \"%s\" cannot be understood", text);
	for (const char *p = text + at + base; *p != '\0'; p++)
		slashes += *p == '/';
	if (levels > slashes || strstr(text + at, "/../") != NULL)
		return error_say(err, EBADMSG, "state: cgroups: \"%s\" is not allowed", text);
	dir->path = strdup(text + at);
	if (dir->path == NULL)
		return error_set(err, ENOMEM, "cgroups");
	dir->levels = levels;
	dir->base = base;
	dir->v2 = kind == '2';
	dir->cpuset = kind == 's';
	return 0;
}

int cgroup_load(const struct wire_strings *strings, bool lenient, struct cgroup *ret,
		struct error *err)
{
	struct cgroup cgroup = { .lenient = lenient };
	int r = 0;

	if (strings->count > CGROUP_HIERARCHIES_MAX)
		return error_say(err, EBADMSG, "state: cgroups: more than %d entries",
				 CGROUP_HIERARCHIES_MAX);
	for (uint32_t i = 0; i < strings->count && r == 0; i++) {
		r = load_one(strings->items[i], &cgroup.dirs[i], err);
		cgroup.count += r == 0;
	}
	if (r < 0)
		cgroup_fini(&cgroup);
	else
		*ret = cgroup;
	return r;
}

void cgroup_fini(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		free(cgroup->dirs[i].path);
	cgroup->count = 0;
}
