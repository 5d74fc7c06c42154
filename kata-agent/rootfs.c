/*
 * A container's file tree: see rootfs.h. Runs once in the forked child that becomes the
 * container's first process. The agent itself never opens a path below a container's root.
 */
#include "kata-agent/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/devices.h"
#include "kata-agent/mount.h"
#include "kata-agent/resolve.h"

/* The tree while it is built. */
struct tree {
	const struct msg_create *create;
	int share; /* the container's part of the shared directory; borrowed */
	int root;  /* the container's root, attached over its own place in that */
	int null;  /* the guest's null device */
	int proc;  /* the procfs mounted at /proc, -1: none */
};

static void tree_close(struct tree *t)
{
	fd_close(&t->root);
	fd_close(&t->null);
	fd_close(&t->proc);
}

/* The length of the first word of a path below the share, with its slash; 0 when it is all. */
static size_t part_length(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

int rootfs_open_share(const struct msg_create *create, const char *path, struct error *err)
{
	CLEANUP(fd_close) int share = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char part[NAME_MAX + 1];
	size_t len = part_length(create->rootfs);
	int fd;

	if (share < 0)
		return error_set(err, errno, "open the shared directory");
	if (str_format(part, sizeof(part), "%.*s", (int)len, create->rootfs) < 0)
		return error_say(err, ENAMETOOLONG, "root of the container");
	fd = resolve_open(share, len > 0 ? part : ".", O_PATH | O_DIRECTORY, err);
	return fd < 0 ? error_prefix(err, "root of the container") : fd;
}

/* pivot_root(2) wants a mount: the root is bound over its own place, which only we see. */
static int open_root(struct tree *t, struct error *err)
{
	CLEANUP(fd_close) int source = -1;
	CLEANUP(fd_close) int copy = -1;
	int r;

	source = resolve_open(t->share, t->create->rootfs + part_length(t->create->rootfs),
			      O_PATH | O_DIRECTORY, err);
	if (source < 0)
		return error_prefix(err, "root of the container");
	copy = mount_clone(source, true, err);
	if (copy < 0)
		return error_prefix(err, "root of the container");
	r = mount_set_propagation(copy, MS_PRIVATE | MS_REC, err);
	if (r == 0)
		r = mount_attach(copy, source, err);
	if (r < 0)
		return error_prefix(err, "root of the container");
	t->root = steal_fd(&copy);
	return 0;
}

static int open_tree_fds(struct tree *t, struct error *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(err, errno, "make the container's mounts private");
	t->null = devices_open_null(err);
	return t->null < 0 ? t->null : open_root(t, err);
}

/* Whether the container brings a /dev of the host's: then nothing is put into it. */
static bool has_own_dev(const struct msg_create *create)
{
	for (uint32_t i = 0; i < create->n_mounts; i++) {
		const char *path = create->mounts[i].destination;

		path += strspn(path, "/");
		if (strncmp(path, "dev", 3) == 0 && path[3 + strspn(path + 3, "/")] == '\0')
			return str_eq(create->mounts[i].type, "share");
	}
	return false;
}

static int fill_dev(struct tree *t, struct error *err)
{
	int r;

	if (has_own_dev(t->create))
		return 0;
	r = devices_make_default(t->root, err);
	return r < 0 ? r : devices_make_asked(t->root, t->create, err);
}

static int open_terminal(struct tree *t, struct terminal *ret_terminal, struct error *err)
{
	const struct msg_process *process = &t->create->process;
	int r;

	if (!process->terminal)
		return 0;
	r = terminal_open(t->root, process->uid, ret_terminal, err);
	return r < 0 ? r : terminal_bind_console(t->root, ret_terminal->slave, err);
}

/*
 * After the mount of a procfs at /proc: keeps that very root. Another container that shares the
 * image may put something else in the place of /proc at any time, and what is masked or made
 * read-only below /proc has to be the procfs all the same (CVE-2019-19921, CVE-2025-31133).
 */
static int keep_proc(struct tree *t, const struct msg_mount *mounted, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	struct statfs fs;

	if (!str_eq(mounted->type, "proc") || !str_eq(mounted->destination, "/proc"))
		return 0;
	fd = resolve_open(t->root, "/proc", O_PATH | O_DIRECTORY, err);
	if (fd < 0)
		return fd;
	if (fstatfs(fd, &fs) < 0)
		return error_set(err, errno, "look at the container's /proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_say(err, ESTALE,
				 "the container's /proc is not the procfs just mounted");
	fd_close(&t->proc);
	t->proc = steal_fd(&fd);
	return 0;
}

/* A path that is not there needs no mask: 0 and *ret_fd -1. */
static int open_if_there(const struct tree *t, const char *path, int *ret_fd, struct error *err)
{
	bool below = t->proc >= 0 && str_starts(path, "/proc/");
	int fd = resolve_open(below ? t->proc : t->root, below ? path + strlen("/proc/") : path,
			      O_PATH, err);

	*ret_fd = fd;
	return fd >= 0 || fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
}

static int mask(struct tree *t, const char *path, struct error *err)
{
	CLEANUP(fd_close) int place = -1;
	CLEANUP(fd_close) int cover = -1;
	struct stat st;
	int r = open_if_there(t, path, &place, err);

	if (r < 0 || place < 0)
		return r;
	if (fstat(place, &st) < 0)
		return error_set(err, errno, "mask %s", path);
	if (S_ISDIR(st.st_mode))
		cover = mount_new("tmpfs", "tmpfs", MS_RDONLY, "nr_inodes=1,mode=0555", err);
	else
		cover = mount_clone(t->null, false, err);
	r = cover < 0 ? cover : mount_attach(cover, place, err);
	return r < 0 ? error_prefix(err, "mask %s", path) : 0;
}

static int make_readonly(struct tree *t, const char *path, struct error *err)
{
	CLEANUP(fd_close) int place = -1;
	CLEANUP(fd_close) int copy = -1;
	int r = open_if_there(t, path, &place, err);

	if (r < 0 || place < 0)
		return r;
	copy = mount_clone(place, true, err);
	r = copy < 0 ? copy : mount_set_flags(copy, MS_RDONLY, err);
	if (r == 0)
		r = mount_attach(copy, place, err);
	return r < 0 ? error_prefix(err, "make %s read-only", path) : 0;
}

static int protect(struct tree *t, struct error *err)
{
	const struct msg_create *create = t->create;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < create->masked_paths.count; i++)
		r = mask(t, create->masked_paths.items[i], err);
	for (uint32_t i = 0; r == 0 && i < create->readonly_paths.count; i++)
		r = make_readonly(t, create->readonly_paths.items[i], err);
	if (r == 0 && create->readonly)
		r = mount_set_flags(t->root, MS_RDONLY, err);
	return r;
}

/*
 * pivot_root(".", ".") puts the old root on top of the new one, from where it is unmounted; no
 * directory for it is needed (pivot_root(2)).
 */
static int pivot(struct tree *t, struct error *err)
{
	uint32_t propagation = t->create->propagation;
	CLEANUP(fd_close) int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return error_set(err, errno, "open the guest's root");
	if (fchdir(t->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return error_set(err, errno, "pivot_root");
	if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set(err, errno, "leave the guest's root");
	if (propagation != 0 && mount(NULL, "/", NULL, propagation, NULL) < 0)
		return error_set(err, errno, "set the propagation of the root");
	return 0;
}

/* The working directory is made when it is missing, as runc does; while the root is writable. */
static int make_cwd(struct tree *t, struct error *err)
{
	CLEANUP(fd_close) int fd = resolve_create(t->root, t->create->process.cwd, true, err);

	return fd < 0 ? error_prefix(err, "working directory") : 0;
}

/* A container that shares its IPC namespace sees the shared memory of who it shares it with. */
static bool is_shm(const struct msg_mount *m)
{
	return str_eq(m->destination, "/dev/shm") && str_eq(m->type, "tmpfs");
}

static int apply_mount(struct tree *t, const struct msg_mount *wanted, struct error *err)
{
	size_t len = part_length(t->create->rootfs);
	struct msg_mount mount = *wanted;

	if (str_eq(mount.type, "share")) {
		if (strncmp(mount.source, t->create->rootfs, len) != 0)
			return error_say(err, EINVAL, "mount %s: %s is not the container's",
					 mount.destination, mount.source);
		mount.source += len;
	}
	return mount_apply(t->root, t->share, &mount, err);
}

int rootfs_enter(const struct msg_create *create, int share, int shm, struct terminal *ret_terminal,
		 struct error *err)
{
	CLEANUP(tree_close) struct tree t = { create, share, -1, -1, -1 };
	int r = open_tree_fds(&t, err);

	for (uint32_t i = 0; r == 0 && i < create->n_mounts; i++) {
		r = shm >= 0 && is_shm(&create->mounts[i])
			    ? mount_put(t.root, create->mounts[i].destination, shm, err)
			    : apply_mount(&t, &create->mounts[i], err);
		if (r == 0)
			r = keep_proc(&t, &create->mounts[i], err);
	}
	if (r == 0)
		r = fill_dev(&t, err);
	if (r == 0)
		r = open_terminal(&t, ret_terminal, err);
	if (r == 0)
		r = make_cwd(&t, err);
	if (r == 0)
		r = protect(&t, err);
	return r < 0 ? r : pivot(&t, err);
}
