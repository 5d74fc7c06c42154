/*
 * Which cgroups a container gets, before any is made: see cgroup.h. Also their form in state.json.
 * Called by `create` (plan) and by every verb that reads a state (load). Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/json.h"

void cgroup_mounts_fini(struct cgroup_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++)
		free(mounts->items[i].path);
	mounts->count = 0;
}

/* mountinfo writes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += len)
		if ((p == list || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

/* The fields of a line that count; they point into it. False when it is no cgroup mount. */
struct mount_line {
	char *device, *path, *type, *options;
};

static bool split_line(char *line, struct mount_line *ret)
{
	char *fields[5], *rest = strstr(line, " - ");

	if (rest == NULL)
		return false;
	*rest = '\0';
	rest += 3;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&line, " ");
		if (fields[i] == NULL)
			return false;
	}
	ret->device = fields[2];
	ret->path = fields[4];
	ret->type = strsep(&rest, " ");
	strsep(&rest, " "); /* source */
	ret->options = rest;
	return rest != NULL && (str_eq(ret->type, "cgroup") || str_eq(ret->type, "cgroup2"));
}

int cgroup_parse_mounts(const char *mountinfo, struct cgroup_mounts *ret, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(mountinfo);
	CLEANUP(cgroup_mounts_fini) struct cgroup_mounts mounts = { .count = 0 };
	char devices[CGROUP_HIERARCHIES_MAX][24], *rest = copy, *line;
	struct mount_line m;

	if (copy == NULL)
		return error_set(err, ENOMEM, "mountinfo");
	while ((line = strsep(&rest, "\n")) != NULL) {
		struct cgroup_mount *mount = &mounts.items[mounts.count];
		bool seen = false;

		if (!split_line(line, &m) || mounts.count == CGROUP_HIERARCHIES_MAX)
			continue;
		/* A hierarchy may be mounted again elsewhere: the first one counts. */
		for (size_t i = 0; i < mounts.count; i++)
			seen = seen || str_eq(devices[i], m.device);
		if (seen || str_format(devices[mounts.count], 24, "%s", m.device) < 0)
			continue;
		unescape(m.path);
		if (m.path[0] != '/')
			continue;
		*mount = (struct cgroup_mount){ .path = strdup(m.path),
						.v2 = str_eq(m.type, "cgroup2"),
						.cpuset = has_word(m.options, "cpuset") };
		if (mount->path == NULL)
			return error_set(err, ENOMEM, "mountinfo");
		mounts.count++;
	}
	*ret = mounts;
	mounts.count = 0;
	return 0;
}

/* Copies path without doubled and last slashes; refuses "." and ".." in it. */
static int clean_path(const char *path, char **ret, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(path), *clean = calloc(1, strlen(path) + 2);
	char *rest = copy, *part;
	size_t used = 0;

	if (copy == NULL || clean == NULL)
		return error_set(err, ENOMEM, "cgroup path");
	while ((part = strsep(&rest, "/")) != NULL) {
		if (part[0] == '\0')
			continue;
		if (str_eq(part, ".") || str_eq(part, ".."))
			return error_say(err, EINVAL, "cgroup path %s: \"%s\" is not allowed", path,
					 part);
		if (strlen(part) > NAME_MAX)
			return error_say(err, EINVAL, "cgroup path: a name is too long");
		used += (size_t)sprintf(clean + used, "/%s", part);
	}
	if (used == 0)
		return error_say(err, EINVAL, "cgroup path %s: names the root of all cgroups",
				 path);
	if (used > PATH_MAX / 2)
		return error_say(err, EINVAL, "cgroup path is too long");
	*ret = steal_ptr(&clean);
	return 0;
}

/* a-b.slice lies in a.slice: its path, without a slash at the end; "" for "-.slice". */
static int slice_path(const char *slice, char path[PATH_MAX], struct error *err)
{
	size_t len = strlen(slice), used = 0;

	path[0] = '\0';
	if (str_eq(slice, "-.slice"))
		return 0;
	if (len <= 6 || !str_eq(slice + len - 6, ".slice") || strchr(slice, '/') != NULL ||
	    slice[0] == '-' || slice[len - 7] == '-' || strstr(slice, "--") != NULL ||
	    len > NAME_MAX)
		return error_say(err, EINVAL, "cgroup path: \"%s\" is no name of a slice", slice);
	for (size_t i = 1; i <= len - 6; i++) {
		int n;

		if (slice[i] != '-' && i != len - 6)
			continue;
		n = snprintf(path + used, PATH_MAX - used, "/%.*s.slice", (int)i, slice);
		if (n < 0 || (size_t)n >= PATH_MAX - used)
			return error_set(err, ENAMETOOLONG, "cgroup path");
		used += (size_t)n;
	}
	return 0;
}

static bool is_slice(const char *name)
{
	size_t len = strlen(name);

	return len > 6 && str_eq(name + len - 6, ".slice");
}

/* slice:prefix:name, which runc hands to systemd. */
static int systemd_units(char *text, struct cgroup_scope *ret, struct error *err)
{
	char *rest = text;
	const char *slice = strsep(&rest, ":"), *prefix = strsep(&rest, ":"), *name = rest;
	int r;

	if (name[0] == '\0' || strchr(prefix, '/') != NULL || strchr(name, '/') != NULL)
		return error_say(err, EINVAL, "cgroup path: expected SLICE:PREFIX:NAME");
	r = str_format(ret->slice, sizeof(ret->slice), "%s",
		       slice[0] != '\0' ? slice : "system.slice");
	if (r == 0 && is_slice(name))
		r = str_format(ret->unit, sizeof(ret->unit), "%s", name);
	else if (r == 0)
		r = str_format(ret->unit, sizeof(ret->unit), "%s%s%s.scope", prefix,
			       prefix[0] != '\0' ? "-" : "", name);
	return r < 0 ? error_set(err, ENAMETOOLONG, "cgroup path") : 0;
}

static int systemd_path(char *text, char path[PATH_MAX], struct error *err)
{
	char slice_dir[PATH_MAX];
	struct cgroup_scope units;
	int r = systemd_units(text, &units, err);

	if (r == 0)
		r = slice_path(units.slice, slice_dir, err);
	if (r == 0 && str_format(path, PATH_MAX, "%s/%s", slice_dir, units.unit) < 0)
		r = error_set(err, ENAMETOOLONG, "cgroup path");
	return r;
}

static bool is_systemd_path(const char *cgroups_path)
{
	const char *colon = strchr(cgroups_path, ':');

	return cgroups_path[0] != '/' && colon != NULL && strchr(colon + 1, ':') != NULL;
}

int cgroup_check_systemd(const char *cgroups_path, struct error *err)
{
	if (cgroups_path[0] == '\0' || is_systemd_path(cgroups_path))
		return 0;
	return error_say(err, EINVAL,
			 "config.json: linux.cgroupsPath: with --systemd-cgroup expected "
			 "SLICE:PREFIX:NAME, not \"%s\"",
			 cgroups_path);
}

int cgroup_parse_scope(const char *cgroups_path, struct cgroup_scope *ret, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(cgroups_path);
	int r;

	*ret = (struct cgroup_scope){ .unit = "" };
	if (copy == NULL)
		return error_set(err, ENOMEM, "cgroup path");
	if (!is_systemd_path(cgroups_path))
		return 0;
	r = systemd_units(copy, ret, err);
	if (r == 0 && is_slice(ret->unit))
		ret->unit[0] = '\0';
	return r;
}

int cgroup_path(const char *cgroups_path, const char *sid, char **ret, struct error *err)
{
	CLEANUP(freep) char *copy = NULL;
	char path[PATH_MAX];
	int r;

	if (cgroups_path[0] == '\0') {
		if (str_format(path, sizeof(path), CGROUP_OWN "/%s", sid) < 0)
			return error_set(err, ENAMETOOLONG, "cgroup path");
		return clean_path(path, ret, err);
	}
	if (!is_systemd_path(cgroups_path))
		return clean_path(cgroups_path, ret, err);
	copy = strdup(cgroups_path);
	if (copy == NULL)
		return error_set(err, ENOMEM, "cgroup path");
	r = systemd_path(copy, path, err);
	return r < 0 ? r : clean_path(path, ret, err);
}

/* Whether a cgroup has neither processes nor cgroups in it. */
static bool is_empty(const char *path)
{
	CLEANUP(fd_close) int fd = -1;
	char procs[PATH_MAX], byte;
	struct stat st;

	if (stat(path, &st) < 0 || st.st_nlink > 2)
		return false;
	if (str_format(procs, sizeof(procs), "%s/cgroup.procs", path) < 0)
		return false;
	fd = open(procs, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &byte, 1) == 0;
}

/* How many of the last components are missing. */
static int count_missing(struct cgroup_dir *dir, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;

	if (str_format(path, sizeof(path), "%s", dir->path) < 0)
		return error_set(err, ENAMETOOLONG, "cgroup path");
	while (strlen(path) > dir->base && stat(path, &st) < 0) {
		if (errno != ENOENT)
			return error_set(err, errno, "cgroup %s", path);
		*strrchr(path, '/') = '\0';
		dir->levels++;
	}
	/* One that is there and empty was left behind: it becomes ours. */
	if (dir->levels == 0 && is_empty(dir->path))
		dir->levels = 1;
	return 0;
}

void cgroup_keep_leaves(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (cgroup->dirs[i].levels > 1)
			cgroup->dirs[i].levels = 1;
}

int cgroup_plan_again(struct cgroup *cgroup, struct error *err)
{
	for (size_t i = 0; i < cgroup->count; i++) {
		struct cgroup_dir *dir = &cgroup->dirs[i];
		int r;

		if (dir->levels == 0)
			continue; /* somebody else's, before and now */
		dir->levels = 0;
		r = count_missing(dir, err);
		if (r < 0 && !cgroup->lenient)
			return r;
		if (dir->levels == 0)
			dir->levels = 1;
	}
	return 0;
}

int cgroup_plan_on(const struct cgroup_mounts *mounts, const char *path, bool lenient,
		   struct cgroup *ret, struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { .lenient = lenient };

	for (size_t i = 0; i < mounts->count; i++) {
		struct cgroup_dir *dir = &cgroup.dirs[cgroup.count];
		char full[PATH_MAX];
		int r;

		if (str_format(full, sizeof(full), "%s%s", mounts->items[i].path, path) < 0)
			return error_set(err, ENAMETOOLONG, "cgroup path");
		*dir = (struct cgroup_dir){ .path = strdup(full),
					    .base = (unsigned)strlen(mounts->items[i].path),
					    .v2 = mounts->items[i].v2,
					    .cpuset = mounts->items[i].cpuset };
		if (dir->path == NULL)
			return error_set(err, ENOMEM, "cgroup path");
		cgroup.count++;
		r = count_missing(dir, err);
		if (r < 0 && !lenient)
			return r;
	}
	if (cgroup.count == 0 && !lenient)
		return error_say(err, ENOTSUP, "no cgroup hierarchy is mounted");
	*ret = cgroup;
	cgroup.count = 0;
	return 0;
}

static int read_mounts(struct cgroup_mounts *ret, struct error *err)
{
	const char *path = "/proc/self/mountinfo";
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;
	size_t len;
	int r;

	if (fd < 0)
		return error_set(err, errno, "open %s", path);
	r = json_read_fd(fd, path, &text, &len, err);
	return r < 0 ? r : cgroup_parse_mounts(text, ret, err);
}

int cgroup_plan(const char *cgroups_path, const char *sid, bool lenient, struct cgroup *ret,
		struct error *err)
{
	CLEANUP(cgroup_mounts_fini) struct cgroup_mounts mounts = { .count = 0 };
	CLEANUP(freep) char *path = NULL;
	int r = cgroup_path(cgroups_path, sid, &path, err);

	if (r < 0 || (r = read_mounts(&mounts, err)) < 0)
		return r;
	return cgroup_plan_on(&mounts, path, lenient, ret, err);
}

void cgroup_fini(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		free(cgroup->dirs[i].path);
	cgroup->count = 0;
}

/* "LEVELS BASE FLAGS PATH"; flags: 2 for v2, c for cpuset, - for none. */
int cgroup_save(const struct cgroup *cgroup, struct wire_strings *ret, struct error *err)
{
	char text[PATH_MAX + 64];

	json_strings_fini(ret);
	for (size_t i = 0; i < cgroup->count; i++) {
		const struct cgroup_dir *dir = &cgroup->dirs[i];

		if (str_format(text, sizeof(text), "%u %u %s %s", dir->levels, dir->base,
			       dir->v2       ? "2"
			       : dir->cpuset ? "c"
					     : "-",
			       dir->path) < 0 ||
		    json_strings_add(ret, text) < 0)
			return error_set(err, ENOMEM, "record of cgroups");
	}
	return 0;
}

/* Components of path behind base; 0 when it is no path that cgroup_save() wrote; -ENOMEM. */
static int count_components(const char *path, size_t base)
{
	CLEANUP(freep) char *clean = NULL;
	int n;

	if (path[0] != '/' || base >= strlen(path) || path[base] != '/')
		return 0;
	n = clean_path(path, &clean, NULL);
	if (n < 0 || !str_eq(clean, path))
		return n == -ENOMEM ? n : 0;
	n = 0;
	for (const char *p = path + base; *p != '\0'; p++)
		n += *p == '/';
	return n;
}

static int load_dir(const char *text, struct cgroup_dir *ret, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(text);
	char *rest = copy;
	const char *levels, *base, *flags;
	uint64_t n_levels, n_base;
	int components = 0;

	if (copy == NULL)
		return error_set(err, ENOMEM, "record of cgroups");
	levels = strsep(&rest, " ");
	base = strsep(&rest, " ");
	flags = strsep(&rest, " ");
	if (rest != NULL && str_to_u64(levels, UINT_MAX, &n_levels) == 0 &&
	    str_to_u64(base, PATH_MAX, &n_base) == 0)
		components = count_components(rest, n_base);
	if (components < 0)
		return error_set(err, ENOMEM, "record of cgroups");
	if (components == 0 || n_levels > (unsigned)components || strlen(flags) != 1 ||
	    strchr("2c-", flags[0]) == NULL)
		return error_say(err, EBADMSG, "the record of a cgroup is broken");
	ret->path = strdup(rest);
	ret->levels = (unsigned)n_levels;
	ret->base = (unsigned)n_base;
	ret->v2 = flags[0] == '2';
	ret->cpuset = flags[0] == 'c';
	return ret->path == NULL ? error_set(err, ENOMEM, "record of cgroups") : 0;
}

int cgroup_load(const struct wire_strings *strings, bool lenient, struct cgroup *ret,
		struct error *err)
{
	CLEANUP(cgroup_fini) struct cgroup cgroup = { .lenient = lenient };

	if (strings->count > CGROUP_HIERARCHIES_MAX)
		return error_say(err, EBADMSG, "the record of cgroups is broken");
	for (uint32_t i = 0; i < strings->count; i++) {
		int r = load_dir(strings->items[i], &cgroup.dirs[i], err);

		if (r < 0)
			return r;
		cgroup.count++;
	}
	*ret = cgroup;
	cgroup.count = 0;
	return 0;
}
