/*
 * A process as the kernel tells it: see privs.h. Called by `privs`, as root. All comes from /proc
 * but the system call filter, which ptrace(2) hands out: the process stands still for a moment.
 */
#include "kata-runtime/privs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <cap-ng.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/bpf.h"

enum { STOP_MS = 2000, FILTERS_MAX = 16, ROOT_NAMES_MAX = 64 };

/* The part of /proc/PID/status that is of interest. */
struct status {
	unsigned uid[4], gid[4];
	unsigned long long caps[5];
	int no_new_privs, seccomp;
	char groups[1024];
};

static int read_text(const char *path, char *text, size_t size, struct error *err)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return error_set(err, errno, "%s", path);
	while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0)
		return error_set(err, errno, "%s", path);
	text[used] = '\0';
	return 0;
}

/* The rest of the line that begins with name and a colon. */
static const char *field(const char *text, const char *name)
{
	char start[32];
	const char *at;

	snprintf(start, sizeof(start), "\n%s:", name);
	at = strstr(text, start);
	return at != NULL ? at + strlen(start) : "";
}

static int read_status(const char *path, struct status *ret, struct error *err)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	const char *groups;
	char text[8192];
	int r = read_text(path, text, sizeof(text), err);

	if (r < 0)
		return r;
	*ret = (struct status){ 0 };
	if (sscanf(field(text, "Uid"), "%u %u %u %u", &ret->uid[0], &ret->uid[1], &ret->uid[2],
		   &ret->uid[3]) != 4 ||
	    sscanf(field(text, "Gid"), "%u %u %u %u", &ret->gid[0], &ret->gid[1], &ret->gid[2],
		   &ret->gid[3]) != 4 ||
	    sscanf(field(text, "NoNewPrivs"), "%d", &ret->no_new_privs) != 1 ||
	    sscanf(field(text, "Seccomp"), "%d", &ret->seccomp) != 1)
		return error_say(err, EIO, "%s cannot be understood", path);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		ret->caps[i] = strtoull(field(text, sets[i]), NULL, 16);
	groups = field(text, "Groups");
	snprintf(ret->groups, sizeof(ret->groups), "%.*s", (int)strcspn(groups, "\n"), groups);
	return 0;
}

static void add_text(struct json_object *to, const char *name, const char *text)
{
	json_object_object_add(to, name, json_object_new_string(text));
}

static bool is_mapped(pid_t pid)
{
	char path[64], theirs[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return readlink(path, theirs, sizeof(theirs) - 1) > 0 &&
	       readlink("/proc/self/ns/user", ours, sizeof(ours) - 1) > 0 && !str_eq(theirs, ours);
}

/* One word for all uids and gids, or the real one's number when they differ. */
static void add_user(struct json_object *to, pid_t pid, const struct status *status,
		     uint32_t uid_base)
{
	unsigned uid = status->uid[0];
	char text[64];
	bool same = true;

	for (int i = 0; i < 4; i++)
		same = same && status->uid[i] == uid && status->gid[i] == uid;
	if (!same)
		snprintf(text, sizeof(text), "host %u/%u/%u:%u/%u/%u", uid, status->uid[1],
			 status->uid[2], status->gid[0], status->gid[1], status->gid[2]);
	else if (uid >= uid_base && uid - uid_base < UID_BLOCK && uid_base > 0)
		snprintf(text, sizeof(text), "base+%u", uid - uid_base);
	else if (uid >= USER_DYNAMIC_FIRST && uid <= USER_DYNAMIC_LAST)
		snprintf(text, sizeof(text), "dynamic");
	else
		snprintf(text, sizeof(text), "%s %u", is_mapped(pid) ? "mapped" : "host", uid);
	add_text(to, "user", text);
}

static void add_groups(struct json_object *to, const struct status *status, uint32_t uid_base)
{
	struct json_object *list = json_object_new_array();
	const char *p = status->groups;
	char *end, text[32];

	for (unsigned long gid = strtoul(p, &end, 10); end != p; gid = strtoul(p = end, &end, 10)) {
		if (gid == status->gid[0]) /* it has that anyhow */
			continue;
		if (uid_base > 0 && gid >= uid_base && gid - uid_base < UID_BLOCK)
			snprintf(text, sizeof(text), "base+%lu", gid - uid_base);
		else
			snprintf(text, sizeof(text), "%lu", gid);
		json_object_array_add(list, json_object_new_string(text));
	}
	json_object_object_add(to, "groups", list);
}

static void add_capabilities(struct json_object *to, const struct status *status)
{
	struct json_object *list = json_object_new_array();
	unsigned long long all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(status->caps); i++)
		all |= status->caps[i];
	for (unsigned cap = 0; cap < 64; cap++) {
		const char *name = capng_capability_to_name(cap);
		char text[32];

		if ((all & 1ULL << cap) == 0)
			continue;
		str_format(text, sizeof(text), "%s", name != NULL ? name : "unknown");
		for (char *p = text; *p != '\0'; p++)
			*p = (char)toupper((unsigned char)*p);
		json_object_array_add(list, json_object_new_string(text));
	}
	json_object_object_add(to, "capabilities", list);
}

static void add_namespaces(struct json_object *to, pid_t pid)
{
	static const char *const names[] = { "user", "pid", "mnt", "net", "ipc", "uts" };
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64], theirs[64] = "", ours[64] = "";

		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		if (readlink(path, ours, sizeof(ours) - 1) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		if (readlink(path, theirs, sizeof(theirs) - 1) > 0 && !str_eq(theirs, ours))
			json_object_array_add(list, json_object_new_string(names[i]));
	}
	json_object_object_add(to, "namespaces", list);
}

/* Names made in another mount namespace are text only here: they are printed and compared. */
static void add_root(struct json_object *to, pid_t pid)
{
	struct json_object *list = json_object_new_array();
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[64], name[NAME_MAX * 4 + 1];

	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
		    json_object_array_length(list) >= ROOT_NAMES_MAX)
			continue;
		str_escape(name, sizeof(name), entry->d_name, strlen(entry->d_name));
		json_object_array_add(list, json_object_new_string(name));
	}
	json_object_object_add(to, "root", list);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static enum privsep_kind kind_of_node(pid_t pid, const struct stat *st)
{
	struct stat exe;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &exe) == 0 && exe.st_dev == st->st_dev && exe.st_ino == st->st_ino)
		return KIND_PROGRAM;
	if (S_ISFIFO(st->st_mode))
		return KIND_PIPE;
	if (S_ISSOCK(st->st_mode))
		return KIND_SOCKET;
	if (S_ISREG(st->st_mode))
		return KIND_FILE;
	if (S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode))
		return KIND_SHARED;
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3))
		return KIND_NULL;
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(10, 232))
		return KIND_KVM;
	if (S_ISCHR(st->st_mode) && (st->st_rdev == makedev(10, 200 /* tun */) ||
				     st->st_rdev == makedev(10, 238 /* vhost-net */)))
		return KIND_TAP;
	if (S_ISCHR(st->st_mode) && (major(st->st_rdev) == 5 || major(st->st_rdev) == 4 ||
				     (major(st->st_rdev) >= 136 && major(st->st_rdev) < 144)))
		return KIND_TERMINAL;
	return KIND_OTHER;
}

static enum privsep_kind kind_of(pid_t pid, const char *path)
{
	static const struct {
		const char *start;
		enum privsep_kind kind;
	} texts[] = {
		{ "anon_inode:[event", KIND_EVENT },    { "anon_inode:[signalfd]", KIND_EVENT },
		{ "anon_inode:[pidfd]", KIND_EVENT },   { "pidfd:", KIND_EVENT },
		{ "anon_inode:[timerfd]", KIND_EVENT }, { "anon_inode:kvm", KIND_KVM },
		{ "anon_inode:[kvm", KIND_KVM },        { "/memfd:", KIND_MEMORY },
		{ "anon_inode:bpf-prog", KIND_BPF },
	};
	char text[256] = "";
	struct stat st;

	if (readlink(path, text, sizeof(text) - 1) < 0)
		return KIND_OTHER;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (str_starts(text, texts[i].start))
			return texts[i].kind;
	return stat(path, &st) == 0 ? kind_of_node(pid, &st) : KIND_OTHER;
}

const char *privs_kind_name(enum privsep_kind kind)
{
	static const char *const names[KIND_COUNT] = {
		[KIND_SOCKET] = "socket",   [KIND_PIPE] = "pipe",         [KIND_EVENT] = "event",
		[KIND_NULL] = "null",       [KIND_TERMINAL] = "terminal", [KIND_FILE] = "file",
		[KIND_PROGRAM] = "program", [KIND_MEMORY] = "memory",     [KIND_KVM] = "kvm",
		[KIND_TAP] = "tap",         [KIND_SHARED] = "directory",  [KIND_BPF] = "bpf",
		[KIND_OTHER] = "other",
	};

	return names[kind];
}

static void add_descriptors(struct json_object *to, pid_t pid)
{
	struct json_object *list = json_object_new_object();
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[64], one[sizeof(path) + NAME_MAX + 2];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(one, sizeof(one), "%s/%s", path, entry->d_name);
		add_text(list, entry->d_name, privs_kind_name(kind_of(pid, one)));
	}
	json_object_object_add(to, "descriptors", list);
}

/* --- the filter ------------------------------------------------------------------------------- */

/* Every thread has one: a thread without is a way around those of the others. */
static bool all_filtered(pid_t pid)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[64], one[sizeof(path) + NAME_MAX + 16];
	struct status status;
	bool all = true;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir != NULL && all && (entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(one, sizeof(one), "%s/%s/status", path, entry->d_name);
		if (read_status(one, &status, NULL) == 0)
			all = status.seccomp == 2;
	}
	return dir != NULL && all;
}

/* All filters of a process that stands still for us: how many, or a negative errno. */
static int get_filters(pid_t pid, struct bpf_program programs[FILTERS_MAX])
{
	int count = 0;

	while (count < FILTERS_MAX) {
		long len = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)(long)count, NULL);

		if (len < 0 && errno == ENOENT)
			return count;
		if (len < 0)
			return -errno;
		programs[count].len = (size_t)len;
		programs[count].code = calloc((size_t)len, sizeof(struct sock_filter));
		if (programs[count].code == NULL)
			return -ENOMEM;
		count++; /* before it is filled: it is to be freed in any case */
		if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)(long)(count - 1),
			   programs[count - 1].code) < 0)
			return -errno;
	}
	return -E2BIG;
}

/* Waits until the process stands still: false at the deadline, or when it is gone. */
static bool await_stop(pid_t pid)
{
	int64_t deadline = deadline_in_ms(STOP_MS);

	for (;;) {
		int status;
		pid_t r = waitpid(pid, &status, __WALL | WNOHANG);

		if (r == pid)
			return WIFSTOPPED(status);
		if ((r < 0 && errno != EINTR) || deadline_left_ms(deadline) == 0)
			return false;
		usleep(1000);
	}
}

static void add_syscalls(struct json_object *to, pid_t pid)
{
	struct bpf_program programs[FILTERS_MAX] = { 0 };
	int count = -EPERM;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && await_stop(pid))
			count = get_filters(pid, programs);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	json_object_object_add(
		to, "syscalls",
		count < 0 ? NULL
			  : json_object_new_int((int)bpf_count_allowed(programs, (size_t)count)));
	for (int i = 0; i < FILTERS_MAX; i++)
		free(programs[i].code);
}

int privs_observe(pid_t pid, uint32_t uid_base, struct json_object **ret, struct error *err)
{
	struct json_object *o;
	struct status status;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	r = read_status(path, &status, err);
	if (r < 0)
		return r;
	o = json_object_new_object();
	add_user(o, pid, &status, uid_base);
	add_groups(o, &status, uid_base);
	add_capabilities(o, &status);
	json_object_object_add(o, "no_new_privs",
			       json_object_new_boolean(status.no_new_privs == 1));
	json_object_object_add(o, "seccomp", json_object_new_boolean(all_filtered(pid)));
	add_syscalls(o, pid);
	add_namespaces(o, pid);
	add_root(o, pid);
	add_descriptors(o, pid);
	*ret = o;
	return 0;
}
