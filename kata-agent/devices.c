/*
 * Device nodes in a container's root: see devices.h. Runs in the forked child before pivot_root,
 * while the guest's own /dev is still there; allocates nothing.
 */
#include "kata-agent/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-agent/mount.h"
#include "kata-agent/resolve.h"

static const struct {
	const char *path;
	unsigned major, minor;
} default_devices[] = {
	{ "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },          { "core", "/proc/kcore" },
};

static bool is_device(const struct stat *st, mode_t kind, dev_t number)
{
	return (st->st_mode & S_IFMT) == kind && st->st_rdev == number;
}

int devices_open_null(struct error *err)
{
	CLEANUP(fd_close) int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "open the guest's /dev/null");
	if (!is_device(&st, S_IFCHR, makedev(1, 3)))
		return error_say(err, ENODEV, "the guest's /dev/null is not the null device");
	return steal_fd(&fd);
}

/* The guest's node of that number, by the name the container uses for it. */
static int open_guest_node(const struct msg_device *device, mode_t kind, struct error *err)
{
	CLEANUP(fd_close) int fd = -1;
	struct stat st;

	if (!str_starts(device->path, "/dev/"))
		return error_say(err, EPERM, "it cannot be made there");
	fd = open(device->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, errno, "open the guest's device");
	if (!is_device(&st, kind, makedev(device->major, device->minor)))
		return error_say(err, ENODEV, "the guest's device has another number");
	return steal_fd(&fd);
}

static int bind_guest_node(int root_fd, const struct msg_device *device, mode_t kind,
			   struct error *err)
{
	CLEANUP(fd_close) int node = open_guest_node(device, kind, err);
	CLEANUP(fd_close) int target = -1;
	CLEANUP(fd_close) int copy = -1;

	if (node < 0)
		return node;
	target = resolve_create(root_fd, device->path, false, err);
	if (target < 0)
		return target;
	copy = mount_clone(node, false, err);
	return copy < 0 ? copy : mount_attach(copy, target, err);
}

/* The image may have something of that name: the right node stays, no other thing does. */
static int make_node(int parent, const char *name, const struct msg_device *device, mode_t kind)
{
	dev_t number = makedev(device->major, device->minor);
	struct stat st;

	if (mknodat(parent, name, kind, number) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!is_device(&st, kind, kind == S_IFIFO ? st.st_rdev : number))
			return -EEXIST;
	}
	if (fchownat(parent, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(parent, name, device->mode, 0) < 0)
		return -errno;
	return 0;
}

static int make(int root_fd, const struct msg_device *device, struct error *err)
{
	mode_t kind = device->kind[0] == 'c' ? S_IFCHR : device->kind[0] == 'b' ? S_IFBLK : S_IFIFO;
	CLEANUP(fd_close) int parent = -1;
	const char *name;
	int r;

	if (device->kind[0] == '\0' || strchr("cbp", device->kind[0]) == NULL)
		return error_say(err, EINVAL, "kind %s is none of c, b, p", device->kind);
	parent = resolve_parent(root_fd, device->path, &name, err);
	if (parent < 0)
		return parent;
	r = make_node(parent, name, device, kind);
	if ((r == -EPERM || r == -EEXIST || r == -EROFS) && kind != S_IFIFO)
		return bind_guest_node(root_fd, device, kind, err);
	return r < 0 ? error_set(err, -r, "make the node") : 0;
}

int devices_make(int root_fd, const struct msg_device *device, struct error *err)
{
	if (make(root_fd, device, err) < 0)
		return error_prefix(err, "device %s", device->path);
	return 0;
}

int devices_make_default(int root_fd, struct error *err)
{
	CLEANUP(fd_close) int dev = -1;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++) {
		char path[32], kind[] = "c";
		struct msg_device device = { .path = path,
					     .kind = kind,
					     .major = default_devices[i].major,
					     .minor = default_devices[i].minor,
					     .mode = 0666 };

		r = str_format(path, sizeof(path), "%s", default_devices[i].path);
		if (r == 0)
			r = devices_make(root_fd, &device, err);
		if (r < 0)
			return r;
	}
	dev = resolve_create(root_fd, "/dev", true, err);
	if (dev < 0)
		return dev;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		/* The image's own /dev may have it, or be read-only: then it stays. */
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST &&
		    errno != EROFS)
			return error_set(err, errno, "make /dev/%s in the container",
					 links[i].name);
	}
	return 0;
}
