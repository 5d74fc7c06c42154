/* What is left: see remains.h. Called by crash-points.c after each point. */
#include "tests/crash/remains.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

static struct {
	char *text;
	size_t size, used, lines;
	const struct remains *what;
} found;

static __attribute__((format(printf, 1, 2))) void add(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(found.text + found.used, found.size - found.used, fmt, args);
	va_end(args);
	found.used += n > 0 ? (size_t)n : 0;
	if (found.used >= found.size)
		found.used = found.size - 1;
	found.lines++;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Everything in a directory, which itself may stay. */
static void list_dir(const char *path)
{
	CLEANUP(dir_close) DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			add("file %s/%s\n", path, entry->d_name);
}

static void list_base(void)
{
	static const char *const dirs[] = { "s", "l", "c" };
	char path[4200];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", found.what->base, dirs[i]);
		list_dir(path);
	}
	list_dir(found.what->root);
}

/* The files of slots may stay: removing one breaks its lock. */
static void list_slots(void)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;
	char path[4200];

	snprintf(path, sizeof(path), "%s/uid", found.what->base);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		CLEANUP(fd_close) int fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);

		if (fd >= 0 && entry->d_name[0] != '.' && flock(fd, LOCK_EX | LOCK_NB) < 0)
			add("uid slot %s is held\n", entry->d_name);
	}
}

static void list_lines(const char *file, const char *first, const char *second)
{
	CLEANUP(file_close) FILE *f = fopen(file, "re");
	char line[4096];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, first) != NULL || (second != NULL && strstr(line, second) != NULL))
			add("%s: %s", file, line);
}

static int on_cgroup(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	if (type == FTW_D && strstr(path + ftw->base, "kata") != NULL)
		add("cgroup %s\n", path);
	return 0;
}

/* --- processes -------------------------------------------------------------------------------- */

static bool is_zombie(const char *pid)
{
	char path[300], text[512];
	CLEANUP(fd_close) int fd = -1;
	const char *paren;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	paren = strrchr(text, ')');
	return paren == NULL || paren[1] == '\0' || paren[2] == 'Z' || paren[2] == 'X';
}

static void look_at_process(const char *pid)
{
	char path[300], exe[4096];
	const char *name;
	struct stat st;
	bool ours;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	if (stat(path, &st) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	name = strrchr(exe, '/') != NULL ? strrchr(exe, '/') + 1 : exe;
	ours = str_eq(name, "kata-runtime") || str_eq(name, "kata-proxy") ||
	       str_eq(name, "kata-shim") || str_eq(name, found.what->program) ||
	       (st.st_uid >= found.what->first_uid &&
		st.st_uid - found.what->first_uid < found.what->n_uids);
	if (ours && !is_zombie(pid))
		add("process %s: uid %u, %s\n", pid, st.st_uid, exe);
}

static void list_processes(void)
{
	CLEANUP(dir_close) DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			look_at_process(entry->d_name);
}

/* --- network ---------------------------------------------------------------------------------- */

static void list_interfaces(const char *where, bool all)
{
	struct if_nameindex *list = if_nameindex();

	for (struct if_nameindex *i = list; i != NULL && i->if_index != 0; i++)
		if (all ? !str_eq(i->if_name, "lo") && !str_eq(i->if_name, "v0") &&
				    !str_eq(i->if_name, "v1")
			: str_starts(i->if_name, "kt") || str_starts(i->if_name, "kata"))
			add("interface %s%s\n", i->if_name, where);
	if_freenameindex(list);
}

/* In a child that is in the namespace, whose findings come over a pipe. */
static void list_netns(void)
{
	char text[2048];
	int pipe_fds[2];
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	if (found.what->netns < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		char own[1024];

		found.text = own;
		found.size = sizeof(own);
		found.used = 0;
		own[0] = '\0';
		if (setns(found.what->netns, CLONE_NEWNET) < 0)
			_exit(1);
		list_interfaces(" in the container's namespace", true);
		if (write(pipe_fds[1], own, strlen(own)) < 0 || dup2(pipe_fds[1], 1) < 0)
			_exit(1);
		execlp("tc", "tc", "qdisc", "show", "dev", "v0", NULL);
		_exit(1);
	}
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(pipe_fds[0]);
	waitpid(pid, NULL, 0);
	if (strstr(text, "interface ") != NULL || strstr(text, "ingress") != NULL ||
	    strstr(text, "clsact") != NULL)
		add("network: %s\n", text);
}

size_t remains_find(const struct remains *remains, char *text, size_t size)
{
	found.text = text;
	found.size = size;
	found.used = found.lines = 0;
	found.what = remains;
	text[0] = '\0';
	list_base();
	list_slots();
	list_processes();
	list_lines("/proc/self/mountinfo", remains->base, NULL);
	list_lines("/proc/net/unix", remains->base, remains->work);
	nftw("/sys/fs/cgroup", on_cgroup, 16, FTW_PHYS);
	list_interfaces("", false);
	list_netns();
	return found.lines;
}
