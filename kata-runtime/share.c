/* Directories and files for the guest: see share.h. Runs in kata-runtime as root. */
#include "kata-runtime/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/launch.h"
#include "common/process.h"
#include "common/str.h"

enum { HAND_IN_MS = 10000 };

int share_check(const char *source, struct error *err)
{
	static const struct {
		long magic;
		const char *name;
	} kernels[] = {
		{ PROC_SUPER_MAGIC, "proc" },     { SYSFS_MAGIC, "sysfs" },
		{ CGROUP_SUPER_MAGIC, "cgroup" }, { CGROUP2_SUPER_MAGIC, "cgroup2" },
		{ DEVPTS_SUPER_MAGIC, "devpts" }, { DEBUGFS_MAGIC, "debugfs" },
		{ TRACEFS_MAGIC, "tracefs" },     { SECURITYFS_MAGIC, "securityfs" },
		{ BPF_FS_MAGIC, "bpf" },          { 0x6e736673, "nsfs" },
	};
	struct statfs fs;
	struct stat st;

	if (stat(source, &st) < 0 || statfs(source, &fs) < 0)
		return error_set(err, errno, "mount source %s", source);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return error_say(err, ENOTSUP,
				 "mount source %s is a device of the host, which a VM cannot use",
				 source);
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++)
		if ((long)fs.f_type == kernels[i].magic)
			return error_say(err, ENOTSUP,
					 "mount source %s is the host's %s, which a VM cannot use",
					 source, kernels[i].name);
	return 0;
}

/* The source as a detached tree: its descriptor. */
static int detach(const char *source, bool readonly, struct error *err)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
			    (readonly ? (uint64_t)MOUNT_ATTR_RDONLY : 0),
		/* What the host mounts there later comes in; nothing goes out. */
		.propagation = MS_SLAVE,
	};
	CLEANUP(fd_close) int tree = -1;

	tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return error_set(err, errno, "take %s into the VM", source);
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) <
	    0)
		return error_set(err, errno, "set the mount attributes of %s", source);
	return steal_fd(&tree);
}

/* Makes the place, in the sandbox's mount namespace: directories, and a file or directory last. */
static int make_place(char *path, bool directory)
{
	CLEANUP(fd_close) int fd = -1;

	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (directory)
		return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd < 0 ? -errno : 0;
}

/* Runs in a child, since it cannot come back from the other namespace: exits with an errno. */
static noreturn void place(int namespace, int tree, char *path, bool directory)
{
	int r;

	if (setns(namespace, CLONE_NEWNS) < 0)
		_exit(errno);
	r = make_place(path, directory);
	if (r < 0)
		_exit(-r);
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		_exit(errno);
	_exit(0);
}

/* The mount namespace that has the share: a descriptor, -ESRCH when the sandbox has ended. */
static int open_namespace(const struct process_ref *monitor, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", monitor->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !process_alive(monitor->pid, monitor->start_ticks))
		return error_say(err, ESRCH, "the sandbox has ended");
	return steal_fd(&fd);
}

/* Waits for a child that works in that namespace and exits with an errno. */
static int await_child(pid_t pid, struct error *err)
{
	int status, r = process_wait_child(pid, deadline_in_ms(HAND_IN_MS), &status, err);

	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
				 "work in the sandbox's mounts");
	return 0;
}

int share_add(const struct process_ref *monitor, const char *source, const char *name,
	      bool readonly, struct error *err)
{
	CLEANUP(fd_close) int tree = -1;
	CLEANUP(fd_close) int namespace = -1;
	char path[PATH_MAX];
	struct stat st;
	pid_t pid;
	int r;

	tree = detach(source, readonly, err);
	if (tree < 0)
		return tree;
	if (fstat(tree, &st) < 0)
		return error_set(err, errno, "%s", source);
	namespace = open_namespace(monitor, err);
	if (namespace < 0)
		return error_prefix(err, "hand %s to the VM", source);
	if (str_format(path, sizeof(path), "%s/%s", LAUNCH_SHARE, name) < 0)
		return error_set(err, ENAMETOOLONG, "%s", name);
	pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		place(namespace, tree, path, S_ISDIR(st.st_mode));
	r = await_child(pid, err);
	return r < 0 ? error_prefix(err, "hand %s to the VM as %s", source, path) : 0;
}

/* --- taking away ------------------------------------------------------------------------------ */

/* Runs in a child, in the sandbox's mount namespace: exits with an errno. */
static noreturn void clear(int namespace, const char *path)
{
	CLEANUP(dir_close) DIR *dir = NULL;
	struct dirent *entry;

	if (setns(namespace, CLONE_NEWNS) < 0)
		_exit(errno);
	dir = opendir(path);
	if (dir == NULL || chdir(path) < 0)
		_exit(errno == ENOENT ? 0 : errno);
	while ((entry = readdir(dir)) != NULL) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		if (umount2(entry->d_name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
			_exit(errno);
		if (unlink(entry->d_name) < 0 && rmdir(entry->d_name) < 0)
			_exit(errno);
	}
	_exit(chdir("/") < 0 || rmdir(path) < 0 ? errno : 0);
}

int share_remove(const struct process_ref *monitor, const char *container, struct error *err)
{
	CLEANUP(fd_close) int namespace = open_namespace(monitor, err);
	char path[PATH_MAX];
	pid_t pid;
	int r;

	if (namespace < 0)
		return namespace == -ESRCH ? 0 : namespace;
	if (str_format(path, sizeof(path), "%s/%s", LAUNCH_SHARE, container) < 0)
		return error_set(err, ENAMETOOLONG, "%s", container);
	pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		clear(namespace, path);
	r = await_child(pid, err);
	return r < 0 ? error_prefix(err, "take the files of %s from the VM", container) : 0;
}
